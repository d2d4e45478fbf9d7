"""Keys found, signatures, and the spelling of pitches in them."""

from fractions import Fraction as F

import pytest

from solfa.score import Note
from solfa.score.sheet.keys import Spelled, find_key, signature, signature_alter, spell, tonic_name
from solfa.score.sheet.notation import Key

KEYS = [Key(F(0), tonic, mode) for tonic in range(12) for mode in ("major", "minor")]
MAJOR, HARMONIC = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 11)


def named(pitches, key):
    return " ".join(
        s.letter + {-2: "bb", -1: "b", 0: "", 1: "#", 2: "x"}[s.alter] for s in (spell(p, key) for p in pitches)
    )


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key.tonic} {key.mode}")
def test_every_pitch_keeps_its_number_and_every_scale_its_letters(key):
    assert all(spell(pitch, key).pitch == pitch for pitch in range(128))
    scale = MAJOR if key.mode == "major" else HARMONIC
    names = [spell(60 + key.tonic + step, key) for step in scale]
    assert sorted(name.letter for name in names) == list("ABCDEFG")
    assert (names[0].letter, names[0].alter) == tonic_name(key)
    # The natural scale needs no accidentals.
    natural = MAJOR if key.mode == "major" else (0, 2, 3, 5, 7, 8, 10)
    names = [spell(60 + key.tonic + step, key) for step in natural]
    assert [name.alter for name in names] == [signature_alter(name.letter, signature(key)) for name in names]


@pytest.mark.parametrize(
    ("tonic", "mode", "sharps", "chromatic"),
    [
        (0, "major", 0, "C C# D Eb E F F# G Ab A Bb B"),
        (9, "minor", 0, "A Bb B C C# D D# E F F# G G#"),
        (2, "major", 2, "D D# E F F# G G# A Bb B C C#"),
        (7, "minor", -2, "G Ab A Bb B C C# D Eb E F F#"),
        (3, "major", -3, "Eb E F Gb G Ab A Bb Cb C Db D"),
        (6, "major", 6, "F# Fx G# A A# B B# C# D D# E E#"),
        (3, "minor", -6, "Eb Fb F Gb G Ab A Bb Cb C Db D"),
    ],
)
def test_signatures_and_chromatic_notes(tonic, mode, sharps, chromatic):
    key = Key(F(0), tonic, mode)
    assert signature(key) == sharps
    assert named(range(60 + tonic, 72 + tonic), key) == chromatic


def test_octaves_belong_to_the_letter():
    assert spell(60, Key(F(0), 1, "minor")) == Spelled("B", 1, 3)  # B sharp below middle C's octave
    assert spell(59, Key(F(0), 3, "major")) == Spelled("C", -1, 4)


def test_what_the_signature_says():
    assert [signature_alter(letter, 2) for letter in "CDEFGAB"] == [1, 0, 0, 1, 0, 0, 0]
    assert [signature_alter(letter, -3) for letter in "CDEFGAB"] == [0, 0, -1, 0, 0, -1, -1]
    assert {signature_alter(letter, 7) for letter in "CDEFGAB"} == {1}
    assert {signature_alter(letter, -7) for letter in "CDEFGAB"} == {-1}
    with pytest.raises(ValueError, match="'H'"):
        signature_alter("H", 0)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key.tonic} {key.mode}")
def test_a_cadence_tells_its_key(key):
    """I IV V I in close position over its roots; the dominant's third is raised in minor."""
    third = 4 if key.mode == "major" else 3
    chords = [(0, third, 7), (5, 5 + third, 12), (7, 11, 14), (0, third, 7)]
    notes = []
    for beat, chord in enumerate(chords):
        notes += [Note(beat, beat + 1, 60 + key.tonic + step) for step in chord]
        notes.append(Note(beat, beat + 1, 36 + key.tonic + chord[0]))
    found = find_key(notes)
    assert (found.tonic, found.mode) == (key.tonic, key.mode)


def test_no_notes_and_drums_are_c_major():
    assert find_key([]) == find_key([Note(0.0, 1.0, 38, is_drum=True)]) == Key(F(0), 0, "major")
    assert find_key([Note(0.0, 1.0, 69)]).tonic == 9
