"""Snake against its formula, at the places where the formula breaks, and its gradient."""

from __future__ import annotations

import pytest
import torch
from transformers.models.dac.modeling_dac import Snake1d

from solfa.nn.activations import ELU, Snake, activation, snake


def test_snake_is_its_formula():
    x = torch.randn(2, 3, 50, dtype=torch.float64)
    alpha = torch.tensor([0.3, 1.0, -2.0], dtype=torch.float64)[None, :, None]
    expected = x + torch.sin(alpha * x) ** 2 / alpha
    torch.testing.assert_close(snake(x, alpha), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(snake(x, alpha.requires_grad_()), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [0.0, -0.0, 1e-9, -1e-9, 1e-7, -1e-7, 1e-20, 1.0])
def test_snake_is_finite_near_alpha_zero_and_its_alpha_can_leave_zero(dtype, value):
    x = torch.linspace(-8, 8, 33, dtype=dtype).reshape(1, 1, -1).requires_grad_()
    alpha = torch.full((1, 1, 1), value, dtype=dtype, requires_grad=True)
    y = snake(x, alpha)
    y.sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all() and alpha.grad.isfinite().all()
    if abs(value) < 1:
        torch.testing.assert_close(y, x, rtol=0, atol=1e-2)
        # d/d alpha of sin(alpha x)^2 / alpha is x^2 at alpha = 0 (float16 cannot hold the squares of 1e-4 x)
        if dtype in (torch.float32, torch.float64) and value in (0.0, 1e-9, -1e-9):
            assert alpha.grad.item() == pytest.approx((x.detach() ** 2).sum().item(), rel=1e-3)


def test_snake_without_gradient_is_snake_with_it_and_leaves_its_input_alone():
    module = Snake(3)
    with torch.no_grad():
        module.alpha.uniform_(0.1, 3.0)
    x = torch.randn(2, 3, 40)
    kept = x.clone()
    with torch.no_grad():
        plain = module(x)
    assert torch.equal(x, kept)
    torch.testing.assert_close(plain, module(x), rtol=1e-6, atol=1e-6)


def test_snake_keeps_the_dtype_of_its_input_and_computes_in_the_wider():
    x = torch.randn(1, 4, 100) * 4
    low = Snake(4)(x.bfloat16())
    assert low.dtype == torch.bfloat16
    exact = Snake(4)(x.bfloat16().float())
    torch.testing.assert_close(low.float(), exact, rtol=2**-8, atol=1e-6)  # one rounding, of the result


def test_snake_is_that_of_dac_where_that_is_a_number():
    theirs, ours = Snake1d(7), Snake(7)
    alpha = torch.tensor([1.0, 0.1, 5.0, -0.7, 1e-3, -1e-9, 0.0])
    with torch.no_grad():
        theirs.alpha.copy_(alpha[None, :, None])
        ours.load_state_dict(theirs.state_dict())
        x = 3 * torch.randn(2, 7, 100)
        wanted, y = theirs(x), ours(x)
    torch.testing.assert_close(y[:, :5], wanted[:, :5], rtol=1e-5, atol=1e-6)
    assert not wanted[:, 5].isfinite().all()  # its alpha + 1e-9 is zero there
    torch.testing.assert_close(y[:, 5:], x[:, 5:])


def test_activation_names():
    assert isinstance(activation("elu", 3), ELU)
    assert activation("snake", 3).alpha.shape == (1, 3, 1)
    assert activation("elu", 3)(torch.tensor([[[-1.0, 0.0, 2.0]]])).tolist()[0][0] == pytest.approx([-0.632121, 0, 2])
    with pytest.raises(ValueError, match="elu, snake"):
        activation("relu", 3)
