"""The whole step with buffers of fixed shapes gives what `generate` gives; recorded as a CUDA graph too, where there is a GPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from solfa.lm import cuda_graph
from solfa.lm.conditioners.grid import Grid
from solfa.lm.cuda_graph import GraphWriter, StaticWriter
from solfa.lm.generate import generate
from solfa.lm.guidance import conditions_for
from solfa.lm.model import Conditions, TokenLM
from solfa.lm.patterns import NOTHING, PatternConfig, delay, flatten, parallel
from solfa.lm.sampling import SamplingOptions

Make = Callable[..., TokenLM]


@pytest.mark.parametrize("pattern", [delay(3), parallel(3), flatten(3)])
@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
@pytest.mark.parametrize(
    "options", [SamplingOptions(top_k=20), SamplingOptions(top_p=0.8, guidance=1), SamplingOptions(temperature=0)]
)
def test_the_static_step_writes_what_generate_writes(
    make_lm: Make, monkeypatch: pytest.MonkeyPatch, pattern: PatternConfig, positions: str, options: SamplingOptions
) -> None:
    monkeypatch.setattr(cuda_graph, "LEAST", 8)  # several sizes of what is heard
    model = make_lm(pattern, positions=positions)
    conditions, ways = conditions_for(model, ["a", "bc d"], options), 1 if options.guidance == 1 else 2
    expected = generate(model, conditions, 11, seeds=[3, 4], options=options)
    assert torch.equal(StaticWriter(model, conditions, 11, [3, 4], options, ways=ways).write(), expected)


def test_beats_are_added(make_lm: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graph, "LEAST", 8)
    for crop in (24, 12):  # the table ends before what is added does, and after it
        model = make_lm(delay(3), beat=True, crop=crop)
        conditions = conditions_for(model, ["a", "bc d"], beat=[Grid(140, 3), None])
        expected = generate(model, conditions, 11, seeds=[3, 4])
        assert torch.equal(StaticWriter(model, conditions, 11, [3, 4], ways=2).write(), expected)
        other = generate(model, conditions_for(model, ["a", "bc d"]), 11, seeds=[3, 4])
        assert not torch.equal(other[0], expected[0]) and torch.equal(other[1], expected[1])


def test_known_codes_are_kept(make_lm: Make) -> None:
    model = make_lm(delay(3))
    conditions, known = conditions_for(model, ["a"]), torch.randint(0, 32, (1, 3, 4))
    known[0, 1, 2] = NOTHING
    codes = StaticWriter(model, conditions, 9, [3], known=known, ways=2).write()
    assert torch.equal(codes[:, :, :4].where(known != NOTHING, -torch.ones(())), known.float())
    assert codes.min() >= 0 and codes.max() < 32


def test_what_does_not_fit_in_one_graph(make_lm: Make) -> None:
    with pytest.raises(ValueError, match="one head matrix"):
        StaticWriter(make_lm(parallel(3), depth=True), Conditions(), 4, [1])
    with pytest.raises(ValueError, match="no prefix"):
        StaticWriter(make_lm(delay(3)), Conditions(prefix=torch.zeros(1, 2, 16)), 4, [1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_recorded_as_played(make_lm: Make) -> None:
    model = make_lm(delay(3)).cuda()
    conditions = conditions_for(model, ["a", "b"])
    expected = StaticWriter(model, conditions, 20, [3, 4], ways=2).write()
    assert torch.equal(GraphWriter(model, conditions, 20, [3, 4], ways=2).write(), expected)
