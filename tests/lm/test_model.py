"""The token language model: step by step as at once, deaf to what comes later, its conditions, its checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from solfa import checkpoint
from solfa.lm.conditioners.melody import MelodyConfig
from solfa.lm.conditioners.text import ByteTextConfig, T5TextConfig
from solfa.lm.guidance import conditions_for
from solfa.lm.model import Conditions, LMConfig, TokenLM, load_lm, with_weights
from solfa.lm.patterns import (
    PatternConfig,
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
from solfa.nn.transformer import Memory, TransformerConfig

BOOKS, SIZE, FRAMES = 4, 11, 4
PATTERNS = {
    "delay": delay(BOOKS),
    "late delay": delay(BOOKS, (0, 2, 2, 5)),
    "partial delay": partial_delay(BOOKS),
    "parallel": parallel(BOOKS),
    "flatten": flatten(BOOKS),
    "partial flatten": partial_flatten(BOOKS, 3),
    "coarse first": coarse_first(BOOKS, (0, 1, 2)),
    "grouped": grouped(BOOKS),
    "stereo": stereo(delay(BOOKS // 2)),
    "unrolled": unrolled((0, 0, 1, 2), (0, 0, 2, 1)),
    "depth": parallel(BOOKS),
}


def config(name: str = "delay", positions: str = "sinusoidal", **changes: object) -> LMConfig:
    pattern: PatternConfig = PATTERNS[name]
    shape = TransformerConfig(16, 2, 2, positions=positions)
    depth = TransformerConfig(8, 2, 2, positions=positions, cross=False) if name == "depth" else None
    made = LMConfig("tiny", "codec", 8000, 50.0, shape, BOOKS, SIZE, pattern, depth, text=ByteTextConfig(8, 1, 2, 8))
    return replace(made, **changes)


def model_of(shape: LMConfig) -> TokenLM:
    torch.manual_seed(0)
    model = TokenLM(shape).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.data.mul_(3)
    return model


def sequence_of(model: TokenLM, rows: int = 2, frames: int = FRAMES) -> Tensor:
    codes = torch.randint(0, SIZE, (rows, BOOKS, frames), generator=torch.Generator().manual_seed(1))
    return make_pattern(model.config.pattern, frames).build(codes, SIZE)


def stepped(model: TokenLM, sequence: Tensor, conditions: Conditions, pieces: list[int]) -> Tensor:
    """The logits of all steps, from columns read in pieces; with a depth head, codebook by codebook."""
    batch, _, columns = sequence.shape
    state, at, found = model.start(batch, columns - 1, conditions), 0, []
    for piece in pieces:
        hidden, state = model.advance(sequence[:, :, at : at + piece], state)
        for offset in range(piece):
            column, kept = at + offset + 1, []

            def draw(logits: Tensor, k: int | None, column: int = column, kept: list = kept) -> Tensor:
                kept.append(logits)
                written = sequence[:, :, column]
                return written if k is None else written[:, k]

            model.head.write(hidden[:, offset], draw)
            found.append(kept[0] if kept[0].ndim == 3 else torch.stack(kept, 1))
        at += piece
    assert at == columns - 1
    return torch.stack(found, 2)


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary"])
@pytest.mark.parametrize("name", PATTERNS)
@torch.no_grad()
def test_step_by_step_as_at_once(name: str, positions: str) -> None:
    model = model_of(config(name, positions))
    sequence = sequence_of(model)
    prefix = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(2))
    steps = sequence.shape[2] - 1
    added = torch.randn(
        2, steps - 2, 16, generator=torch.Generator().manual_seed(3)
    )  # nothing is added to the last two
    added[1] = 0
    told = replace(model.describe(["a text", None]), prefix=prefix, added=added)
    for conditions in (Conditions(), told):
        whole = model(sequence, conditions)
        assert whole.shape == (2, BOOKS, steps, SIZE) and whole.std() > 0.3
        for pieces in ([1] * steps, [3, 1, steps - 4]):
            torch.testing.assert_close(stepped(model, sequence, conditions, pieces), whole, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "positions"), [*((name, "sinusoidal") for name in PATTERNS), ("delay", "rotary"), ("depth", "rotary")]
)
def test_a_step_depends_on_what_is_before_it_and_on_nothing_else(name: str, positions: str) -> None:
    """The gradient of every step's logits to the embedding of every code: not zero exactly where the step may hear it."""
    model = model_of(config(name, positions))
    sequence = sequence_of(model, 1, frames=3)
    steps = sequence.shape[2] - 1
    apart = torch.nn.functional.embedding(sequence[:, :, :-1] + model.offsets, model.embedding.weight)  # [1, K, S, D]
    apart = apart.detach().requires_grad_()
    assert torch.equal(model.embed(sequence[:, :, :-1]), apart.sum(1))
    spoken: list[Tensor] = []
    model.embed = lambda ids: apart.sum(1)  # type: ignore[method-assign]
    if name == "depth":
        model.head.embedding.register_forward_hook(lambda *call: spoken.append(call[2]))
    logits = model(sequence)
    for step in range(steps):
        for k in range(BOOKS) if name == "depth" else [slice(None)]:
            goal = logits[0, k, step].square().sum()
            past, *now = torch.autograd.grad(goal, [apart, *spoken], retain_graph=True)
            columns = past[0].abs().sum(-1).gt(0)  # [K, S]: step s writes column s + 1
            assert columns[:, : step + 1].all() and not columns[:, step + 1 :].any()
            if now:  # the step's own codebooks before this one
                books = now[0][0].abs().sum(-1).gt(0)  # [S, K - 1]
                assert books[step, :k].all() and books.sum() == k


