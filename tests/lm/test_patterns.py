"""Patterns: the published numbers of steps, every code once, causality, the way there and back."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solfa.lm.patterns import (
    NOTHING,
    PatternConfig,
    coarse_first,
    delay,
    flatten,
    grouped,
    interleave,
    make_pattern,
    parallel,
    partial_delay,
    partial_flatten,
    separate,
    stereo,
    unrolled,
)

NAMED = {
    "delay": delay(4),
    "late delay": delay(4, (0, 2, 2, 5)),
    "partial delay": partial_delay(4),
    "parallel": parallel(4),
    "flatten": flatten(4),
    "partial flatten": partial_flatten(4),
    "partial flatten, delayed": partial_flatten(4, 3),
    "coarse first": coarse_first(4),
    "coarse first, delayed": coarse_first(4, (0, 1, 2)),
    "grouped": grouped(4),
    "stereo": stereo(delay(4)),
    "unrolled": unrolled((0, 0, 1, 2), (0, 0, 2, 1)),
}


@pytest.mark.parametrize(
    ("config", "steps"),
    [
        (delay(4), 1503),
        (partial_delay(4), 1501),
        (parallel(4), 1500),
        (flatten(4), 6000),
        (partial_flatten(4), 3000),
        (partial_flatten(4, 3), 3003),
        (coarse_first(4), 3000),
        (grouped(4), 6000),
        (stereo(delay(4)), 1503),
    ],
)
def test_published_numbers_of_steps(config, steps):
    assert make_pattern(config, 1500).steps == steps


def test_delayed_flattening_is_in_the_published_order():
    """T = 4, inner (0, 1, 1), delays (0, 3, 3): the late codebooks of a time come before the early one, which runs on empty."""
    table = make_pattern(unrolled((0, 1, 1), (0, 3, 3)), 4).table
    first, late = table[:, 0].tolist(), table[:, 1].tolist()
    assert first == [0, 1, 2, -1, 3, -1, -1, -1, -1, -1, -1][: len(first)]
    assert late == [-1, -1, -1, 0, -1, 1, -1, 2, -1, 3, -1][: len(late)]
    assert table[:, 2].tolist() == late and len(table) == 2 * 4 + 3


@st.composite
def configs(draw):
    books = draw(st.integers(1, 6))
    numbers = st.lists(st.integers(0, 3), min_size=books, max_size=books)
    return PatternConfig(tuple(sorted(draw(numbers))), tuple(draw(numbers)), tuple(draw(numbers)))


@given(st.one_of(st.sampled_from(list(NAMED.values())), configs()), st.integers(0, 9), st.integers(1, 3))
def test_every_code_is_written_once_and_comes_back(config, frames, batch):
    pattern = make_pattern(config, frames)
    for k in range(config.codebooks):
        written = pattern.table[:, k][pattern.table[:, k] >= 0]
        assert sorted(written.tolist()) == list(range(frames))
    codes = torch.randint(0, 50, (batch, config.codebooks, frames))
    sequence = pattern.build(codes, special=50)
    assert sequence.shape == (batch, config.codebooks, 1 + pattern.steps)
    assert (sequence[:, :, 0] == 50).all()
    assert torch.equal(sequence[:, :, 1:] != 50, pattern.mask.expand(batch, -1, -1))
    assert torch.equal(pattern.revert(sequence[:, :, 1:]), codes)
    logits = torch.nn.functional.one_hot(sequence[:, :, 1:], 51).float()
    assert torch.equal(pattern.revert(logits).argmax(-1), codes)


@given(st.sampled_from(list(NAMED.values())), st.integers(1, 9), st.data())
def test_a_frame_is_complete_when_it_says_so(config, frames, data):
    pattern = make_pattern(config, frames)
    codes = torch.randint(0, 50, (1, config.codebooks, frames))
    cut = data.draw(st.integers(0, pattern.steps))
    seen = pattern.revert(pattern.build(codes, 50)[:, :, 1 : 1 + cut])
    whole = int((pattern.complete <= cut).sum())
    assert torch.equal(seen[:, :, :whole], codes[:, :, :whole])
    if whole < frames:
        assert (seen[:, :, : whole + 1] == NOTHING).any()


@pytest.mark.parametrize("name", NAMED)
def test_frames_are_written_in_order_where_the_pattern_is_causal(name):
    """A longer piece begins with the same steps, so a prompt can be continued; coarse-first patterns are not so."""
    config = NAMED[name]
    short, long = make_pattern(config, 5), make_pattern(config, 9)
    until = int(short.places.amin(1).max()) + 1
    head = long.table[:until]
    same = torch.equal(torch.where(head < 5, head, NOTHING), short.table[:until])
    assert same == config.causal


def test_stereo_codes_interleave():
    left, right = torch.arange(12).view(1, 4, 3), torch.arange(12, 24).view(1, 4, 3)
    both = interleave(left, right)
    assert both[0, :, 0].tolist() == [0, 12, 3, 15, 6, 18, 9, 21]
    assert all(torch.equal(a, b) for a, b in zip(separate(both), (left, right), strict=True))
    assert stereo(delay(4)).delays == (0, 0, 1, 1, 2, 2, 3, 3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PatternConfig((0,), (0, 0), (0,)), "one a codebook"),
        (lambda: PatternConfig((1, 0), (0, 0), (0, 0)), "earlier stage"),
        (lambda: delay(2, (0, -1)), "between 0"),
        (lambda: grouped(4, 3), "must divide"),
        (lambda: interleave(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4)), "alike"),
        (lambda: separate(torch.zeros(1, 3, 2)), "even"),
        (lambda: make_pattern(delay(2), -1), "negative"),
        (lambda: make_pattern(delay(2), 4).build(torch.zeros(1, 2, 3), 9), "4 frames"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
