"""Captions say true things, in many ways."""

import random
import re

import pytest

from solfa.data.composer import words
from solfa.data.composer.attributes import sample_attributes
from solfa.data.composer.caption import FORMS, caption
from solfa.data.composer.instruments import INSTRUMENTS
from solfa.data.composer.theory import MINOR_MODES

COUNT = 1500


@pytest.fixture(scope="module")
def captions():
    rng = random.Random(7)
    return [(a, caption(a, rng)) for a in (sample_attributes(rng) for _ in range(COUNT))]


def says(text, phrase):
    return re.search(rf"(?<![\w#]){re.escape(phrase.lower())}(?![\w#])", text.lower()) is not None


def true_words(a):
    """Every word that may be used of a piece, in any of its phrases."""
    tempo = next(names for limit, names in words.TEMPO_WORDS if a.tempo < limit)
    groups = [words.MOOD_WORDS[a.mood], tempo, words.DENSITY_WORDS[a.density], words.REGISTER_WORDS[a.register]]
    groups += [words.KIT_WORDS[a.kit], words.METRE_WORDS[a.metre], words.PIANO_WORDS.get(a.texture, ())]
    groups += (
        [words.GENRE_NOUNS[a.genre], words.GENRE_NOUNS["classical"]]
        if a.genre == "romantic piano"
        else [words.GENRE_NOUNS[a.genre]]
    )
    groups += [words.instrument_names(voice.program) for voice in a.instruments]
    return " | ".join(phrase for group in groups for phrase in group).lower()


@pytest.mark.parametrize(
    "table",
    [
        words.MOOD_WORDS,
        words.DENSITY_WORDS,
        dict(words.TEMPO_WORDS),
        words.METRE_WORDS,
        words.GENRE_NOUNS,
        words.PIANO_WORDS,
    ],
)
def test_no_word_is_said_that_is_not_true(captions, table):
    """Any word of a table that a caption uses is among the words that are true of its piece."""
    everything = {phrase for group in table.values() for phrase in group}
    used = 0
    for a, text in captions:
        allowed = true_words(a)
        for phrase in everything:
            if says(text, phrase):
                used += 1
                assert says(allowed, phrase), (phrase, text, a)
    assert used > 100


def test_only_instruments_that_play_are_named(captions):
    names = {name: set() for i in INSTRUMENTS for name in words.instrument_names(i.program)}
    for i in INSTRUMENTS:
        for name in words.instrument_names(i.program):
            names[name].add(i.program)
    named = 0
    for a, text in captions:
        playing = {voice.program for voice in a.instruments}
        rest = text.lower()
        for key in words.GENRE_NOUNS.values():  # a "romantic piano piece" names no instrument beyond its genre
            for noun in sorted(key, key=len, reverse=True):
                rest = rest.replace(noun.lower(), "")
        for name in sorted((n for n in names if names[n] & playing), key=len, reverse=True):
            named += says(rest, name)
            rest = re.sub(rf"\b{re.escape(name.lower())}\b", "", rest)
        for name in (
            "flute",
            "oboe",
            "violin",
            "cello",
            "trumpet",
            "harp",
            "accordion",
            "marimba",
            "guitar",
            "saxophone",
            "choir",
            "harpsichord",
            "tuba",
            "banjo",
        ):
            assert not says(rest, name), (name, text)
    assert named > COUNT


def test_numbers_are_the_tempo_and_the_metre(captions):
    counted = 0
    for a, text in captions:
        for number in re.findall(r"(\d+) (?:bpm|beats)", text.lower()):
            counted += 1
            assert abs(int(number) - a.tempo) <= 2.5
            if int(number) != a.tempo:
                assert "about" in text.lower() or "around" in text.lower()
        for metre in re.findall(r"(?<!\d)(\d+/\d+)(?!\d)", text):
            assert metre == f"{a.metre[0]}/{a.metre[1]}"
    assert counted > 250


KEY = re.compile(
    r"\b([A-G])(#|b| sharp| flat)? "
    r"(harmonic minor|minor pentatonic|major pentatonic|major|minor|dorian|phrygian|lydian|mixolydian|blues)\b",
    re.IGNORECASE,
)


def test_keys_are_those_of_the_piece(captions):
    found = 0
    for a, text in captions:
        match = KEY.search(text)
        if match is None or (
            match.group(1) in "aA" and not match.group(2) and match.group(3) == "blues"
        ):  # "a blues" is no key
            continue
        found += 1
        natural = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}[match.group(1).lower()]
        sign = {"#": 1, "b": -1, " sharp": 1, " flat": -1}.get((match.group(2) or "").lower(), 0)
        assert (natural + sign) % 12 == a.tonic, text
        mode = match.group(3).lower()
        assert mode in a.mode or (mode == "minor" and a.mode in MINOR_MODES), text
        assert a.instruments
    assert found > 250


