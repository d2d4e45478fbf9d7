"""Which pieces are composed: the genres, textures, modes and metres that may be drawn, and the leads that share them."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from solfa.data.composer.attributes import TEXTURES, Attributes, sample_attributes
from solfa.data.composer.genres import GENRES, Genre
from solfa.data.composer.theory import METRES, SCALES

LEGAL: dict[str, tuple[str, ...]] = {
    "genres": tuple(GENRES),
    "textures": TEXTURES,
    "modes": tuple(SCALES),
    "metres": tuple(f"{beats}/{unit}" for beats, unit in METRES),
}
PIANOS = frozenset(range(8))  # General MIDI's piano family


@dataclass(frozen=True)
class Domain:
    """Names that may be drawn, as `LEGAL` spells them; an empty field allows all of its kind.

    Raises ValueError for an unknown name, and for one that goes with none of the other fields (a waltz in 4/4).
    """

    genres: tuple[str, ...] = ()
    textures: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    metres: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, legal in LEGAL.items():
            for value in getattr(self, name):
                if value not in legal:
                    raise ValueError(f"{name} {value!r}: legal are {', '.join(legal)}")
        rows = list(self.rows())
        for name in LEGAL:
            idle = [value for value in getattr(self, name) if not any(value in _habits(row)[name] for row in rows)]
            if idle:
                raise ValueError(f"{name} {', '.join(idle)}: never drawn with the other choices ({self})")

    @classmethod
    def parse(
        cls,
        genres: str | None = None,
        textures: str | None = None,
        modes: str | None = None,
        metres: str | None = None,
    ) -> Domain:
        """From lists with commas, such as "waltz,romantic piano"."""
        texts = {"genres": genres, "textures": textures, "modes": modes, "metres": metres}
        return cls(**{name: _listed(name, text) for name, text in texts.items() if text is not None})

    def __str__(self) -> str:
        named = (f"{name} {','.join(getattr(self, name))}" for name in LEGAL if getattr(self, name))
        return "; ".join(named) or "everything"

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return any(getattr(self, name) for name in LEGAL)

    def rows(self, textures: Collection[str] = TEXTURES) -> Iterable[Genre]:
        """The genres that can be drawn, with at least one of `textures`."""
        for row in GENRES.values():
            habits = _habits(row)
            fitting = all(self.allows(name, habits[name]) for name in LEGAL)
            if fitting and any(self.allows("textures", (texture,)) for texture in row.textures if texture in textures):
                yield row

    def allows(self, name: str, values: Iterable[str]) -> bool:
        """Whether any of the values of a kind may be drawn."""
        allowed = getattr(self, name)
        return not allowed or any(value in allowed for value in values)

    def draw(self, rng: random.Random, seconds: float, textures: Collection[str] = TEXTURES) -> Attributes:
        """Attributes within the domain and `textures`. Raises ValueError where there can be none."""
        rows = list(self.rows(textures))
        if not rows:
            raise ValueError(f"nothing can be drawn with {self} and these programs")
        genre = rng.choice(rows).name
        while True:  # ends: whatever a genre's row holds is drawn, each of it independently
            drawn = sample_attributes(rng, genre=genre, seconds=seconds)
            metre = f"{drawn.metre[0]}/{drawn.metre[1]}"
            values = {"textures": drawn.texture, "modes": drawn.mode, "metres": metre}
            if drawn.texture in textures and all(self.allows(name, (value,)) for name, value in values.items()):
                return drawn


def textures_of(lead: int) -> tuple[str, ...]:
    """The textures that a lead instrument can have: those for a piano alone are the pianos', and percussion has no lead."""
    return tuple(name for name in TEXTURES if name != "percussion" and ("piano" not in name or lead in PIANOS))


def _habits(row: Genre) -> dict[str, tuple[str, ...]]:
    metres = tuple(f"{beats}/{unit}" for beats, unit in row.metres)
    return {"genres": (row.name,), "textures": row.textures, "modes": row.modes, "metres": metres}


def _listed(name: str, text: str) -> tuple[str, ...]:
    values = tuple(dict.fromkeys(re.sub(r"\s+", " ", value.strip()) for value in text.split(",")))
    if not all(values):
        raise ValueError(f"{name} {text!r}: names between commas, of {', '.join(LEGAL[name])}")
    return values


EVERYTHING = Domain()
