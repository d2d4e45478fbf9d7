"""DAC against transformers' DacModel on the same random weights: every layer, codes and sound; and exact however the sound arrives."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import DacConfig, DacModel

from solfa.codecs.dac import dac_16khz, dac_24khz, dac_44khz, dac_44khz_16kbps
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.codecs.weights.dac_keys import from_transformers

PRESETS = {"44khz": dac_44khz, "44khz_16kbps": dac_44khz_16kbps, "24khz": dac_24khz, "16khz": dac_16khz}
SHORT = ["24khz", "16khz"]  # their decoders of reference end 8 samples early


def narrow(name: str, chunk: int = 6) -> VQVAEConfig:
    """The preset with 4 and 3 filters, 16 codes of 4 channels, and short windows."""
    config = PRESETS[name]()
    assert config.seanet is not None and config.decoder is not None
    width = 24 if name == "44khz_16kbps" else 64
    return replace(
        config,
        latent_dim=width,
        seanet=replace(config.seanet, n_filters=4, dimension=width),
        decoder=replace(config.decoder, n_filters=3, dimension=width),
        quantizer=replace(config.quantizer, codebooks=4, codebook_size=16, dim=4),
        chunk=chunk,
    )


def reference(config: VQVAEConfig) -> DacModel:
    """transformers' model of the same shape, with random weights that keep the signal's level, biases and alphas among them."""
    encoder, decoder, quantizer = config.seanet, config.decoder, config.quantizer
    assert encoder is not None and decoder is not None
    shape = DacConfig(
        encoder_hidden_size=encoder.n_filters,
        downsampling_ratios=list(encoder.ratios[::-1]),
        decoder_hidden_size=decoder.n_filters * 2 ** len(decoder.ratios),
        n_codebooks=quantizer.codebooks,
        codebook_size=quantizer.codebook_size,
        codebook_dim=quantizer.dim,
        sampling_rate=config.sample_rate,
    )
    shape.hidden_size = config.latent_dim
    model = DacModel(shape).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("alpha"):
                parameter.uniform_(0.5, 2, generator=generator)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1, generator=generator)
            else:
                fan_in = 1 if "codebook" in name else parameter[0].numel()
                parameter.normal_(0, 0.7 * fan_in**-0.5, generator=generator)
    return model


def copy_of(model: DacModel, config: VQVAEConfig) -> VQVAE:
    codec = VQVAE(config, "0" * 64)
    codec.load_state_dict(from_transformers(model.state_dict()))
    return codec.eval()


@cache
def pair(name: str) -> tuple[VQVAE, DacModel]:
    config = narrow(name)
    model = reference(config)
    return copy_of(model, config), model


def sound(samples: int, seed: int = 0) -> Tensor:  # [1, S]
    return 0.3 * torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def theirs(model: DacModel, x: Tensor, hop: int) -> tuple[Tensor, Tensor]:
    """Codes [K, T] and sound of x [1, S], filled up with zeros to whole frames as descript-audio-codec does."""
    padded = nn.functional.pad(x, (0, -x.shape[-1] % hop))[None]
    with torch.no_grad():
        codes = model.encode(padded).audio_codes
        return codes[0], model.decode(audio_codes=codes).audio_values


@pytest.mark.parametrize(
    ("name", "rate", "hop", "books", "latents", "kbps"),
    [
        ("44khz", 44_100, 512, 9, 1024, 7.75),
        ("44khz_16kbps", 44_100, 512, 18, 128, 15.50),
        ("24khz", 24_000, 320, 32, 1024, 24.0),
        ("16khz", 16_000, 320, 12, 1024, 6.0),
    ],
)
def test_presets_have_the_published_shape(name, rate, hop, books, latents, kbps):
    config = PRESETS[name]()
    with torch.device("meta"):
        codec = VQVAE(config)
    assert config.name == "dac-" + name.replace("_", "-")
    assert (codec.sample_rate, codec.channels, codec.hop, codec.codebooks) == (rate, 1, hop, books)
    assert (codec.codebook_size, config.latent_dim, config.quantizer.dim) == (1024, latents, 8)
    assert round(codec.bitrate / 1000, 2) == kbps
    assert (codec.encode_context, codec.decode_context) == (8, 10)
    if name == "44khz":
        sizes = [sum(p.numel() for p in part.parameters()) for part in (codec.encoder, codec.decoder, codec.quantizer)]
        assert [round(size / 1e6, 2) for size in sizes] == [22.31, 54.1, 0.24]  # published: 22.3, 54.1, 0.24
        assert round(sum(sizes) / 1e6, 1) == 76.7


def blocks_of(model: DacModel, stack: str) -> list[nn.Module]:
    """The parts of transformers' stack, in the order and at the grain of ours."""
    root = getattr(model, stack)
    order = ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3")
    if stack == "encoder":
        order = ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1")
    inner = [getattr(block, part) for block in root.block for part in order]
    return [root.conv1, *inner, root.snake1, root.conv2, *([root.tanh] if stack == "decoder" else [])]


