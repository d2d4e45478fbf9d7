"""Tempo and metre: what may be, and what texts say of them."""

from __future__ import annotations

import random

import pytest

from solfa.data.composer.attributes import sample_attributes
from solfa.data.composer.prompt import plain_prompt
from solfa.lm.conditioners.grid import Grid, grid_in, grid_of, metre_in, tempo_in


@pytest.mark.parametrize(
    ("text", "tempo", "beats", "division"),
    [
        ("lively waltz for solo piano in G major, 140 bpm", 140, 3, 2),
        ("solo flute, 6/8, D minor, 90 bpm, calm folk tune", 90, 2, 3),
        ("a march at about 95 beats per minute", 95, 4, 2),
        ("It runs at 100 BPM. In 3/4 time.", 100, 3, 2),
        ("a slow waltz. bpm: 90. metre: 4/4. key: G major", 90, 4, 2),
        ("nylon-string guitar and piano duo, 6/8 time in C major, tempo 96", 96, 2, 3),
        ("the tempo is around 72 beats a minute", 72, 4, 2),
        ("tempo: 66.5, three-four time", 66.5, 3, 2),
        ("128bpm techno, common time", 128, 4, 2),
        ("12/8 blues, 60 bpm, 16 bars", 60, 4, 3),
        ("an uneven 7/8, 100 bpm", 200, 7, 2),  # of eighths
        ("2/2, 80 bpm", 80, 4, 2),  # of quarters
        ("in triple time, 80 bpm, then 120 bpm", 80, 3, 2),
        ("on 24/12 I wrote a minuet, 110 bpm", 110, 3, 2),
    ],
)
def test_what_a_text_says(text: str, tempo: float, beats: int, division: int) -> None:
    assert grid_of(text) == Grid(tempo, beats, division)


@pytest.mark.parametrize(
    "text", ["", "slow waltz in 3/4", "5000 bpm", "10 bpm", "401 bpm", "a tempo", "1920s jazz, up-tempo", "0.5 bpm"]
)
def test_a_text_without_a_tempo_has_no_grid(text: str) -> None:
    assert grid_of(text) is None


def test_what_is_asked_for_stands_for_what_a_text_says() -> None:
    assert grid_of("waltz, 90 bpm", 120) == Grid(120, 3)
    assert grid_of("waltz, 90 bpm", metre="6/8") == Grid(90, 2, 3)
    assert grid_of("a song", 120, "5/4") == Grid(120, 5)
    assert grid_of("a song", metre="5/4") is None
    for words, more in (("tempo is 500", {"bpm": 500}), ("tempo is nan", {"bpm": float("nan")}), ("metre is '3'", {"metre": "3"}),
                        ("metre is '0/4'", {"metre": "0/4"}), ("metre is '3/5'", {"metre": "3/5"}), ("beats is 99", {"metre": "99/4"}),
                        ("tempo is 401", {"bpm": 401, "metre": "7/8"})):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            grid_of("a song", **more)  # type: ignore[arg-type]


def test_what_composed_prompts_say_is_found() -> None:
    """Every plain prompt of the composer, in all its genres and metres, says its own tempo and metre."""
    for seed in range(300):
        drawn = sample_attributes(random.Random(seed)).to_dict()
        if (text := plain_prompt(drawn)) is None:
            continue
        assert tempo_in(text) == drawn["tempo"] and metre_in(text) == "/".join(map(str, drawn["metre"])), text
        assert grid_of(text) == grid_in(drawn["tempo"], metre_in(text) or "")


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("tempo is 19.9: beats a minute, 20 to 400", {"tempo": 19.9}),
        ("tempo is 400.1", {"tempo": 400.1}),
        ("tempo is nan", {"tempo": float("nan")}),
        ("beats is 0: beats in a bar, 1 to 16", {"beats": 0}),
        ("beats is 17", {"beats": 17}),
        ("beats is 3.5", {"beats": 3.5}),
        ("division is 4", {"division": 4}),
        ("first is inf", {"first": float("inf")}),
        ("first is nan", {"first": float("nan")}),
    ],
)
def test_what_cannot_be(words: str, fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=words):
        Grid(**({"tempo": 120} | fields))  # type: ignore[arg-type]
