"""What a piece is to be: the attributes that a score is composed from and a caption is written from."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from solfa.data.composer.genres import GENRES, Genre
from solfa.data.composer.instruments import INSTRUMENTS, KITS, ROLES, suited
from solfa.data.composer.theory import METRES, MINOR_MODES, SCALES
from solfa.score.density import DENSITIES

CENTRES = {"low": 56, "mid": 68, "high": 80}  # the pitch that a melody keeps around
REGISTERS = tuple(CENTRES)
TEXTURES = (
    "solo", "duo", "trio", "ensemble", "chorale", "counterpoint", "percussion",
    "piano arpeggios", "alberti piano", "block-chord piano", "nocturne piano", "stride piano",
)  # fmt: skip
# Moods with the tempi (beats a minute) they go with, whether they want a minor (True) or major (False) mode or either (None),
# and how loud they are played, 0 to 1.
MOODS: dict[str, tuple[int, int, bool | None, float]] = {
    "calm": (40, 92, None, 0.25), "peaceful": (40, 88, False, 0.2), "gentle": (40, 108, None, 0.25),
    "sad": (40, 92, True, 0.3), "melancholic": (40, 108, True, 0.35), "dark": (40, 150, True, 0.6),
    "mysterious": (40, 112, True, 0.35), "dreamy": (40, 96, False, 0.3), "romantic": (44, 116, None, 0.45),
    "solemn": (40, 92, None, 0.5), "nostalgic": (48, 112, None, 0.4), "tense": (84, 220, True, 0.7),
    "hopeful": (60, 132, False, 0.5), "happy": (96, 220, False, 0.65), "playful": (92, 220, False, 0.5),
    "uplifting": (92, 180, False, 0.7), "energetic": (112, 220, None, 0.85), "driving": (104, 220, None, 0.8),
    "majestic": (50, 112, None, 0.8), "dramatic": (50, 200, True, 0.8), "relaxed": (56, 112, None, 0.4),
    "groovy": (76, 132, None, 0.65), "lively": (104, 220, None, 0.7), "aggressive": (116, 220, True, 0.95),
}  # fmt: skip
# Moods that would be out of character.
_OUT_OF_CHARACTER: dict[str, frozenset[str]] = {
    "lullaby": frozenset({"tense", "dark", "dramatic", "driving", "energetic", "aggressive", "majestic", "groovy"}),
    "ambient": frozenset({"driving", "energetic", "aggressive", "groovy", "lively", "happy"}),
    "metal": frozenset({"calm", "peaceful", "gentle", "dreamy", "relaxed", "playful", "happy", "romantic", "groovy"}),
    "chorale": frozenset({"groovy", "driving", "aggressive", "energetic", "playful"}),
    "techno": frozenset({"gentle", "peaceful", "romantic", "solemn", "sad", "majestic"}),
    "percussion": frozenset(
        {"sad", "romantic", "melancholic", "nostalgic", "hopeful", "happy", "dreamy", "peaceful", "dark"}
    ),
}
_BUSY = frozenset({"bossa nova", "drum and bass", "metal", "latin", "techno", "disco", "funk", "ragtime"})
_GROOVES = frozenset(
    {"funk", "disco", "hip hop", "reggae", "latin", "bossa nova", "swing jazz", "blues", "techno", "percussion"}
)


@dataclass(frozen=True)
class Voice:
    """An instrument and what it does: `role` is a key of `ROLES`, `program` a General MIDI program from 0."""

    role: str
    program: int


@dataclass(frozen=True)
class Attributes:
    """What a piece is to be. Plain values throughout, so `to_dict` is JSON; equal attributes give equal scores.

    `tempo` counts beats a minute: dotted quarters in 6/8, 9/8 and 12/8, quarters elsewhere (45 to 200). `seconds` (4 to 120) is the
    length aimed at; the piece ends with the nearest bar. `kit` is the drum kit's program. Raises ValueError for what is not
    legal.
    """

    tonic: int
    mode: str
    metre: tuple[int, int]
    tempo: int
    density: str
    register: str
    genre: str
    mood: str
    texture: str
    instruments: tuple[Voice, ...]
    drums: bool
    kit: int
    seconds: float
    seed: int

    def __post_init__(self) -> None:
        for name, legal in (
            ("tonic", range(12)), ("mode", SCALES), ("metre", METRES), ("density", DENSITIES), ("register", REGISTERS),
            ("genre", GENRES), ("mood", MOODS), ("texture", TEXTURES), ("kit", KITS),
        ):  # fmt: skip
            if getattr(self, name) not in legal:
                raise ValueError(f"{name} {getattr(self, name)!r}: legal are {', '.join(map(str, legal))}")
        if not 45 <= self.tempo <= 200 or not 4 <= self.seconds <= 120:
            raise ValueError(f"tempo {self.tempo} and length {self.seconds} s: legal are 45 to 200 and 4 to 120")
        for voice in self.instruments:
            if voice.role not in ROLES or not 0 <= voice.program <= 127:
                raise ValueError(f"{voice}: legal roles are {', '.join(ROLES)}, programs 0 to 127")
        if not self.instruments and not self.drums:
            raise ValueError("a piece needs an instrument or drums")

    @property
    def quarters_per_minute(self) -> float:
        """The tempo in quarter notes a minute, as MIDI counts it."""
        return self.tempo * (1.5 if self.metre[1] == 8 and self.metre[0] % 3 == 0 else 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        data = asdict(self)
        data["metre"] = list(self.metre)
        data["instruments"] = [asdict(voice) for voice in self.instruments]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Attributes:
        """The inverse of `to_dict`. Raises ValueError for unknown or missing keys and values that are not legal."""
        missing, unknown = cls.__dataclass_fields__.keys() - data.keys(), data.keys() - cls.__dataclass_fields__.keys()
        if missing or unknown:
            raise ValueError(f"attributes: missing {sorted(missing)}, unknown {sorted(unknown)}")
        voices = tuple(Voice(str(v["role"]), int(v["program"])) for v in data["instruments"])
        return cls(**{**data, "metre": tuple(data["metre"]), "instruments": voices})


def sample_attributes(rng: random.Random, *, genre: str | None = None, seconds: float | None = None) -> Attributes:
    """Draw the attributes of a piece: a genre, then what goes with it. `genre` and `seconds` fix these two."""
    if genre is not None and genre not in GENRES:
        raise ValueError(f"genre {genre!r}: legal are {', '.join(GENRES)}")
    row = GENRES[genre or rng.choice(tuple(GENRES))]
    metre, mode, texture = rng.choice(row.metres), rng.choice(row.modes), rng.choice(row.textures)
    tempo = rng.randint(*row.tempo)
    if metre == (12, 8) or (metre == (6, 8) and tempo > 120):
        tempo = max(45, tempo * 2 // 3)  # three notes a beat: the same tempo would run twice as fast
    drums = texture == "percussion" or (_may_drum(texture) and rng.random() < row.drum_share)
    instruments = _voices(rng, row, texture)
    return Attributes(
        tonic=rng.randrange(12),
        mode=mode,
        metre=metre,
        tempo=tempo,
        density=rng.choice(densities(row.name, texture, tempo)),
        register=rng.choice(registers(instruments, texture)),
        genre=row.name,
        mood=rng.choice(moods(row.name, mode, tempo)),
        texture=texture,
        instruments=instruments,
        drums=drums,
        kit=rng.choice(_kits(row)) if drums else 0,
        seconds=float(seconds) if seconds is not None else round(rng.uniform(10.0, 60.0), 1),
        seed=rng.randrange(1 << 32),
    )


def densities(genre: str, texture: str, tempo: int) -> list[str]:
    """How busy a piece can well be: a chorale is not dense, a fast groove not sparse."""
    out = set()
    if genre in _BUSY or tempo > 150:
        out.add("sparse")
    if texture in ("chorale", "solo", "counterpoint") or genre in ("ambient", "lullaby", "chorale") or tempo < 66:
        out.add("dense")
    return [density for density in DENSITIES if density not in out]


def registers(instruments: tuple[Voice, ...], texture: str) -> list[str]:
    """The registers that the first instrument can take a melody to ("mid" is twice as likely); "mid" where there is no choice."""
    if not instruments or texture == "chorale":
        return ["mid"]
    instrument = INSTRUMENTS[instruments[0].program]
    fitting = [
        name for name in ("low", "mid", "mid", "high") if instrument.low + 8 <= CENTRES[name] <= instrument.high - 8
    ]
    if fitting:
        return fitting
    middle = (instrument.low + instrument.high) // 2
    return [min(CENTRES, key=lambda name: abs(CENTRES[name] - middle))]


def moods(genre: str, mode: str, tempo: int) -> list[str]:
    """The moods that a genre, a mode and a tempo allow, in a fixed order; "relaxed" where none fits."""
    minor = mode in MINOR_MODES
    out = _OUT_OF_CHARACTER.get(genre, frozenset())
    fitting = [
        name
        for name, (low, high, wants, _) in MOODS.items()
        if low <= tempo <= high
        and wants in (None, minor)
        and name not in out
        and (name != "groovy" or genre in _GROOVES)
    ]
    return fitting or ["relaxed"]


def _may_drum(texture: str) -> bool:
    return texture in ("duo", "trio", "ensemble")


def _kits(row: Genre) -> tuple[int, ...]:
    special: dict[str, tuple[int, ...]] = {
        "swing": (32, 40, 0), "bossa": (32, 40, 0), "techno": (25, 24), "hip hop": (25, 0, 24), "rock": (16, 0, 8),
        "metal": (16,),
        "ballad": (0, 40, 8), "breakbeat": (24, 25, 0), "disco": (0, 25), "march": (48, 0), "cinematic": (48, 16),
        "waltz": (0, 40),
    }  # fmt: skip
    return special.get(row.drums, (0, 8, 0, 16))


def _draw(rng: random.Random, row: Genre, preferred: tuple[int, ...], role: str) -> int:
    """A program for a role: four times in five one that the genre prefers, always where its sound is the genre."""
    fitting = [program for program in preferred if ROLES[role] in INSTRUMENTS[program].roles]
    strict = row.name == "chiptune"
    return rng.choice(fitting) if fitting and (strict or rng.random() < 0.8) else rng.choice(suited(role))


def _voices(rng: random.Random, row: Genre, texture: str) -> tuple[Voice, ...]:
    if texture == "percussion":
        return ()
    if texture.endswith("piano") or texture == "piano arpeggios":
        pianos = [p for p in row.melody + row.harmony if p in (0, 1, 2, 3, 4, 6)] or [0]
        others = (0, 1, 2) if row.name == "romantic piano" else (0, 1, 2, 4, 5, 6)
        return (Voice("melody", rng.choice(pianos) if rng.random() < 0.85 else rng.choice(others)),)
    if texture in ("chorale", "counterpoint"):
        return _choir(rng, row, texture)
    melody = Voice("melody", _draw(rng, row, row.melody, "melody"))
    if texture == "solo":
        return (melody,)
    chordal = rng.choice(("chords", "chords", "arpeggio", "pad"))
    chords = Voice(chordal, _draw(rng, row, row.harmony, chordal))
    bass = Voice("bass", _draw(rng, row, row.low, "bass"))
    if texture == "duo":
        return (melody, rng.choice((chords, chords, bass, Voice("counter", _draw(rng, row, row.melody, "counter")))))
    voices = [melody, chords, bass]
    if texture == "trio":
        return tuple(voices)
    for role, share, pool in (
        ("counter", 0.4, row.melody), ("pad", 0.45, row.harmony), ("arpeggio", 0.35, row.harmony), ("effect", 0.12, ()),
        ("chords", 0.3, row.harmony),
    ):  # fmt: skip
        if rng.random() < share:
            voices.append(Voice(role, _draw(rng, row, pool, role)))
    return tuple(voices)


def _choir(rng: random.Random, row: Genre, texture: str) -> tuple[Voice, ...]:
    """The same instrument in every voice, or a mixed group of wind or strings by height."""
    count = 4 if texture == "chorale" else rng.choice((2, 3, 3))
    groups = (
        (73, 68, 71, 70),
        (40, 40, 41, 42),
        (56, 56, 57, 58),
        (52, 52, 52, 52),
        (68, 71, 69, 70),
        (64, 65, 66, 67),
    )
    roles = (
        ("melody", "counter", "counter", "bass")
        if count == 4
        else ("melody", "counter", "bass")
        if count == 3
        else ("melody", "bass")
    )
    if rng.random() < 0.4:
        group = rng.choice(groups)
        programs: tuple[int, ...] = (
            group if count == 4 else (group[0], group[2], group[3]) if count == 3 else (group[0], group[3])
        )
    else:
        wide = [p for p in row.melody if INSTRUMENTS[p].low <= 43 and INSTRUMENTS[p].high >= 77] or [0, 19, 48]
        programs = (rng.choice(wide),) * count
    return tuple(Voice(role, program) for role, program in zip(roles, programs, strict=True))
