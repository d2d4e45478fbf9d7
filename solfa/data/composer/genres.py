"""The genres that the composer knows: one row of habits each. What a row says is how the genre usually goes, not what it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Genre:
    """Habits of a genre. `tempo` counts beats a minute (dotted quarters in compound metres); `loops` are chord degrees, one a bar
    or half a bar, and empty where phrases are walked through the functions instead; `swing` delays off-beats, `rubato` (0 to 1)
    bends the tempo. Programs are those the genre prefers; others are drawn now and then."""

    name: str
    metres: tuple[tuple[int, int], ...]
    tempo: tuple[int, int]
    modes: tuple[str, ...]
    textures: tuple[str, ...]
    colour: str  # triad, seventh, ninth, suspended or power
    bass: str
    chords: tuple[str, ...]  # accompaniment patterns
    melody: tuple[int, ...]
    harmony: tuple[int, ...]
    low: tuple[int, ...]
    drums: str = ""  # the drum style; empty for none
    drum_share: float = 0.0  # how often drums play
    loops: tuple[tuple[int, ...], ...] = ()
    per_bar: float = 1.0  # chords a bar
    swing: bool = False
    rubato: float = 0.0
    syncopation: float = 0.2


_TONAL = ("major", "major", "minor", "harmonic minor")
_POP = ("major", "major", "minor", "mixolydian", "dorian", "minor pentatonic", "major pentatonic")
_FOLK = ("major", "major", "dorian", "mixolydian", "minor", "major pentatonic")
_PIANO = ("piano arpeggios", "alberti piano", "block-chord piano", "nocturne piano")
_POP_LOOPS = (
    (1, 5, 6, 4),
    (6, 4, 1, 5),
    (1, 6, 4, 5),
    (1, 4, 5, 4),
    (1, 4, 6, 5),
    (4, 1, 5, 6),
    (1, 3, 4, 5),
    (1, 7, 4, 1),
)
_MINOR_LOOPS = ((1, 6, 3, 7), (1, 7, 6, 7), (1, 4, 6, 5), (1, 6, 7, 1), (1, 1, 6, 7))
_BLUES = (1, 1, 1, 1, 4, 4, 1, 1, 5, 4, 1, 5)
_STRINGS = (40, 41, 42, 48, 49)
_WINDS = (68, 69, 70, 71, 73, 74)
_BRASS = (56, 57, 58, 60, 61)
_PADS = (48, 49, 50, 51, 52, 88, 89, 90, 91, 92, 93, 94, 95, 97, 99, 101, 102)
_LEADS = (80, 81, 82, 83, 84, 85, 86, 87, 62, 63)

_ALL = (
    Genre("waltz", ((3, 4),), (84, 190),
    _TONAL, ("ensemble", "duo", "trio", "block-chord piano", "stride piano", "solo"),
          "triad", "one", ("oompah",), (40, 71, 73, 21, 22, 0, 68), (0, 21, 48, 24, 46), (43, 32, 42, 58), "waltz", 0.3,
          rubato=0.35, syncopation=0.05),
    Genre("chorale", ((4, 4), (3, 4)), (56, 96), (*_TONAL, "dorian"), ("chorale",), "triad", "one", ("held",),
          (52, 19, 48, 60, 57, 0, 20, 16), (52, 19, 48), (52, 19, 42), per_bar=3.0, rubato=0.2, syncopation=0.0),
    Genre("ballad", ((4, 4), (12, 8), (6, 8)), (54, 84), ("major", "major", "minor", "dorian"),
          ("ensemble", "duo", "trio", *_PIANO, "solo"), "seventh", "long", ("arpeggio", "held", "broken"),
          (0, 4, 40, 64, 65, 73, 26, 53, 56), (0, 4, 24, 89, 48, 2), (32, 33, 35),
          "ballad", 0.5, _POP_LOOPS, rubato=0.3),
    Genre("folk", ((4, 4), (3, 4), (6, 8), (2, 4)), (80, 150), _FOLK, ("ensemble", "duo", "trio", "solo"),
    "triad", "root-fifth",
          ("strum", "arpeggio", "boom-chick"), (110, 73, 21, 22, 105, 24, 25, 40, 74, 15, 75), (24, 25, 21, 105, 15),
          (32, 43),
          "folk", 0.25, _POP_LOOPS),
    Genre("celtic folk", ((6, 8), (4, 4), (9, 8), (2, 4)), (96, 152), ("dorian", "mixolydian", "major", "minor"),
          ("duo", "trio", "solo", "ensemble"), "triad", "root-fifth", ("strum", "boom-chick", "drone"),
          (110, 73, 78, 109, 21, 40, 75, 72), (25, 24, 46, 21), (32, 43), "folk", 0.35, ((1, 7, 1, 7), (1, 4, 7, 1))),
    Genre("swing jazz", ((4, 4), (3, 4)), (96, 200), ("major", "minor", "dorian", "mixolydian"),
          ("ensemble", "trio", "duo", "stride piano"), "ninth", "walking", ("charleston", "comp", "four"),
          (66, 65, 56, 26, 11, 0, 71, 59, 57), (0, 26, 11, 4), (32, 32, 33), "swing", 0.8,
          ((2, 5, 1, 6), (1, 6, 2, 5), (3, 6, 2, 5), (1, 4, 3, 6, 2, 5, 1, 5)), swing=True, syncopation=0.5),
    Genre("bossa nova", ((4, 4),), (104, 150), ("major", "minor", "dorian"), ("ensemble", "trio", "duo"),
    "ninth", "bossa",
          ("bossa",), (73, 24, 66, 65, 11, 53, 71), (24, 0, 4, 26), (32, 33, 35), "bossa", 0.8,
          ((1, 6, 2, 5), (2, 5, 1, 1), (1, 2, 3, 6, 2, 5, 1, 1)), syncopation=0.5),
    Genre("funk", ((4, 4),), (90, 118), ("dorian", "mixolydian", "minor pentatonic"), ("ensemble", "trio"),
    "ninth", "funk",
          ("scratch", "stabs"), (61, 65, 56, 16, 7, 62, 27, 66), (7, 27, 28, 16, 4, 61), (36, 37, 33, 38), "funk", 0.95,
          ((1, 1, 1, 1), (1, 4, 1, 4), (1, 1, 4, 5)), syncopation=0.7),
    Genre("rock", ((4, 4), (4, 4), (6, 8)), (96, 160), _POP, ("ensemble", "trio"), "power", "eighths",
          ("eighths", "strum", "held"), (29, 30, 27, 18, 81, 84), (29, 27, 25, 18), (33, 34), "rock", 0.97,
          _POP_LOOPS + _MINOR_LOOPS, syncopation=0.4),
    Genre("metal", ((4, 4), (7, 8), (4, 4)), (130, 195), ("minor", "phrygian", "harmonic minor"), ("ensemble", "trio"),
    "power",
          "eighths", ("chug", "eighths"), (30, 29, 81, 84), (30, 29), (34, 33),
          "metal", 1.0, (*_MINOR_LOOPS, (1, 2, 1, 2)),
          syncopation=0.3),
    Genre("pop", ((4, 4),), (88, 132), _POP, ("ensemble", "trio", "duo", "block-chord piano"), "triad", "eighths",
          ("block", "arpeggio", "strum", "eighths"), (0, 4, 80, 81, 53, 54, 27, 73, 12, 11), (0, 4, 25, 27, 50, 90, 81),
          (33, 38, 39, 34), "pop", 0.9, _POP_LOOPS, syncopation=0.45),
    Genre("ambient", ((4, 4), (3, 4), (12, 8)), (45, 76),
    ("lydian", "major", "dorian", "minor", "major pentatonic", "mixolydian"),
          ("ensemble", "duo", "solo", "trio"), "suspended", "drone", ("held", "bell", "slow arpeggio"),
          (88, 89, 11, 92, 98, 73, 52, 108, 77, 79, 99, 14), _PADS, (39, 89, 42, 38), "", 0.0, rubato=0.15, per_bar=0.5,
          syncopation=0.1),
    Genre("minimalist", ((4, 4), (6, 8), (5, 4), (7, 8), (3, 4)), (96, 168),
    ("major", "dorian", "lydian", "minor", "mixolydian"),
          ("ensemble", "trio", "duo", "piano arpeggios"), "triad", "pulse", ("cells", "arpeggio", "eighths"),
          (12, 11, 0, 71, 13, 40, 73, 108), (0, 12, 11, 71, 48, 9), (42, 32, 70), "", 0.0, ((1, 1, 6, 6), (1, 3, 4, 4),
          (1, 1, 4, 4)),
          syncopation=0.15),
    Genre("march", ((2, 4), (4, 4), (6, 8)), (100, 132), ("major", "major", "minor"), ("ensemble", "trio"),
    "triad", "root-fifth",
          ("boom-chick", "block"), (56, 72, 60, 71, 61, 57), (61, 60, 57, 48), (58, 43, 57),
          "march", 0.9, syncopation=0.05),
    Genre("baroque", ((4, 4), (3, 4), (2, 4), (12, 8)), (66, 120), ("major", "harmonic minor", "minor"),
          ("counterpoint", "counterpoint", "trio", "solo"), "triad", "running", ("block", "broken"),
          (6, 74, 40, 68, 73, 19, 56, 42), (6, 19, 48), (42, 70, 43), per_bar=2.0, rubato=0.1, syncopation=0.05),
    Genre("classical", ((4, 4), (3, 4), (2, 4), (6, 8)), (72, 160), ("major", "major", "minor", "harmonic minor"),
          ("alberti piano", "ensemble", "duo", "trio", "piano arpeggios", "solo"), "triad", "root-fifth",
          ("broken", "eighths", "held"), (40, 73, 71, 68, 0, 42, 60), (48, 0, 45, 71, 46), (43, 42, 70),
          rubato=0.2, per_bar=1.5,
          syncopation=0.05),
    Genre("romantic piano", ((4, 4), (3, 4), (6, 8), (12, 8)), (48, 120), _TONAL,
          ("nocturne piano", "piano arpeggios", "block-chord piano"), "seventh", "long", ("arpeggio",), (0,), (0,),
          (0,),
          rubato=0.9, syncopation=0.1),
    Genre("ragtime", ((2, 4), (4, 4)), (80, 112), ("major",), ("stride piano",), "triad", "root-fifth", ("boom-chick",),
          (3, 0, 1), (3, 0), (58, 32), "", 0.0, ((1, 6, 2, 5), (1, 1, 5, 1), (4, 4, 1, 6, 2, 5, 1, 1)),
          syncopation=0.6),
    Genre("film score", ((4, 4), (3, 4), (6, 8), (5, 4)), (56, 140),
    ("minor", "harmonic minor", "dorian", "major", "lydian"),
          ("ensemble", "ensemble", "duo", "trio"), "triad", "long", ("held", "ostinato", "arpeggio", "tremolo"),
          (60, 48, 42, 40, 73, 52, 68, 61, 91), (48, 49, 44, 46, 52, 60, 61), (43, 42, 58, 57), "cinematic", 0.4,
          ((1, 6, 3, 7), (1, 6, 4, 5), (1, 3, 6, 7), (1, 4, 1, 6)), rubato=0.3),
    Genre("techno", ((4, 4),), (120, 145), ("minor", "phrygian", "dorian", "minor pentatonic"), ("ensemble", "trio"),
    "triad",
          "offbeat", ("sequence", "stabs", "held"), _LEADS, (81, 90, 50, 38, 62, 87, 91), (38, 39, 87), "techno", 1.0,
          ((1, 1, 1, 1), (1, 1, 6, 6), (1, 1, 7, 7)), syncopation=0.5),
    Genre("drum and bass", ((4, 4),), (160, 180), ("minor", "dorian", "minor pentatonic"), ("ensemble", "trio"),
    "ninth", "sub",
          ("held", "stabs", "sequence"), (*_LEADS, 4, 11), (89, 90, 4, 50, 95), (38, 39), "breakbeat", 1.0,
          ((1, 1, 6, 6), (1, 6, 4, 7), (1, 1, 4, 4)), per_bar=0.5, syncopation=0.4),
    Genre("disco", ((4, 4),), (108, 128), ("minor", "dorian", "major", "mixolydian"), ("ensemble",),
    "seventh", "octaves",
          ("scratch", "stabs", "eighths"), (48, 61, 65, 81, 56), (27, 4, 48, 50, 28), (33, 38, 39), "disco", 1.0,
          ((1, 4, 7, 3), (1, 6, 2, 5), (6, 2, 5, 1), (1, 1, 4, 4)), syncopation=0.5),
    Genre("hip hop", ((4, 4),), (76, 98), ("minor", "dorian", "minor pentatonic"), ("ensemble", "trio"), "ninth", "sub",
          ("block", "comp", "sequence"), (4, 11, 0, 73, 80, 26), (4, 0, 89, 26, 48), (38, 39, 32, 33), "hip hop", 1.0,
          ((1, 1, 4, 4), (1, 6, 4, 5), (2, 5, 1, 1), (1, 6, 1, 6)), swing=True, syncopation=0.5),
    Genre("blues", ((4, 4), (12, 8)), (66, 132), ("blues",), ("ensemble", "trio", "duo", "stride piano"),
    "seventh", "boogie",
          ("shuffle", "comp", "boom-chick"), (22, 27, 0, 66, 26, 29, 16), (0, 27, 16, 25), (32, 33),
          "shuffle", 0.8, (_BLUES,),
          swing=True, syncopation=0.35),
    Genre("country", ((4, 4), (2, 4), (3, 4)), (88, 140), ("major", "major", "mixolydian", "major pentatonic"),
          ("ensemble", "trio", "duo"), "triad", "root-fifth", ("boom-chick", "strum"), (25, 27, 110, 22, 105, 0),
          (25, 105, 0, 27), (32, 33), "country", 0.7,
          ((1, 4, 5, 1), (1, 1, 4, 1), (1, 5, 1, 4), (1, 4, 1, 5))),
    Genre("tango", ((4, 4), (2, 4)), (60, 126), ("harmonic minor", "minor", "harmonic minor", "major"),
          ("ensemble", "trio", "duo"), "seventh", "tango", ("habanera", "four", "stabs"), (23, 40, 0, 21, 42),
          (0, 23, 21, 48), (43, 32), "", 0.0, rubato=0.3, syncopation=0.3),
    Genre("reggae", ((4, 4),), (66, 90), ("major", "minor", "dorian", "mixolydian"), ("ensemble", "trio"),
    "triad", "dub",
          ("skank",), (16, 56, 57, 27, 22, 66), (16, 27, 0, 28), (33, 38, 35), "reggae", 0.95,
          ((1, 4, 1, 4), (1, 6, 4, 5), (1, 1, 7, 7), (1, 5, 6, 4)), syncopation=0.4),
    Genre("latin", ((4, 4),), (90, 120), ("minor", "major", "harmonic minor", "dorian", "mixolydian"),
          ("ensemble", "trio"), "seventh", "tumbao", ("montuno", "habanera"), (56, 57, 73, 0, 24, 61), (0, 24, 61, 12),
          (32, 33, 35), "latin", 0.95,
          ((1, 4, 5, 4), (1, 2, 5, 1), (1, 7, 6, 5), (1, 5, 1, 5)), syncopation=0.65),
    Genre("lullaby", ((3, 4), (6, 8), (4, 4)), (50, 84), ("major", "major", "lydian", "major pentatonic"),
          ("duo", "solo", "ensemble", "piano arpeggios", "alberti piano"),
          "triad", "long", ("broken", "arpeggio", "slow arpeggio"),
          (10, 8, 73, 11, 0, 46, 24, 108, 53), (46, 24, 0, 8, 89), (42, 32), rubato=0.3, syncopation=0.0),
    Genre("chiptune", ((4, 4), (3, 4)), (120, 180), ("major", "minor", "mixolydian", "dorian"),
    ("trio", "ensemble", "duo"), "triad", "octaves",
          ("sequence", "cells"), (80, 81, 82, 87), (80, 81, 82), (38, 39, 87),
          "pop", 0.6, _POP_LOOPS + _MINOR_LOOPS, syncopation=0.35),
    Genre("percussion", ((4, 4), (4, 4), (6, 8), (3, 4), (7, 8), (5, 4)), (76, 150), ("major", "minor"),
    ("percussion",), "triad", "drone",
          ("held",), (117,), (117,), (116,), "world", 1.0, syncopation=0.5),
)  # fmt: skip

GENRES: dict[str, Genre] = {genre.name: genre for genre in _ALL}
