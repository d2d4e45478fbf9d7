"""`solfa eval`: its sub-commands, and `solfa eval codec`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from solfa.cli import load, report
from solfa.cli.eval_codebooks import codebooks as eval_codebooks
from solfa.cli.eval_generation import generation as eval_generation
from solfa.cli.eval_transcription import transcription as eval_transcription
from solfa.cli.inputs import AUDIO_SUFFIXES, Input, expand

if TYPE_CHECKING:
    from solfa.eval.codec import CodecScores
    from solfa.tokenize_audio.rate_distortion import RateRow

app = App(
    name="eval",
    help="Measure codecs, their codebooks, generated music, and transcriptions\n\nExample: solfa eval codec clips/ --codec solfa-24khz",
    help_format="plaintext",
)
app.command(eval_codebooks, name="codebooks")
app.command(eval_generation, name="generation")
app.command(eval_transcription, name="transcription")


@app.command
def codec(
    *inputs: str,
    codec: str | None = None,
    codebooks: str | None = None,
    opus: str = "6,8,12,16",
    device: report.Device = "auto",
    json: report.Flag = False,
) -> int:
    """How near decoded sound is to the original

    With two files, or two folders whose files are matched by name without suffix: the second against the first. The
    second is resampled to the first's rate; lengths may differ by 0.1 s, channels not at all.

    With --codec: every input goes through the codec at each number of codebooks, and through Opus, and one table gives
    the means over the clips. The reference is the input at the codec's rate and channel count.

    Columns: kbps without container; SI-SDR in dB (higher is better); log-mel distance (log10, 80 bins, at 24 kHz), STFT
    distance, DAC's mel distance, L1 of the waveform (lower is better); loudness difference in LU; number of clips.

    Example:
        solfa eval codec original.wav decoded.wav
        solfa eval codec clips/ --codec solfa-24khz --codebooks 1,2,4,8 --opus 6,8,12,16

    Parameters
    ----------
    inputs
        REFERENCE ESTIMATE; with --codec files, folders, globs, @list.txt, or - for a list on stdin.
    codec
        A name that `solfa models` lists, or a checkpoint folder.
    codebooks
        How many codebooks to play, as in 1,2,4,8. By default 1, 2, 4, ... and all.
    opus
        Opus bitrates in kbps beside it, as in 6,8,12; or none. Needs opus-tools on the PATH.
    device
        Where the codec runs; auto takes CUDA if it is there.
    json
        One JSON array on stdout, an object for each row of the table.
    """
    if codec is not None:
        return _rate_distortion(inputs, codec, codebooks, opus, device, json)
    if codebooks is not None:
        raise report.UsageError("--codebooks needs --codec")
    if len(inputs) != 2:
        raise report.UsageError(f"{len(inputs)} inputs: REFERENCE ESTIMATE, or --codec NAME with any number")
    return _compare(inputs[0], inputs[1], json)


def _compare(reference: str, estimate: str, json: bool) -> int:
    from solfa.eval.codec import mean_scores
    from solfa.tokenize_audio.rate_distortion import compare_files, match_files

    pairs = [(Path(reference), Path(estimate))]
    if Path(reference).is_dir() or Path(estimate).is_dir():
        pairs = match_files(*(_files(folder) for folder in (reference, estimate)))
    found: dict[str, CodecScores] = {}
    with report.progress("compare", len(pairs)) as bar:
        for x, y in pairs:
            try:
                found[x.stem] = compare_files(x, y)
            except (ValueError, OSError) as error:
                report.fail(str(y), error)
            bar.advance(1, detail=x.name)
    rows = [{"clip": name, **_columns(scores)} for name, scores in found.items()]
    if len(rows) > 1:
        rows.append({"clip": f"mean of {len(rows)}", **_columns(mean_scores(found.values()))})
    _show(rows, json)
    return report.DONE if len(found) == len(pairs) else report.FAILED


def _files(folder: str) -> list[Path]:
    if not Path(folder).is_dir():
        raise report.UsageError(f"{folder}: two files or two folders are compared, not one of each")
    return [_usable(item) for item in expand([folder], AUDIO_SUFFIXES)]


def _usable(item: Input) -> Path:
    if item.problem:
        raise ValueError(f"{item.path}: {item.problem}")
    return item.path


def _rate_distortion(
    inputs: tuple[str, ...], name: str, codebooks: str | None, opus: str, device: report.Device, json: bool
) -> int:
    items = expand(inputs, AUDIO_SUFFIXES)
    kbps = [] if opus == "none" else _numbers("--opus", opus, float)
    coder = load.checked_codec(name, report.device(device))
    most = coder.codebooks
    powers = [2**i for i in range(most.bit_length()) if 2**i < most]
    counts = [*powers, most] if codebooks is None else _numbers("--codebooks", codebooks, int)
    if not all(1 <= count <= most for count in counts):
        raise report.UsageError(f"--codebooks {codebooks}: {coder.name} has 1 to {most}")
    from solfa.tokenize_audio.opus import HOW_TO_GET, opus_available
    from solfa.tokenize_audio.rate_distortion import measure_clip, summarize

    if not all(6 * coder.channels <= rate <= 256 * coder.channels for rate in kbps):
        raise report.UsageError(f"--opus {opus}: 6 to 256 kbps a channel, or none")
    if kbps and not opus_available():
        report.say(f"{HOW_TO_GET}: no Opus rows")
        kbps = []
    results, failed = [], False
    with report.progress("measure", len(items)) as bar:
        for item in items:
            try:
                results += measure_clip(_usable(item), coder, counts, kbps)
            except (ValueError, OSError) as error:
                failed = True
                report.fail(str(item.path), error)
            bar.advance(1, detail=item.path.name)
    _show([_row(row) for row in summarize(results)], json)
    return report.FAILED if failed else report.DONE


def _numbers(option: str, text: str, kind: type) -> list[Any]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise report.UsageError(f"{option} {text}: numbers with commas between them, as in 1,2,4") from None


def _row(row: RateRow) -> dict[str, Any]:
    return {
        "coder": row.coder,
        "setting": row.setting,
        "kbps": row.bitrate / 1000,
        **_columns(row.scores),
        "n": row.clips,
    }


def _columns(scores: CodecScores) -> dict[str, float]:
    return {
        "si_sdr": scores.si_sdr,
        "log_mel": scores.log_mel,
        "stft": scores.stft,
        "dac_mel": scores.dac_mel,
        "l1": scores.waveform_l1,
        "loudness": scores.loudness,
    }


def _show(rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        report.print_json(rows)
    else:
        report.print_table([{name: _rounded(value) for name, value in row.items()} for row in rows])


def _rounded(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value
