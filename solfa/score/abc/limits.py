"""How much music a text of ABC may hold: the reader takes no more, in bounded memory, and the writer makes no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from solfa.score.abc.error import AbcError
from solfa.score.abc.source import MAX_CHARACTERS, MAX_LINES, MAX_NUMBER
from solfa.score.sheet.bars import Bar

MAX_SOUNDS = 200_000  # notes and rests of all voices; each note of a chord counts, and each of several that are tied
MAX_VOICES = 256
MAX_QUARTERS = 1 << 20  # of a voice


class Budget:
    """How many notes and rests a tune may have yet; its voices share it."""

    def __init__(self, most: int = MAX_SOUNDS) -> None:
        self.most = self.left = most

    def spend(self, notes: int, line: int) -> None:
        """Count a note, a chord of so many notes, or with none a rest, of a line. Raises AbcError where there are too many."""
        self.left -= max(notes, 1)
        if self.left < 0:
            raise AbcError(line, 0, f"a tune of more than {self.most} notes and rests, repeats played out")


def check_sheet(voices: int, number: int) -> None:
    """Raise ValueError for more voices, and a greater number of a tune, than can be read back."""
    if voices > MAX_VOICES:
        raise ValueError(
            f"a sheet of {voices} voices: legal in ABC are at most {MAX_VOICES}, since read_abc takes no more"
        )
    if number > MAX_NUMBER:
        raise ValueError(f"number {number}: legal are at most {MAX_NUMBER}")


def bars_within(voices: Iterable[Iterator[Bar]]) -> list[list[Bar]]:
    """The bars of all voices. Raises ValueError at the first bar that is more than can be read back, so that no endless sheet is made."""
    left = MAX_SOUNDS
    found: list[list[Bar]] = []
    for voice in voices:
        found.append([])
        for bar in voice:
            left -= sum(max(len(piece.pitches), 1) for piece in bar.pieces)
            if left < 0:
                raise ValueError(
                    f"a sheet of more than {MAX_SOUNDS} notes and rests, counting each that is tied and a rest for every empty bar of a "
                    "voice: ABC can hold no more, since read_abc takes no more"
                )
            if bar.line.end > MAX_QUARTERS:
                raise ValueError(f"a sheet of more than {MAX_QUARTERS} quarter notes: read_abc takes no more")
            found[-1].append(bar)
    return found


def checked_text(text: str) -> str:
    """The text; ValueError where it is longer than what can be read back."""
    for count, most, what in ((len(text), MAX_CHARACTERS, "characters"), (text.count("\n") + 1, MAX_LINES, "lines")):
        if count > most:
            raise ValueError(f"ABC of {count} {what}: legal are at most {most}, since read_abc takes no more")
    return text
