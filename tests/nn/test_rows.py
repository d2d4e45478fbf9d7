"""Products of rows, as the layers of the inference form take them: compiled and in torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from solfa.nn import kernels
from solfa.nn.rows import Product, TwoTaps


@pytest.fixture(params=[True, False], ids=["compiled", "torch"])
def maybe_compiled(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(kernels, "library", lambda: None)


def close(ours: Tensor, theirs: Tensor) -> bool:
    return bool((ours - theirs).abs().max() < 1e-5 * (1 + theirs.abs().max()))


@pytest.mark.parametrize("wide", [1, 2, 5, 40])
@torch.inference_mode()
def test_product(wide: int, maybe_compiled: None) -> None:
    torch.manual_seed(0)
    matrix, bias = torch.randn(30, wide), torch.randn(wide)
    x, more, beside = torch.randn(17, 2, 9), torch.randn(17, 12), torch.randn(17, wide)
    product, out = Product(matrix, bias), torch.empty(17, wide)
    exact = torch.cat([x.flatten(1), more], 1).double() @ matrix.double() + bias
    assert close(product(x, out, more), exact)
    assert close(product(x, out, more, beside), exact + beside)
    whole = Product(matrix[:18], bias)
    assert close(whole(x, out), x.flatten(1).double() @ matrix[:18].double() + bias)


@pytest.mark.parametrize("rows", [1, 2, 5, 30])
@pytest.mark.parametrize("wide", [2, 35])
@torch.inference_mode()
def test_two_taps(rows: int, wide: int, maybe_compiled: None) -> None:
    torch.manual_seed(0)
    first, second, bias, x = torch.randn(9, wide), torch.randn(9, wide), torch.randn(wide), torch.randn(rows + 1, 9)
    out = TwoTaps(first, second, bias)(x, torch.empty(rows, wide))
    assert close(out, x[:-1].double() @ first.double() + x[1:].double() @ second.double() + bias)
