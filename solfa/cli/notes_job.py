"""The work of `solfa eval transcription --model`: recordings whose notes are known, and what a transcriber hears in them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from solfa.cli.jobs import run_jobs

if TYPE_CHECKING:
    from solfa.score.note import Note
    from solfa.transcriber import Transcriber


@dataclass(frozen=True)
class Recording:
    """A recording and where its true notes are: a MIDI file, or the notes themselves. name: unique in its set.

    seconds: how long it lasts.
    """

    name: str
    audio: Path
    notes: Path | tuple[Note, ...]
    source: str = ""

    @property
    def seconds(self) -> float:
        from solfa.audio.io import info

        return info(self.audio).duration

    def truth(self, pedal: bool = True) -> tuple[Note, ...]:
        """The true notes; with `pedal` as they sound: held by it, they last until it comes up. Raises ValueError and OSError."""
        from solfa.score.midi import read_midi
        from solfa.score.pedal import pedal_extended

        if not isinstance(self.notes, Path):
            return self.notes
        score = read_midi(self.notes)
        return tuple((pedal_extended(score) if pedal else score).notes)


@dataclass(frozen=True)
class Take:
    """What a system heard in a recording, and the seconds that took; None where that was not measured."""

    notes: tuple[Note, ...]
    seconds: float | None = None


def recordings(folder: Path, most: int | None = None) -> list[Recording]:
    """Those of all manifests in a folder and below, in order; of more than `most`, so many at equal distances.

    Raises ValueError where there is no manifest, and for a recording without notes.
    """
    from solfa.data.manifest import NAME, read_manifest

    rows = [(path.parent, entry) for path in sorted(folder.rglob(NAME)) for entry in read_manifest(path)]
    if not rows:
        raise ValueError(f"{folder}: holds no {NAME} with recordings, as solfa synth writes")
    if most is not None and most < len(rows):
        rows = [rows[i * len(rows) // most] for i in range(most)]
    found = []
    for place, entry in rows:
        if entry.notes is None:
            raise ValueError(f"{place / NAME}: {entry.id} has no notes")
        notes = place / entry.notes if isinstance(entry.notes, str) else entry.notes
        name = (place.relative_to(folder) / entry.id).as_posix()
        found.append(Recording(name, place / entry.audio, notes, str(entry.attributes.get("source", ""))))
    return found


@dataclass(frozen=True)
class Hearing:
    """Hears a recording with a transcriber: the file through the first of `codebooks`, which is timed, then its codes through the others.

    None: as many as the model reads.
    """

    model: str
    codec: str | None
    trunk: str | None
    device: str
    codebooks: tuple[int | None, ...] = (None,)

    def __call__(self, recording: Recording) -> list[Take]:
        """A take for each of `codebooks`."""
        transcriber, new = _loaded(self.model, self.codec, self.trunk, self.device)
        first, *others = self.codebooks
        with warnings.catch_warnings(action="ignore"):
            if new:  # what is heard first loads and warms up: it is heard twice, and timed once
                transcriber(recording.audio, codebooks=first)
                new.clear()
            started = time.perf_counter()
            found = transcriber(recording.audio, codebooks=first)
            takes = [Take(found.notes, time.perf_counter() - started)]
            if others:
                codes = transcriber.codec.encode_file(recording.audio)
                takes += [Take(transcriber(codes, codebooks=books).notes) for books in others]
            return takes

    @property
    def transcriber(self) -> Transcriber:
        """The model. Raises ValueError where there is none, or where it reads fewer codebooks."""
        found = _loaded(self.model, self.codec, self.trunk, self.device)[0]
        most = found.model.config.codebooks
        for books in self.codebooks:
            if books is not None and not 1 <= books <= most:
                raise ValueError(f"codebooks is {books}: {found.model.config.name} reads 1 to {most}")
        return found


@lru_cache(maxsize=1)
def _loaded(model: str, codec: str | None, trunk: str | None, device: str) -> tuple[Transcriber, list[bool]]:
    """The transcriber, once a process, and a list that is empty once it has heard something."""
    from solfa.transcriber import Transcriber

    return Transcriber.load(model, device, codec, trunk), [True]


def heard(work: Hearing, pieces: Sequence[Recording], jobs: int) -> Iterator[tuple[Recording, list[Take] | str]]:
    """The takes of each recording, in order; of one that cannot be heard, the reason."""
    for outcome in run_jobs(work, pieces, jobs=jobs):
        yield outcome.item, outcome.result if outcome.error is None else outcome.error
