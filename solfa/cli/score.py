"""`solfa score`: notes from one of their formats to another."""

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from solfa.cli import report, sheets
from solfa.cli.convert import plan
from solfa.cli.inputs import NOTE_SUFFIXES, Input
from solfa.cli.report import UsageError

if TYPE_CHECKING:
    from solfa.score.quantising.quantise import QuantiseOptions


def score(
    *inputs: str,
    out: report.OutPath = None,
    format: sheets.Format | None = None,
    tempo: float | None = None,
    metre: str | None = None,
    played: report.Flag = False,
    jobs: report.Jobs = 1,
    overwrite: report.Flag = False,
    json: report.Flag = False,
) -> int:
    """Notes from one format to another: MIDI, ABC, MusicXML, JSON -> a page (SVG), MusicXML, ABC, MIDI, a piano roll, JSON

    Music that is written in bars keeps them: tempi, metres, keys and every note's length are those of the file. What was played
    freely (JSON, a MIDI file of a performance) is put on a grid first, as transcriptions are.

    For example:
        solfa score take.mid -o take.svg
        solfa score tune.abc -o tune.mid
        solfa score keyboard.mid -o keyboard.musicxml --played
        solfa score songs/ -o pages/ --format svg -j 4

    Parameters
    ----------
    inputs
        Files (.mid, .abc, .musicxml, .xml, .mxl, .json, .jsonl), folders (searched through), globs, @list.txt, or - for a list on
        stdin.
    out
        The file for one input, whose ending says what is written: .mid, .abc, .musicxml, .mxl, .svg (the engraved score), .roll.svg
        (the piano roll), .json or .jsonl (the notes). Else a folder, in which the inputs' tree is mirrored. Beside each input by default.
    format
        What is written where no file is named.
    tempo
        Quarter notes a minute, for music that was played: one tempo throughout. The file's by default.
    metre
        Such as 3/4; the file's by default.
    played
        The file's tempi and bars say nothing, as those of a keyboard's recording: they are found in the notes.
    jobs
        Files at a time, each in a process of its own; 0 is one a core.
    overwrite
        Replace files that are there.
    json
        One JSON object on stdout for one named input, an array for several.
    """
    sheets.check_format(out, format)
    if format is None and (out is None or not out.suffix or out.is_dir()):
        raise UsageError("what is to be written? name a file with -o, or a format with --format")
    planned = plan(inputs, into=out, reads=NOTE_SUFFIXES, writes=(f".{format}",) if format else sheets.WRITES)
    work = _Convert(tempo, sheets.metre_of(metre), played)
    try:
        work.options()
    except ValueError as error:
        raise UsageError(f"--tempo or --metre: {error}") from error
    sheets.check_bars(planned, tempo, metre)
    sheets.check_writable(planned)
    return sheets.convert_notes("score", planned, work, overwrite=overwrite, jobs=jobs, json=json)


@dataclass(frozen=True)
class _Convert:
    tempo: float | None
    metre: tuple[int, int] | None
    played: bool

    def options(self, title: str = "") -> "QuantiseOptions":
        """How notes are put on a grid."""
        from solfa.score.quantising.quantise import QuantiseOptions

        return QuantiseOptions(tempo=self.tempo, metre=self.metre, find=self.played, title=title)

    def __call__(self, item: Input) -> sheets.Written:
        from solfa.score.write import SheetWarning, read_notes, write_notes, written_remarks

        assert item.target is not None
        source = read_notes(item.path)
        with warnings.catch_warnings(action="ignore", category=SheetWarning):  # they are among the remarks
            sheet = write_notes(source, item.target, options=self.options(item.path.stem))
        names = [part.name for part in source.parts for _ in part.notes]
        facts: dict[str, Any] = {"notes": len(names), "seconds": source.duration, "instruments": dict(Counter(names))}
        line = f"{source.duration:.2f} s, {len(names)} notes"
        if sheet is not None:
            bars = sheets.bars_of(sheet)
            facts, line = facts | bars, f"{line}, {sheets.line_of(bars)}" if names else line
        return sheets.Written(line, written_remarks(item.target, sheet), facts)
