"""A piano roll as SVG: time to the right, pitch upwards, a bar a note. No script, no font of its own; for light pages and dark ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from solfa.score.general_midi import instrument_name
from solfa.score.note import Note
from solfa.score.percussion import percussion_key
from solfa.score.xml_text import escaped

Kind = tuple[bool, int]  # is_drum, program

_LEFT, _RIGHT, _HEAD, _FOOT = 46, 12, 26, 28  # margins of a panel
_KEY, _DRUM_KEY = 7, 11  # height of a pitch and of a percussion key
_DRUM_LEFT = 110  # where there are drums, their names need room
_MAX_WIDTH = 30_000  # browsers stop drawing somewhat above 32,000
_NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
_BLACK = (1, 3, 6, 8, 10)
# Of middling lightness, so that they stand out from white and from black.
_COLOURS = (
    "#2f7ed8",
    "#d9582b",
    "#2a9d5c",
    "#b655c0",
    "#c99a1e",
    "#1f9fb0",
    "#d6457f",
    "#7a86e0",
    "#7d9a2b",
    "#a8714c",
)
_STYLE = """
.solfa-roll text{font:10px system-ui,sans-serif;fill:#444}.solfa-roll .title{font-weight:600}
.solfa-roll .paper{fill:#fff}.solfa-roll .dark{fill:#f0f1f4}.solfa-roll .line{stroke:#d5d8de;stroke-width:1}
.solfa-roll .other{fill:none;stroke:#222;stroke-width:1.2}
@media (prefers-color-scheme:dark){.solfa-roll text{fill:#bbb}.solfa-roll .paper{fill:#16181c}.solfa-roll .dark{fill:#1f2228}
.solfa-roll .line{stroke:#34383f}.solfa-roll .other{stroke:#eee}}
"""


@dataclass(frozen=True)
class _Rows:
    """Where the pitches stand in a panel: the melodic ones from high to low, and beneath them the percussion keys that are played."""

    low: int
    high: int
    drums: tuple[int, ...]

    @property
    def melodic(self) -> int:
        """Height in pixels of the melodic part."""
        return (self.high - self.low + 1) * _KEY if self.high >= self.low else 0

    @property
    def height(self) -> int:
        """Height in pixels of both parts."""
        return self.melodic + len(self.drums) * _DRUM_KEY

    def place(self, note: Note) -> tuple[int, int]:
        """A note's upper edge below the panel's, and its height."""
        if note.is_drum:
            return self.melodic + self.drums.index(note.pitch) * _DRUM_KEY + 1, _DRUM_KEY - 2
        return (self.high - note.pitch) * _KEY, _KEY


@dataclass(frozen=True)
class _Scale:
    """Where time and pitch lie on the page: `left` is the pixel of time 0."""

    rows: _Rows
    left: int
    seconds: float
    pixels: float
    colours: Mapping[Kind, str]

    def bar(self, note: Note, top: float, outlined: bool = False) -> str:
        """A note's rectangle, at least two pixels wide."""
        y, height = self.rows.place(note)
        place = f'x="{_n(self.left + note.onset * self.pixels)}" y="{_n(top + y)}" height="{height}"'
        size = f'{place} width="{_n(max(note.duration * self.pixels, 2.0))}" rx="1.5"'
        if outlined:
            return f'<rect class="other" {size}/>'
        fill = self.colours[note.is_drum, note.program]
        return f'<rect class="note" {size} fill="{fill}" fill-opacity="{_n(0.25 + 0.75 * note.velocity / 127)}"/>'

    def grid(self, top: float) -> Iterator[str]:
        """The keys with their names, and the seconds with theirs."""
        rows, left, right = self.rows, self.left, self.left + self.seconds * self.pixels
        for pitch in range(rows.high, rows.low - 1, -1):
            y = top + (rows.high - pitch) * _KEY
            if pitch % 12 in _BLACK:
                yield f'<rect class="dark" x="{left}" y="{_n(y)}" width="{_n(right - left)}" height="{_KEY}"/>'
            if pitch % 12 == 0:
                yield _line(left, y + _KEY, right, y + _KEY)
            if pitch % 12 == 0 or (rows.high - rows.low < 24 and pitch % 12 in (4, 7)):
                name = f"{_NAMES[pitch % 12]}{pitch // 12 - 1}"
                yield f'<text x="{left - 6}" y="{_n(y + _KEY)}" text-anchor="end">{name}</text>'
        for index, key in enumerate(rows.drums):
            y = top + rows.melodic + index * _DRUM_KEY
            yield _line(left, y, right, y)
            yield f'<text x="{left - 6}" y="{_n(y + 9)}" text-anchor="end">{percussion_key(key).name}</text>'
        yield from self._clock(top, top + rows.height)

    def _clock(self, top: float, bottom: float) -> Iterator[str]:
        step = next((s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if s * self.pixels >= 60), 60 / self.pixels)
        for index in range(int(self.seconds / step) + 1):
            x, time = self.left + index * step * self.pixels, int(index * step)
            yield _line(x, top, x, bottom)
            yield f'<text x="{_n(x)}" y="{_n(bottom + 14)}" text-anchor="middle">{time // 60}:{time % 60:02d}</text>'


def piano_roll(
    notes: Sequence[Note],
    other: Sequence[Note] | None = None,
    *,
    overlaid: bool = False,
    titles: tuple[str, str] = ("", ""),
    names: Mapping[Kind, str] | None = None,
    pixels_per_second: float = 80.0,
) -> str:
    """The notes as an SVG document.

    Colour says the instrument (the legend names it: `names` by (is_drum, program), else General MIDI), opacity the velocity, 1 faint to 127
    full. Drums stand beneath, a row for each percussion key that is played. other: a second set of notes to compare with, in a panel of
    its own below on the same scales or, overlaid, as outlines over the first. titles: of the two sets. Width grows with time,
    `pixels_per_second` of it, up to 30,000 pixels; what is longer is drawn smaller. No notes give an empty roll that says so.
    Raises ValueError for pixels_per_second that is not above 0.
    """
    if not (math.isfinite(pixels_per_second) and pixels_per_second > 0):
        raise ValueError(f"pixels_per_second is {pixels_per_second}: it must be above 0")
    every = [*notes, *(other or ())]
    seconds = max([note.offset for note in every] + [1.0])
    kinds = sorted({(note.is_drum, note.program) for note in every})
    rows = _rows(every)
    colours = {kind: _colour(index) for index, kind in enumerate(kinds)}
    left = _DRUM_LEFT if rows.drums else _LEFT
    scale = _Scale(rows, left, seconds, min(pixels_per_second, _MAX_WIDTH / seconds), colours)
    width = left + max(seconds * scale.pixels + _RIGHT, 320.0)
    labels = [(names or {}).get((drum, program)) or instrument_name(program, drum) for drum, program in kinds]
    body, height = _legend(labels, list(colours.values()), left, min(width - left, 900.0))
    if other is not None and overlaid:
        both = " and ".join(
            f"{title} ({how})" for title, how in zip(titles, ("filled", "outlined"), strict=True) if title
        )
        panels = [(notes, other, both)]
    else:
        panels = [(notes, (), titles[0])] if other is None else [(notes, (), titles[0]), (other, (), titles[1])]
    for filled, outlined, title in panels:
        body += _panel(scale, filled, outlined, title, height)
        height += _HEAD + rows.height + _FOOT
    name = escaped("Piano roll" + "".join(f", {title}" for title in titles if title))
    size = f'width="{_n(width)}" height="{_n(height)}"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" class="solfa-roll" role="img" aria-label="{name}" {size} '
        f'viewBox="0 0 {_n(width)} {_n(height)}">',
        f'<style>{_STYLE}</style>',
        f'<rect class="paper" {size}/>',
        *body,
        "</svg>\n",
    ])  # fmt: skip


def _panel(scale: _Scale, filled: Sequence[Note], outlined: Sequence[Note], title: str, top: float) -> list[str]:
    """A title, the grid and the notes on it."""
    out = [f'<text class="title" x="{scale.left}" y="{_n(top + 16)}">{escaped(title)}</text>', *scale.grid(top + _HEAD)]
    out += [scale.bar(note, top + _HEAD) for note in sorted(filled)]
    out += [scale.bar(note, top + _HEAD, outlined=True) for note in sorted(outlined)]
    if not filled and not outlined:
        out.append(f'<text x="{scale.left + 8}" y="{_n(top + _HEAD + 20)}">no notes</text>')
    return out


def _rows(notes: Sequence[Note]) -> _Rows:
    pitches = [note.pitch for note in notes if not note.is_drum]
    drums = tuple(sorted({note.pitch for note in notes if note.is_drum}, reverse=True))
    if not pitches:
        return _Rows(60, 59 if drums else 71, drums)
    middle = (min(pitches) + max(pitches)) // 2  # at least an octave, so that there is a C to go by
    return _Rows(max(0, min(min(pitches) - 1, middle - 6)), min(127, max(max(pitches) + 1, middle + 6)), drums)


def _colour(index: int) -> str:
    if index < len(_COLOURS):
        return _COLOURS[index]
    return f"hsl({index * 137.508 % 360:.0f},55%,52%)"  # the golden angle: hues far from those before


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _legend(labels: Sequence[str], colours: Sequence[str], left: int, width: float) -> tuple[list[str], float]:
    """A box and a name for each instrument, row by row, and the height of all rows."""
    out: list[str] = []
    x, y = 0.0, 8.0
    for label, colour in zip(labels, colours, strict=True):
        needs = 28 + 6.0 * len(label)  # about: letters differ
        if x > 0 and x + needs > width:
            x, y = 0.0, y + 16
        out.append(f'<rect x="{_n(left + x)}" y="{_n(y)}" width="10" height="10" rx="2" fill="{colour}"/>')
        out.append(f'<text x="{_n(left + x + 14)}" y="{_n(y + 9)}">{escaped(label)}</text>')
        x += needs
    return out, y + 14 if labels else 4.0


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="line" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>'
