from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.lm.generate import Writing, context_frames, generate
from solfa.lm.guidance import select
from solfa.lm.model import Conditions, TokenLM
from solfa.lm.patterns import (
    NOTHING,
    coarse_first,
    delay,
    flatten,
    grouped,
    make_pattern,
    parallel,
    partial_delay,
    partial_flatten,
    stereo,
    unrolled,
)
from solfa.lm.sampling import SamplingOptions, probabilities

MakeLM = Callable[..., TokenLM]
PATTERNS = {
    "delay": delay(4),
    "any delay": delay(3, (0, 2, 5)),
    "partial delay": partial_delay(4),
    "parallel": parallel(4),
    "flatten": flatten(3),
    "partial flatten": partial_flatten(4, 2),
    "unrolled": unrolled((0, 1, 1), (0, 0, 3)),
    "coarse first": coarse_first(4),
    "coarse first, delayed": coarse_first(3, (0, 2)),
    "grouped": grouped(4),
    "stereo": stereo(delay(2)),
    "one codebook": delay(1),
}
GREEDY = SamplingOptions(temperature=0, guidance=1)
DRAWN = SamplingOptions(top_k=20, guidance=2)


def conditions(model: TokenLM, texts: Sequence[str | None], ways: int = 2) -> Conditions:
    if model.text is None:
        return Conditions()
    with torch.no_grad():
        return model.describe([*texts, *[None] * len(texts) * (ways - 1)])


