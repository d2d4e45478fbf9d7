"""Compiled kernels against torch in float64, and how they are found, refused and done without."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from solfa.nn import kernels
from solfa.nn.kernels import build as built

needs_compiler = pytest.mark.skipif(not kernels.compiled(), reason="no C compiler here")
sizes = st.integers(1, 70)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without a compiler."""
    monkeypatch.setattr(kernels, "library", lambda: None)


def rows(size: int, channels: int, seed: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(size, channels, generator=torch.Generator().manual_seed(seed))


def snake(x: Tensor, alpha: Tensor) -> Tensor:
    out = torch.empty_like(x)
    kernels.snake(x, alpha, alpha.reciprocal(), out)
    return out


def snake_reference(x: Tensor, alpha: Tensor) -> Tensor:
    # Of the product as float32 has it: one rounding of a large argument is a large step of the sine.
    return x.double() + (x * alpha).double().sin().square() * alpha.reciprocal().double()


@settings(max_examples=20, deadline=None)
@given(sizes, sizes, st.sampled_from([1e-6, 1.0, 100.0, 1e7]), st.integers(0, 9))
def test_snake_is_exact_near_and_far(size: int, channels: int, scale: float, seed: int) -> None:
    x, alpha = rows(size, channels, seed, scale), rows(1, channels, seed + 1, 1.0)[0].abs() + 0.3
    y, reference = snake(x, alpha), snake_reference(x, alpha)
    assert ((y - reference).abs() <= 2e-7 * (reference.abs() + alpha.reciprocal())).all()


def test_snake_and_elu_keep_what_is_not_finite() -> None:
    x = torch.tensor([[1.0, float("nan"), float("inf"), -float("inf")]]).repeat(1, 9)
    assert snake(x, torch.ones(36))[0, 1:].isfinite().sum() == 8  # the ones; sin(inf) is not a number
    out = torch.empty_like(x)
    kernels.elu(x, out)
    assert torch.equal(out[0, 2:4], torch.tensor([float("inf"), -1.0]))
    assert out[0, 1].isnan()


@settings(max_examples=20, deadline=None)
@given(sizes, sizes, st.sampled_from([1e-6, 1.0, 30.0]), st.integers(0, 9))
def test_elu(size: int, channels: int, scale: float, seed: int) -> None:
    x = rows(size, channels, seed, scale)
    out = torch.empty_like(x)
    kernels.elu(x, out)
    assert (out - F.elu(x.double())).abs().max() <= 1e-7 * max(1.0, scale)
    kernels.elu(x, x)
    assert torch.equal(out, x)


def test_activations_without_kernels(without: None) -> None:
    x, alpha = rows(40, 12, 0), rows(1, 12, 1, 1.0)[0].abs() + 0.3
    assert (snake(x, alpha) - snake_reference(x, alpha)).abs().max() < 3e-6
    out = torch.empty_like(x)
    kernels.elu(x, out)
    assert torch.equal(out, F.elu(x))
    kernels.elu(x, x)
    assert torch.equal(out, x)


@needs_compiler
@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(1, 3), st.integers(0, 9))
def test_fourier_convolution(inner: int, outer: int, dilation: int, groups: int, seed: int) -> None:
    tiles = groups * dilation
    x = rows(tiles * kernels.TILE + 6 * dilation, inner, seed, 1.0)
    weight, bias = (
        rows(outer, inner * 7, seed + 1, (7 * inner) ** -0.5).view(outer, inner, 7),
        rows(1, outer, seed + 2)[0],
    )
    scratch = torch.empty(kernels.fourier_scratch(tiles, inner)), torch.empty(kernels.fourier_scratch(tiles, outer))
    out = torch.empty(tiles * kernels.TILE, outer)
    kernels.fourier_conv(x, kernels.fourier_weights(weight), bias, tiles, dilation, scratch, out)
    reference = F.conv1d(x.double().T[None], weight.double(), bias.double(), dilation=dilation)[0].T
    assert (out - reference).abs().max() < 3e-6


@needs_compiler
def test_fourier_convolution_rounds_like_the_direct_one() -> None:
    x, weight = rows(906, 64, 0, 1.0), rows(64, 448, 1, 448**-0.5).view(64, 64, 7)
    scratch = tuple(torch.empty(kernels.fourier_scratch(90, 64)) for _ in range(2))
    out = torch.empty(900, 64)
    kernels.fourier_conv(x, kernels.fourier_weights(weight), torch.zeros(64), 90, 1, (scratch[0], scratch[1]), out)
    exact = F.conv1d(x.double().T[None], weight.double())[0].T
    direct = F.conv1d(x.T[None], weight)[0].T
    assert (out - exact).square().mean() < 4 * (direct - exact).square().mean()


