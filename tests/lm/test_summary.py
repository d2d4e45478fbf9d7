"""What a text says on the whole, added to every step: the same by every way of writing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from solfa.lm import cuda_graph
from solfa.lm.conditioners.grid import Grid
from solfa.lm.conditioners.summary import Summary
from solfa.lm.conditioners.text import T5TextConfig
from solfa.lm.cuda_graph import StaticWriter
from solfa.lm.fast import fast_lm
from solfa.lm.generate import generate
from solfa.lm.guidance import conditions_for
from solfa.lm.model import Conditions, TokenLM, load_lm
from solfa.lm.patterns import delay, parallel
from solfa.lm.sampling import SamplingOptions
from solfa.nn.transformer import Memory

Make = Callable[..., TokenLM]
Serve = Callable[..., list[torch.Tensor]]
GREEDY = SamplingOptions(temperature=0, guidance=2)


def test_padding_takes_no_part_and_nothing_told_is_nothing() -> None:
    layer = Summary(8)
    torch.nn.init.normal_(layer.project.weight)
    values, mask = torch.randn(3, 5, 8), torch.ones(3, 5, dtype=torch.bool)
    values[1, 2:], mask[1, 2:], values[2] = 0.0, False, 0.0
    found = layer(Memory(values, mask))
    assert found.shape == (3, 1, 8) and found[0].any() and not found[2].any()
    torch.testing.assert_close(found[1:2], layer(Memory(values[1:2, :2])))
    torch.testing.assert_close(found, layer(Memory(values * 100, mask)), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_model_that_gets_a_summary_is_what_it_was(make_lm: Make) -> None:
    old = make_lm(delay(3))
    new = TokenLM(replace(old.config, summary=True)).eval()
    missing, unknown = new.load_state_dict(old.state_dict(), strict=False)
    assert missing == ["summary.project.weight"] and not unknown
    codes = torch.randint(0, 32, (2, 3, 9))
    assert torch.equal(new(codes, new.describe(["a", None])), old(codes, old.describe(["a", None])))


@torch.no_grad()
def test_every_column_hears_it(make_lm: Make) -> None:
    model, codes = make_lm(delay(3), summary=True), torch.randint(0, 32, (1, 3, 40))  # longer than a crop
    told = model.describe(["a"])
    assert told.always is not None
    without = Conditions(told.memory)
    state, plain = model.start(1, 40, told), model.start(1, 40, without)
    for column in range(40):
        heard, state = model.advance(codes[:, :, column : column + 1], state)
        unheard, plain = model.advance(codes[:, :, column : column + 1], plain)
        assert (heard - unheard).abs().max() > 1e-4


@pytest.mark.parametrize("depth", [False, True])
def test_all_forms_write_the_same(make_lm: Make, serve: Serve, depth: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows with a text and without, with a beat and without; alone, in a batch, in the fast form, joined later, in static buffers."""
    model = make_lm(parallel(3) if depth else delay(3), depth=depth, beat=True, summary=True, crop=12)
    lm, texts, beats = fast_lm(model), ["ab", None, "c"], [Grid(150, 3), None, None]
    told = conditions_for(model, texts, GREEDY, beat=beats)
    together = generate(model, told, 12, seeds=[1, 2, 3], options=GREEDY)
    fast = generate(lm, conditions_for(lm, texts, GREEDY, beat=beats), 12, seeds=[1, 2, 3], options=GREEDY)
    assert torch.equal(fast, together)
    told_alone = [conditions_for(lm, [text], GREEDY, beat=[grid]) for text, grid in zip(texts, beats, strict=True)]
    joined = serve(lm, told_alone, 12, [1, 2, 3], GREEDY)
    for row, alone in enumerate(told_alone):
        assert torch.equal(generate(model, alone, 12, seeds=[row + 1], options=GREEDY)[0], together[row])
        assert torch.equal(joined[row], together[row])
    if not depth:
        monkeypatch.setattr(cuda_graph, "LEAST", 8)
        assert torch.equal(StaticWriter(model, told, 12, [1, 2, 3], GREEDY, ways=2).write(), together)


def test_it_is_kept_and_needs_a_text(make_lm: Make, tmp_path: Path) -> None:
    model = make_lm(delay(3), summary=True)
    model.save(tmp_path / "m")
    loaded = load_lm(tmp_path / "m")
    assert loaded.config.summary and torch.equal(loaded.summary.project.weight, model.summary.project.weight)  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="summary needs a text"):
        make_lm(delay(3), text=False, summary=True)
    with pytest.raises(ValueError, match="whose padding is not heard"):
        replace(model.config, text=T5TextConfig("t5-small", pad_attended=True))