def codes_of(model: TokenLM, frames: int, seed: int = 0) -> torch.Tensor:
    size = (1, model.config.codebooks, frames)
    return torch.randint(model.config.codebook_size, size, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def plain(
    model: TokenLM, heard: Conditions, frames: int, seed: int, options: SamplingOptions, prompt: torch.Tensor
) -> torch.Tensor:
    """One row by the definition: at each step the whole sequence goes through `forward`, and torch draws."""
    torch.manual_seed(seed)
    config = model.config
    staged = not config.pattern.causal
    pattern = make_pattern(config.pattern, config.crop_frames if staged else frames)
    codes = torch.full((1, config.codebooks, pattern.frames), NOTHING)
    codes[:, :, : prompt.shape[2]] = prompt
    begun = False
    for step, row in enumerate(pattern.table.tolist()):
        unknown = [k for k, frame in enumerate(row) if frame != NOTHING and codes[0, k, frame] == NOTHING]
        begun = begun or bool(unknown)
        if not begun:
            continue
        sequence = pattern.build(codes, config.special)[:, :, : step + 2]
        sequence = torch.where(sequence == NOTHING, config.special, sequence)
        ways = 1 if heard.memory is None else len(heard.memory.values)
        for k in range(config.codebooks) if config.depth else [None]:
            logits = model(sequence.expand(ways, -1, -1), heard)[:, :, -1]  # [ways, K, N]
            mixed = logits[0] if ways == 1 else logits[1] + (logits[0] - logits[1]) * options.guidance
            asked = range(config.codebooks) if k is None else [k]
            if options.temperature:
                drawn = torch.multinomial(probabilities(mixed, options)[list(asked)], 1)[:, 0]
            else:
                drawn = mixed[list(asked)].argmax(-1)
            for book, code in zip(asked, drawn, strict=True):
                if book in unknown:
                    codes[0, book, row[book]] = code
                    sequence[0, book, -1] = code
    return codes[:, :, :frames]


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("options", [GREEDY, DRAWN], ids=["greedy", "drawn"])
def test_every_pattern_writes_what_a_plain_loop_writes(make_lm: MakeLM, name: str, options: SamplingOptions) -> None:
    model = make_lm(PATTERNS[name], crop=9)
    heard = conditions(model, ["a slow waltz"], 1 if options is GREEDY else 2)
    prompt = codes_of(model, 3)
    got = generate(model, heard, 7, seeds=[5], options=options, known=prompt)
    assert torch.equal(got, plain(model, heard, 7, 5, options, prompt))
    assert torch.equal(got[:, :, :3], prompt) and got.min() >= 0


def test_depth_heads_write_what_a_plain_loop_writes(make_lm: MakeLM) -> None:
    model = make_lm(parallel(4), depth=True)
    heard, prompt = conditions(model, ["a slow waltz"]), codes_of(model, 2)
    for options in (SamplingOptions(temperature=0), DRAWN):
        got = generate(model, heard, 6, seeds=[5], options=options, known=prompt)
        assert torch.equal(got, plain(model, heard, 6, 5, options, prompt))


def test_a_row_is_what_it_is_alone(make_lm: MakeLM) -> None:
    texts = ["piano", "a very long description of music for flute and strings", None]
    for model in (make_lm(delay(4), crop=12), make_lm(parallel(3), depth=True, crop=12), make_lm(grouped(4), crop=12)):
        if not model.config.depth and model.config.pattern.causal:
            with torch.no_grad():
                model.embedding.weight *= (
                    4  # the end of a row must not be heard by others, nor what comes after it by itself
                )
        prompts = torch.full((3, model.config.codebooks, 5), NOTHING)
        prompts[0] = codes_of(model, 5)[0]
        prompts[1, :, :2] = codes_of(model, 2, seed=1)[0]
        lengths, seeds = [7, 30, 17], [3, 3, 9]  # one of them in one window, two in several
        together = generate(model, conditions(model, texts), lengths, seeds=seeds, options=DRAWN, known=prompts)
        assert together.shape[2] == 30
        for row, (text, length, seed) in enumerate(zip(texts, lengths, seeds, strict=True)):
            heard = conditions(model, [text])
            alone = generate(model, heard, length, seeds=[seed], options=DRAWN, known=prompts[row : row + 1])
            assert torch.equal(together[row, :, :length], alone[0]), row
            assert (together[row, :, length:] == NOTHING).all()


def test_seeds_texts_and_guidance_matter(make_lm: MakeLM) -> None:
    model = make_lm()
    first = generate(model, conditions(model, ["piano"]), 12, seeds=[0], options=DRAWN)
    others = [
        generate(model, conditions(model, ["piano"]), 12, seeds=[1], options=DRAWN),
        generate(model, conditions(model, ["violins"]), 12, seeds=[0], options=DRAWN),
        generate(model, conditions(model, ["piano"]), 12, seeds=[0], options=SamplingOptions(top_k=20, guidance=8)),
    ]
    assert all(not torch.equal(first, other) for other in others)
    unguided = SamplingOptions(top_k=20, guidance=1)
    both, one = (
        generate(model, conditions(model, ["piano"], ways), 12, seeds=[0], options=unguided) for ways in (2, 1)
    )
    assert torch.equal(both, one)


def test_two_conditions(make_lm: MakeLM) -> None:
    model = make_lm()
    heard = conditions(model, ["piano", "flute", None], 1)  # as if of text and melody, melody, nothing
    options = SamplingOptions(temperature=0, guidance=2, text_guidance=1)
    text = generate(model, select(heard, [0, 2]), 9, seeds=[0], options=SamplingOptions(temperature=0, guidance=2))
    assert torch.equal(generate(model, heard, 9, seeds=[0], options=options), text)  # b = 1: the form for one condition
    only = SamplingOptions(temperature=0, guidance=1, text_guidance=0)
    other = generate(model, select(heard, [1]), 9, seeds=[0], options=GREEDY)
    assert torch.equal(generate(model, heard, 9, seeds=[0], options=only), other)  # a = 1, b = 0: the other alone


@pytest.mark.parametrize("name", ["delay", "any delay", "partial flatten", "coarse first", "grouped"])
def test_pieces_are_whole_frames_in_order(make_lm: MakeLM, name: str) -> None:
    model = make_lm(PATTERNS[name], crop=10)
    writing = Writing(
        model, conditions(model, ["x", "y"]), [23, 8], [1, 2], DRAWN, codes_of(model, 3).expand(2, -1, -1)
    )
    place, seen = 0, []
    for piece in writing:
        assert piece.start == place and piece.codes.shape[2] > 0
        place += piece.codes.shape[2]
        seen.append(piece.codes.clone())
        assert (piece.codes[0] != NOTHING).all()
        if model.config.pattern.causal:
            assert (writing.codes[0, :, place + max(model.config.pattern.delays) + 1 : 23] == NOTHING).all()
    assert place == 23 and torch.equal(torch.cat(seen, 2), writing.codes)
    if model.config.pattern.causal:
        assert len(seen) > 15  # a frame at a time


def test_windows_keep_what_was_written(make_lm: MakeLM) -> None:
    """A window is a run of its own whose prompt is the end of the one before it."""
    model = make_lm(crop=10)
    heard = conditions(model, ["piano"])
    options = SamplingOptions(temperature=0)
    whole = generate(model, heard, 24, seeds=[0], options=options, stride=6)
    first = generate(model, heard, 10, seeds=[0], options=options)
    assert torch.equal(whole[:, :, :10], first)
    second = generate(model, heard, 10, seeds=[0], options=options, known=first[:, :, 6:])
    assert torch.equal(whole[:, :, 6:16], second)
    third = generate(model, heard, 10, seeds=[0], options=options, known=second[:, :, 6:])
    assert torch.equal(whole[:, :, 12:22], third)
    assert whole.shape[2] == 24 and whole.min() >= 0
    known = generate(model, heard, 24, seeds=[0], options=options, stride=6, known=whole[:, :, :21])
    assert torch.equal(known, whole)


def test_a_window_has_conditions_of_its_own(make_lm: MakeLM) -> None:
    model = make_lm(crop=10)
    options = SamplingOptions(temperature=0)
    whole = generate(
        model, lambda begin: conditions(model, [f"from {begin}"]), 16, seeds=[0], options=options, stride=6
    )
    first = generate(model, conditions(model, ["from 0"]), 10, seeds=[0], options=options)
    second = generate(model, conditions(model, ["from 6"]), 10, seeds=[0], options=options, known=first[:, :, 6:])
    assert torch.equal(whole, torch.cat([first, second[:, :, 4:]], 2))


@settings(max_examples=12)
@given(st.data())
def test_known_codes_are_never_overwritten(make_lm: MakeLM, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["delay", "partial flatten", "coarse first", "stereo"]))
    model = make_lm(PATTERNS[name], crop=8)
    frames = data.draw(st.integers(1, 20))
    given_ = data.draw(st.integers(0, frames))
    known = codes_of(model, given_, seed=given_)
    holes = torch.rand(known.shape, generator=torch.Generator().manual_seed(frames)) < 0.3
    known = known.masked_fill(holes, NOTHING)
    got = generate(model, conditions(model, ["x"]), frames, seeds=[1], options=DRAWN, known=known)
    assert got.shape == (1, model.config.codebooks, frames)
    assert got.min() >= 0 and got.max() < model.config.codebook_size
    assert torch.equal(got[:, :, :given_][~holes], known[~holes])


