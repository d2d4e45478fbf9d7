"""Continuous batching: whoever joins and leaves, and when, each prompt gets the codes that it gets alone."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa.lm.fast import FastLM, fast_lm
from solfa.lm.generate import generate
from solfa.lm.guidance import conditions_for
from solfa.lm.model import TokenLM
from solfa.lm.patterns import NOTHING, PatternConfig, delay, flatten, parallel
from solfa.lm.sampling import SamplingOptions
from solfa.lm.serve import Batch

OPTIONS = SamplingOptions(top_k=20)
WINDOW = 12
Make = Callable[..., TokenLM]


@pytest.fixture(scope="module")
def lm(make_lm: Make) -> FastLM:
    return fast_lm(make_lm(delay(3), crop=WINDOW))


def alone(lm: FastLM, prompt: Prompt) -> Tensor:
    text, seed, frames, known = prompt
    return generate(
        lm, conditions_for(lm, [text], OPTIONS), frames, seeds=[seed], options=OPTIONS, known=beginning(known)
    )


def beginning(frames: int) -> Tensor | None:
    return torch.arange(3 * frames).view(1, 3, frames) % 32 if frames else None


Prompt = tuple[str | None, int, int, int]  # text, seed, frames, frames that are known
prompts = st.tuples(
    st.sampled_from(["a", "slow waltz", None]), st.integers(0, 99), st.integers(1, 30), st.integers(0, 9)
).map(lambda p: (*p[:3], min(p[3], p[2])))
# the step at which a prompt joins, and after how many it leaves
plans = st.lists(
    st.tuples(prompts, st.integers(0, 8), st.one_of(st.none(), st.integers(0, 20))), min_size=1, max_size=4
)


def served(lm: FastLM, plan: list[tuple[Prompt, int, int | None]]) -> list[Tensor]:
    """What each prompt got, in pieces put together."""
    batch, step, seated = Batch(lm), 0, {}
    got: list[list[Tensor]] = [[] for _ in plan]
    while len(batch) or any(joins >= step for _, joins, _ in plan):
        for number, ((text, seed, frames, known), joins, _) in enumerate(plan):
            if joins == step:
                conditions = conditions_for(lm, [text], OPTIONS)
                ticket = batch.join(conditions, frames, seeds=[seed], options=OPTIONS, known=beginning(known))
                seated[ticket] = number
        for ticket, piece in batch.step():
            assert piece.start == sum(part.shape[2] for part in got[seated[ticket]])
            got[seated[ticket]].append(piece.codes.clone())
        for ticket, number in list(seated.items()):
            leaves = plan[number][2]
            if leaves is not None and step == plan[number][1] + leaves and ticket in batch:
                codes = batch.leave(ticket)
                there = sum(part.shape[2] for part in got[number])
                assert torch.equal(codes[:, :, :there], torch.cat([codes[:, :, :0], *got[number]], 2))
                assert (codes[:, :, max(there, plan[number][0][3]) :] == NOTHING).all()
        step += 1
    return [torch.cat([torch.zeros(1, 3, 0, dtype=torch.int64), *parts], 2) for parts in got]


@settings(max_examples=15, deadline=None)
@given(plan=plans)
def test_each_prompt_gets_what_it_gets_alone(lm: FastLM, plan: list[tuple[Prompt, int, int | None]]) -> None:
    for (prompt, _, leaves), codes in zip(plan, served(lm, plan), strict=True):
        expected = alone(lm, prompt)
        assert leaves is not None or codes.shape == expected.shape
        assert torch.equal(codes, expected[:, :, : codes.shape[2]])


@pytest.mark.parametrize(
    ("pattern", "depth"),
    [(parallel(3), False), (flatten(3), False), (parallel(3), True)],
)
def test_other_patterns_and_the_depth_head(make_lm: Make, pattern: PatternConfig, depth: bool) -> None:
    lm = fast_lm(make_lm(pattern, depth=depth, crop=WINDOW))
    plan = [(("a", 1, 9, 0), 0, None), (("b c", 2, 5, 2), 2, None), ((None, 3, 14, 0), 3, None)]
    for (prompt, _, _), codes in zip(plan, served(lm, plan), strict=True):
        assert torch.equal(codes, alone(lm, prompt))


def test_the_model_is_asked_once_a_step(lm: FastLM, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    advance = FastLM.advance
    monkeypatch.setattr(FastLM, "advance", lambda self, c, s: (sizes.append(len(c)), advance(self, c, s))[1])
    batch = Batch(lm)
    for seed in range(3):
        batch.join(conditions_for(lm, ["x"], OPTIONS), 8, seeds=[seed], options=OPTIONS)
    batch.step()
    assert sizes == [2, 2, 2]  # each prompt's own beginning: the first column
    for _ in range(4):
        batch.step()
    assert sizes[3:] == [6] * 4


def test_in_torch_the_same(make_lm: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solfa.nn.decoding.library", lambda: None)
    lm = fast_lm(make_lm(delay(3), crop=WINDOW))
    plan = [(("a", 1, 9, 0), 0, None), (("b c", 2, 15, 2), 2, None)]
    for (prompt, _, _), codes in zip(plan, served(lm, plan), strict=True):
        assert torch.equal(codes, alone(lm, prompt))


def test_the_example_of_the_docs_writes_what_each_gets_alone(tmp_path: Path) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "models-lm.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n([^`]*Batch[^`]*)```", docs)
    (tmp_path / "example.py").write_text(example)
    found = runpy.run_path(str(tmp_path / "example.py"))
    lm, codes = found["lm"], found["codes"]
    prompts = ["slow waltz for piano", "march for flute", "waltz for violin"]
    assert len(codes) == 3 and not found["waiting"]
    for prompt, written in zip(prompts, codes, strict=True):
        assert torch.equal(written, generate(lm, conditions_for(lm, [prompt]), 50, seeds=[1]))


def test_what_is_not_legal(lm: FastLM) -> None:
    batch = Batch(lm, most=3)
    conditions = conditions_for(lm, ["x"], OPTIONS)
    ticket = batch.join(conditions, 4, seeds=[1], options=OPTIONS)
    with pytest.raises(ValueError, match="2 of 3 rows are taken"):
        batch.join(conditions, 4, seeds=[1], options=OPTIONS)
    batch.leave(ticket)
    assert len(batch) == 0 and batch.rows == 0 and batch.step() == []
    with pytest.raises(ValueError, match="no such prompt"):
        batch.leave(ticket)
    with pytest.raises(ValueError, match="at least one frame"):
        batch.join(conditions, 0, seeds=[1], options=OPTIONS)
    with pytest.raises(ValueError, match="most is 0"):
        Batch(lm, most=0)
