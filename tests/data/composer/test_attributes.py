import json
import random
from dataclasses import replace

import pytest

from solfa.data.composer.attributes import MOODS, TEXTURES, Attributes, Voice, moods, sample_attributes
from solfa.data.composer.genres import GENRES
from solfa.data.composer.instruments import INSTRUMENTS, KITS, ROLES, fold
from solfa.data.composer.theory import METRES, MINOR_MODES, SCALES


@pytest.fixture(scope="module")
def samples():
    rng = random.Random(1)
    return [sample_attributes(rng) for _ in range(6000)]


def test_every_program_kit_and_value_can_be_drawn(samples):
    assert {voice.program for a in samples for voice in a.instruments} == set(range(128))
    assert {a.kit for a in samples if a.drums} == set(KITS)
    assert {a.genre for a in samples} == set(GENRES) and len(GENRES) >= 14
    assert {a.mode for a in samples} == set(SCALES)
    assert {a.metre for a in samples} == set(METRES)
    assert {a.texture for a in samples} == set(TEXTURES)
    assert {a.mood for a in samples} == set(MOODS)
    assert {a.tonic for a in samples} == set(range(12))
    assert min(a.tempo for a in samples) == 45 and max(a.tempo for a in samples) >= 195
    assert {len(a.instruments) + a.drums for a in samples} >= set(range(1, 8))
    assert any(a.drums and not a.instruments for a in samples)


def test_voices_suit_their_roles(samples):
    for a in samples:
        if a.texture in ("solo", "duo", "trio", "ensemble"):
            for voice in a.instruments:
                assert ROLES[voice.role] in INSTRUMENTS[voice.program].roles


def test_moods_agree_with_mode_and_tempo(samples):
    for a in samples:
        low, high, minor, _ = MOODS[a.mood]
        if a.mood != "relaxed":
            assert low <= a.tempo <= high
            assert minor in (None, a.mode in MINOR_MODES)


def test_json_and_back(samples):
    for a in samples[:200]:
        assert Attributes.from_dict(json.loads(json.dumps(a.to_dict()))) == a


def test_genre_and_length_can_be_fixed():
    for genre in GENRES:
        a = sample_attributes(random.Random(0), genre=genre, seconds=12.5)
        assert (a.genre, a.seconds) == (genre, 12.5)
    with pytest.raises(ValueError, match=r"yodelling.*waltz"):
        sample_attributes(random.Random(0), genre="yodelling")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tonic", 12), ("mode", "locrian"), ("metre", (11, 8)), ("tempo", 300), ("density", "full"), ("register", "middle"),
        ("genre", "opera"), ("mood", "angry"), ("texture", "choir"), ("kit", 1), ("seconds", 500.0),
        ("instruments", (Voice("drone", 0),)), ("instruments", (Voice("melody", 128),)), ("instruments", ()),
    ],
)  # fmt: skip
def test_what_is_not_legal_is_named(field, value):
    good = sample_attributes(random.Random(3), genre="waltz")
    with pytest.raises(ValueError, match=r"legal|needs"):
        replace(good, **{field: value, "drums": False})


def test_unknown_and_missing_keys_are_errors():
    data = sample_attributes(random.Random(3)).to_dict()
    with pytest.raises(ValueError, match="colour"):
        Attributes.from_dict({**data, "colour": "blue"})
    del data["mode"]
    with pytest.raises(ValueError, match="mode"):
        Attributes.from_dict(data)


def test_a_mood_is_always_found():
    for genre in GENRES:
        for mode in SCALES:
            for tempo in range(45, 201, 5):
                assert moods(genre, mode, tempo)


def test_folding_keeps_the_pitch_class_and_the_range():
    for instrument in INSTRUMENTS:
        assert instrument.high - instrument.low >= 12
        for pitch in range(128):
            folded = fold(pitch, instrument.program)
            assert instrument.low <= folded <= instrument.high and (folded - pitch) % 12 == 0
