import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from solfa.lm.sampling import (
    MAX_SEED,
    SamplingOptions,
    draw,
    generators,
    guided,
    keep_top_k,
    keep_top_p,
    probabilities,
    sample,
)

NAN, INF = float("nan"), float("inf")


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("options", [SamplingOptions(), SamplingOptions(0.7, 5), SamplingOptions(1.0, 0, 0.8)])
def test_a_row_draws_as_multinomial_does(options: SamplingOptions) -> None:
    x = logits(3, 4, 2048)
    own = generators([7, 1, 7])
    for step in range(20):
        got = sample(x + step, own, options)
        for row, seed in enumerate((7, 1, 7)):
            torch.manual_seed(seed)
            for _ in range(step + 1):
                want = torch.multinomial(probabilities(x[row] + step, options), 1)[:, 0]
            assert torch.equal(got[row], want)


def test_transformers_draws_the_same() -> None:
    from transformers import (
        ClassifierFreeGuidanceLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    options = SamplingOptions(temperature=0.9, top_k=40, top_p=0.85, guidance=2.5)
    x = logits(2 * 4, 2048)  # [2 * K, N]: with the condition, then without
    ids = torch.zeros(4, 1, dtype=torch.int64)
    torch.manual_seed(3)
    own = generators([3])
    for step in range(10):
        scores = ClassifierFreeGuidanceLogitsProcessor(options.guidance)(ids, x + step * x.flip(0))
        for warp in (TemperatureLogitsWarper(0.9), TopKLogitsWarper(40), TopPLogitsWarper(0.85)):
            scores = warp(ids, scores)
        want = torch.multinomial(scores.softmax(-1), 1)[:, 0]
        got = sample((x + step * x.flip(0)).view(2, 4, 2048), own, options, ways=2)
        assert torch.equal(got[0], want)


def test_greedy_draws_nothing() -> None:
    own = generators([0])
    before = own[0].get_state()
    x = logits(1, 4, 50)
    assert torch.equal(sample(x, own, SamplingOptions(temperature=0)), x.argmax(-1))
    assert torch.equal(own[0].get_state(), before)


def test_a_row_without_a_generator_leaves_the_others_alone() -> None:
    probs = logits(2, 4, 50).softmax(-1)
    (one,) = generators([5])
    got = draw(probs, [None, one])
    assert torch.equal(got[1], draw(probs[1:], generators([5]))[0])


def test_guidance() -> None:
    x = logits(3 * 2, 4, 8).half()
    both, other, null = x.float().chunk(3)
    torch.testing.assert_close(
        guided(x[:4], 2, SamplingOptions(guidance=3)), 3 * x[:2].float() - 2 * x[2:4].float(), atol=1e-4, rtol=1e-5
    )
    options = SamplingOptions(guidance=3, text_guidance=5)
    want = null + 3 * (other + 5 * (both - other) - null)
    torch.testing.assert_close(guided(x, 3, options), want)
    assert torch.equal(guided(x, 1, options), x.float())
    same = SamplingOptions(guidance=3, text_guidance=1)  # one for the text: the form for one condition
    torch.testing.assert_close(guided(x, 3, same), null + 3 * (both - null), atol=1e-4, rtol=1e-5)


def test_ties_with_the_kth_are_kept() -> None:
    x = torch.tensor([[5.0, 1.0, 3.0, 3.0, 3.0, 0.0]])
    assert torch.isfinite(keep_top_k(x, 2))[0].tolist() == [True, False, True, True, True, False]
    assert torch.equal(keep_top_k(x, 0), x) and torch.equal(keep_top_k(x, 99), x)


@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=12), st.floats(0.01, 0.99))
def test_top_p_keeps_the_fewest_that_are_enough(values: list[float], p: float) -> None:
    x = torch.tensor([values])
    probs = np.sort(torch.softmax(x.double(), -1)[0].numpy())[::-1]
    sums = np.cumsum(probs)
    if np.abs(sums - p).min() < 1e-5:
        return  # a question of rounding
    kept = torch.isfinite(keep_top_p(x, p))[0]
    assert int(kept.sum()) == int(np.searchsorted(sums, p)) + 1
    assert x[0][kept].min() >= x[0][~kept].max() if not kept.all() else True


def test_top_p_always_keeps_one() -> None:
    x = torch.tensor([[40.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.isfinite(keep_top_p(x, 1e-9)).sum(-1).tolist() == [1, 1]
    assert torch.equal(keep_top_p(x, 0), x) and torch.equal(keep_top_p(x, 1), x)


@pytest.mark.parametrize(
    ("name", "bad"),
    [(name, value) for name in ("temperature", "top_p", "guidance", "text_guidance") for value in (NAN, INF, -0.5, "1")]
    + [("temperature", 0.001), ("temperature", 101), ("top_p", 1.01), ("top_k", -1), ("top_k", 2.5), ("top_k", NAN)]
    + [("top_k", True), ("guidance", True), ("guidance", 101)],
)  # fmt: skip
def test_what_is_not_legal_is_named(name: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} is {bad}") as error:
        SamplingOptions(**{name: bad})
    assert "0" in str(error.value)  # the legal ones


@pytest.mark.parametrize("seed", [-1, 1.0, None, True, MAX_SEED + 1])
def test_seeds(seed: Any) -> None:
    with pytest.raises(ValueError, match="seed is"):
        generators([seed])
    assert len(generators([0, MAX_SEED])) == 2


@given(st.sampled_from([0.01, 0.5, 100.0]), st.sampled_from([0, 1, 3]), st.sampled_from([0.0, 1e-6, 0.5, 1.0]))
def test_probabilities_are_ones(temperature: float, k: int, p: float) -> None:
    x = torch.cat([logits(2, 9), torch.full((1, 9), 4.0), torch.tensor([[1e4] + [-1e4] * 8])])
    probs = probabilities(x, SamplingOptions(temperature, k, p))
    assert torch.isfinite(probs).all() and math.isclose(float(probs.sum(-1).min()), 1, abs_tol=1e-5)
    assert (sample(x[None], generators([0]), SamplingOptions(temperature, k, p)) < 9).all()


def test_numbers_of_any_kind_are_numbers() -> None:
    options = SamplingOptions(np.float32(0.5), np.int64(3), np.float64(0.5), np.float32(2), np.float32(3))  # type: ignore[arg-type]
    assert options == SamplingOptions(0.5, 3, 0.5, 2.0, 3.0)
    x = logits(2, 9)
    assert torch.equal(
        sample(x, generators([1]), options, 2), sample(x, generators([1]), SamplingOptions(0.5, 3, 0.5, 2), 2)
    )