def test_what_a_prefix_and_a_memory_do() -> None:
    model = model_of(config())
    sequence = sequence_of(model, 1)
    generator = torch.Generator().manual_seed(3)
    prefix, values = torch.randn(1, 2, 16, generator=generator), torch.randn(1, 3, 16, generator=generator)
    found = [
        model(sequence, conditions)
        for conditions in (
            Conditions(),
            Conditions(prefix=prefix),
            Conditions(Memory(values)),
            Conditions(Memory(values), prefix),
            Conditions(Memory(values, torch.tensor([[True, True, False]]))),
        )
    ]
    assert all((a - b).abs().max() > 1e-3 for i, a in enumerate(found) for b in found[:i])
    assert torch.equal(model(sequence, Conditions(Memory(torch.zeros(1, 3, 16)))), found[0])


def test_describe() -> None:
    model = model_of(config(text=None))
    assert model.describe([None, ""]) == Conditions()
    with pytest.raises(ValueError, match="tiny reads no text"):
        model.describe(["a"])
    chroma = MelodyConfig(sample_rate=2000, n_fft=64, hop=32, frames=6)
    model = model_of(config(melody=chroma, fusion="prepend", transformer=TransformerConfig(16, 2, 2, cross=False)))
    sound = torch.randn(150)
    told = model.describe(["ab", None], melody=[(sound, 2000), None])
    assert told.memory is None and told.prefix.shape == (2, 6 + 3, 16)  # melody, then text: two bytes and an end
    null = model.melody.project.weight[:, 0] + model.melody.project.bias
    assert (told.prefix[1, :6] - null).abs().max() < 1e-6 and not told.prefix[1, 6:].any()
    assert model.describe([None, None]).prefix.shape == (2, 6 + 1, 16)
    with pytest.raises(ValueError, match="1 rows of melody for 2 texts"):
        model.describe(["ab", None], melody=[None])


@pytest.mark.parametrize("name", ["delay", "depth"])
def test_a_checkpoint_there_and_back(name: str, tmp_path: Path) -> None:
    model = model_of(config(name, "rotary"))
    model.save(tmp_path / "m", {"note": 1})
    again = load_lm(tmp_path / "m")
    assert again.config == model.config and not again.training
    assert torch.equal(
        again(sequence_of(model), again.describe(["a", None])), model(sequence_of(model), model.describe(["a", None]))
    )
    names = [name for name, _ in model.named_parameters()]
    assert [name for name, _ in again.named_parameters()] == names
    model.save(tmp_path / "half", dtype=torch.float16)
    assert {t.dtype for t in checkpoint.load(tmp_path / "half").tensors.values()} == {torch.float16}
    assert {weight.dtype for weight in load_lm(tmp_path / "half").parameters()} == {torch.float32}


def test_an_older_checkpoint_is_read(tmp_path: Path) -> None:
    """Of the time before fusion, melody and clap."""
    model = model_of(config())
    model.save(tmp_path / "m")
    found = checkpoint.load(tmp_path / "m")
    old = {name: value for name, value in found.config.items() if name not in ("fusion", "melody", "clap")}
    checkpoint.save(tmp_path / "old", "lm", old, found.tensors)
    assert load_lm(tmp_path / "old").config == model.config


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    shape = config()
    tensors = {name: weight.detach() for name, weight in model_of(shape).named_parameters()}
    for change, said in (
        ({"extra": torch.zeros(1)}, "here: 1 tensors .* extra the first"),
        ({"embedding.weight": torch.zeros(3, 16)}, r"1 tensors .* embedding.weight the first"),
        (
            {"transformer.norm.bias": torch.full((16,), float("inf"))},
            "tensor 'transformer.norm.bias' holds NaN or infinity",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            with_weights(shape, tensors | change, "here")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"config.json is missing"):
        load_lm(tmp_path / "none")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codebooks": 3}, "the pattern has 4 codebooks, the model 3"),
        ({"channels": 3}, "channels is 3"),
        ({"fusion": "sum"}, "fusion is 'sum'"),
        ({"transformer": TransformerConfig(16, 2, 2, cross=False)}, "could not be listened to"),
        ({"depth": TransformerConfig(8, 1, 2, cross=False)}, "depth needs a pattern"),
        ({"depth": TransformerConfig(8, 1, 2), "pattern": parallel(4)}, "depth.cross is True"),
    ],
)
def test_configurations_that_cannot_be(changes: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config(**changes)
    with pytest.raises(ValueError, match="longest is 0"):
        T5TextConfig("t5-base", longest=0)


def test_ids_of_no_code_are_refused() -> None:
    """All codebooks share one table: what is beyond one of them would be read as another's code."""
    model = model_of(config())
    pattern = make_pattern(PATTERNS["delay"], FRAMES)
    codes = torch.zeros(1, BOOKS, FRAMES, dtype=torch.int64)
    assert model(pattern.build(codes, SIZE)).isfinite().all()
    for wrong, book in ((SIZE + 1, 0), (-1, 2)):
        bad = codes.clone()
        bad[:, book, 1] = wrong
        with pytest.raises(ValueError, match=f"ids lie between .* 0 to {SIZE} are legal"):
            model(pattern.build(bad, SIZE))


def test_one_text_is_no_list_of_letters() -> None:
    model = model_of(config())
    for describe in (model.describe, lambda texts: conditions_for(model, texts)):
        with pytest.raises(ValueError, match="texts is 'hello': a list of texts is needed"):
            describe("hello")