def test_likelihood_is_that_of_a_teacher(make_lm: MakeLM) -> None:
    for model in (make_lm(delay(4)), make_lm(parallel(4), depth=True), make_lm(coarse_first(4), crop=12)):
        heard = conditions(model, ["x"], 1)
        codes = codes_of(model, 12)
        known = codes.clone()
        known[:, :, 4:7] = NOTHING
        writing = Writing(model, heard, 12, [0], GREEDY, known, judge_from=7)
        list(writing)
        pattern = make_pattern(model.config.pattern, 12)
        with torch.no_grad():
            logits = model(pattern.build(writing.codes, model.config.special), heard)
        logp = pattern.revert(logits).log_softmax(-1).gather(-1, writing.codes[..., None])[..., 0]  # [1, K, T]
        torch.testing.assert_close(writing.likelihood, logp[:, :, 7:].sum((1, 2)), atol=1e-3, rtol=1e-4)


def test_likelihood_over_windows_counts_each_frame_once(make_lm: MakeLM) -> None:
    model = make_lm(parallel(4), crop=12)
    heard, known = conditions(model, ["x"], 1), codes_of(model, 18)
    known[:, :, 4] = NOTHING
    writing = Writing(model, heard, 18, [0], GREEDY, known, stride=6, judge_from=8)
    list(writing)
    want = 0.0
    for begin, first in ((0, 8), (6, 12)):
        codes = writing.codes[:, :, begin : begin + 12]
        with torch.no_grad():
            logits = model(make_pattern(model.config.pattern, 12).build(codes, model.config.special), heard)
        logp = logits.log_softmax(-1).gather(-1, codes[..., None])[..., 0]
        want += float(logp[:, :, first - begin :].sum())
    assert float(writing.likelihood) == pytest.approx(want, rel=1e-4)


