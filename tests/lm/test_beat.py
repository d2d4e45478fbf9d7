"""A beat that a model is told: its features, where they are added, and that every way of writing adds the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solfa import checkpoint
from solfa.lm.conditioners.beat import Beat, BeatConfig
from solfa.lm.conditioners.grid import Grid
from solfa.lm.fast import fast_lm, join
from solfa.lm.generate import generate
from solfa.lm.guidance import beats_of, conditions_for, later
from solfa.lm.infill import infill
from solfa.lm.model import Conditions, LMConfig, TokenLM, load_lm
from solfa.lm.patterns import coarse_first, delay, flatten, make_pattern, parallel, partial_flatten
from solfa.lm.sampling import SamplingOptions
from solfa.nn.transformer import TransformerConfig

Make = Callable[..., TokenLM]
Serve = Callable[..., list[torch.Tensor]]
GREEDY = SamplingOptions(temperature=0, guidance=2)
grids = st.builds(Grid, st.floats(20, 400), st.integers(1, 16), st.sampled_from([2, 3]), st.floats(-50, 50))


def features(grid: Grid | None, frames: torch.Tensor, rate: float = 50.0) -> torch.Tensor:
    return Beat(BeatConfig(), 4).features([grid], frames, rate)[0]


@given(grids, st.integers(0, 5000))
def test_a_later_piece_hears_the_same_beats(grid: Grid, frames: int) -> None:
    steps = torch.arange(20)
    torch.testing.assert_close(features(grid.after(frames / 50), steps), features(grid, steps + frames))


@given(grids, st.integers(-9, 9))
def test_beats_and_bars_come_again(grid: Grid, bars: int) -> None:
    """A downbeat sooner or later is the same grid; a beat sooner is another bar, but the same beat."""
    steps, beat = torch.arange(9), 60 / grid.tempo
    told = features(grid, steps)
    again = features(replace(grid, first=grid.first + bars * grid.beats * beat), steps)
    torch.testing.assert_close(again, told, atol=1e-4, rtol=0)
    shifted = features(grid.after(beat), steps)
    torch.testing.assert_close(shifted[:, :8], told[:, :8], atol=1e-4, rtol=0)
    assert grid.beats in (1, 3) or not torch.allclose(shifted[:, 8:14], told[:, 8:14], atol=1e-3)


def test_what_the_features_are() -> None:
    """120 beats a minute at 50 frames a second: a beat is 25 frames, a bar of 3/4 75; the phase is that of a frame's beginning."""
    told = features(Grid(120, 3, 2, 0.1), torch.arange(200))
    assert BeatConfig().features == told.shape[1] == 19
    for harmonic in (1, 2, 3, 4):
        turn = 2 * math.pi * (torch.arange(200).double() - 5) * harmonic / 25
        torch.testing.assert_close(told[:, harmonic - 1], turn.cos().float(), atol=1e-5, rtol=0)
        torch.testing.assert_close(told[:, 3 + harmonic], turn.sin().float(), atol=1e-5, rtol=0)
    downbeats = (told[:, :4] > 0.9999).all(1) & (told[:, 8:11] > 0.9999).all(1)
    assert downbeats.nonzero().flatten().tolist() == [5, 80, 155]
    assert told[:, 14:].unique(dim=0).tolist() == [[1, 0, 0, 0, 0]]
    kinds = [features(grid, torch.zeros(1))[0, 14:].tolist() for grid in (Grid(240), Grid(60, 2, 3), Grid(120, 5))]
    assert kinds == [[0, 1, 0, 0, 1], [0, 0, 1, 0, -1], [0, 0, 0, 1, 0]]
    assert not features(None, torch.arange(9)).any()
    assert BeatConfig(1, 2).features == 11
    with pytest.raises(ValueError, match="bar is 0: harmonics"):
        BeatConfig(bar=0)


@pytest.mark.parametrize(
    ("pattern", "newest"),
    [
        (delay(3), [0, 1, 2, 3, 4, 5]),  # two beyond the end: what codebooks 1 and 2 still write is of earlier frames
        (delay(2, (2, 2)), [0, 1, 2, 3]),
        (parallel(3), [0, 1, 2, 3]),
        (flatten(2), [0, 0, 1, 1, 2, 2, 3, 3]),
        (partial_flatten(3, 1), [0, 0, 1, 1, 2, 2, 3, 3, 4]),
        (coarse_first(2), [0, 1, 2, 3, 0, 1, 2, 3]),
    ],
)
def test_the_frame_of_each_step(pattern: object, newest: list[int]) -> None:
    assert make_pattern(pattern, 4).newest.tolist() == newest  # type: ignore[arg-type]


