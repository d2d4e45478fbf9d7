"""The decoder transformer: in steps as at once, from each of its forms; what the memory's mask and a memory of zeros do.

Tolerances. float32 forms differ by the order of sums: 1e-5 on outputs of size one (the last norm makes them so), some twenty times what is
seen. bfloat16 keeps 8 bits of each weight, 2^-8 relative at most: root mean square below 0.01. int8 rounds weights and inputs to 1/254 of
the largest in a group, about 1/80 of their spread: below 0.03. int4 has 16 values for a group's weights: below 0.25.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa.nn import decoding
from solfa.nn.decoding import Decoder, TorchDecoder, compiled_for, make_decoder
from solfa.nn.quantized import PRECISIONS, Precision
from solfa.nn.transformer import Memory, Transformer, TransformerConfig

WRONG = {"float32": 1e-6, "bfloat16": 0.01, "int8": 0.03, "int4": 0.25}  # root mean square
needs_compiler = pytest.mark.skipif(not compiled_for(torch.zeros(1)), reason="no C compiler here")


def made(width: int = 64, layers: int = 2, heads: int = 2, **more: object) -> Transformer:
    torch.manual_seed(0)
    transformer = Transformer(TransformerConfig(width, layers, heads, **more)).eval()  # type: ignore[arg-type]
    for weight in transformer.parameters():
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, 1, 0.3)
    return transformer.requires_grad_(False)


def heard(batch: int, width: int, seed: int = 0) -> Memory:
    """Of the first rows all is heard, of the last some; row 1, if there is one, is told nothing."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(batch, 7, dtype=torch.bool)
    mask[-1, 4:] = False
    values = torch.randn(batch, 7, width, generator=generator) * mask[..., None]
    if batch > 2:
        values[1] = 0
    return Memory(values, mask)


def steps(decoder: Decoder | TorchDecoder, x: Tensor, sizes: list[int], memory: Memory | None) -> Tensor:
    groups, parts = (decoder.start(len(x), x.shape[1], memory),), []
    for part in x.split(sizes, 1):
        y, groups = decoder.advance(part, groups)  # type: ignore[arg-type, assignment]
        parts.append(y)
    return torch.cat(parts, 1)


@settings(max_examples=20, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    batch=st.integers(1, 3),
    shape=st.sampled_from([(64, 2), (48, 4), (20, 2), (128, 1)]),
    rotary=st.booleans(),
    cross=st.booleans(),
    threads=st.sampled_from([1, 2, 3]),
)
def test_in_pieces_as_at_once(
    sizes: list[int], batch: int, shape: tuple[int, int], rotary: bool, cross: bool, threads: int
) -> None:
    width, heads = shape
    transformer = made(width, 2, heads, positions="rotary" if rotary else "sinusoidal", cross=cross)
    x, memory = torch.randn(batch, sum(sizes), width), heard(batch, width) if cross else None
    with torch.no_grad():
        expected = transformer(x, memory)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for form in (Decoder, TorchDecoder) if compiled_for(x) else (TorchDecoder,):
            y = steps(form(transformer, "float32"), x, sizes, memory)
            torch.testing.assert_close(y, expected, rtol=0, atol=1e-5)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("form", [pytest.param(Decoder, marks=needs_compiler), TorchDecoder])
