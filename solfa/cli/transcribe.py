"""`solfa transcribe`: recordings and their tokens to notes."""

import time
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from solfa.cli import report, sheets
from solfa.cli.convert import plan
from solfa.cli.inputs import AUDIO_SUFFIXES, TOKEN_SUFFIXES, Input
from solfa.cli.report import UsageError

if TYPE_CHECKING:
    from solfa.score.quantising.quantise import Quantised, QuantiseOptions
    from solfa.transcriber import Transcriber
    from solfa.transcription.frames import FrameOptions
    from solfa.transcription.result import Transcription

MODEL = "solfa-notes"


def transcribe(
    *inputs: str,
    out: report.OutPath = None,
    format: sheets.Format | None = None,
    model: str = MODEL,
    mode: Literal["frames", "events"] = "frames",
    instruments: str | None = None,
    tempo: float | None = None,
    metre: str | None = None,
    codebooks: int | None = None,
    onset: float | None = None,
    beam: int = 1,
    guide: float = 0.0,
    codec: str | None = None,
    trunk: str | None = None,
    device: report.Device = "auto",
    jobs: report.Jobs = 1,
    overwrite: report.Flag = False,
    json: report.Flag = False,
) -> int:
    """Recordings and token files to notes: WAV, FLAC, MP3, OGG, .solfa -> MIDI, ABC, MusicXML, SVG, JSON

    A recording and its token file give the same notes. Files of hours need little memory.

    For example:
        solfa transcribe take.wav
        solfa transcribe take.solfa -o take.musicxml --metre 3/4
        solfa transcribe band.mp3 -o band.mid --instruments piano,double-bass,drums
        solfa transcribe recordings/ -o scores/ --format abc -j 4

    Parameters
    ----------
    inputs
        Files, folders (searched through), globs, @list.txt, or - for a list on stdin.
    out
        The file for one input, whose ending says what is written: .mid, .abc, .musicxml, .mxl, .svg (the engraved score), .roll.svg
        (the piano roll), .json or .jsonl (the notes). Else a folder, in which the inputs' tree is mirrored. Beside each input by default.
    format
        What is written where no file is named: mid by default.
    model
        A name that `solfa models` lists, or a checkpoint folder.
    mode
        frames reads notes off the model's frame outputs, which is fast; events has it write what it hears, one event after the other,
        with pedals.
    instruments
        What plays, with commas: names (violin, Alto Sax; piano is any piano), General MIDI programs from 0, or drums.
    tempo
        Quarter notes a minute; found in the notes by default, and said.
    metre
        Such as 3/4; found in the notes by default.
    codebooks
        How many of the codec's codebooks are heard, from the first; as many as the model reads by default.
    onset
        How sure an onset must be, above 0 to 1; by default as the model has it. Below more notes are found, above fewer
        false ones. For frames.
    beam
        How many ways of writing events are followed, 1 to 64. For events.
    guide
        Events begin only where the frame outputs are so sure of an onset, 0 to 1; 0 lets them begin anywhere. For events.
    codec
        The codec of the model, where it is not one that `solfa models` lists: a folder.
    trunk
        The language model whose hidden states the model hears, where it is not one that `solfa models` lists: a folder.
    device
        Where the model runs; auto takes CUDA if it is there.
    jobs
        Files at a time, each in a process of its own with one thread; 0 is one a core.
    overwrite
        Replace files that are there.
    json
        One JSON object on stdout for one named input, an array for several: what was found, in what, and how sure that is.
    """
    sheets.check_format(out, format)
    _check_mode(mode, onset, beam, guide)
    planned = plan(
        inputs, into=out, reads=(*AUDIO_SUFFIXES, *TOKEN_SUFFIXES), writes=(f".{format}",) if format else sheets.WRITES
    )
    work = _Transcribe(
        model,
        codec,
        trunk,
        report.device(device),
        mode,
        _programs(instruments),
        codebooks,
        onset,
        beam,
        guide,
        tempo,
        sheets.metre_of(metre),
    )
    _check(work, planned)
    sheets.check_bars(planned, tempo, metre)
    return sheets.convert_notes("transcribe", planned, work, overwrite=overwrite, jobs=jobs, json=json)


def _check_mode(mode: str, onset: float | None, beam: int, guide: float) -> None:
    """Raises UsageError for an option that the mode has no use for."""
    if mode == "events" and onset is not None:
        raise UsageError(f"--onset {onset}: it is for --mode frames; of events, see --guide")
    if mode == "frames" and (beam != 1 or guide):
        given = [f"--beam {beam}"] * (beam != 1) + [f"--guide {guide:g}"] * bool(guide)
        raise UsageError(f"{' '.join(given)}: for --mode events only")


