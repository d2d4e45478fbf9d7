"""The inference form of a stack gives what the stack gives: whole, in windows, step by step, with compiled kernels and without."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solfa.nn import kernels
from solfa.nn.fast import FastChain, FastLSTM, fast
from solfa.nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from solfa.nn.streaming import Span

WIDE = SEANetConfig(
    n_filters=32,
    dimension=8,
    ratios=(3, 2),
    residual_kernel_size=7,
    n_residual_layers=2,
    dilation_base=3,
    compress=1,
    true_skip=True,
)  # wide enough for the Fourier form
DAC = replace(WIDE, activation="snake", causal=False, final_tanh=True, last_kernel_size=3)
ENCODEC = SEANetConfig(n_filters=16, dimension=8, ratios=(3, 2), pad_mode="reflect", lstm_layers=2)

configs = st.builds(
    SEANetConfig,
    channels=st.integers(1, 2),
    dimension=st.just(3),
    n_filters=st.sampled_from([2, 4]),
    ratios=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    kernel_size=st.integers(1, 7),
    last_kernel_size=st.integers(1, 7),
    residual_kernel_size=st.integers(1, 7),
    n_residual_layers=st.integers(0, 2),
    dilation_base=st.integers(1, 3),
    compress=st.integers(1, 2),
    true_skip=st.booleans(),
    norm=st.sampled_from(["none", "weight_norm"]),
    activation=st.sampled_from(["elu", "snake"]),
    causal=st.booleans(),
    pad_mode=st.sampled_from(["zero", "reflect"]),
    final_tanh=st.booleans(),
)


def close(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and bool((ours - theirs).abs().max() <= 1e-5 * (1 + theirs.abs().max()))


def signal(stack: SEANetEncoder | SEANetDecoder, frames: int, seed: int = 0, batch: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return torch.randn(batch, stack._in_channels, frames * stack._down)


@settings(max_examples=40, deadline=None)
@given(configs, st.booleans(), st.integers(1, 40), st.integers(0, 99))
def test_whole_and_in_windows(config: SEANetConfig, encodes: bool, frames: int, seed: int) -> None:
    torch.manual_seed(seed)
    stack = SEANetEncoder(config) if encodes else SEANetDecoder(config)
    x = signal(stack, frames, seed, batch=2)
    spans = (
        torch.randint(0, frames + 1, (2, 2), generator=torch.Generator().manual_seed(seed)).sort(1).values * stack._down
    )
    pairs = [(int(a), int(b)) for a, b in spans]
    with torch.no_grad():
        assert isinstance(fast(stack).layers, FastChain) and fast(stack).layers.rows
        assert close(fast(stack)(x), stack(x))
        assert close(fast(stack)(x, pairs), stack(x, pairs))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("config", [WIDE, DAC, ENCODEC], ids=["wide", "dac", "encodec"])
def test_with_kernels_and_without(config: SEANetConfig, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(kernels, "library", lambda: None)
    torch.manual_seed(0)
    for stack in (SEANetEncoder(config), SEANetDecoder(config)):
        for part, form in zip(stack.stages(), fast(stack).stages(), strict=True):
            if part.steps:
                continue
            x = torch.randn(1, channels(part), 400 * part.down)
            with torch.no_grad():
                for span in (
                    None,
                    Span(0, 400 * part.down),
                    Span(7 * part.down, 333 * part.down),
                    Span(0, 2 * part.down),
                ):
                    theirs, ours = part.layers(x, span), form.layers(x, span)
                    kept = (
                        slice(None)
                        if span is None
                        else slice(part.layers.span_after(span).start, part.layers.span_after(span).end)
                    )
                    assert close(ours[..., kept], theirs[..., kept])


def channels(part) -> int:  # type: ignore[no-untyped-def]
    """Of the input of a stage."""
    return next(layer.conv.in_channels for layer in part.layers.modules() if hasattr(layer, "kernel"))


def test_what_lies_outside_the_span_does_not_matter() -> None:
    torch.manual_seed(0)
    stack = SEANetEncoder(DAC)
    x = signal(stack, 300)
    spoiled = x.clone()
    spoiled[..., : 20 * stack.hop] = float("nan")
    spoiled[..., 200 * stack.hop :] = float("nan")
    with torch.no_grad():
        span = (20 * stack.hop, 200 * stack.hop)
        assert torch.equal(fast(stack)(x, span), fast(stack)(spoiled, span))


@pytest.mark.parametrize("compiled", [True, False])
def test_steps(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not compiled:
        monkeypatch.setattr(kernels, "library", lambda: None)
    torch.manual_seed(0)
    stack = SEANetEncoder(ENCODEC)
    x = signal(stack, 30, batch=2)
    form = fast(stack)
    assert any(isinstance(layer, FastLSTM) for layer in form.layers)
    with torch.no_grad():
        state = form.start(2)
        kept = state.map(torch.clone)
        first, after = form.step(x[..., : 12 * stack.hop], state)
        second, _ = form.step(x[..., 12 * stack.hop :], after, last=True)
        assert close(torch.cat([first, second], -1), stack(x))
        again, _ = form.step(x[..., : 12 * stack.hop], kept)
        assert torch.equal(first, again)  # a step does not change its state


def test_made_again_when_a_weight_changes_and_the_stack_itself_is_left_alone() -> None:
    torch.manual_seed(0)
    stack = SEANetEncoder(WIDE)
    names = list(stack.state_dict())
    x = signal(stack, 20)
    with torch.no_grad():
        before = fast(stack)
        assert fast(stack) is before
        stack.layers.get_submodule("0.conv").parametrizations.weight.original0.mul_(2.0)
        assert fast(stack) is not before
        assert close(fast(stack)(x), stack(x))
    assert list(stack.state_dict()) == names
    stack(x).sum().backward()  # it can still be trained
    assert all(weight.grad is not None for weight in stack.parameters())


@pytest.mark.parametrize("way", ["fused", "data", "new", "inference", "load", "sign"])
@pytest.mark.parametrize("norm", ["none", "weight_norm"])
def test_it_has_the_weights_of_now_however_they_were_changed(way: str, norm: str) -> None:
    """Most of these ways leave the version that a tensor counts as it is, and some its place in memory."""
    torch.manual_seed(0)
    stack = SEANetEncoder(replace(WIDE, norm=norm))
    x = signal(stack, 20)
    weights = list(stack.parameters())
    with torch.no_grad():
        before = fast(stack)(x)
    if way == "fused":
        optimizer = torch.optim.AdamW(weights, 1e-2, fused=True)
        stack(x).square().mean().backward()
        optimizer.step()
    elif way == "load":
        stack.load_state_dict({name: 1.1 * tensor for name, tensor in stack.state_dict().items()})
    elif way == "inference":
        with torch.inference_mode():
            weights[0].mul_(1.1)
    elif way == "sign":  # no sum of squares changes
        weights[0].data.neg_()
    else:
        for weight in weights:
            weight.data = 1.1 * weight if way == "new" else weight.data.mul_(1.1)
    with torch.no_grad():
        after = fast(stack)(x)
        assert close(after, stack(x)) and not close(after, before)


def test_gradients_and_other_precisions_take_the_plain_way() -> None:
    torch.manual_seed(0)
    stack = SEANetDecoder(DAC)
    z = signal(stack, 5).requires_grad_()
    fast(stack)(z).sum().backward()
    assert z.grad is not None
    double = stack.double()
    assert fast(double) is double


def test_a_norm_over_time_takes_the_plain_way() -> None:
    torch.manual_seed(0)
    stack = SEANetEncoder(replace(ENCODEC, norm="time_group_norm", causal=False))
    x = signal(stack, 20)
    with torch.no_grad():
        assert close(fast(stack)(x), stack(x))
