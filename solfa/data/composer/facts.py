"""The facts of one piece in words: what `caption` builds its sentences from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from solfa.data.composer import words
from solfa.data.composer.attributes import Attributes
from solfa.data.composer.genres import GENRES
from solfa.data.composer.theory import SCALES


class Facts:
    """Says one fact at a time. A method gives None where there is nothing to say, or where it was said before in this caption."""

    def __init__(self, data: Mapping[str, Any], rng: random.Random) -> None:
        self.rng = rng
        self.data = {key: data.get(key) for key in Attributes.__dataclass_fields__}
        self.steady = bool(data.get("steady"))  # played without rubato, whatever the genre
        self.voices: list[dict[str, Any]] = list(self.data["instruments"] or [])
        self.texture: str = self.data["texture"] or ""
        self.said: set[str] = set()
        self.names: dict[int, str] = {}

    def pick(self, options: tuple[str, ...] | list[str]) -> str:
        return self.rng.choice(options)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def _first(self, what: str) -> bool:
        """Whether this is the first time that a fact is said."""
        new = what not in self.said
        self.said.add(what)
        return new

    @property
    def accompanied(self) -> bool:
        return len(self.voices) > 1 or bool(self.data["drums"])

    def genre(self) -> str | None:
        name = self.data["genre"]
        if name is None:
            return None
        if name == "romantic piano" and self.voices and self.voices[0]["program"] > 3:
            name = "classical"  # on another keyboard
        return self.pick(words.GENRE_NOUNS[name])

    def mood(self) -> str | None:
        """A word for the mood; a second time another word for it."""
        known = words.MOOD_WORDS.get(self.data["mood"] or "", ())
        options = [word for word in known if word not in self.said]
        if not options or len(known) - len(options) >= 2:
            return None
        word = self.pick(options)
        self.said.add(word)
        return word

    def density(self) -> str | None:
        options = words.DENSITY_WORDS.get(self.data["density"] or "", ())
        return self.pick(options) if options and self._first("density") else None

    def pace(self) -> str | None:
        """A word for the tempo."""
        tempo = self.data["tempo"]
        if tempo is None or not self._first("pace"):
            return None
        return self.pick(next(names for limit, names in words.TEMPO_WORDS if tempo < limit))

    def bpm(self) -> str | None:
        """The tempo as a number, exact or to the nearest five."""
        tempo = self.data["tempo"]
        if tempo is None or not self._first("bpm"):
            return None
        unit = self.pick(("BPM", "bpm", "beats per minute"))
        near = 5 * round(tempo / 5)
        return self.pick((f"{tempo} {unit}", f"{tempo} {unit}", f"about {near} {unit}", f"around {near} {unit}"))

    def metre(self) -> str | None:
        metre = self.data["metre"]
        if not metre or not self._first("metre"):
            return None
        return self.pick(words.METRE_WORDS.get(tuple(metre), (f"{metre[0]}/{metre[1]}",)))

    def key(self) -> str | None:
        tonic, mode = self.data["tonic"], self.data["mode"]
        if not self.voices or tonic is None or mode not in SCALES or not self._first("key"):
            return None
        note = words.tonic_name(tonic, mode)
        if self.chance(0.4):
            note = note.replace(" sharp", "#").replace(" flat", "b")
        return f"{note} {self.pick(words.MODE_NAMES[mode])}".strip()

    def name(self, program: int) -> str:
        """One name for a program, the same throughout a caption, and no two programs by one name."""
        if program not in self.names:
            options = [name for name in words.instrument_names(program) if name not in self.names.values()]
            self.names[program] = self.pick(options) if options else words.instrument_names(program)[0]
        return self.names[program]

    def instruments(self, most: int = 8) -> list[str]:
        """The names of the instruments, the melody's first; effects are left out."""
        programs = dict.fromkeys(voice["program"] for voice in self.voices if voice["role"] != "effect")
        return [self.name(program) for program in list(programs)[:most]]

    def complete(self, names: list[str]) -> bool:
        """Whether `names` are all that plays, drums apart."""
        return len(names) == len({voice["program"] for voice in self.voices})

    def player_of(self, role: str) -> str | None:
        programs = [voice["program"] for voice in self.voices if voice["role"] == role]
        return self.name(self.rng.choice(programs)) if programs else None

    def kit(self) -> str | None:
        return self.pick(words.KIT_WORDS.get(self.data["kit"] or 0, words.KIT_WORDS[0])) if self.data["drums"] else None

    def no_drums(self) -> str | None:
        return self.pick(("no drums", "no percussion", "without drums")) if self.data["drums"] is False else None

    def left_hand(self) -> str | None:
        options = words.PIANO_WORDS.get(self.texture, ())
        return self.pick(options) if options and self._first("left hand") else None

    def register(self) -> str | None:
        options = words.REGISTER_WORDS.get(self.data["register"] or "", ())
        return self.pick(options) if options and self.voices and self._first("register") else None

    def feel(self) -> str | None:
        """Swing, rubato or syncopation, where the genre has it."""
        row = GENRES.get(self.data["genre"] or "")
        if row is None or not self._first("feel"):
            return None
        if row.swing and row.name != "hip hop":
            straight = tuple(self.data["metre"] or ()) not in ((4, 4), (3, 4))
            return None if straight else self.pick(("a swing feel", "swung eighths", "a swinging feel"))
        if row.rubato >= 0.5 and not self.steady:
            return self.pick(("expressive rubato", "flexible, rubato timing", "free, rubato phrasing"))
        syncopated = row.syncopation >= 0.5 and self.data["density"] != "sparse"
        return self.pick(("syncopated rhythms", "plenty of syncopation", "off-beat accents")) if syncopated else None
