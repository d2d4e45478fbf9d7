from collections.abc import Callable

import pytest
import torch

from solfa.lm.generate import generate
from solfa.lm.guidance import select
from solfa.lm.infill import infill
from solfa.lm.model import Conditions, TokenLM
from solfa.lm.patterns import coarse_first, delay, make_pattern, parallel
from solfa.lm.sampling import SamplingOptions

OPTIONS = SamplingOptions(top_k=20, guidance=2)


def heard(model: TokenLM, candidates: int) -> Conditions:
    with torch.no_grad():
        return select(model.describe(["piano", None]), [0] * candidates + [1] * candidates)


def codes_of(frames: int, seed: int) -> torch.Tensor:
    return torch.randint(32, (4, frames), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def judged(model: TokenLM, codes: torch.Tensor, start: int, stop: int) -> float:
    """log p of frames start to stop under the prompt, by one run over all."""
    pattern = make_pattern(model.config.pattern, codes.shape[1])
    alone = select(heard(model, 1), [0])
    logits = pattern.revert(model(pattern.build(codes[None], model.config.special), alone))
    return float(logits.log_softmax(-1).gather(-1, codes[None, ..., None])[0, :, start:stop].sum())


@pytest.mark.parametrize("kind", ["delay", "depth", "coarse first"])
def test_the_candidate_that_leads_to_the_right_piece(make_lm: Callable[..., TokenLM], kind: str) -> None:
    pattern = {"delay": delay(4), "depth": parallel(4), "coarse first": coarse_first(4)}[kind]
    model = make_lm(pattern, depth=kind == "depth", crop=20)
    left, right = codes_of(6, 1), codes_of(9, 2)
    found = infill(model, heard(model, 5), left, right, 5, seeds=range(5), options=OPTIONS, judged=9)
    assert found.codes.shape == (4, 20)
    assert torch.equal(found.codes[:, :6], left) and torch.equal(found.codes[:, 11:], right)
    assert len(set(found.likelihoods)) == 5 and max(found.likelihoods) == found.likelihoods[found.chosen]
    assert judged(model, found.codes, 11, 20) == pytest.approx(max(found.likelihoods), rel=1e-4)
    one = infill(model, heard(model, 1), left, right, 5, seeds=[found.chosen], options=OPTIONS, judged=9)
    assert torch.equal(one.codes, found.codes)  # a candidate is its seed


def test_long_pieces_and_long_gaps(make_lm: Callable[..., TokenLM]) -> None:
    model = make_lm(crop=12)
    left, right = codes_of(40, 1), codes_of(30, 2)
    for gap in (1, 3, 7, 30):
        found = infill(model, heard(model, 2), left, right, gap, seeds=[1, 2], options=OPTIONS, judged=4)
        assert found.codes.shape == (4, 70 + gap)
        assert torch.equal(found.codes[:, :40], left) and torch.equal(found.codes[:, 40 + gap :], right)
        assert all(-1e3 < value < 0 for value in found.likelihoods)


def test_the_gap_follows_the_left_piece(make_lm: Callable[..., TokenLM]) -> None:
    """Without a delay the right piece cannot be heard: a candidate is a continuation."""
    model = make_lm(parallel(4), crop=20)
    left, right = codes_of(6, 1), codes_of(4, 2)
    found = infill(model, heard(model, 1), left, right, 5, seeds=[3], options=OPTIONS)
    alone = generate(model, heard(model, 1), 11, seeds=[3], options=OPTIONS, known=left[None])
    assert torch.equal(found.codes[:, :11], alone[0])


def test_what_does_not_fit_is_named(make_lm: Callable[..., TokenLM]) -> None:
    model, some = make_lm(), codes_of(3, 0)
    for words, left, right, gap, frames in (
        ("left is", some[:, :0], some, 2, 1),
        ("right is", some, some[:2], 2, 1),
        ("gap is 0", some, some, 0, 1),
        ("judged is 0", some, some, 2, 0),
    ):
        with pytest.raises(ValueError, match=words):
            infill(model, heard(model, 1), left, right, gap, seeds=[0], judged=frames)
