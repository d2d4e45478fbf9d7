"""SEANet: the geometry of the published codecs, exact lengths, and exact chunks for every configuration."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.nn.seanet import SEANetConfig, SEANetDecoder, SEANetEncoder
from solfa.nn.streaming import Span

ENCODEC = SEANetConfig(lstm_layers=2, pad_mode="reflect")
DAC = SEANetConfig(
    n_filters=64,
    dimension=1024,
    ratios=(8, 8, 4, 2),
    residual_kernel_size=7,
    n_residual_layers=3,
    dilation_base=3,
    compress=1,
    true_skip=True,
    activation="snake",
    causal=False,
    final_tanh=True,
)
SMALL = SEANetConfig(n_filters=2, dimension=3, ratios=(5, 2), causal=False)

configs = st.builds(
    SEANetConfig,
    channels=st.integers(1, 2),
    dimension=st.just(3),
    n_filters=st.sampled_from([2, 3]),
    ratios=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    kernel_size=st.integers(1, 7),
    last_kernel_size=st.integers(1, 7),
    residual_kernel_size=st.integers(1, 4),
    n_residual_layers=st.integers(0, 2),
    dilation_base=st.integers(1, 3),
    compress=st.integers(1, 2),
    true_skip=st.booleans(),
    norm=st.sampled_from(["none", "weight_norm"]),
    activation=st.sampled_from(["elu", "snake"]),
    causal=st.booleans(),
    final_tanh=st.booleans(),
)


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def chunked(model, x: torch.Tensor, true: int, chunk: int, seed: int) -> torch.Tensor:
    """`model` on chunks of `chunk` frames with `context` frames either side, NaN beyond the true end `true`."""
    rng = random.Random(seed)
    unit, context = model._down, model.context
    frames = x.shape[-1] // unit
    outputs = []
    at = 0
    while at < frames:
        size = min(rng.randint(1, chunk), frames - at)
        before, after = context + rng.randint(0, 2), context + rng.randint(0, 2)
        window = torch.full((*x.shape[:2], (before + size + after) * unit), torch.nan, dtype=x.dtype)
        low, high = max(0, (at - before) * unit), min(true, (at + size + after) * unit)
        shift = (before - at) * unit
        window[..., low + shift : high + shift] = x[..., low:high]
        y = model(window, (low + shift, max(low, high) + shift))
        up = y.shape[-1] // (before + size + after)
        outputs.append(y[..., before * up : (before + size) * up])
        at += size
    return torch.cat(outputs, dim=-1)


def test_encodec_geometry():
    with torch.device("meta"):
        encoder, decoder = SEANetEncoder(ENCODEC), SEANetDecoder(ENCODEC)
    keys, more = encoder.state_dict(), decoder.state_dict()
    assert len(keys) + len(more) == 252 - 32 * 4  # all of the published file but the quantizer's
    widths = [keys[f"layers.{i}.conv.parametrizations.weight.original1"].shape for i in (0, 3, 6, 9, 12, 15)]
    assert widths == [(32, 1, 7), (64, 32, 4), (128, 64, 8), (256, 128, 10), (512, 256, 16), (128, 512, 7)]
    assert keys["layers.13.lstm.weight_ih_l1"].shape == (4 * 512, 512)
    assert keys["layers.1.block.1.conv.parametrizations.weight.original1"].shape == (16, 32, 3)
    assert keys["layers.1.block.3.conv.parametrizations.weight.original1"].shape == (32, 16, 1)
    assert keys["layers.1.shortcut.conv.parametrizations.weight.original1"].shape == (32, 32, 1)
    assert more["layers.1.lstm.weight_ih_l0"].shape == (4 * 512, 512)
    ups = [more[f"layers.{i}.conv.parametrizations.weight.original1"].shape for i in (0, 3, 6, 9, 12, 15)]
    assert ups == [(512, 128, 7), (512, 256, 16), (256, 128, 10), (128, 64, 8), (64, 32, 4), (1, 32, 7)]
    assert not any("shortcut" in key for key in SEANetEncoder(replace(SMALL, true_skip=True)).state_dict())


def test_dac_geometry():
    """Published: 22.3 M and 54.1 M parameters, receptive field 7978 samples, context of 8 and of 10 frames."""
    with torch.device("meta"):
        encoder, decoder = SEANetEncoder(replace(DAC, last_kernel_size=3)), SEANetDecoder(replace(DAC, n_filters=96))
    assert round(parameters(encoder) / 1e6, 1) == 22.3
    assert round(parameters(decoder) / 1e6, 1) == 54.1
    low, high = encoder.layers.reach(0, 0)
    assert high - low + 1 == 7978
    assert (encoder.context, decoder.context) == (8, 10)


@settings(max_examples=25, deadline=None)
@given(configs, st.sampled_from(["zero", "reflect"]), st.integers(0, 1), st.integers(1, 9))
def test_frames_and_samples_are_exact_for_every_ratio(config, pad_mode, lstm_layers, frames):
    config = replace(config, pad_mode=pad_mode, lstm_layers=lstm_layers)
    x = torch.randn(2, config.channels, frames * config.hop)
    z = SEANetEncoder(config)(x)
    assert z.shape == (2, 3, frames)
    assert SEANetDecoder(config)(z).shape == x.shape


@settings(max_examples=40, deadline=None)
@given(configs, st.integers(1, 60), st.integers(0, 99), st.integers(1, 12), st.booleans())
def test_chunks_equal_the_whole(config, frames, ragged, chunk, reflect):
    """Also with reflect padding, and where the true end lies inside a frame."""
    torch.manual_seed(ragged)
    config = replace(config, pad_mode="reflect" if reflect else "zero")
    encoder, decoder = SEANetEncoder(config).double(), SEANetDecoder(config).double()
    x = torch.randn(2, config.channels, frames * config.hop, dtype=torch.float64)
    true = frames * config.hop - ragged % config.hop
    with torch.no_grad():
        z = encoder(x, (0, true))
        torch.testing.assert_close(chunked(encoder, x, true, chunk, ragged), z, rtol=0, atol=1e-10)
        if true == x.shape[-1]:
            torch.testing.assert_close(encoder(x), z, rtol=0, atol=1e-10)
        torch.testing.assert_close(chunked(decoder, z, frames, chunk, ragged), decoder(z), rtol=0, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(2, 5), min_size=1, max_size=3).map(tuple),
    st.integers(0, 2),
    st.booleans(),
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_chunks_of_a_symmetric_decoder_equal_the_whole(ratios, residuals, snake, frames, chunk, seed):
    """Where every odd ratio ends the signal early, for one recording and for a batch of unequal lengths."""
    torch.manual_seed(seed)
    name = "snake" if snake else "elu"
    config = replace(SMALL, ratios=ratios, n_residual_layers=residuals, activation=name, symmetric=True)
    decoder = SEANetDecoder(config).double()
    z = torch.randn(2, 3, frames, dtype=torch.float64)
    longer = torch.cat([z, torch.full((2, 3, 5), torch.nan, dtype=torch.float64)], -1)
    with torch.no_grad():
        whole = decoder(z)
        assert whole.shape == (2, 1, frames * config.hop)
        torch.testing.assert_close(chunked(decoder, z, frames, chunk, seed), whole, rtol=0, atol=1e-10)
        shorter = 1 + seed % frames
        together = decoder(longer, [(0, frames), (0, shorter)])
        torch.testing.assert_close(together[:1, :, : whole.shape[-1]], whole[:1], rtol=0, atol=1e-10)
        part = decoder(z[1:, :, :shorter])
        torch.testing.assert_close(together[1:, :, : part.shape[-1]], part, rtol=0, atol=1e-10)
        assert not together[1, :, part.shape[-1] :].any()
        nothing = decoder(z, (shorter, shorter))
        assert nothing.shape == whole.shape and not nothing.any()


@settings(max_examples=30, deadline=None)
@given(configs, st.integers(1, 40), st.integers(0, 99), st.integers(1, 12), st.integers(0, 2), st.booleans())
def test_stages_in_chunks_and_steps_equal_the_whole(config, frames, ragged, chunk, lstm_layers, reflect):
    """Each stage with its own context, which for causal ones is on the left alone once a chunk is longer than the border."""
    torch.manual_seed(ragged)
    config = replace(config, pad_mode="reflect" if reflect else "zero", lstm_layers=lstm_layers)
    encoder, decoder = SEANetEncoder(config).double(), SEANetDecoder(config).double()
    true = frames * config.hop - ragged % config.hop
    x = torch.randn(1, config.channels, true, dtype=torch.float64)
    with torch.no_grad():
        z = encoder.layers(x)
        torch.testing.assert_close(staged(encoder, x, chunk), z, rtol=0, atol=1e-10)
        torch.testing.assert_close(staged(decoder, z, chunk), decoder.layers(z), rtol=0, atol=1e-10)
    if lstm_layers:
        assert [stage.steps for stage in encoder.stages()] == [False, True, False]
    assert math.prod(stage.down // stage.up for stage in encoder.stages()) == config.hop


def staged(model, x: torch.Tensor, chunk: int) -> torch.Tensor:
    for stage in model.stages():
        if stage.steps:
            parts, state = [], stage.layers.start(1, x.device, x.dtype)
            for piece in x.split(chunk, -1):
                y, state = stage.layers.step(piece, state)
                parts.append(y)
            x = torch.cat(parts, -1)
            continue
        left, right = stage.context(chunk)
        down, up = stage.down, stage.up
        if model.config.causal and chunk > 20:
            assert right == 0
        true, parts = x.shape[-1], []
        for at in range(0, -(-true // down), chunk):
            begin, end = (at - left) * down, (at + chunk + right) * down
            window = torch.full((*x.shape[:2], end - begin), torch.nan, dtype=x.dtype)
            low, high = max(0, begin), min(true, end)
            window[..., low - begin : high - begin] = x[..., low:high]
            y = stage.layers(window, Span(low - begin, high - begin))
            parts.append(y[..., left * up : (left + min(chunk, -(-true // down) - at)) * up])
        x = torch.cat(parts, -1)
    return x


def test_encodec_needs_little_context():
    """Before the LSTM two frames, after it six, all on the left; a chunk of seven covers what is reflected at the start."""
    with torch.device("meta"):
        encoder, decoder = SEANetEncoder(ENCODEC), SEANetDecoder(ENCODEC)
    assert [stage.context(7) for stage in encoder.stages() if not stage.steps] == [(2, 0), (6, 0)]
    assert [stage.context(7) for stage in decoder.stages() if not stage.steps] == [(6, 0), (2, 0)]
    assert encoder.stages()[2].context(4) == (6, 3)


def test_a_frame_less_of_context_is_not_enough():
    """The context is needed and not just safe (the alternative, a large number, costs speed)."""
    torch.manual_seed(0)
    config = replace(SMALL, n_residual_layers=2, dilation_base=3, residual_kernel_size=5)
    for model in (SEANetEncoder(config).double(), SEANetDecoder(config).double()):
        width = model.context - 1
        x = torch.randn(1, model._in_channels, 60 * model._down, dtype=torch.float64)
        cut = x[..., (30 - width) * model._down : (31 + width) * model._down]
        whole, part = model(x), model(cut)
        up = model._up
        assert (part[..., width * up : (width + 1) * up] - whole[..., 30 * up : 31 * up]).abs().max() > 1e-9


@pytest.mark.parametrize("pad_mode", ["zero", "reflect"])
@pytest.mark.parametrize("norm", ["weight_norm", "time_group_norm"])
@pytest.mark.parametrize("lstm_layers", [0, 1])
@pytest.mark.parametrize("causal", [False, True])
def test_a_batch_of_different_lengths_equals_one_by_one(pad_mode, norm, lstm_layers, causal):
    torch.manual_seed(0)
    config = replace(SMALL, pad_mode=pad_mode, norm=norm, lstm_layers=lstm_layers, causal=causal)
    encoder, decoder = SEANetEncoder(config).double(), SEANetDecoder(config).double()
    x = torch.randn(4, 1, 120, dtype=torch.float64)
    spans = [(0, 120), (20, 90), (30, 115), (50, 50)]
    together = encoder(x, spans)
    for item, (start, end) in enumerate(spans):
        frames = slice(start // 10, -(-end // 10))
        if end > start:
            # a ragged end is filled up layer by layer: the same as a signal of that very length
            alone = encoder.layers(x[item : item + 1, :, start:end])
            torch.testing.assert_close(together[item : item + 1, :, frames], alone, rtol=0, atol=1e-10)
        assert not together[item, :, : frames.start].any() and not together[item, :, frames.stop :].any()
    z = torch.randn(2, 3, 12, dtype=torch.float64)
    sound = decoder(z, [(2, 7), (0, 12)])
    torch.testing.assert_close(sound[:1, :, 20:70], decoder(z[:1, :, 2:7]), rtol=0, atol=1e-10)
    torch.testing.assert_close(sound[1:], decoder(z[1:]), rtol=0, atol=1e-10)
    assert not sound[0, :, :20].any() and not sound[0, :, 70:].any()


@pytest.mark.parametrize("model", [SEANetEncoder, SEANetDecoder])
def test_causal_stacks_never_look_ahead_and_do_look_back(model):
    torch.manual_seed(0)
    net = model(replace(SMALL, causal=True, n_residual_layers=2)).double()
    for position in (7, 11):  # of a frame
        x = torch.randn(1, net._in_channels, 20 * net._down, dtype=torch.float64, requires_grad=True)
        first, last = position * net._up, position * net._up + net._up - 1
        net(x)[0, 0, first].backward()
        seen = x.grad.abs().sum((0, 1)).nonzero()[:, 0]
        assert seen.max() == (position + 1) * net._down - 1
        assert seen.max() - seen.min() > net._down
        x.grad = None
        net(x)[0, 0, last].backward()
        assert x.grad.abs().sum((0, 1)).nonzero().max() == (position + 1) * net._down - 1


def test_residual_dilations_are_powers_of_the_base():
    encoder = SEANetEncoder(replace(SMALL, n_residual_layers=3, dilation_base=3, residual_kernel_size=3))
    assert [encoder.layers.get_submodule(f"{i}.block.1.conv").dilation for i in (1, 2, 3)] == [(1,), (3,), (9,)]
    x = torch.zeros(1, 2, 101, dtype=torch.float64)
    x[..., 50] = 1.0
    block = encoder.layers.get_submodule("3").double()
    changed = (block(x) - block(torch.zeros_like(x))).abs().sum(1)[0].nonzero()[:, 0]
    assert changed.tolist() == [41, 50, 59]


def test_the_shortcut_carries_the_input():
    torch.manual_seed(0)
    x = torch.randn(1, 2, 30)
    for true_skip in (True, False):
        block = SEANetEncoder(replace(SMALL, true_skip=true_skip)).layers.get_submodule("1")
        with torch.no_grad():
            block.get_submodule("block.3.conv").bias.zero_()
            for name, parameter in block.named_parameters():
                if name.startswith("block.3") and name.endswith("original0"):
                    parameter.zero_()
        expected = x if true_skip else block.shortcut(x)
        torch.testing.assert_close(block(x), expected)
        assert torch.equal(block(x), x) == true_skip


def test_final_tanh_bounds_the_sound():
    torch.manual_seed(0)
    z = 1e3 * torch.randn(1, 3, 10)
    assert SEANetDecoder(replace(SMALL, final_tanh=True))(z).abs().max() <= 1
    assert SEANetDecoder(SMALL)(z).abs().max() > 1


@pytest.mark.parametrize("pad_mode", ["zero", "reflect"])
def test_gradients_reach_every_parameter(pad_mode):
    config = replace(SMALL, activation="snake", lstm_layers=1, pad_mode=pad_mode)
    encoder, decoder = SEANetEncoder(config), SEANetDecoder(config)
    decoder(encoder(torch.randn(2, 1, 200))).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for m in (encoder, decoder) for p in m.parameters())


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("ratios", (), "ratios"),
        ("ratios", (4, 0), "ratios"),
        ("n_filters", 0, "n_filters"),
        ("compress", 5, "compress"),
        ("n_residual_layers", -1, "n_residual_layers"),
        ("lstm_layers", -1, "lstm_layers"),
        ("norm", "layer_norm", "time_group_norm"),
        ("activation", "relu", "elu, snake"),
        ("pad_mode", "wrap", "zero, reflect"),
    ],
)
def test_a_field_out_of_range_is_named(field, value, word):
    with pytest.raises(ValueError, match=word):
        replace(SMALL, **{field: value})


@pytest.mark.parametrize(
    ("shape", "span", "word"),
    [
        ((1, 1, 95), None, "multiple of 10"),
        ((1, 1, 0), None, "multiple of 10"),
        ((1, 2, 100), None, r"\[B, 1, n\]"),
        ((1, 100), None, r"\[B, 1, n\]"),
        ((1, 1, 100), (5, 100), "multiple of 10"),
        ((1, 1, 100), (0, 101), "<= 100"),
        ((1, 1, 100), (-10, 50), "0 <= start"),
        ((1, 1, 100), (60, 50), "start <= end"),
        ((3, 1, 100), [(0, 50), (0, 60)], "each of the 3 items"),
    ],
)
def test_wrong_inputs_and_spans_are_named(shape, span, word):
    with pytest.raises(ValueError, match=word):
        SEANetEncoder(SMALL)(torch.zeros(shape), span)


def test_no_context_is_claimed_where_none_is_enough():
    for change in ({"lstm_layers": 1}, {"norm": "time_group_norm"}):
        for model in (SEANetEncoder, SEANetDecoder):
            with pytest.raises(ValueError, match="no finite context"):
                _ = model(replace(SMALL, **change)).context