def test_a_model_without_text(make_lm: MakeLM) -> None:
    model = make_lm(text=False)
    assert generate(model, Conditions(), 5, seeds=[0, 0, 1]).shape == (3, 4, 5)


def test_progress_and_context(make_lm: MakeLM) -> None:
    seen: list[tuple[int, int]] = []
    model = make_lm(crop=8)
    generate(model, conditions(model, ["x"]), 13, seeds=[0], progress=lambda done, all_: seen.append((done, all_)))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen}) and seen[-1] == (13, 13)
    assert [context_frames(10, 6, new) for new in (1, 4, 6, 7, 100)] == [9, 6, 4, 4, 4]


def test_what_does_not_fit_is_named(make_lm: MakeLM) -> None:
    model = make_lm(crop=8)
    two = conditions(model, ["x"])

    def refused(words: str, heard: Conditions = two, frames: Any = 5, seeds: Any = (0,), **more: Any) -> None:
        with pytest.raises(ValueError, match=words):
            generate(model, heard, frames, seeds=list(seeds), **more)

    refused("at least one frame", frames=0)
    refused("for 1 seeds", frames=[3, 4])
    refused("for 0 seeds", frames=[], seeds=[])
    refused("window is 9.*between 1 and the 8", window=9)
    refused("window is 0", window=0)
    refused("stride is 8.*between 1 and 7", stride=8)
    refused("stride is 0", stride=0)
    refused("seed is -1", seeds=[-1])
    refused("need 2 rows a seed", heard=conditions(model, ["x"], 1))
    refused("need 2 rows a seed", heard=conditions(model, ["x"], 3))
    refused("need 3 rows a seed", options=SamplingOptions(text_guidance=2))
    refused("text_guidance needs a melody", heard=Conditions(), options=SamplingOptions(text_guidance=2))
    refused("integers", known=torch.zeros(1, 4, 2))
    refused("by at most 5", known=torch.zeros(1, 4, 6, dtype=torch.int64))
    refused(r"integers \(1, 4\)", known=torch.zeros(1, 3, 2, dtype=torch.int64))
    refused("0 to 31 are legal", known=torch.full((1, 4, 2), 32))
    refused("0 to 31 are legal", known=torch.full((1, 4, 2), -2))


def test_frames_are_whole_numbers_of_any_kind(make_lm: MakeLM) -> None:
    model = make_lm(text=False)
    codes = generate(model, Conditions(), 5, seeds=[1], options=GREEDY)
    for frames in (np.int64(5), np.array([5]), torch.tensor([5]).numpy()):
        assert torch.equal(generate(model, Conditions(), frames, seeds=[1], options=GREEDY), codes)  # type: ignore[arg-type]
    for frames in (5.0, [5.5], "5", [0]):
        with pytest.raises(ValueError, match="frames is"):
            generate(model, Conditions(), frames, seeds=[1], options=GREEDY)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="known is ndarray: a tensor of codes is needed"):
        generate(model, Conditions(), 5, seeds=[1], options=GREEDY, known=codes.numpy())  # type: ignore[arg-type]