@needs_compiler
@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 3),
    st.integers(1, 300),
    st.integers(1, 100),
    st.integers(0, 40),
    st.booleans(),
    st.booleans(),
)
def test_product(size: int, parts: int, width: int, wide: int, deep: int, adds: bool, overlap: bool) -> None:
    step = 1 if overlap else parts * width
    x = rows(1, size * step + parts * (width + 1), 0, 1.0)[0].as_strided((size, parts, width), (step, width + 1, 1))
    more = rows(size, deep, 1, 1.0) if deep else None
    beside = rows(size, wide + 3, 2, 1.0)[:, 1 : wide + 1] if adds else None
    matrix, bias = rows(parts * width + deep, wide, 3, 1.0), rows(1, wide, 4)[0]
    weights, padded = kernels.product_weights(matrix), F.pad(bias, (0, -wide % kernels.PANEL))
    room = torch.full((size + 1, wide + 2), 7.0)
    out = room[:size, :wide]
    kernels.product(x, weights, padded, out, more, beside)
    whole = torch.cat([x.flatten(1)] + ([] if more is None else [more]), 1).double()
    exact = whole @ matrix.double() + bias + (0 if beside is None else beside)
    assert (out - exact).abs().max() < 1e-6 * (10 + whole.shape[1])
    assert (room[size:] == 7).all() and (room[:, wide:] == 7).all()  # nothing else is written
    some = torch.empty(size - size // 2, wide)
    parts_of = [None if tensor is None else tensor[size // 2 :] for tensor in (more, beside)]
    kernels.product(x[size // 2 :], weights, padded, some, *parts_of)
    assert torch.equal(some, out[size // 2 :])  # a row does not depend on the others


@needs_compiler
@settings(max_examples=20, deadline=None)
@given(sizes, st.integers(1, 3), sizes)
def test_column(size: int, parts: int, width: int) -> None:
    x = rows(1, size + parts * (width + 1), 0, 1.0)[0].as_strided((size, parts, width), (1, width + 1, 1))
    weights, out = rows(1, parts * width, 1, 1.0)[0], torch.empty(size, 2)
    kernels.column(x, weights, 0.5, out[:, 1])
    assert (out[:, 1] - (x.flatten(1).double() @ weights.double() + 0.5)).abs().max() < 1e-6 * (10 + weights.numel())


@needs_compiler
@pytest.mark.parametrize("width", [16, 48, 128])
def test_lstm(width: int) -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(width, width)
    x, hidden, cell = 3 * torch.randn(30, width), torch.randn(width), torch.randn(width)
    with torch.no_grad():
        y, (h, c) = layer(x, (hidden[None], cell[None]))
        gates = torch.addmm(layer.bias_ih_l0 + layer.bias_hh_l0, x, layer.weight_ih_l0.T)
        ours = kernels.lstm(gates, kernels.lstm_weights(layer.weight_hh_l0), hidden, cell)
    for theirs, mine in ((y, ours), (h[0], hidden), (c[0], cell)):
        assert (theirs - mine).abs().max() < 2e-6


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SOLFA_KERNELS", raising=False)
    built.library.cache_clear()
    yield tmp_path
    built.library.cache_clear()


@needs_compiler
def test_compiled_once_and_private(cache: Path) -> None:
    path = built.cached()
    made = path.stat().st_mtime_ns
    assert built.cached() == path and path.stat().st_mtime_ns == made
    assert os.listdir(path.parent) == [path.name]
    assert path.parent.stat().st_mode & 0o077 == 0
    path.chmod(0o666)
    with pytest.raises(built.KernelError, match="somebody else"):
        built.cached()


def test_a_compiler_that_fails_is_said_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(built, "FLAGS", ("-no-such-flag",))
    monkeypatch.setattr(built, "_compiler", lambda: "/bin/false")
    with pytest.warns(UserWarning, match="no compiled kernels"):
        assert built.library() is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert built.library() is None


def test_no_compiler(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(built.shutil, "which", lambda name: None)
    with pytest.warns(UserWarning, match="no C compiler"):
        assert built.library() is None


def test_switched_off_without_a_word(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLFA_KERNELS", "off")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert built.library() is None