def test_fewer_bits_are_close(form: type[Decoder | TorchDecoder], precision: Precision) -> None:
    transformer, x, memory = made(128), torch.randn(3, 20, 128), heard(3, 128)
    y = steps(form(transformer, precision), x, [5] + [1] * 15, memory)
    expected = transformer(x, memory)
    assert y.dtype == torch.float32
    error = (y - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert error < WRONG[precision], float(error)


@needs_compiler
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_row_has_the_same_bits_in_any_company(precision: Precision) -> None:
    """At places of its own, beside any number of others, in pieces of any size."""
    decoder, x = make_decoder(made(), precision), torch.randn(6, 9, 64)
    assert isinstance(decoder, Decoder)
    memory = heard(6, 64)

    def row(i: int) -> Memory:
        assert memory.mask is not None
        return Memory(memory.values[i : i + 1], memory.mask[i : i + 1])

    alone = [steps(decoder, x[i : i + 1], [1] * 9, row(i)) for i in range(6)]
    assert torch.equal(torch.cat(alone), steps(decoder, x, [4, 5], memory))
    groups = [decoder.start(1, 9, row(i)) for i in range(6)]
    ahead = [i % 4 for i in range(6)]  # steps that each has read before
    for i, count in enumerate(ahead):
        if count:
            _, (groups[i],) = decoder.advance(x[i : i + 1, :count], [groups[i]])
    for _ in range(5):
        y, after = decoder.advance(torch.stack([x[i, ahead[i]] for i in range(6)])[:, None], groups)
        assert all(torch.equal(y[i], alone[i][0, ahead[i] : ahead[i] + 1]) for i in range(6))
        groups, ahead = list(after), [place + 1 for place in ahead]


def test_groups_at_different_places_in_torch() -> None:
    transformer, x, memory = made(), torch.randn(3, 10, 64), heard(3, 64)
    assert memory.mask is not None
    expected = transformer(x, memory)
    first = transformer.start(1, 10, Memory(memory.values[:1], memory.mask[:1]))
    others = transformer.start(2, 10, Memory(memory.values[1:], memory.mask[1:]))
    _, first = transformer.advance(x[:1, :5], first)
    _, others = transformer.advance(x[1:, :2], others)
    y, (first, others) = transformer.advance_together(torch.cat([x[:1, 5:7], x[1:, 2:4]]), [first, others])
    assert (first.position, others.position) == (7, 4)
    torch.testing.assert_close(y[:1], expected[:1, 5:7], rtol=0, atol=1e-5)
    torch.testing.assert_close(y[1:], expected[1:, 2:4], rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", [pytest.param(Decoder, marks=needs_compiler), TorchDecoder])
def test_the_mask_hides_and_zeros_add_nothing(form: type[Decoder | TorchDecoder]) -> None:
    transformer, x = made(), torch.randn(3, 6, 64)
    memory = heard(3, 64)
    assert memory.mask is not None
    decoder = form(transformer, "float32")
    y = steps(decoder, x, [1] * 6, memory)
    other = Memory(torch.where(memory.mask[..., None], memory.values, torch.tensor(9.0)), memory.mask)
    assert torch.equal(y, steps(decoder, x, [1] * 6, other))
    without = steps(decoder, x, [1] * 6, None)
    assert torch.equal(y[1], without[1])  # told nothing: exactly as without a memory
    assert (y[0] - without[0]).abs().max() > 0.1 and (y[2] - without[2]).abs().max() > 0.1


def test_the_past_is_not_heard_from_ahead() -> None:
    """Causality of forward: what comes later has no gradient to what was before."""
    transformer = made().requires_grad_(True)
    x = torch.randn(1, 300, 64, requires_grad=True)  # more than a block of queries
    transformer(x)[0, 150].sum().backward()
    assert x.grad is not None
    assert (x.grad[0, 151:] == 0).all() and (x.grad[0, :151].abs().sum(1) > 0).all()


def test_gradients_through_blocks_of_queries_are_those_of_plain_attention() -> None:
    transformer, x, memory = made().double(), torch.randn(2, 150, 64, dtype=torch.float64), heard(2, 64)
    with torch.no_grad():
        expected = transformer(x, memory)  # torch's own attention
    torch.testing.assert_close(transformer(x.requires_grad_(), memory), expected, rtol=0, atol=1e-10)
    transformer.checkpointed = True
    torch.testing.assert_close(transformer.train()(x, memory), expected, rtol=0, atol=1e-10)


def test_no_more_steps_than_there_is_room_for() -> None:
    for decoder in (TorchDecoder(made(), "float32"), make_decoder(made(), "float32")):
        groups = (decoder.start(1, 3),)
        with pytest.raises(AssertionError, match="0 \\+ 4 of 3 steps"):
            decoder.advance(torch.randn(1, 4, 64), groups)  # type: ignore[arg-type]


def test_without_torchs_products_bfloat16_is_used_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "torch_has", lambda precision: False)
    with pytest.warns(RuntimeWarning, match="no product in int8: bfloat16 is used"):
        decoder = TorchDecoder(made(), "int8")
    assert decoder.precision == "bfloat16" and decoder.transformer.norm.weight.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="on cuda it must be float32 or bfloat16"):
        decoding.available("int4", torch.device("cuda"))


def test_weights_that_need_no_change_are_shared() -> None:
    transformer = made()
    shared = TorchDecoder(transformer, "float32").transformer.blocks[0].qkv.weight
    assert shared.data_ptr() == transformer.blocks[0].qkv.weight.data_ptr()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"width": 0}, "width is 0"),
        ({"heads": 3}, "even multiple of the heads"),
        ({"positions": "learned"}, "positions is 'learned'"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"hidden": -1}, "hidden is -1"),
    ],
)
def test_shapes_that_cannot_be(fields: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TransformerConfig(**{"width": 64, "layers": 1, "heads": 2, **fields})  # type: ignore[arg-type]