@torch.no_grad()
def test_a_column_says_what_is_written_from_it(make_lm: Make) -> None:
    """What is added to column s is heard by step s, which writes codebook 0 of frame s, and by those after it, and by none before."""
    model = make_lm(delay(3), beat=True)
    sequence = model.embed(torch.zeros(1, 3, 8, dtype=torch.int64))
    codes = torch.arange(24).view(1, 3, 8) % 32
    plain = model.hidden(codes)
    for column in range(8):
        added = torch.zeros_like(sequence)
        added[:, column, 0] = 1.0
        changed = (model.hidden(codes, Conditions(added=added)) - plain).abs().amax(-1)[0] > 1e-6
        assert changed.tolist() == [step >= column for step in range(8)]
    told = model.describe([None], beat=[Grid(120, first=0.1)]).added
    assert told is not None and told.shape == (1, 26, 16)  # crop_frames and what the delays add
    downbeat = model.beat(features(Grid(120), torch.zeros(1)))  # type: ignore[misc]
    torch.testing.assert_close(told[0, 5:6], downbeat)  # frame 5 begins at 0.1 s


@torch.no_grad()
def test_a_model_that_gets_a_beat_is_what_it_was() -> None:
    shape = LMConfig("t", "c", 8000, 50.0, TransformerConfig(16, 1, 2, cross=False), 3, 40, delay(3), crop_frames=40)
    torch.manual_seed(0)
    old = TokenLM(shape).eval()
    new = TokenLM(replace(shape, beat=BeatConfig())).eval()
    missing, unknown = new.load_state_dict(old.state_dict(), strict=False)
    assert missing == ["beat.project.weight"] and not unknown
    codes = torch.randint(0, 40, (2, 3, 9))
    assert torch.equal(new(codes, new.describe([None, None], beat=[Grid(90), None])), old(codes))
    assert new.describe([None], beat=[None]) == Conditions()


@pytest.mark.parametrize("depth", [False, True])
def test_all_forms_write_the_same(make_lm: Make, serve: Serve, depth: bool) -> None:
    """Rows with a beat and rows without in one batch, alone, in the fast form, and among others that came at another time."""
    model = make_lm(parallel(3) if depth else delay(3), depth=depth, beat=True, crop=12)
    lm, texts, beats = fast_lm(model), ["a", None, "a"], [Grid(150, 3, first=0.05), Grid(80, 2, 3), None]
    together = generate(model, conditions_for(model, texts, GREEDY, beat=beats), 12, seeds=[1, 2, 3], options=GREEDY)
    assert torch.equal(
        generate(lm, conditions_for(lm, texts, GREEDY, beat=beats), 12, seeds=[1, 2, 3], options=GREEDY), together
    )
    told = [conditions_for(lm, [text], GREEDY, beat=[grid]) for text, grid in zip(texts, beats, strict=True)]
    joined = serve(lm, told, 12, [1, 2, 3], GREEDY)
    for row, (text, grid) in enumerate(zip(texts, beats, strict=True)):
        alone = generate(model, conditions_for(model, [text], GREEDY, beat=[grid]), 12, seeds=[row + 1], options=GREEDY)
        assert torch.equal(alone[0], together[row])
        assert torch.equal(joined[row], together[row])
    assert not torch.equal(together[0], together[2]), "the beat is heard"


@torch.no_grad()
def test_states_with_and_without_a_beat_join(make_lm: Make) -> None:
    model = make_lm(delay(3), beat=True)
    lm, codes = fast_lm(model), torch.randint(0, 32, (2, 3, 9))
    told = model.describe([None], beat=[Grid(100)])
    expected = torch.cat([model.hidden(codes[:1], told), model.hidden(codes[1:])])
    first, one = lm.advance(codes[:1, :, :4], lm.start(1, 9, lm.describe([None], beat=[Grid(100)])))
    second, two = lm.advance(codes[1:, :, :4], lm.start(1, 9))
    rest, _ = lm.advance(codes[:, :, 4:], join([one, two]))
    torch.testing.assert_close(torch.cat([torch.cat([first, second]), rest], 1), expected, atol=1e-5, rtol=0)


