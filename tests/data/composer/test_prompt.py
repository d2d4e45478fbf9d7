"""Prompts say nearly all that is known of a piece, in many ways, and nothing else."""

import random
import re

import pytest

from solfa.data.composer import words
from solfa.data.composer.attributes import sample_attributes
from solfa.data.composer.caption import caption, further_captions
from solfa.data.composer.prompt import plain_prompt
from solfa.data.composer.theory import MINOR_MODES

COUNT = 600
NATURAL = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
KEY = re.compile(
    r"\b([A-G])(#|b| sharp| flat|-sharp|-flat)? (harmonic minor|major pentatonic|minor pentatonic|major|minor)\b", re.I
)


@pytest.fixture(scope="module")
def prompts():
    rng = random.Random(5)
    return [(a, caption(a, rng, "prompt")) for a in (sample_attributes(rng) for _ in range(COUNT))]


def test_numbers_are_the_tempo_and_the_metre(prompts):
    exact = near = metres = 0
    for a, text in prompts:
        for number in re.findall(r"(\d+) (?:bpm|beats)|tempo (\d+)", text.lower()):
            value = int("".join(number))
            rounded = "about" in text.lower() or "around" in text.lower()
            exact += value == a.tempo
            near += value != a.tempo
            assert value == a.tempo or (rounded and abs(value - a.tempo) <= 2.5), text
        for metre in re.findall(r"(?<!\d)(\d+/\d+)(?!\d)", text):
            metres += 1
            assert metre == f"{a.metre[0]}/{a.metre[1]}"
    assert exact > 0.65 * COUNT and 0.05 * COUNT < near < 0.2 * COUNT and metres > 0.5 * COUNT


def test_keys_are_those_of_the_piece(prompts):
    found = 0
    for a, text in prompts:
        match = KEY.search(text)
        if match:
            found += 1
            sign = {"#": 1, "sharp": 1, "b": -1, "flat": -1}.get((match[2] or "").lower().strip(" -"), 0)
            assert (NATURAL[match[1].lower()] + sign) % 12 == a.tonic, text
            assert match[3].lower() in a.mode or (match[3].lower() == "minor" and a.mode in MINOR_MODES), text
    assert found > 0.5 * COUNT


def test_whoever_plays_is_named_and_counted(prompts):
    for a, text in prompts:
        for voice in a.instruments:
            if voice.role != "effect":
                assert any(name.lower() in text.lower() for name in words.instrument_names(voice.program)), text
        alone = len(a.instruments) == 1 and not a.drums
        assert alone or not re.search(r"\b(solo|alone)\b", text.lower()), text
        assert not re.search(r"\bduo\b", text.lower()) or (len(a.instruments) == 2 and not a.drums), text


def test_prompts_are_well_formed_and_vary(prompts):
    for _, text in prompts:
        assert text == text.strip() and 3 <= len(text) <= 300
        assert not re.search(r"  | ,|,,|None|\{|\.\.| in in | at at ", text), text
    a = sample_attributes(random.Random(3), genre="waltz")
    rng = random.Random(0)
    assert len({caption(a, rng, "prompt") for _ in range(300)}) > 280


def test_further_captions_are_mostly_prompts_and_a_steady_piece_has_no_rubato():
    data = sample_attributes(random.Random(8), genre="romantic piano").to_dict()
    told = [" ".join(further_captions(data | {"steady": steady}, 400, random.Random(1))) for steady in (False, True)]
    assert "rubato" in told[0] and "rubato" not in told[1]
    texts = further_captions(data, 400, random.Random(1))
    assert sum(f"{data['tempo']}" in text for text in texts) > 0.6 * 400
    assert further_captions(data, 5, random.Random(1)) == texts[:5]


def test_the_plain_prompt_has_one_wording():
    piece = {"mood": "playful", "genre": "waltz", "tonic": 7, "mode": "major", "metre": [3, 4], "tempo": 140}
    violin, piano = {"program": 40}, {"program": 0}
    duo = "playful waltz for violin and acoustic grand piano in G major, 3/4, 140 bpm"
    assert plain_prompt(piece | {"instruments": [violin, piano]}) == duo
    assert plain_prompt(piece | {"instruments": [violin, violin, piano, {"program": 73}]}) == duo
    other = piece | {"instruments": [violin], "mode": "phrygian", "tonic": 0}
    assert plain_prompt(other) == "playful waltz for solo violin in C minor, 3/4, 140 bpm"
    for unknown in (*({name: None} for name in other), {"instruments": []}, {"genre": "yodel"}):
        assert plain_prompt(other | unknown) is None
    assert plain_prompt({}) is None
    others = {"instruments": ["violin"], "metre": "3/4", "tonic": "G", "tempo": "fast", "genre": ["waltz"]}
    for name, value in others.items():  # as someone else's manifest may have it
        assert plain_prompt(other | {name: value}) is None


def test_plain_prompts_say_every_fact(prompts):
    for a, _ in prompts:
        text = plain_prompt(a.to_dict())
        assert (text is None) == (not a.instruments)
        if text is not None:
            assert f"{a.metre[0]}/{a.metre[1]}, {a.tempo} bpm" in text and text.startswith(f"{a.mood} ")
            match = KEY.search(text)
            assert (match[3] == "minor") == (a.mode in MINOR_MODES)
            sign = {"sharp": 1, "flat": -1}.get((match[2] or "").strip(), 0)
            assert (NATURAL[match[1].lower()] + sign) % 12 == a.tonic
