"""The vocabulary of captions: several ways to say each fact, all of them true of it."""

from __future__ import annotations

from solfa.data.composer.instruments import INSTRUMENTS
from solfa.data.composer.theory import MINOR_MODES

GENRE_NOUNS: dict[str, tuple[str, ...]] = {
    "waltz": ("waltz", "waltz", "waltz tune"),
    "chorale": ("chorale", "hymn-like chorale", "hymn"),
    "ballad": ("ballad", "ballad", "lyrical ballad"),
    "folk": ("folk tune", "folk piece", "folk-style tune", "piece of folk music"),
    "celtic folk": ("Celtic tune", "Celtic folk piece", "Irish-style tune", "Celtic folk dance"),
    "swing jazz": ("swing tune", "jazz piece", "swing jazz number", "jazz tune"),
    "bossa nova": ("bossa nova", "bossa nova tune", "bossa", "Brazilian bossa nova"),
    "funk": ("funk groove", "funk track", "funk jam", "funk piece"),
    "rock": ("rock track", "rock instrumental", "rock tune", "rock piece"),
    "metal": ("metal track", "heavy metal instrumental", "metal piece", "metal tune"),
    "pop": ("pop track", "pop instrumental", "pop tune", "pop piece"),
    "ambient": ("ambient piece", "ambient soundscape", "ambient track", "piece of ambient music"),
    "minimalist": ("minimalist piece", "minimal, repetitive piece", "minimalist pattern piece", "minimalist composition"),
    "march": ("march", "military march", "parade march"),
    "baroque": ("baroque piece", "baroque-style piece", "piece in baroque style", "baroque composition"),
    "classical": ("classical piece", "classical-style piece", "piece in classical style", "classical composition"),
    "romantic piano": ("romantic piano piece", "romantic-era piano piece", "expressive piano piece", "piece of romantic piano music"),
    "ragtime": ("ragtime", "rag", "ragtime tune", "ragtime piece"),
    "film score": ("film score cue", "cinematic piece", "soundtrack cue", "piece of film music", "cinematic score"),
    "techno": ("techno track", "techno loop", "techno tune", "electronic dance track"),
    "drum and bass": ("drum and bass track", "drum 'n' bass track", "drum and bass tune"),
    "disco": ("disco track", "disco tune", "disco groove", "disco number"),
    "hip hop": ("hip hop beat", "hip-hop instrumental", "hip hop track"),
    "blues": ("blues", "blues piece", "blues tune", "blues number"),
    "country": ("country tune", "country instrumental", "country piece", "country track"),
    "tango": ("tango", "tango", "Argentine tango", "tango piece"),
    "reggae": ("reggae track", "reggae groove", "reggae tune", "reggae instrumental"),
    "latin": ("Latin tune", "Latin groove", "Latin dance piece", "salsa-like Latin piece"),
    "lullaby": ("lullaby", "lullaby", "cradle song"),
    "chiptune": ("chiptune", "8-bit video game tune", "chiptune track", "retro game tune"),
    "percussion": ("percussion piece", "percussion groove", "drum pattern", "rhythm for percussion", "percussion-only track"),
}  # fmt: skip

MOOD_WORDS: dict[str, tuple[str, ...]] = {
    "calm": ("calm", "quiet", "tranquil", "serene"), "peaceful": ("peaceful", "restful", "serene"),
    "gentle": ("gentle", "tender", "soft"),
    "sad": ("sad", "sorrowful", "mournful"), "melancholic": ("melancholic", "wistful", "melancholy"),
    "dark": ("dark", "brooding", "ominous"),
    "mysterious": ("mysterious", "enigmatic", "eerie"), "dreamy": ("dreamy", "floating", "ethereal"),
    "romantic": ("romantic", "warm", "tender"),
    "solemn": ("solemn", "dignified", "serious"), "nostalgic": ("nostalgic", "wistful", "bittersweet"),
    "tense": ("tense", "suspenseful", "anxious"),
    "hopeful": ("hopeful", "optimistic", "bright"), "happy": ("happy", "cheerful", "joyful"),
    "playful": ("playful", "light-hearted", "whimsical"),
    "uplifting": ("uplifting", "inspiring", "bright"), "energetic": ("energetic", "high-energy", "vigorous"),
    "driving": ("driving", "propulsive", "insistent"),
    "majestic": ("majestic", "grand", "stately"), "dramatic": ("dramatic", "intense", "stormy"),
    "relaxed": ("relaxed", "laid-back", "easygoing"),
    "groovy": ("groovy", "funky", "grooving"), "lively": ("lively", "spirited", "animated"),
    "aggressive": ("aggressive", "fierce", "hard-hitting"),
}  # fmt: skip

