"""`solfa demo`: a recording to tokens and back, and a page that plays and shows it."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from solfa import __version__
from solfa.cli import load, report
from solfa.cli.report import UsageError

if TYPE_CHECKING:
    from solfa.audio.io import Audio
    from solfa.codecs.codec import Codec
    from solfa.music import TextToMusic
    from solfa.studio.codec_demo import CodecDemo
    from solfa.studio.music_demo import MusicDemo

BUNDLED = Path(__file__).resolve().parent.parent / "assets" / "demo.flac"
PAGE = "index.html"
LONGEST = 600.0  # seconds: every rendition is held in memory


def demo(
    file: Path | None = None,
    *,
    out: Annotated[Path, Parameter(alias="-o")] = Path("demo"),
    codec: str = "solfa-24khz",
    start: float = 0.0,
    duration: float | None = None,
    music: str = "solfa-music",
    device: report.Device = "auto",
    json: report.Flag = False,
) -> int:
    """A recording to tokens and back, and a page that plays and shows it

    Writes one HTML page that needs nothing else, the token file, and the recording as WAVs: as the codec heard it, and
    played from 1, 2, 4 and all codebooks; and music that a model wrote from three prompts.
    Files of an earlier demo in the same folder are replaced.

    Example:
        solfa demo
        solfa demo take.wav -o shown/ --start 30 --duration 15

    Parameters
    ----------
    file
        A recording: WAV, FLAC, OGG, MP3. A piece that comes with solfa by default.
    out
        The folder to write to.
    codec
        A name that `solfa models` lists, or a checkpoint folder.
    start
        Begin here, in seconds.
    duration
        Take this many seconds, at most 600; to the end of the recording by default.
    music
        The model that writes music: a name that `solfa models` lists, or a checkpoint folder; none leaves that section out.
    device
        Where the codec and the model run; auto takes CUDA if it is there.
    json
        One JSON object on stdout.
    """
    if not start >= 0 or (duration is not None and not 0 < duration <= LONGEST):
        raise UsageError(
            f"--start {start} --duration {duration}: seconds, the duration above 0 and at most {LONGEST:g}"
        )
    if out.exists() and not out.is_dir():
        raise UsageError(f"-o {out} is a file: name a folder")
    source = file or BUNDLED
    place = report.device(device)
    coder = load.checked_codec(codec, place)
    writer = _writer(music, coder, place)
    try:
        recording = _read(source, start, duration)
        made, takes = _make(coder, writer, recording, source.name, out)
    except (ValueError, OSError) as error:
        report.fail(str(source), error)
        return report.FAILED
    if json:
        report.print_json(_facts(made, takes, out / PAGE))
    else:
        _show(made, takes, out / PAGE)
    return report.DONE


def _read(source: Path, start: float, duration: float | None) -> "Audio":
    from solfa.audio.io import info, read

    length = info(source).duration
    if duration is None and length - start > LONGEST:
        report.say(f"{source}: {length:.0f} s long; the demo takes {LONGEST:g} s of it (--start and --duration choose)")
    return read(source, start=start, duration=duration or LONGEST)


def _writer(name: str, coder: "Codec", device: str) -> "TextToMusic | str":
    """The model that writes music, or why there is none. UsageError for one that was asked for and is not there."""
    from solfa.lm.registry import DEFAULT, describe_lm
    from solfa.music import TextToMusic
    from solfa.shipped import list_shipped

    if name == "none":
        return ""
    if name == DEFAULT and name not in [shipped.name for shipped in list_shipped("lm")]:
        return f"No music was written: this package comes without the model {name} (--music names another)."
    try:
        same = describe_lm(name)["config"]["codec"] == coder.name
        return TextToMusic.load(name, device, codec=coder if same else None)
    except ValueError as error:
        raise UsageError(f"--music {name}: {error}") from error


def _make(
    coder: "Codec", writer: "TextToMusic | str", recording: "Audio", name: str, out: Path
) -> "tuple[CodecDemo, MusicDemo | None]":
    from solfa.files import write_whole
    from solfa.studio.codec_demo import codec_demo
    from solfa.studio.codec_section import codec_sections
    from solfa.studio.music_demo import music_demo
    from solfa.studio.music_section import missing_section, music_section
    from solfa.studio.page import page

    out.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(action="ignore"), report.progress("demo", None) as bar:
        made, takes = codec_demo(coder, recording, name, out), None
        if not isinstance(writer, str):
            takes = music_demo(
                writer, out, progress=lambda done, total: bar.advance(0, f"music, {done} of {total} frames")
            )
        sections = codec_sections(made, [take.path for take in takes.takes] if takes else [])
        if takes:
            sections.insert(-1, music_section(takes))  # the files stay last
        elif writer:
            sections.append(missing_section(str(writer)))
        header = made.header
        lede = (
            f"{made.duration:.2f} s of sound, written as {header.codebooks * header.frames:,} tokens by {header.codec} "
            f"and played back from them."
        )
        footer = f"solfa {__version__} · codec {header.codec}, weights {header.weights_hash[:16]} · {header.precision}"
        write_whole(out / PAGE, page(name, lede, sections, footer))
    if isinstance(writer, str) and writer:
        report.say(writer)
    return made, takes


def _facts(made: "CodecDemo", takes: "MusicDemo | None", page: Path) -> dict[str, Any]:
    return {
        "page": page,
        "tokens": made.tokens_path,
        "original": made.original_path,
        "source": made.source,
        "codec": made.header.codec,
        "duration": made.duration,
        "token_bytes": made.tokens_path.stat().st_size,
        "encode_seconds": made.encode_seconds,
        "decode_seconds": made.decode_seconds,
        "renditions": _rows(made),
        "music": [{"prompt": t.prompt, "seed": t.seed, "path": t.path} for t in takes.takes] if takes else [],
    }


def _rows(made: "CodecDemo") -> list[dict[str, Any]]:
    return [
        {
            "codebooks": r.codebooks,
            "kbps": r.bitrate / 1000,
            "si_sdr": r.scores.si_sdr,
            "log_mel": r.scores.log_mel,
            "stft": r.scores.stft,
            "path": r.path,
        }
        for r in made.renditions
    ]


def _show(made: "CodecDemo", takes: "MusicDemo | None", page: Path) -> None:
    size = made.tokens_path.stat().st_size
    report.out(
        f"{made.source}: {made.duration:.2f} s in {size} bytes of tokens, {made.pcm_bytes / size:.3g} times smaller "
        f"than 16-bit samples"
    )
    report.print_table(_rows(made), ["codebooks", "kbps", "si_sdr", "log_mel", "stft"])
    for take in takes.takes if takes else ():
        report.out(f"{take.prompt} -> {take.path}")
    report.out(f"page: {page}")
