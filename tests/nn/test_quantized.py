"""Packed matrices: what they stand for, their products in the compiled kernels and in torch, and their forms in memory."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.nn import quantized
from solfa.nn.decoding import PackedLinear, TorchLinear, compiled_for
from solfa.nn.kernels import threads
from solfa.nn.quantized import (
    GROUP,
    PRECISIONS,
    Precision,
    QuantizedLinear,
    checked_precision,
    pack,
    torch_has,
    unpack,
)

needs_compiler = pytest.mark.skipif(not compiled_for(torch.zeros(1)), reason="no C compiler here")
sizes = st.integers(1, 150)


def matrix(outputs: int, inputs: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(outputs, inputs, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(outputs=sizes, inputs=sizes, precision=st.sampled_from(PRECISIONS))
def test_unpacked_is_close(outputs: int, inputs: int, precision: Precision) -> None:
    """Within half a step of each weight: of int8 1/127 of the row's largest, of int4 1/8 of the group's, and at its other end one."""
    weight = matrix(outputs, inputs)
    packed = pack(weight, precision)
    found = unpack(packed)
    assert found.shape == weight.shape
    groups = torch.nn.functional.pad(weight, (0, -inputs % GROUP)).unflatten(1, (-1, GROUP)).abs().amax(2)
    steps = {
        "float32": torch.zeros(1),
        "bfloat16": weight.abs() / 128,
        "int8": weight.abs().amax(1, keepdim=True) / 127,
        "int4": groups.repeat_interleave(GROUP, 1)[:, :inputs]
        / 8
        * 2.05,  # 2: 8 is beyond the end; 0.05: bfloat16 scales
    }
    assert ((found - weight).abs() <= steps[precision] / 2 + 1e-7).all()


@needs_compiler
@settings(max_examples=40, deadline=None)
@given(
    outputs=sizes,
    inputs=sizes,
    rows=st.integers(1, 9),
    precision=st.sampled_from(PRECISIONS),
    team=st.integers(1, 3),
)
def test_products_are_those_of_the_unpacked_matrix(
    outputs: int, inputs: int, rows: int, precision: Precision, team: int
) -> None:
    """With inputs rounded in groups for whole numbers. A value on the edge between two whole numbers may go either way: one step of it."""
    linear, x = PackedLinear(matrix(outputs, inputs), precision), matrix(rows, inputs, 1)
    before = torch.get_num_threads()
    torch.set_num_threads(team)
    try:
        y = linear(x)
    finally:
        torch.set_num_threads(before)
    given = rounded_rows(x) if precision in ("int8", "int4") else x
    expected = given.double() @ unpack(linear.matrix).double().T
    edge = 0.05 if precision in ("int8", "int4") else 1e-4
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=edge)
    assert (y.double() - expected).abs().median() < 1e-5
    assert all(torch.equal(linear(row[None])[0], found) for row, found in zip(x, y, strict=True))


def rounded_rows(x: torch.Tensor) -> torch.Tensor:
    """What the kernels make of inputs [..., inputs] for int8 and int4 matrices: rounded to eight bits in groups of 64."""
    groups = torch.nn.functional.pad(x, (0, -x.shape[-1] % GROUP)).unflatten(-1, (-1, GROUP))
    scale = groups.abs().amax(-1, keepdim=True) / 127
    return ((groups / scale.masked_fill(scale == 0, 1)).round() * scale).flatten(-2)[..., : x.shape[-1]]


@needs_compiler
@pytest.mark.parametrize("precision", PRECISIONS)
def test_zeros_and_very_different_sizes(precision: Precision) -> None:
    weight = matrix(32, 128)
    weight[3] = 0
    linear = PackedLinear(weight, precision)
    assert torch.equal(linear(torch.zeros(2, 128)), torch.zeros(2, 32))
    x = matrix(1, 128, 2)
    assert float(linear(x)[0, 3]) == 0
    x[0, 0] = 1000.0  # one large value: the other group of 64 keeps its precision
    error = linear(x) - x @ unpack(linear.matrix).T
    small = x.clone()
    small[0, :64] = 0
    assert error.abs().max() < 40 and (linear(small) - small @ unpack(linear.matrix).T).abs().max() < 0.1


@needs_compiler
def test_without_openmp_python_threads_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    linear, x = PackedLinear(matrix(70, 64), "int8"), matrix(3, 64, 1)
    expected = linear(x)
    monkeypatch.setattr(threads, "openmp", lambda: None)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert all(torch.equal(linear(x), expected) for _ in range(20))
    finally:
        torch.set_num_threads(before)


def test_no_python_thread_is_in_a_kernel_when_it_ends() -> None:
    """They have met, but one may still be on its way out, with the memory that the caller is about to let go."""
    crew, inside = threads.Crew(), [True] * 3

    def kernel(call: int, thread: int, team: int) -> None:
        inside[thread] = True
        if thread:
            time.sleep(0.02 * thread)  # the way out
        inside[thread] = False

    for call in range(2):
        crew.run(kernel, (call,), 3)
        assert inside == [False] * 3


def test_a_call_that_was_interrupted_does_not_end_the_next_too_soon() -> None:
    crew, gate, left = threads.Crew(), threading.Event(), []

    def interrupted(thread: int, team: int) -> None:
        if not thread:
            raise KeyboardInterrupt

    def kernel(thread: int, team: int) -> None:
        if thread:
            gate.wait(5)
            left.append(thread)
        else:
            threading.Timer(0.05, gate.set).start()

    with pytest.raises(KeyboardInterrupt):
        crew.run(interrupted, (), 2)
    crew.run(kernel, (), 2)
    assert left == [1]


@needs_compiler
def test_more_rows_than_are_done_at_a_time() -> None:
    linear, x = PackedLinear(matrix(20, 64), "float32"), matrix(150, 64, 1).view(3, 50, 64)
    torch.testing.assert_close(linear(x), x @ matrix(20, 64).T, rtol=0, atol=1e-4)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_torchs_products_have_the_same_weights(precision: Precision) -> None:
    if not torch_has(precision):
        pytest.skip("this torch has none")
    weight, x = matrix(48, 192), matrix(3, 192, 1)
    expected = x @ unpack(pack(weight, precision)).T
    torch.testing.assert_close(QuantizedLinear(weight, precision)(x), expected, rtol=0, atol=1e-4)
    # through bfloat16: 8 bits of inputs and result, sums of size 14
    torch.testing.assert_close(TorchLinear(weight, precision)(x[None])[0], expected, rtol=0.02, atol=0.3)


def test_what_torch_cannot_do_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="needs multiples of 16 and 64"):
        QuantizedLinear(matrix(16, 65), "int4")
    torch_has.cache_clear()
    monkeypatch.setattr(torch, "_weight_int8pack_mm", lambda x, w, s: 2 * (x @ w.float().T) * s)
    assert not torch_has("int8")  # it is there, but wrong
    torch_has.cache_clear()
    monkeypatch.delattr(torch, "_weight_int8pack_mm")
    assert not torch_has("int8")
    torch_has.cache_clear()


def test_forms_in_memory() -> None:
    weight = matrix(32, 128)
    assert pack(weight, "float32").data.data_ptr() == weight.data_ptr()
    half = weight.to(torch.bfloat16)
    assert pack(half, "bfloat16").data.data_ptr() == half.data_ptr()
    assert pack(weight, "int8").size == 32 * 128 + 4 * 32
    assert pack(weight, "int4").size == 32 * 128 // 2 + 2 * 32 * 2
    assert pack(matrix(300, 64), "int8").data.shape == (19, 16, 16, 4)  # more outputs than are packed at a time
    assert torch.equal(unpack(pack(matrix(300, 64), "int8"))[256:], unpack(pack(matrix(300, 64)[256:], "int8")))


def test_precisions() -> None:
    with pytest.raises(ValueError, match="precision is 'fp8': it must be one of float32, bfloat16, int8, int4"):
        checked_precision("fp8")
    assert quantized.PRECISIONS == ("float32", "bfloat16", "int8", "int4")
