"""The convolutions against sums written out by hand, their lengths, and what they look at."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.nn.conv import LSTM, Conv1d, ConvTranspose1d, pad_reflect
from solfa.nn.streaming import Span

shapes = st.tuples(
    st.integers(1, 5),  # stride
    st.integers(0, 6),  # kernel beyond the stride
    st.integers(1, 3),  # dilation
    st.booleans(),  # causal
    st.integers(1, 30),  # length
)


def reflected(x: list[float], index: int) -> float:
    if index < 0:
        index = -index
    return x[index] if index < len(x) else x[2 * (len(x) - 1) - index]


def convolved(x, weight, bias, stride, dilation, causal, reflect) -> list[float]:
    """The definition, one product at a time, for one channel."""
    kernel = (len(weight) - 1) * dilation + 1
    total = kernel - stride
    left = total if causal else total - total // 2
    out = []
    for frame in range(-(-len(x) // stride)):
        value = bias
        for tap, w in enumerate(weight):
            index = frame * stride - left + tap * dilation
            inside = 0 <= index < len(x)
            value += w * (x[index] if inside else reflected(x, index) if reflect else 0.0)
        out.append(value)
    return out


@settings(max_examples=60, deadline=None)
@given(shapes, st.booleans(), st.integers(0, 99))
def test_conv_is_its_definition(shape, reflect, seed):
    stride, beyond, dilation, causal, length = shape
    torch.manual_seed(seed)
    conv = Conv1d(
        1,
        1,
        stride + beyond,
        stride=stride,
        dilation=dilation,
        causal=causal,
        pad_mode="reflect" if reflect else "zero",
    ).double()
    length += conv.left + stride if reflect else 0  # reflection proper needs a signal longer than the pad
    x = torch.randn(1, 1, length, dtype=torch.float64)
    expected = convolved(
        x[0, 0].tolist(), conv.conv.weight[0, 0].tolist(), conv.conv.bias.item(), stride, dilation, causal, reflect
    )
    y = conv(x)
    assert y.shape == (1, 1, -(-length // stride))
    torch.testing.assert_close(y[0, 0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 99))
def test_transposed_conv_is_its_definition_and_gives_stride_samples_a_frame(shape, seed):
    stride, beyond, _, causal, length = shape
    torch.manual_seed(seed)
    conv = ConvTranspose1d(1, 1, stride + beyond, stride=stride, causal=causal).double()
    x = torch.randn(1, 1, length, dtype=torch.float64)
    left = 0 if causal else beyond - beyond // 2
    expected = [conv.conv.bias.item()] * (length * stride)
    for frame in range(length):
        for tap in range(stride + beyond):
            at = frame * stride + tap - left
            if 0 <= at < len(expected):
                expected[at] += (x[0, 0, frame] * conv.conv.weight[0, 0, tap]).item()
    torch.testing.assert_close(conv(x)[0, 0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("stride", "kernel"), [(5, 10), (4, 8), (3, 6), (2, 3)])
def test_a_symmetric_transposed_conv_is_that_of_torch_with_equal_padding(stride, kernel):
    conv = ConvTranspose1d(2, 3, kernel, stride=stride, symmetric=True).double()
    x = torch.randn(2, 2, 7, dtype=torch.float64)
    total = kernel - stride
    wanted = F.conv_transpose1d(x, conv.conv.weight, conv.conv.bias, stride, padding=-(-total // 2))
    y = conv(x)
    assert y.shape[-1] == 7 * stride - total % 2
    torch.testing.assert_close(y, wanted, rtol=0, atol=1e-12)
    inside = Span(0, 7)
    spanned = conv(x, inside)
    assert spanned.shape[-1] == 7 * stride and conv.span_after(inside) == Span(0, 7 * stride - total % 2)
    torch.testing.assert_close(spanned[..., : y.shape[-1]], y, rtol=0, atol=1e-12)


def test_reflect_padding_of_short_inputs_extends_with_zeros_first():
    x = torch.tensor([[[1.0, 2.0]]])
    # 1 2 | 0 0 extended, reflected 3 to the left: 0 0 2 [1 2 0 0], extension cut off: 0 0 2 1 2
    assert pad_reflect(x, 3, 0).tolist() == [[[0, 0, 2, 1, 2]]]
    assert pad_reflect(torch.tensor([[[1.0, 2.0, 3.0]]]), 2, 1).tolist() == [[[3, 2, 1, 2, 3, 2]]]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("stride", "kernel", "dilation"), [(1, 7, 1), (1, 3, 4), (5, 10, 1), (4, 9, 1), (1, 4, 1)])
def test_reach_is_what_the_gradient_says(causal, stride, kernel, dilation):
    conv = Conv1d(1, 1, kernel, stride=stride, dilation=dilation, causal=causal).double()
    x = torch.randn(1, 1, 40 * stride, dtype=torch.float64, requires_grad=True)
    conv(x)[0, 0, 20:22].sum().backward()
    touched = x.grad[0, 0].nonzero()[:, 0]
    assert conv.reach(20, 21) == (touched.min(), touched.max())


@pytest.mark.parametrize(("kernel", "causal", "last"), [(7, True, 6), (7, False, 3), (4, False, 2)])
def test_reach_counts_what_a_reflected_border_shows(kernel, causal, last):
    conv = Conv1d(1, 1, kernel, causal=causal, pad_mode="reflect").double()
    x = torch.randn(1, 1, 40, dtype=torch.float64, requires_grad=True)
    conv(x)[0, 0, 0].backward()
    assert x.grad[0, 0].nonzero().max() == last
    assert conv.reach(0, 0)[1] == last


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("stride", "kernel"), [(1, 7), (5, 10), (4, 9), (3, 3), (2, 7)])
def test_reach_of_the_transposed_conv_is_what_the_gradient_says(causal, stride, kernel):
    conv = ConvTranspose1d(1, 1, kernel, stride=stride, causal=causal).double()
    for low in range(20 * stride, 21 * stride):
        x = torch.randn(1, 1, 40, dtype=torch.float64, requires_grad=True)
        conv(x)[0, 0, low : low + 2].sum().backward()
        touched = x.grad[0, 0].nonzero()[:, 0]
        assert conv.reach(low, low + 1) == (touched.min(), touched.max())


@pytest.mark.parametrize("norm", ["none", "weight_norm"])
@pytest.mark.parametrize(("stride", "kernel", "dilation"), [(1, 7, 2), (5, 10, 1), (3, 3, 1), (1, 1, 1), (2, 9, 1)])
def test_streamed_layers_equal_the_whole(step_equals_batch, norm, stride, kernel, dilation):
    x = torch.randn(2, 3, 12 * stride, dtype=torch.float64)

    class Bare(torch.nn.Module):
        """A layer with the dtype and device of its start filled in."""

        def __init__(self, layer):
            super().__init__()
            self.layer, self.step = layer, layer.step

        def forward(self, x):
            return self.layer(x)

        def start(self, batch):
            return self.layer.start(batch, torch.device("cpu"), torch.float64)

    conv = Conv1d(3, 4, kernel, stride=stride, dilation=dilation, causal=True, norm=norm).double()
    step_equals_batch(Bare(conv), x, unit=stride)
    up = ConvTranspose1d(3, 4, kernel, stride=stride, causal=True, norm=norm).double()
    step_equals_batch(Bare(up), x)
    step_equals_batch(Bare(LSTM(3, 2).double()), x)


def test_time_group_norm_follows_the_convolution():
    conv = Conv1d(2, 4, 3, norm="time_group_norm")
    y = conv(torch.randn(3, 2, 50))
    torch.testing.assert_close(y.mean((1, 2)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var((1, 2), correction=0), torch.ones(3), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Conv1d(1, 1, 3, stride=4), "stride 4"),
        (lambda: ConvTranspose1d(1, 1, 3, stride=4), "stride 4"),
        (lambda: ConvTranspose1d(1, 1, 4, stride=2, causal=True, symmetric=True), "cannot be symmetric"),
        (lambda: Conv1d(1, 1, 3, pad_mode="wrap"), "zero, reflect"),
        (lambda: Conv1d(1, 1, 3, norm="batch"), "weight_norm"),
        (lambda: ConvTranspose1d(1, 1, 3, norm="batch"), "weight_norm"),
        (lambda: Conv1d(1, 1, 3).start(1, torch.device("cpu"), torch.float32), "causal"),
        (lambda: ConvTranspose1d(1, 1, 3).start(1, torch.device("cpu"), torch.float32), "causal"),
        (lambda: LSTM(2, 1).reach(0, 0), "LSTM"),
        (lambda: Conv1d(1, 1, 3, norm="time_group_norm").reach(0, 0), "whole signal"),
        (
            lambda: Conv1d(1, 1, 3, norm="time_group_norm", causal=True).start(1, torch.device("cpu"), torch.float32),
            "whole signal",
        ),
    ],
)
def test_errors_name_the_cause(make, word):
    with pytest.raises(ValueError, match=word):
        make()