def test_guidance_drops_the_beat_with_the_text(make_lm: Make) -> None:
    model = make_lm(delay(3), beat=True)
    told = conditions_for(model, ["a", "b"], GREEDY, beat=[Grid(100), None]).added
    assert told is not None and told.shape[0] == 4 and told[0].any() and not told[1:].any()
    assert conditions_for(model, ["a"], GREEDY, beat=[None]).added is None
    textless = make_lm(delay(3), text=False, beat=True)
    beats = conditions_for(textless, [None], GREEDY, beat=[Grid(100)])
    assert beats.memory is None and beats.added is not None and len(beats.added) == 2
    assert conditions_for(textless, [None], GREEDY, beat=[None]) == Conditions()
    assert generate(textless, beats, 5, seeds=[0], options=GREEDY).shape == (1, 3, 5)


def test_windows_and_gaps_hear_one_beat(make_lm: Make) -> None:
    """Each window is told the beat as it lies from its own first frame on; a gap is told it from the beginning of the left piece."""
    model, grid = make_lm(delay(3), beat=True, crop=10), [Grid(110, 3)]
    begins: list[int] = []

    def told(begin: int) -> Conditions:
        begins.append(begin)
        return conditions_for(model, ["x"], GREEDY, beat=later(grid, begin / 50))

    whole = generate(model, told, 16, seeds=[0], options=GREEDY, stride=6)
    first = generate(model, told(0), 10, seeds=[0], options=GREEDY)
    second = generate(model, told(6), 10, seeds=[0], options=GREEDY, known=first[:, :, 6:])
    assert begins == [0, 6, 0, 6] and torch.equal(whole, torch.cat([first, second[:, :, 4:]], 2))
    begins.clear()
    left, right = first[0].repeat(1, 3), second[0]
    filled = infill(model, told, left, right, 2, seeds=[0], options=GREEDY, judged=2)
    assert begins[0] == 30 - 6 and filled.codes.shape == (3, 42)
    known = torch.full((1, 3, 8), -1)
    known[0, :, :6] = left[:, 24:]
    assert torch.equal(generate(model, told(24), 8, seeds=[0], options=GREEDY, known=known)[0], filled.codes[:, 24:32])


def test_beats_of_prompts(make_lm: Make) -> None:
    config, texts = make_lm(delay(3), beat=True).config, ["waltz, 90 bpm", None, "slow"]
    assert beats_of(config, texts) == [Grid(90, 3), None, None]
    assert beats_of(replace(config, beat=None), texts) == [None] * 3
    assert beats_of(config, texts, Grid(50)) == [Grid(50)] * 3 and beats_of(config, texts, None) == [None] * 3
    assert beats_of(config, texts, [None, Grid(50), None]) == [None, Grid(50), None]
    with pytest.raises(ValueError, match="1 beats for 3 prompts"):
        beats_of(config, texts, [None])
    with pytest.raises(ValueError, match="beat is '90'"):
        beats_of(config, texts, "90")  # type: ignore[arg-type]


def test_what_does_not_fit_is_named(make_lm: Make) -> None:
    model = make_lm(delay(3))
    with pytest.raises(ValueError, match="tiny-lm hears no beat"):
        conditions_for(model, ["a"], beat=[Grid(100)])
    with pytest.raises(ValueError, match="2 beats for 1 texts"):
        conditions_for(model, ["a"], beat=[None, None])
    with pytest.raises(ValueError, match="2 rows of beat for 1 texts"):
        model.describe(["a"], beat=[None, None])
    with pytest.raises(ValueError, match="frame after frame"):
        replace(model.config, pattern=coarse_first(3), beat=BeatConfig())


def test_a_checkpoint_has_its_beat_and_older_ones_have_none(make_lm: Make, tmp_path: Path) -> None:
    model = make_lm(delay(3), beat=True)
    model.save(tmp_path / "new")
    again = load_lm(tmp_path / "new")
    assert again.config == model.config and again.beat is not None and model.beat is not None
    assert torch.equal(again.beat.project.weight, model.beat.project.weight)
    plain = make_lm(delay(3))
    written = asdict(plain.config)
    del written["beat"]
    checkpoint.save(tmp_path / "old", "lm", written, dict(plain.named_parameters()))
    assert load_lm(tmp_path / "old").config == plain.config