DENSITY_WORDS = {
    "sparse": ("sparse", "spare", "uncluttered", "simple"),
    "medium": (),
    "dense": ("busy", "dense", "intricate", "note-rich"),
}
REGISTER_WORDS = {"low": ("low", "low-lying", "deep"), "mid": (), "high": ("high", "high-pitched", "high-lying")}

# Upper bounds in beats a minute, and words for tempi below them.
TEMPO_WORDS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (60, ("very slow", "slow", "unhurried")),
    (80, ("slow", "unhurried", "slow")),
    (104, ("moderate", "mid-tempo", "medium-tempo")),
    (124, ("moderately fast", "medium-fast", "fairly quick")),
    (150, ("fast", "quick", "brisk", "up-tempo")),
    (1000, ("very fast", "rapid", "fast")),
)
METRE_WORDS: dict[tuple[int, int], tuple[str, ...]] = {
    (2, 4): ("2/4", "2/4 time", "two-four time"), (3, 4): ("3/4", "3/4 time", "triple time", "three-four time"),
    (4, 4): ("4/4", "4/4 time", "common time"), (5, 4): ("5/4", "5/4 time", "an asymmetric 5/4"),
    (6, 8): ("6/8", "6/8 time", "a lilting 6/8"),
    (7, 8): ("7/8", "7/8 time", "an uneven 7/8"), (9, 8): ("9/8", "9/8 time"),
    (12, 8): ("12/8", "12/8 time", "a rolling 12/8"),
}  # fmt: skip
PIANO_WORDS = {
    "piano arpeggios": ("rippling arpeggios", "an arpeggiated accompaniment", "flowing arpeggios"),
    "alberti piano": ("an Alberti bass", "broken chords in the left hand", "an Alberti-bass accompaniment"),
    "block-chord piano": ("full block chords", "chordal writing", "block chords and bass octaves"),
    "nocturne piano": ("a wide, nocturne-like left hand", "rolling left-hand figures", "broad left-hand arpeggios"),
    "stride piano": ("a stride left hand", "a stride bass", "a leaping stride accompaniment"),
}
MODE_NAMES: dict[str, tuple[str, ...]] = {
    "major": ("major",), "minor": ("minor",), "harmonic minor": ("minor", "harmonic minor"),
    "dorian": ("dorian", "Dorian mode", "Dorian"),
    "phrygian": ("phrygian", "Phrygian mode", "Phrygian"), "lydian": ("lydian", "Lydian mode", "Lydian"),
    "mixolydian": ("mixolydian", "Mixolydian mode", "Mixolydian"), "major pentatonic": ("major pentatonic", "major"),
    "minor pentatonic": ("minor pentatonic", "minor"), "blues": ("", "blues"),
}  # fmt: skip
_SHARPS = ("C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B")
_FLATS = ("C", "D flat", "D", "E flat", "E", "F", "G flat", "G", "A flat", "A", "B flat", "B")
# Which of the twelve notes are better spelled sharp, by whether the mode is minor.
_SHARP_MINOR, _SHARP_MAJOR = frozenset({1, 3, 6, 8}), frozenset({6})