def _programs(text: str | None) -> tuple[int, ...] | None:
    """General MIDI programs, 128 for drums, of what a user names, with commas; see `programs_named`."""
    if text is None:
        return None
    from solfa.data.composer.instruments import programs_named

    names = [name.strip() for name in text.split(",") if name.strip()]
    found: set[int] = set()
    for name in names or [text]:
        programs = programs_named(name)
        if not programs:
            raise UsageError(
                f"--instruments {text}: {name!r} is none of the General MIDI instruments (violin, acoustic bass, piano ...), "
                "no program (0 to 127), and not drums"
            )
        found |= set(programs)
    return tuple(sorted(found))


def _check(work: "_Transcribe", planned: list[Input]) -> None:
    """Raises UsageError for options that cannot be, before anything is heard."""
    for before, build in (("tempo or --metre: ", work.sheet), ("", work.wishes)):  # "onset is 2: ..."
        try:
            build()
        except ValueError as error:
            raise UsageError(f"--{before}{error}") from error
    try:
        transcriber = _load(work.model, work.codec, work.trunk, work.device)
    except ValueError as error:
        raise UsageError(f"--model {work.model}: {error}") from error
    config = transcriber.model.config
    if work.mode == "events" and config.vocabulary is None:
        raise UsageError(f"--mode events: {config.name} writes no events, it has frame outputs only")
    if work.codebooks is not None and not 1 <= work.codebooks <= config.codebooks:
        raise UsageError(f"--codebooks {work.codebooks}: {config.name} reads 1 to {config.codebooks}")
    sheets.check_writable(planned)


@lru_cache(maxsize=1)
def _load(model: str, codec: str | None, trunk: str | None, device: str) -> "Transcriber":
    """The transcriber, once a process."""
    from solfa.transcriber import Transcriber

    return Transcriber.load(model, device, codec, trunk)


@dataclass(frozen=True)
class _Transcribe:
    model: str
    codec: str | None
    trunk: str | None
    device: str
    mode: Literal["frames", "events"]
    instruments: tuple[int, ...] | None
    codebooks: int | None
    onset: float | None
    beam: int
    guide: float
    tempo: float | None
    metre: tuple[int, int] | None

    def sheet(self, title: str = "") -> "QuantiseOptions":
        """How notes are put on a grid."""
        from solfa.score.quantising.quantise import QuantiseOptions

        return QuantiseOptions(tempo=self.tempo, metre=self.metre, title=title)

    def wishes(self, peaks: "FrameOptions | None" = None) -> dict[str, Any]:
        """How recordings are heard; `peaks` is how the model reads frame outputs."""
        from solfa.transcription.decoding import DecodingOptions
        from solfa.transcription.frames import FrameOptions

        return {
            "mode": self.mode,
            "frames": None
            if self.onset is None
            else replace(peaks or FrameOptions(), onset=self.onset, drum=self.onset),
            "events": DecodingOptions(beam=self.beam, guide=self.guide),
            "instruments": self.instruments,
            "codebooks": self.codebooks,
        }

    def __call__(self, item: Input) -> sheets.Written:
        from solfa.score.write import SheetWarning, written_remarks

        assert item.target is not None
        started = time.perf_counter()
        transcriber = _load(self.model, self.codec, self.trunk, self.device)
        found = transcriber(item.path, **self.wishes(transcriber.model.config.peaks))
        with warnings.catch_warnings(action="ignore", category=SheetWarning):  # they are among the remarks
            sheet = found.save(item.target, self.sheet(item.path.stem))
        faster = found.report.seconds / max(time.perf_counter() - started, 1e-9)
        return _written(found, sheet, [*found.remarks, *written_remarks(item.target, sheet)], faster)


def _written(found: "Transcription", sheet: "Quantised | None", remarks: list[str], faster: float) -> sheets.Written:
    report, account = found.report, found.report.account
    line = f"{report.seconds:.2f} s, {len(found)} notes"
    facts: dict[str, Any] = {
        "model": report.model,
        "codec": report.codec,
        "mode": report.mode,
        "seconds": report.seconds,
        "notes": len(found),
        "pedals": len(found.pedals),
        "instruments": dict(Counter("drums" if note.is_drum else found.names[note.program] for note in found)),
        "silent": report.silent,
        "segments": account.segments,
        "silent_segments": account.silent,
        "cut_segments": account.cut,
        "dropped": {name: count for name, count in vars(account.dropped).items() if count},
    }
    if sheet is not None:
        bars = sheets.bars_of(sheet)
        if len(found):
            line += f", {sheets.line_of(bars)}"
        facts |= bars
    return sheets.Written(f"{line}, {faster:.2g}x real time", remarks, facts)
