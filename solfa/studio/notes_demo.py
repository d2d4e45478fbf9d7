"""A recording to notes: what the demo shows of a transcription, and the files that it leaves."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from solfa.audio.io import Audio
from solfa.codecs.codec import Codes
from solfa.eval.transcription import NoteMeasures, note_measures
from solfa.score.engrave import MISSING
from solfa.score.note import Note
from solfa.score.quantising.quantise import Quantised
from solfa.score.write import write_notes
from solfa.transcriber import Transcriber
from solfa.transcription.result import Transcription

NAME = "notes"


@dataclass(frozen=True)
class NotesDemo:
    """What `notes_demo` made. truth: the notes that were played, None where nobody knows; scores: how near what was found is to them, of
    notes with a pitch. sheet: how the notes were written down, and its file: engraved (.svg) or as ABC (.abc); both None where there are
    no notes. unengraved: why it is not engraved, empty where it is."""

    found: Transcription
    truth: tuple[Note, ...] | None
    scores: NoteMeasures | None
    seconds: float
    midi_path: Path
    sheet: Quantised | None
    sheet_path: Path | None
    unengraved: str

    @property
    def factor(self) -> float:
        """Seconds of the recording in one of hearing."""
        return self.found.report.seconds / max(self.seconds, 1e-9)

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [path for path in (self.midi_path, self.sheet_path) if path is not None]


def notes_demo(
    transcriber: Transcriber,
    source: Path | Audio | Codes,
    truth: tuple[Note, ...] | None,
    folder: Path,
    progress: Callable[[float], None] | None = None,
) -> NotesDemo:
    """Hear a recording, or the tokens of one, and write its notes as MIDI and as a score.

    truth: the notes that were played, where they are known. folder: must be there; files of an earlier demo are replaced. progress:
    called with the seconds that were heard.
    """
    started = time.perf_counter()
    found = transcriber(source, progress)
    seconds = time.perf_counter() - started
    midi_path = folder / f"{NAME}.mid"
    sheet, sheet_path, unengraved = None, None, ""
    for old in (".abc", ".svg"):
        (folder / f"{NAME}{old}").unlink(missing_ok=True)
    if len(found):
        sheet = found.quantised()
        sheet_path, unengraved = _written(found, sheet, folder)
    write_notes(found.played, midi_path, found=sheet)
    scores = None if truth is None else note_measures(pitched(truth), pitched(found))
    return NotesDemo(found, truth, scores, seconds, midi_path, sheet, sheet_path, unengraved)


def pitched(notes: tuple[Note, ...] | Transcription) -> list[Note]:
    """All but the drums."""
    return [note for note in notes if not note.is_drum]


def _written(found: Transcription, sheet: Quantised, folder: Path) -> tuple[Path, str]:
    """The score's file: engraved, else ABC with the reason why."""
    try:
        write_notes(found.played, folder / f"{NAME}.svg", found=sheet)
    except ImportError:
        unengraved = MISSING
    except ValueError as error:  # a sheet that engraving cannot say
        unengraved = f"this score could not be engraved ({error})"
    else:
        return folder / f"{NAME}.svg", ""
    write_notes(found.played, folder / f"{NAME}.abc", found=sheet)
    return folder / f"{NAME}.abc", unengraved