KIT_WORDS: dict[int, tuple[str, ...]] = {
    0: ("drums", "drum kit", "acoustic drums"), 8: ("drums", "drum kit", "room drums"),
    16: ("drums", "powerful drums", "big drums"),
    24: ("electronic drums", "drums", "synthetic drums"), 25: ("drum machine", "808-style drums", "electronic drums"),
    32: ("jazz drums", "drums", "drum kit"), 40: ("brushed drums", "brushes on drums", "drums"),
    48: ("orchestral percussion", "percussion", "orchestral drums"),
}  # fmt: skip

# Other names of instruments, beside the table's own.
_SYNONYMS: dict[int, tuple[str, ...]] = {
    0: ("piano", "piano", "grand piano"), 1: ("piano", "bright acoustic piano"), 2: ("electric grand",),
    3: ("honky-tonk", "detuned saloon piano"),
    4: ("Rhodes-like electric piano", "electric piano"), 5: ("electric piano", "DX-style electric piano"),
    7: ("clav",), 11: ("vibes",),
    14: ("bells",), 16: ("Hammond-style organ", "organ"), 17: ("organ",), 18: ("organ",), 19: ("pipe organ", "organ"),
    20: ("harmonium",),
    24: ("classical guitar", "acoustic guitar"), 25: ("acoustic guitar", "steel guitar"),
    26: ("hollow-body guitar", "guitar"), 27: ("electric guitar",),
    28: ("palm-muted guitar", "electric guitar"), 29: ("overdriven electric guitar", "electric guitar"),
    30: ("distorted guitar", "heavy guitar"),
    32: ("upright bass", "double bass"), 33: ("electric bass", "bass guitar"), 34: ("electric bass", "bass guitar"),
    35: ("bass guitar",),
    36: ("slapped bass",), 38: ("synthesizer bass",), 39: ("synth bass",), 43: ("contrabass", "upright bass"),
    44: ("tremolo string section",),
    45: ("plucked strings", "pizzicato"), 46: ("orchestral harp",), 48: ("strings", "string section"),
    49: ("strings",), 50: ("synthetic strings",),
    52: ("choir voices", "vocal choir"), 53: ("wordless voices",), 60: ("horn", "French horns"),
    61: ("brass", "horn section"),
    62: ("synthesizer brass",), 64: ("soprano sax",), 65: ("alto sax", "saxophone"), 66: ("tenor sax", "saxophone"),
    67: ("baritone sax", "bari sax"),
    69: ("cor anglais",), 75: ("panpipes",), 80: ("square-wave synth", "synth lead"),
    81: ("sawtooth synth", "synth lead"),
    82: ("calliope",), 88: ("synth pad",), 89: ("synth pad",), 90: ("synth pad",), 92: ("glassy pad",),
    95: ("synth pad",),
    108: ("thumb piano", "mbira"), 110: ("folk fiddle",), 114: ("steel pans",), 116: ("taiko",),
}  # fmt: skip
_EFFECTS = range(120, 128)


def tonic_name(tonic: int, mode: str) -> str:
    """A tonic (pitch class) in words, spelled as it is in keys of that mode: "E flat", "C sharp"."""
    sharp = tonic in (_SHARP_MINOR if mode in MINOR_MODES else _SHARP_MAJOR)
    return (_SHARPS if sharp else _FLATS)[tonic]


def instrument_names(program: int) -> tuple[str, ...]:
    """What a program may be called."""
    own = INSTRUMENTS[program].name
    if program in _EFFECTS:
        return (f"{own} sound effect", f"{own} effect")
    return (own, *_SYNONYMS.get(program, ()))


def with_article(phrase: str) -> str:
    """The phrase with "a" or "an", by its sound."""
    vowel = phrase[:1].lower() in "aeio" or phrase.lower().startswith(("8", "up", "un", "fm"))
    return f"{'an' if vowel and not phrase.lower().startswith('eu') else 'a'} {phrase}"


def listed(items: list[str], conjunction: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {conjunction} {items[-1]}"
