"""A model's inference form writes what the model writes."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from solfa.lm.conditioners.text import ByteTextConfig
from solfa.lm.fast import FastState, fast_lm, join
from solfa.lm.generate import generate
from solfa.lm.guidance import conditions_for
from solfa.lm.lora import LoRALinear
from solfa.lm.model import Conditions, LMConfig, TokenLM
from solfa.lm.patterns import delay, parallel
from solfa.nn.decoding import compiled_for
from solfa.nn.quantized import PRECISIONS
from solfa.nn.transformer import TransformerConfig

DEPTH = TransformerConfig(32, 2, 2, cross=False)
# Share of greedy codes that a random model must still write alike, given the true steps before: its logits are far closer to each other
# than a trained one's.
ALIKE = {"float32": 1.0, "bfloat16": 0.9, "int8": 0.8, "int4": 0.3}


def made(depth: TransformerConfig | None = None, width: int = 64) -> TokenLM:
    torch.manual_seed(0)
    pattern = parallel(3) if depth else delay(3)
    text = ByteTextConfig(16, 1, 2, 32)
    shape = TransformerConfig(width, 2, 2)
    return TokenLM(LMConfig("t", "c", 8000, 50.0, shape, 3, 40, pattern, depth=depth, text=text, crop_frames=40)).eval()


@pytest.fixture(params=["compiled", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr("solfa.nn.decoding.library", lambda: None)
    elif not compiled_for(torch.zeros(1)):
        pytest.skip("no C compiler here")
    return request.param


@pytest.mark.parametrize("depth", [None, DEPTH])
def test_float32_writes_the_same(backend: str, depth: TransformerConfig | None) -> None:
    model = made(depth)
    lm = fast_lm(model)
    expected, found = (
        generate(each, conditions_for(each, ["a", "longer text"]), 12, seeds=[1, 2]) for each in (model, lm)
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_logits_of_a_sequence(backend: str, precision: str) -> None:
    model, codes = made(), torch.randint(0, 40, (2, 3, 30))
    lm = fast_lm(model, precision)
    with torch.no_grad():
        conditions = model.describe(["abc", None])
        expected = model(codes, conditions).transpose(1, 2)[:, :, :, :]  # [B, S, K, N]
    hidden, _ = lm.advance(codes[:, :, :-1], lm.start(2, 29, lm.describe(["abc", None])))
    logits = torch.stack([lm.head.logits(row) for row in hidden])  # type: ignore[union-attr]
    alike = (logits.argmax(-1) == expected.argmax(-1)).float().mean()
    assert alike >= ALIKE[precision], float(alike)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_depth_heads_in_all_precisions(backend: str, precision: str) -> None:
    model = made(DEPTH)
    lm, hidden, seen = fast_lm(model, precision), torch.randn(2, 64), []

    def draw(logits: torch.Tensor, k: int | None) -> torch.Tensor:
        seen.append(logits)
        return torch.full((2,), 7)

    assert lm.head.write(hidden, draw).tolist() == [[7, 7, 7]] * 2
    with torch.no_grad():
        expected = model.head(hidden[:, None], torch.full((2, 3, 1), 7))[:, :, 0]
    error = (torch.stack(seen, 1) - expected).square().mean().sqrt() / expected.std()
    assert error < {"float32": 1e-5, "bfloat16": 0.02, "int8": 0.04, "int4": 0.3}[precision], float(error)


def test_a_prefix_is_read_first(backend: str) -> None:
    model = made()
    lm, codes = fast_lm(model), torch.randint(0, 40, (1, 3, 5))
    conditions = Conditions(prefix=torch.randn(1, 4, 64))
    with torch.no_grad():
        expected = model.hidden(codes, conditions)
    hidden, state = lm.advance(codes, lm.start(1, 5, conditions))
    torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-5)
    assert state.groups[0].position == 9


def test_states_join_and_part(backend: str) -> None:
    lm = fast_lm(made())
    codes = torch.randint(0, 40, (3, 3, 6))
    (alone, _) = lm.advance(codes[:1], lm.start(1, 6))
    one, two = lm.start(1, 6), lm.start(2, 8)
    _, one = lm.advance(codes[:1, :, :4], one)
    hidden, state = lm.advance(torch.cat([codes[:1, :, 4:], codes[1:, :, :2]]), join([one, two]))
    torch.testing.assert_close(hidden[:1], alone[:, 4:], rtol=0, atol=1e-5)
    assert [group.position for group in state.groups] == [6, 2]
    assert isinstance(FastState(state.groups[1:]), FastState)


def test_nothing_is_kept_that_is_not_needed() -> None:
    model = made()
    matrix = weakref.ref(model.transformer.blocks[0].qkv.weight)  # type: ignore[union-attr]
    lm = fast_lm(model, "int8")
    assert model.transformer is not None and lm.device.type == "cpu"
    del model
    gc.collect()
    assert matrix() is None
    assert lm.describe(["still reads"]).memory is not None


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="precision is 'half'"):
        fast_lm(made(), "half")
    model = made()
    block = model.transformer.blocks[0]
    block.qkv = LoRALinear.__new__(LoRALinear)
    torch.nn.Linear.__init__(block.qkv, 64, 192)
    with pytest.raises(ValueError, match=r"blocks\.0\.qkv has an adapter: merge it first"):
        fast_lm(model)
