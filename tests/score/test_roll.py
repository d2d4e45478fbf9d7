import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.score import Note
from solfa.score.roll import piano_roll

SVG = "{http://www.w3.org/2000/svg}"


def bars(text, kind="note"):
    root = ElementTree.fromstring(text)
    return [
        {key: float(rect.get(key, 0)) for key in ("x", "y", "width", "height", "fill-opacity")}
        | {"fill": rect.get("fill")}
        for rect in root.iter(f"{SVG}rect")
        if rect.get("class") == kind
    ]


def words(text):
    return [element.text for element in ElementTree.fromstring(text).iter(f"{SVG}text")]


def test_time_pitch_velocity_and_colour():
    low, high = Note(0.0, 1.0, 60, 127, 0), Note(1.0, 1.5, 72, 1, 40)
    first, second = bars(piano_roll([high, low], pixels_per_second=100))
    assert second["x"] - first["x"] == 100
    assert (first["width"], second["width"]) == (100, 50)
    assert first["y"] - second["y"] == 12 * first["height"]
    assert first["fill-opacity"] == 1 and second["fill-opacity"] == pytest.approx(0.26)
    assert first["fill"] != second["fill"]


def test_the_legend_names_instruments_in_their_colours():
    text = piano_roll([Note(0, 1, 60), Note(0, 1, 64, 80, 40)], names={(False, 40): "Violin & <friends>\x00"})
    assert words(text)[:2] == ["Acoustic Grand Piano", "Violin & <friends>"]
    boxes = [
        r.get("fill") for r in ElementTree.fromstring(text).iter(f"{SVG}rect") if r.get("fill") and not r.get("class")
    ]
    assert boxes == [bar["fill"] for bar in bars(text)]


def test_pitches_are_named_and_drums_have_rows_of_their_own():
    text = piano_roll([Note(0, 1, 60), Note(0, 0.1, 36, is_drum=True), Note(0.5, 0.6, 42, is_drum=True)])
    assert {"C4", "bass drum", "closed hi-hat", "Drums", "0:00", "0:01"} <= set(words(text))
    hat, kick = sorted(bar["y"] for bar in bars(text) if bar["height"] != 7)
    melody = next(bar["y"] for bar in bars(text) if bar["height"] == 7)
    assert melody < hat < kick


def test_a_second_set_beneath_stands_on_the_same_scales():
    found, truth = [Note(0.5, 1.0, 60)], [Note(0.5, 1.0, 60), Note(2.0, 4.0, 84)]
    text = piano_roll(found, truth, titles=("found", "truth"))
    first, same, other = bars(text)
    assert first["x"] == same["x"] and first["width"] == same["width"] and first["y"] < other["y"] < same["y"]
    assert {"found", "truth"} <= set(words(text))
    assert not bars(text, "other")


def test_a_second_set_overlaid_is_outlines_in_the_same_place():
    notes = [Note(0.5, 1.0, 60), Note(1.0, 2.0, 65)]
    text = piano_roll(notes, notes, overlaid=True, titles=("found", "truth"))
    assert [b["x"] for b in bars(text)] == [b["x"] for b in bars(text, "other")]
    assert [b["y"] for b in bars(text)] == [b["y"] for b in bars(text, "other")]
    assert "found (filled) and truth (outlined)" in words(text)


def test_no_notes_are_said():
    assert "no notes" in words(piano_roll([]))
    assert words(piano_roll([], [Note(0, 1, 60)])).count("no notes") == 1
    assert "no notes" not in words(piano_roll([], [Note(0, 1, 60)], overlaid=True))


def test_a_long_piece_is_drawn_smaller():
    text = piano_roll([Note(0, 1, 60), Note(80_000, 86_400, 61)])
    width = float(ElementTree.fromstring(text).get("width"))
    assert 29_000 < width < 31_000
    assert len(words(text)) < 1000


def test_light_and_dark():
    style = ElementTree.fromstring(piano_roll([Note(0, 1, 60)])).find(f"{SVG}style").text
    assert "prefers-color-scheme:dark" in style
    rules = [rule for rule in re.findall(r"([^{}]+)\{", style) if "@media" not in rule]
    assert all(rule.strip().startswith(".solfa-roll") for rule in rules)  # what stands inline leaves its page alone


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_scales_that_are_none(value):
    with pytest.raises(ValueError, match="pixels_per_second"):
        piano_roll([], pixels_per_second=value)


note = st.builds(
    lambda on, length, pitch, loud, program, drum: Note(on, on + length, pitch, loud, program, drum),
    st.floats(0, 50), st.floats(0, 5), st.integers(0, 127), st.integers(1, 127), st.integers(0, 127), st.booleans(),
)  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(st.lists(note, max_size=30), st.none() | st.lists(note, max_size=5), st.booleans())
def test_every_note_stands_inside_the_picture_once(notes, other, overlaid):
    text = piano_roll(notes, other, overlaid=overlaid)
    root = ElementTree.fromstring(text)
    width, height = float(root.get("width")), float(root.get("height"))
    drawn = bars(text) + bars(text, "other")
    assert len(drawn) == len(notes) + len(other or ())
    for bar in drawn:
        assert bar["x"] >= 0 and bar["y"] >= 0 and bar["y"] + bar["height"] <= height
        assert bar["x"] + bar["width"] <= width
    assert text == piano_roll(list(reversed(notes)), other and list(reversed(other)), overlaid=overlaid)
