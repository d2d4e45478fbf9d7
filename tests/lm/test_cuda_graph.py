"""The whole step with buffers of fixed shapes gives what `generate` gives; recorded as a CUDA graph too, where there is a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from solfa.lm import cuda_graph
from solfa.lm.conditioners.grid import Grid
from solfa.lm.cuda_graph import GraphWriter, StaticWriter
from solfa.lm.fast import fast_lm
from solfa.lm.generate import Writing, generate
from solfa.lm.guidance import conditions_for, select
from solfa.lm.model import Conditions, TokenLM
from solfa.lm.patterns import NOTHING, PatternConfig, coarse_first, delay, flatten, parallel
from solfa.lm.sampling import SamplingOptions
from solfa.lm.serve import Batch

Make = Callable[..., TokenLM]
PLAIN = SamplingOptions(guidance=1)


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


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[StaticWriter]:
    """What was written with fixed shapes: here on a CPU, in torch, as a GPU's graph would be."""
    made: list[StaticWriter] = []

    class Taken(StaticWriter):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            made.append(self)

    monkeypatch.setattr("solfa.nn.decoding.library", lambda: None)
    monkeypatch.setattr(cuda_graph, "LEAST", 8)
    monkeypatch.setitem(cuda_graph.FORMS, "cpu", Taken)
    return made


@pytest.mark.parametrize("beat", [False, True])
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("pattern", [delay(3), flatten(3)])
def test_generate_takes_it_by_itself(
    make_lm: Make, monkeypatch: pytest.MonkeyPatch, taken: list[StaticWriter], pattern: PatternConfig, fast: bool, beat: bool
) -> None:  # fmt: skip
    model: Any = make_lm(pattern, beat=beat, summary=beat)
    model = fast_lm(model) if fast else model
    told = conditions_for(model, ["a", "bc d"], beat=[Grid(140, 3), None] if beat else None)
    done: list[tuple[int, int]] = []
    codes = generate(model, told, 23, seeds=[3, 4], progress=lambda *said: done.append(said))
    pieces = list(Writing(model, told, 23, [3, 4]))
    assert len(taken) == 2 and done == [(5, 23), (10, 23), (15, 23), (20, 23), (23, 23)]  # a tenth of a second each
    assert torch.equal(torch.cat([piece.codes for piece in pieces], 2), codes)
    monkeypatch.delitem(cuda_graph.FORMS, "cpu")
    assert torch.equal(generate(model, told, 23, seeds=[3, 4]), codes) and len(taken) == 2


def test_what_is_written_step_by_step_as_before(make_lm: Make, taken: list[StaticWriter]) -> None:
    """Known codes, windows, rows of several lengths, patterns in stages, heads one after the other, melodies, and what serves many."""
    model = make_lm(delay(3), crop=12)
    told = conditions_for(model, ["a", "bc d"])
    known = torch.randint(0, 32, (2, 3, 4))
    generate(model, told, 9, seeds=[3, 4], known=known)
    generate(model, told, 13, seeds=[3, 4])
    generate(model, told, [9, 8], seeds=[3, 4])
    list(Writing(model, told, 9, [3, 4], judge_from=5))
    staged, deep = make_lm(coarse_first(3)), make_lm(parallel(3), depth=True)
    generate(staged, conditions_for(staged, ["a"]), 9, seeds=[3])
    generate(deep, conditions_for(deep, ["a"]), 9, seeds=[3])
    generate(model, replace(select(told, [0, 1]), prefix=torch.zeros(2, 2, 16)), 9, seeds=[3, 4], options=PLAIN)
    batch = Batch(fast_lm(model))
    batch.join(select(told, [0]), 9, seeds=[3], options=PLAIN)
    while len(batch):
        batch.step()
    assert taken == []
    generate(model, told, 9, seeds=[3, 4], known=known[:, :, :0])
    assert len(taken) == 1


def test_elsewhere_than_on_a_gpu_no_graph_is_taken(make_lm: Make) -> None:
    model = make_lm(delay(3))
    assert cuda_graph.static_writer(model, Conditions(), 9, [3], PLAIN, 1) is None
    assert list(cuda_graph.FORMS.items()) == [("cuda", GraphWriter)]


def test_the_compiled_kernels_are_no_torch(make_lm: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fast_lm(make_lm(delay(3)))
    if model.transformer is not None:
        pytest.skip("no kernels here")
    monkeypatch.setitem(cuda_graph.FORMS, "cpu", StaticWriter)
    assert cuda_graph.static_writer(model, Conditions(), 9, [3], PLAIN, 1) is None


def test_where_no_graph_can_be_recorded_steps_are_taken_and_it_is_said(
    make_lm: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(GraphWriter):
        def _warm_up(self, heard: int) -> None:
            self.step(heard)  # which draws, and goes on
            raise RuntimeError("out of memory")

    monkeypatch.setattr(cuda_graph, "LEAST", 8)
    model = make_lm(delay(3))
    told = conditions_for(model, ["a"])
    writer = Broken(model, told, 11, [3], ways=2)
    with pytest.warns(RuntimeWarning, match="no CUDA graph of a step, each is started anew: out of memory") as said:
        assert all(whole <= 11 for whole in writer.written())
    assert len(said) == 2  # 8 places, and 16
    assert torch.equal(StaticWriter.read(writer, 0, 11), generate(model, told, 11, seeds=[3]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_recorded_as_played(make_lm: Make) -> None:
    model = make_lm(delay(3)).cuda()
    conditions = conditions_for(model, ["a", "b"])
    expected = StaticWriter(model, conditions, 20, [3, 4], ways=2).write()
    assert torch.equal(GraphWriter(model, conditions, 20, [3, 4], ways=2).write(), expected)
