"""Notes into files and out of them, by the ending of the name."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.util import find_spec

from solfa.files import check_replaceable, write_whole
from solfa.score.abc import AbcError, read_abc, write_abc
from solfa.score.abc.source import MAX_CHARACTERS
from solfa.score.engrave import MISSING, engrave, stacked
from solfa.score.midi import MAX_SECONDS, MidiError, read_midi, write_midi
from solfa.score.musicxml.read import read_musicxml
from solfa.score.musicxml.write import write_musicxml
from solfa.score.note import Note
from solfa.score.note_lines import read_note_lines, write_note_lines
from solfa.score.quantising.performed import performed_score
from solfa.score.quantising.quantise import Quantised, QuantiseOptions, quantise
from solfa.score.roll import piano_roll
from solfa.score.score import Score, score_of_notes
from solfa.score.sheet.notation import Sheet, Voice, sheet_score


class SheetWarning(UserWarning):
    """A remark on a sheet (`Quantised.remarks`) that is written to a file."""


Name = str | os.PathLike[str]

ROLL = ".roll.svg"
WRITTEN = (".mid", ".midi", ".abc", ".musicxml", ".xml", ".mxl", ".svg", ROLL, ".json", ".jsonl")
_PLAYED = (".mid", ".midi")  # written with the notes as they were played, also where a sheet gives their bars
_IN_SECONDS = (".json", ".jsonl", ROLL)  # written without bars
_USUAL = QuantiseOptions()
READ = (".mid", ".midi", ".abc", ".musicxml", ".xml", ".mxl", ".json", ".jsonl")


def note_suffix(path: Name, legal: tuple[str, ...] = WRITTEN) -> str:
    """The ending of a name, in small letters, that says what kind of file it is. ValueError for one that is not among `legal`."""
    name = os.path.basename(os.fspath(path)).lower()
    found = [suffix for suffix in legal if name.endswith(suffix) and name != suffix]
    if not found:
        raise ValueError(f"{os.fspath(path)}: no file of notes has this ending: legal are {', '.join(legal)}")
    return max(found, key=len)


def written_remarks(path: Name, found: Quantised | None) -> list[str]:
    """What a reader of a file should know that `write_notes` has written from a sheet, a line each; it warns of the same."""
    return [] if found is None or note_suffix(path) in _PLAYED else found.remarks


def has_bars(path: Name) -> bool:
    """Whether tempo and metre, given or found, are written to a file of this name. ValueError for an unknown ending."""
    return note_suffix(path) not in _IN_SECONDS


def check_writable(path: Name) -> None:
    """What `write_notes` would refuse because of the name alone, said before the work is done.

    ValueError for an unknown ending and for a name that a folder or device bears; ImportError, saying what to install or to write
    instead, for a score (.svg) where verovio is missing.
    """
    if note_suffix(path) == ".svg" and find_spec("verovio") is None:
        raise ImportError(f"{os.fspath(path)}: {MISSING}, or write a piano roll, {os.fspath(path)[:-4]}{ROLL}")
    check_replaceable(path)


def write_notes(
    source: Score | Iterable[Note],
    path: Name,
    *,
    options: QuantiseOptions | None = None,
    found: Quantised | None = None,
) -> Quantised | None:
    """Write notes to a file, whole or not at all, as its ending says.

    | ending | what is written |
    |---|---|
    | .mid .midi | the notes (and pedals) as they were played, with the score's tempi, else with tempi, metre and key found in the notes |
    | .abc | ABC notation |
    | .musicxml .xml .mxl | MusicXML 4.0; .mxl is zipped |
    | .svg | the engraved score, its pages beneath each other, by verovio (the extra `score`) |
    | .roll.svg | the piano roll |
    | .jsonl .json | one JSON object a note: on lines, or as one array (see `note_lines`) |

    ABC, MusicXML and the score are written from a sheet, which `quantise` makes with `options`: given tempo, metre, key. found: what it
    gave, where it was called already. Returns what it gave; None where no sheet was needed. A tempo that had to be assumed, because there
    are too few notes to find one in, is warned of, and so are notes that a sheet has no place for (SheetWarning). Raises ValueError for an
    unknown ending and for what a format cannot hold, such as a score of more than 24 hours; ImportError where verovio is missing; OSError
    where the disk says so.
    """
    check_writable(path)
    suffix = note_suffix(path)
    score = source if isinstance(source, Score) else replace(score_of_notes(source), tempi=())
    if suffix in (".json", ".jsonl"):
        write_note_lines(score.notes, path, array=suffix == ".json")
        return None
    if suffix == ROLL:
        names = {(part.is_drum, part.program): part.name for part in reversed(score.parts)}
        write_whole(path, piano_roll(score.notes, names=names))
        return None
    if suffix in _PLAYED:
        if score.duration > MAX_SECONDS:
            raise MidiError(
                f"lasts {score.duration:.0f} s: the longest MIDI file written here is of {MAX_SECONDS:.0f} s"
            )
        if score.tempi and found is None and replace(options or _USUAL, title="") == _USUAL:
            write_midi(score, path)
            return None
    if found is None:
        found = quantise(score, options)
        if found.tempo == "assumed" and score.notes:
            warnings.warn(f"too few notes to find a tempo in: {found.sheet.tempi[0].bpm:g} is assumed", stacklevel=2)
    if suffix in _PLAYED:
        write_midi(performed_score(score, found), path)
        return found
    for remark in written_remarks(path, found):
        warnings.warn(remark, SheetWarning, stacklevel=2)
    sheet = _with_a_voice(found.sheet)
    if suffix == ".abc":
        write_whole(path, abc_text(found))
    elif suffix == ".svg":
        write_whole(path, stacked(engrave(sheet)))
    else:
        write_musicxml(sheet, path)
    return found


def abc_text(found: Quantised) -> str:
    """The sheet in ABC notation, as `write_notes` writes it, exact where the notes are; if nothing plays, with a voice that rests."""
    return write_abc(_with_a_voice(found.sheet), exact=found.exact)


def _with_a_voice(sheet: Sheet) -> Sheet:
    """The sheet; if nothing plays, with a voice that rests, as notations have no sheet without staves."""
    return sheet if sheet.voices else replace(sheet, voices=(Voice("no notes", 0, False, "treble", ()),))


def read_notes(path: Name) -> Score:
    """The score in a file that ends in .mid, .midi, .abc, .musicxml, .xml, .mxl, .json or .jsonl.

    Of an ABC file with several tunes the first is read. JSON holds notes alone: the score has no tempi, metres or keys. Raises ValueError
    (MidiError, AbcError, MusicXmlError, NoteLineError), naming the file and what is wrong, and for another ending; OSError for a file
    that cannot be opened.
    """
    return _READERS[note_suffix(path, READ)](path)


def read_abc_file(path: Name) -> Sheet:
    """The first tune of an ABC file, as a sheet. Raises ValueError, with the name, for what is no ABC; OSError if it cannot be opened."""
    with open(path, "rb") as file:
        data = file.read(4 * MAX_CHARACTERS + 1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # what ABC files were written in before they said
    try:
        return read_abc(text)
    except AbcError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error


def _read_abc(path: Name) -> Score:
    return sheet_score(read_abc_file(path))


def _read_lines(path: Name) -> Score:
    return replace(score_of_notes(read_note_lines(path)), tempi=())


_READERS: dict[str, Callable[[Name], Score]] = {
    ".mid": read_midi,
    ".midi": read_midi,
    ".abc": _read_abc,
    ".musicxml": read_musicxml,
    ".xml": read_musicxml,
    ".mxl": read_musicxml,
    ".json": _read_lines,
    ".jsonl": _read_lines,
}
