"""What a transcription is: notes, pedals, how they were found, and the ways to write them down."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import overload

from solfa.score.midi import write_midi
from solfa.score.note import Note
from solfa.score.quantising.performed import performed_score
from solfa.score.quantising.quantise import Quantised, QuantiseOptions, quantise
from solfa.score.score import Part, Pedal, Score, score_of_notes
from solfa.score.write import SheetWarning, abc_text, write_notes
from solfa.transcription.segments import PedalSpan
from solfa.transcription.stitch import Account


@dataclass(frozen=True)
class Report:
    """How notes were found. seconds: of the recording, to its last frame."""

    model: str
    codec: str
    mode: str
    seconds: float
    account: Account

    @property
    def silent(self) -> bool:
        """Whether the codec heard digital silence and nothing else."""
        return self.account.silent == self.account.segments

    def remarks(self, notes: int) -> list[str]:
        """What a reader of so many notes should know, a line each."""
        account, found = self.account, []
        if not notes:
            found.append("no notes: the recording is silent" if self.silent else "no notes were found")
        if account.cut:
            found.append(
                f"{account.cut} of {account.segments} segments were cut: their events are more than may be written at once"
            )
        if account.dropped.total:
            reasons = ((each.name, getattr(account.dropped, each.name)) for each in fields(account.dropped))
            counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in reasons if count)
            found.append(f"{account.dropped.total} events made no sense and were dropped ({counted})")
        return found


@dataclass(frozen=True)
class Transcription(Sequence[Note]):
    """The notes of a recording, sorted; it is a sequence of them. names: of the General MIDI programs, for parts of scores."""

    notes: tuple[Note, ...]
    pedals: tuple[PedalSpan, ...]
    report: Report
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.notes)

    @overload
    def __getitem__(self, index: int) -> Note: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Note, ...]: ...

    def __getitem__(self, index: int | slice) -> Note | tuple[Note, ...]:
        return self.notes[index]

    def __iter__(self) -> Iterator[Note]:
        return iter(self.notes)

    @property
    def remarks(self) -> list[str]:
        """What a reader should know, a line each: that there are no notes, that something was cut or dropped."""
        return self.report.remarks(len(self.notes))

    @cached_property
    def played(self) -> Score:
        """Parts, one an instrument, and pedals, at their seconds, with no tempi: what `quantise` and `write_notes` take."""
        score = score_of_notes(self.notes)
        parts = tuple(self._named(part) for part in score.parts)
        place = {part.program: number for number, part in enumerate(parts) if not part.is_drum}
        pedals = (Pedal(each.onset, each.offset, place[each.program]) for each in self.pedals if each.program in place)
        return replace(score, parts=parts, tempi=(), pedals=tuple(pedals))

    def _named(self, part: Part) -> Part:
        name = "drums" if part.is_drum else self.names[part.program] if self.names else part.name
        return replace(part, name=name)

    def quantised(self, options: QuantiseOptions | None = None) -> Quantised:
        """The notes written down on a grid, with the tempo, metre and key that were found, or those of `options`."""
        return quantise(self.played, options)

    @property
    def score(self) -> Score:
        """The notes as they were played, with the tempi, metre and key that were found in them."""
        return performed_score(self.played, self.quantised())

    def to_midi(self, path: str | os.PathLike[str], options: QuantiseOptions | None = None) -> None:
        """Write a MIDI file, whatever its name: notes as they were played, with the tempi found. OSError where the disk says so."""
        write_midi(performed_score(self.played, self.quantised(options)), path)

    def to_abc(self, options: QuantiseOptions | None = None) -> str:
        """The sheet in ABC notation. Notes that a sheet has no place for are warned of (SheetWarning)."""
        found = self.quantised(options)
        for remark in found.remarks:
            warnings.warn(remark, SheetWarning, stacklevel=2)
        return abc_text(found)

    def save(self, path: str | os.PathLike[str], options: QuantiseOptions | None = None) -> Quantised | None:
        """Write a file by the ending of its name: .mid, .abc, .musicxml, .svg, .roll.svg, .json, .jsonl ...; see `write_notes`."""
        return write_notes(self.played, path, options=options)