def outputs(layers: list[nn.Module], run) -> list[Tensor]:
    seen: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda _m, _i, y: seen.append(y)) for layer in layers]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_every_layer_is_that_of_transformers(name, stack):
    codec, model = pair(name)
    frames = 14
    x = sound(frames * codec.hop)[None] if stack == "encoder" else torch.randn(1, codec.config.latent_dim, frames)
    layers = list(getattr(codec, stack).layers)
    mine = outputs(layers, lambda: getattr(codec, stack).layers(x))
    wanted = outputs(blocks_of(model, stack), lambda: getattr(model, stack)(x))
    assert len(mine) == len(wanted) == len(layers)
    for index, (ours, other) in enumerate(zip(mine, wanted, strict=True)):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-5, msg=f"layer {index}, {layers[index]}")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    ("frames", "more"),
    [(0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (3, -8), (3, -7), (6, -1), (6, 0), (6, 1), (17, 100), (40, -3)],
)
def test_codes_and_sound_are_those_of_transformers(name, frames, more):
    codec, model = pair(name)
    samples = frames * codec.hop + more
    x = sound(samples)
    codes = codec.encode(x[None])
    tokens, audio = theirs(model, x, codec.hop)
    assert torch.equal(codes.tokens[0], tokens)
    ours = codec.decode(codes).samples[0]
    assert ours.shape == (1, samples)
    assert audio.abs().max() > 0.05
    common = min(samples, audio.shape[-1])
    torch.testing.assert_close(ours[:, :common], audio[:, :common], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("count", [1, 3])
def test_fewer_codebooks_are_those_of_transformers(name, count):
    codec, model = pair(name)
    x = sound(9 * codec.hop)
    with torch.no_grad():
        codes = model.encode(x[None], n_quantizers=count).audio_codes
        audio = model.decode(audio_codes=codes).audio_values
    assert torch.equal(codec.encode(x[None], codebooks=count).tokens, codes)
    ours = codec.decode(codec.encode(x[None]), codebooks=count).samples[0, :, : audio.shape[-1]]
    torch.testing.assert_close(ours, audio, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["44khz", "24khz"])  # the others have the same strides
@settings(deadline=None, max_examples=5)
@given(frames=st.lists(st.floats(0, 20), min_size=1, max_size=3), block=st.integers(1, 5000))
def test_whole_batched_and_in_blocks_are_one(name, frames, block):
    codec, _ = pair(name)
    lengths = [1 + int(n * codec.hop) for n in frames]
    items = [sound(n, seed) for seed, n in enumerate(lengths)]
    batch = torch.full((len(items), 1, max(lengths)), 9.0)
    for row, item in zip(batch, items, strict=True):
        row[:, : item.shape[-1]] = item
    codes = codec.encode(batch, lengths=lengths)
    together = codec.decode(codes).samples
    for index, (item, count) in enumerate(zip(items, codes.lengths, strict=True)):
        alone = codec.encode(item[None])
        assert torch.equal(codes.tokens[index, :, :count], alone.tokens[0])
        assert torch.equal(torch.cat(list(codec.encode_blocks(item.split(block, -1))), -1), alone.tokens[0])
        assert torch.equal(together[index, :, : item.shape[-1]], codec.decode(alone).samples[0])


@pytest.mark.parametrize("name", PRESETS)
def test_windows_are_the_whole_in_float64(name):
    codec = copy_of(reference(narrow(name)), narrow(name))
    codec.encoder.double(), codec.decoder.double()
    x = sound(40 * codec.hop)[None].double()
    with torch.no_grad():
        latents = codec.encoder(x)
        tokens = codec.quantizer.encode(latents)
        windowed = [
            block.tokens for block in codec.encode_parts([x[0]], codec.codebooks)
        ]  # `encode` and its kin take float32
        assert torch.equal(torch.cat(windowed, -1), tokens[0])
        vectors = torch.randn(1, latents.shape[1], 40, dtype=torch.float64)
        whole = codec.decoder(vectors)
        for first, last in ((0, 7), (7, 30), (30, 40)):
            low, high = first - 10, last + 10
            window = torch.full((1, latents.shape[1], high - low), torch.nan, dtype=torch.float64)
            a, b = max(0, low), min(40, high)
            window[..., a - low : b - low] = vectors[..., a:b]
            part = codec.decoder(window, (a - low, b - low))[..., 10 * codec.hop : (10 + last - first) * codec.hop]
            wanted = whole[..., first * codec.hop : last * codec.hop]
            torch.testing.assert_close(part, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", PRESETS)
def test_a_frame_less_of_context_is_not_enough_to_decode(name):
    codec = copy_of(reference(narrow(name)), narrow(name)).double()
    z = torch.randn(1, codec.config.latent_dim, 50, dtype=torch.float64)
    wanted = slice(25 * codec.hop, 26 * codec.hop)
    errors = []
    for context in (10, 9):
        with torch.no_grad():
            part = codec.decoder(z[..., 25 - context : 26 + context])[..., context * codec.hop :]
            errors.append(float((part[..., : codec.hop] - codec.decoder(z)[..., wanted]).abs().max()))
    assert errors[0] < 1e-12 < errors[1]


@pytest.mark.parametrize("name", SHORT)
@pytest.mark.parametrize("frames", [1, 2, 6, 7, 25])
def test_no_sample_is_missing_where_the_reference_ends_early(name, frames):
    """The reference gives 320 n - 8 samples of n frames. Ours gives 320 n: those very samples, and then eight that go on as the last
    frame would; they are the same by every path, and no zeros."""
    codec, model = pair(name)
    x = sound(frames * 320)
    codes = codec.encode(x[None])
    with torch.no_grad():
        audio = model.decode(audio_codes=codes.tokens).audio_values
        plain = codec.decoder(codec.quantizer.decode(codes.tokens))[0]
        held = codec.quantizer.decode(torch.cat([codes.tokens, codes.tokens[..., -1:]], -1))
        longer = model.decoder(held)[0]
    ours = codec.decode(codes).samples[0]
    assert audio.shape[-1] == 320 * frames - 8
    assert ours.shape[-1] == plain.shape[-1] == 320 * frames
    torch.testing.assert_close(ours[:, :-8], audio, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours[:, -8:], longer[:, 320 * frames - 8 : 320 * frames], rtol=0, atol=1e-5)
    assert ours[:, -8:].abs().min() > 0
    batch = torch.zeros(2, 1, 30 * 320)
    batch[0, :, : 320 * frames], batch[1] = x, sound(30 * 320, 1)
    together = codec.decode(codec.encode(batch, lengths=[320 * frames, 30 * 320])).samples
    assert torch.equal(together[0, :, : 320 * frames], ours)


def test_only_odd_ratios_end_early():
    assert [pair(name)[0].decoder.short for name in PRESETS] == [0, 0, 8, 8]
    even = replace(narrow("44khz").decoder, symmetric=False)
    codec = copy_of(pair("44khz")[1], replace(narrow("44khz"), decoder=even))
    z = torch.randn(1, 64, 5)
    with torch.no_grad():
        torch.testing.assert_close(codec.decoder(z), pair("44khz")[0].decoder(z), rtol=0, atol=1e-5)


@pytest.mark.parametrize("change", [{"causal": True}, {"pad_mode": "reflect"}, {"lstm_layers": 1}, {"ratios": (8, 1)}])
def test_symmetric_stacks_have_zero_padding(change):
    with pytest.raises(ValueError, match="symmetric must be False"):
        replace(narrow("24khz").decoder, **change)


def test_the_channels_of_stereo_are_averaged_or_so_many_sounds():
    """As the docstring of `codecs.dac` says."""
    codec, _ = pair("24khz")
    stereo = torch.stack([sound(3000, 1)[0], sound(3000, 2)[0]])[None]  # [1, 2, S]
    with pytest.warns(UserWarning, match="averaged"):
        mixed = codec.encode(stereo)
    assert torch.equal(mixed.tokens, codec.encode(stereo.mean(1, keepdim=True)).tokens)
    codes = codec.encode(stereo.transpose(0, 1))
    assert codes.tokens.shape[0] == 2
    again = codec.decode(codes).samples.transpose(0, 1)
    for channel in range(2):
        alone = codec.encode(stereo[:, channel : channel + 1])
        assert torch.equal(codes.tokens[channel], alone.tokens[0])
        assert torch.equal(again[0, channel], codec.decode(alone).samples[0, 0])


def test_the_full_16khz_model_is_that_of_transformers():
    config = replace(dac_16khz(), chunk=8)
    model = reference(config)
    codec = copy_of(model, config)
    x = sound(11 * 320 - 5)
    codes = codec.encode(x[None])
    tokens, audio = theirs(model, x, 320)
    assert torch.equal(codes.tokens[0], tokens)
    assert tokens.unique().numel() > 50
    ours = codec.decode(codes).samples[0]
    torch.testing.assert_close(ours[:, : audio.shape[-1]], audio[:, : ours.shape[-1]], rtol=0, atol=1e-5)


def test_a_tiny_dac_trains():
    """On sines of many pitches the error falls to a quarter, each codebook is used, and adds to those before it."""
    torch.manual_seed(0)
    config = dac_24khz()
    shape = {"dimension": 16, "n_filters": 8, "ratios": (5, 2)}
    encoder, decoder = replace(config.seanet, **shape), replace(config.decoder, **shape)
    quantizer = replace(config.quantizer, codebooks=3, codebook_size=16, dim=4)
    codec = VQVAE(replace(config, latent_dim=16, seanet=encoder, decoder=decoder, quantizer=quantizer))
    optimizer = torch.optim.AdamW(codec.parameters(), lr=3e-3, betas=(0.8, 0.99))
    errors = []
    for _ in range(60):
        x = sines(8)
        y, quantized = codec(x)
        error = (y - x).square().mean()
        optimizer.zero_grad()
        (error + 0.02 * quantized.loss).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in codec.parameters())
        optimizer.step()
        errors.append(error.item())
    assert sum(errors[-10:]) < 0.25 * sum(errors[:10])
    codec.eval()
    x = sines(32)
    with torch.no_grad():
        codes = codec.quantizer.encode(codec.encoder(x))
        left = [(codec.decoder(codec.quantizer.decode(codes[:, :n])) - x).square().mean().item() for n in (1, 2, 3)]
    assert min(level.unique().numel() for level in codes.transpose(0, 1)) >= 8
    assert left == sorted(left, reverse=True)


def sines(items: int) -> Tensor:  # [B, 1, 200]
    cycles, phase = 2 + 10 * torch.rand(items, 1, 1), torch.rand(items, 1, 1)
    return 0.5 * torch.sin(2 * torch.pi * (cycles * torch.arange(200) / 200 + phase))