def test_drums_are_neither_invented_nor_denied(captions):
    denials = claims = 0
    for a, text in captions:
        denied = re.search(r"(no|without) (drums|percussion)", text.lower())
        rest = text.lower()
        for name in sorted(
            (n for v in a.instruments for n in words.instrument_names(v.program)), key=len, reverse=True
        ):
            rest = rest.replace(name.lower(), "")
        rest = re.sub(r"(no|without|and|'n') (drums|percussion|bass)", "", rest)
        rest = re.sub(r"drum (and|'n') bass|drum pattern|percussion \w+|for percussion|percussion-only", "", rest)
        if denied:
            denials += 1
            assert not a.drums, text
        if re.search(r"\bdrums?\b|percussion\b(?! organ)|brushes", rest):
            claims += 1
            assert a.drums, text
    assert denials > 25 and claims > 150


def test_groups_are_counted_right(captions):
    for a, text in captions:
        low = text.lower()
        if says(low, "duet") or says(low, "duo"):
            assert len(a.instruments) == 2 and not a.drums
        if says(low, "solo") or says(low, "alone"):
            assert len(a.instruments) == 1 and not a.drums
        if "swing" in low and a.genre != "swing jazz":
            assert a.genre == "blues"


def test_captions_are_well_formed(captions):
    for _, text in captions:
        assert text == text.strip() and 3 <= len(text) <= 700
        assert "  " not in text and "None" not in text and "{" not in text and " ," not in text and ".." not in text, (
            text
        )
        for wrong in re.findall(r"\ba ([aeio]\w*)", text):
            assert wrong.startswith(("eu", "one")) or wrong in ("in", "is", "e"), text
        assert not re.search(r"\ban [bcdgjkmnpqrstvwyz]\w", text), text


def shape(a, text):
    """The caption with every fact replaced by its kind."""
    rest = text.lower()
    for i in sorted({n for v in a.instruments for n in words.instrument_names(v.program)}, key=len, reverse=True):
        rest = rest.replace(i.lower(), "I")
    tempi = sum((names for _, names in words.TEMPO_WORDS), ())
    groups = {"G": words.GENRE_NOUNS[a.genre], "M": words.MOOD_WORDS[a.mood], "R": words.METRE_WORDS[a.metre]}
    groups |= {"K": words.KIT_WORDS[a.kit], "D": words.DENSITY_WORDS[a.density], "T": tempi}
    for kind, group in groups.items():
        for phrase in sorted(group, key=len, reverse=True):
            rest = re.sub(rf"(?<!\w){re.escape(phrase.lower())}(?!\w)", kind, rest)
    rest = re.sub(
        r"\b[a-g](#|b| sharp| flat)? (major|minor|harmonic|dorian|phrygian|lydian|mixolydian)( pentatonic| minor| mode)?",
        "Y",
        rest,
    )
    rest = re.sub(r"\d+", "N", re.sub(r"\ban\b", "a", rest))
    return re.sub(r"I(, I)*( and [IK])?", "P", rest)


def test_hundreds_of_sentence_shapes(captions):
    shapes = {shape(a, text) for a, text in captions if "." in text or "," not in text}
    assert len(shapes) > 500
    assert len({text for _, text in captions}) > 0.97 * COUNT


def test_one_piece_can_be_told_in_many_ways():
    a = sample_attributes(random.Random(3), genre="bossa nova")
    rng = random.Random(0)
    for form in FORMS:
        assert len({caption(a, rng, form) for _ in range(200)}) > 150


def test_the_same_random_state_gives_the_same_caption():
    a = sample_attributes(random.Random(3))
    assert [caption(a, random.Random(n)) for n in range(50)] == [caption(a, random.Random(n)) for n in range(50)]


def test_forms_differ_in_length_and_unknown_ones_are_named():
    rng = random.Random(1)
    lengths = {form: sum(len(caption(sample_attributes(rng), rng, form)) for _ in range(300)) / 300 for form in FORMS}
    assert lengths["tags"] < lengths["long"] and lengths["sentence"] < lengths["long"]
    with pytest.raises(ValueError, match="sentence"):
        caption(sample_attributes(rng), rng, "poem")


def test_what_is_unknown_is_left_out():
    rng = random.Random(2)
    for _ in range(100):
        text = caption({"tempo": 100}, rng)
        assert text and "None" not in text
        assert not any(says(text, name) for names in words.MOOD_WORDS.values() for name in names)


def test_a_piano_piece_on_another_keyboard_is_not_called_a_piano_piece():
    a = sample_attributes(random.Random(3), genre="romantic piano")
    rng = random.Random(4)
    on_piano = [caption(a, rng) for _ in range(100)]
    data = a.to_dict()
    data["instruments"][0]["program"] = 6
    on_harpsichord = [caption(data, rng) for _ in range(100)]
    assert sum(says(text, "romantic piano piece") for text in on_piano) > 5
    assert not any(says(text, "piano") for text in on_harpsichord)
