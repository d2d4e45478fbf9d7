"""Recordings with notes, as people keep them: manifests, folders of sound with MIDI files of the same stem, and published datasets."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from solfa.data.folders import sound_files
from solfa.data.manifest import NAME, Entry, read_manifest
from solfa.data.readers import DATASETS, read_dataset
from solfa.data.tables import velocities_of
from solfa.score.midi import MidiError, read_midi
from solfa.score.note import Note
from solfa.score.score import Score, score_of_notes
from solfa.tokenize_audio.store.place import is_store
from solfa.tokenize_audio.store.store import TokenStore
from solfa.train.recordings import Recording, codes_beside
from solfa.train.store_source import StoredItem

MIDI = (".mid", ".midi")
NAMED = 5  # bad files that a message names


@dataclass(frozen=True)
class Piece:
    """A recording and its notes: a MIDI file, the notes themselves, or an item of a store. velocities: whether the notes' are known."""

    recording: Recording
    notes: Path | tuple[Note, ...] | StoredItem
    velocities: bool = True

    def score(self) -> Score:
        """The notes and pedals. Raises ValueError for a MIDI file that cannot be read."""
        if isinstance(self.notes, StoredItem):
            return self.notes.score()
        if isinstance(self.notes, tuple):
            return score_of_notes(self.notes)
        try:
            return read_midi(self.notes)
        except MidiError:
            raise
        except OSError as error:
            raise ValueError(f"{self.notes}: {error.strerror}") from error


def find_pieces(place: str | Path) -> list[Piece]:
    """The recordings with notes of a manifest (.jsonl), of a folder that holds a `manifest.jsonl`, or of any other folder (searched
    through): there every sound file counts that has a MIDI file of the same stem beside it, `take.wav` and `take.mid`. Of a token store
    (a folder with a `store.json`, or an address) the items with notes: those and their codes are read when they are asked for.

    A published dataset is named: `maestro:/data/maestro-v3.0.0`, see `solfa.data.readers`. Recordings without notes are left out, and how
    many is said. Token files in `codes/` beside a manifest, named as `solfa encode` names them, are taken as they are.
    Raises ValueError where there is no such place, and where nothing in it has notes.
    """
    name, folder = named_dataset(place)
    if name:
        found, without = _of_entries(list(read_dataset(name, folder)), folder)
    elif is_store(place):
        found, without = _in_store(place)
    elif folder.is_dir():
        table = folder / NAME
        found, without = _of_entries(read_manifest(table), folder) if table.is_file() else _in_folder(folder)
    elif folder.is_file() and folder.suffix.lower() == ".jsonl":
        found, without = _of_entries(read_manifest(folder), folder.parent)
    elif folder.exists():
        raise ValueError(f"{place}: it must be a folder or a manifest (.jsonl)")
    else:
        raise ValueError(f"{place}: no such file or folder")
    if not found:
        raise ValueError(f"{place}: no recordings with notes (a manifest that names them, or MIDI beside the sound)")
    if without:
        warnings.warn(f"{place}: {without} recordings have no notes and are left out", stacklevel=2)
    return found


def named_dataset(place: str | Path) -> tuple[str, Path]:
    """The name of the dataset that a place says it is, "" for none, and its path."""
    name, colon, rest = str(place).partition(":")
    named = colon and name in DATASETS and not Path(place).exists()
    return (name, Path(rest)) if named else ("", Path(place))


def root_of(place: str) -> Path:
    """The folder that the recordings of a place lie in."""
    _, path = named_dataset(place)
    return path if path.is_dir() else path.parent


def _of_entries(entries: list[Entry], home: Path) -> tuple[list[Piece], int]:
    """Paths in the entries are relative to `home`."""
    found, without = [], 0
    for entry, codes in zip(entries, codes_beside(home, [entry.audio for entry in entries]), strict=True):
        if entry.notes is None:
            without += 1
            continue
        recording = Recording(home / entry.audio, split=entry.split.strip().lower(), codes=codes)
        notes = home / entry.notes if isinstance(entry.notes, str) else entry.notes
        found.append(Piece(recording, notes, velocities_of(entry.extra)))
    return found, without


def _in_store(place: str | Path) -> tuple[list[Piece], int]:
    found, store = [], TokenStore(place)
    for index, (meta, frames) in enumerate(zip(store.metas(), store.lengths, strict=True)):
        if meta.notes is not None and frames:
            recording = Recording(Path(meta.key), split=meta.split.strip().lower())
            found.append(Piece(recording, StoredItem(store, index), meta.velocities))
    return found, len(store) - len(found)


def _in_folder(folder: Path) -> tuple[list[Piece], int]:
    found, without = [], 0
    for name in (name for name, dataset in DATASETS.items() if dataset.is_here(folder)):
        warnings.warn(f"{folder}: laid out as {name} is; {name}:{folder} keeps to its splits and notes", stacklevel=3)
    for path in sound_files(folder):
        notes = next((path.with_suffix(suffix) for suffix in MIDI if path.with_suffix(suffix).is_file()), None)
        if notes is None:
            without += 1
        else:
            found.append(Piece(Recording(path), notes))
    return found, without


def read_scores(pieces: list[Piece]) -> list[tuple[Piece, Score]]:
    """Each piece with its notes. Those whose notes cannot be read are left out, and said."""
    scores, bad = [], []
    for piece in pieces:
        try:
            scores.append((piece, piece.score()))
        except ValueError as error:
            bad.append(str(error))
    if bad:
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        warnings.warn(
            f"the notes of {len(bad)} of {len(pieces)} recordings are skipped: {'; '.join(bad[:NAMED])}{more}",
            stacklevel=2,
        )
    return scores
