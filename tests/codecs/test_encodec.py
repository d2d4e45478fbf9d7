"""EnCodec against transformers on copied random weights: codes and sound, for every length; and where transformers is wrong."""

import copy
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import EncodecConfig, EncodecModel

from solfa.codecs import encodec
from solfa.codecs.segments import SegmentConfig, segment_frames
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.codecs.weights.encodec_keys import from_transformers

PRESETS = {"24khz": encodec.encodec_24khz, "48khz": encodec.encodec_48khz, "32khz": encodec.encodec_32khz}
TINY_SEGMENT = SegmentConfig(2000, 1980, True)  # 1 % overlap, as the published 48000 and 47520


def narrow(name: str) -> VQVAEConfig:
    """The preset with 4 filters, 3 codebooks and short windows; its ratios, kernels and padding are those of the real one."""
    config = PRESETS[name]()
    assert config.seanet is not None
    return replace(
        config,
        latent_dim=8,
        seanet=replace(config.seanet, n_filters=4, dimension=8),
        quantizer=replace(config.quantizer, codebooks=3, codebook_size=16),
        chunk=3,
        segment=TINY_SEGMENT if config.segment else None,
    )


def reference(config: VQVAEConfig) -> EncodecModel:
    """transformers' model of the same shape, with random weights, biases and norms."""
    net, frame_rate, bits = (
        config.seanet,
        config.sample_rate / config.hop,
        (config.quantizer.codebook_size - 1).bit_length(),
    )
    assert net is not None
    segment = config.segment
    shape = EncodecConfig(
        target_bandwidths=[(config.quantizer.codebooks * frame_rate * bits + 1) / 1000],
        sampling_rate=config.sample_rate,
        audio_channels=config.channels,
        normalize=segment is not None and segment.normalize,
        chunk_length_s=None if segment is None else segment.samples / config.sample_rate,
        overlap=None if segment is None else 1 - segment.stride / segment.samples,
        hidden_size=config.latent_dim,
        num_filters=net.n_filters,
        upsampling_ratios=list(net.ratios),
        norm_type=net.norm,
        use_causal_conv=net.causal,
        num_lstm_layers=net.lstm_layers,
        codebook_size=config.quantizer.codebook_size,
        use_conv_shortcut=not net.true_skip,
    )
    if segment is not None:
        assert (shape.chunk_length, shape.chunk_stride) == (segment.samples, segment.stride)
    model = EncodecModel(shape).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("bias"):
                tensor.normal_(0, 0.1, generator=generator)
            elif tensor.is_floating_point() and "codebook" not in name:
                tensor.mul_(1 + 0.2 * torch.rand(tensor.shape, generator=generator))
        fill_codebooks(model, generator)
    return model


def fill_codebooks(model: EncodecModel, generator: torch.Generator) -> None:
    """Codes that noise makes use of: each level's are some of what the levels before leave over of its latents."""
    x = 0.3 * torch.randn(8, model.config.audio_channels, 5000, generator=generator)
    rest = model.encoder(x).transpose(1, 2).flatten(0, 1)
    for layer in model.quantizer.layers:
        book = layer.codebook
        book.embed.copy_(rest[torch.randperm(len(rest), generator=generator)[: len(book.embed)]])
        rest = rest - book.decode(book.encode(rest))


@cache
def pair(name: str) -> tuple[VQVAE, EncodecModel]:
    config = narrow(name)
    torch.manual_seed(0)
    model = reference(config)
    return copied(model, config), model


def copied(model: EncodecModel, config: VQVAEConfig) -> VQVAE:
    codec = VQVAE(config, "0" * 64)
    codec.load_state_dict(from_transformers(model.state_dict()))
    return codec.eval()


def sound(codec: VQVAE, samples: int, seed: int = 0) -> Tensor:  # [C, S]
    return 0.3 * torch.randn(codec.channels, samples, generator=torch.Generator().manual_seed(seed))


def theirs(model: EncodecModel, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Codes [K, T], sound [C, S] and scales of x [C, S]."""
    segment, hop = model.config.chunk_length, model.config.hop_length
    with torch.no_grad():
        out = model.encode(x[None], bandwidth=model.config.target_bandwidths[0])
        last = {"last_frame_pad_length": out.last_frame_pad_length}
        audio = model.decode(out.audio_codes, out.audio_scales, **last).audio_values[0, :, : x.shape[-1]]
    codes = list(out.audio_codes[:, 0])
    if segment is None:
        return codes[0], audio, None
    counts = segment_frames(x.shape[-1], hop, segment, model.config.chunk_stride)
    codes = [part[:, :n] for part, n in zip(codes, counts, strict=True)]
    return torch.cat(codes, -1), audio, torch.cat(out.audio_scales)[:, 0]


LENGTHS = [1, 2, 3, 5, 7, 319, 320, 321, 640, 1919, 1920, 1921, 2240, 4001, 5555]


@pytest.mark.parametrize("name", ["24khz", "32khz"])
def test_codes_and_sound_of_any_length_are_those_of_transformers(name: str) -> None:
    codec, model = pair(name)
    seen: set[int] = set()
    for samples in LENGTHS:
        x = sound(codec, samples, samples)
        tokens, audio, _ = theirs(model, x)
        codes = codec.encode(x[None])
        assert torch.equal(codes.tokens[0], tokens), samples
        torch.testing.assert_close(codec.decode(codes).samples[0], audio, rtol=0, atol=1e-5)
        seen.update(tokens[0].tolist())
    assert len(seen) > 8  # the codes are not all alike


# 2000 samples a segment, 1980 from one to the next: one segment, two of which the second is tiny, three.
@pytest.mark.parametrize("samples", [1, 2, 319, 321, 1979, 1980, 2000, 2050, 3960, 4000, 5555])
def test_segments_are_those_of_transformers(samples: int) -> None:
    codec, model = pair("48khz")
    x = sound(codec, samples, samples)
    tokens, audio, scales = theirs(model, x)
    codes = codec.encode(x[None])
    assert torch.equal(codes.tokens[0], tokens) and codes.lengths == (tokens.shape[-1],)
    assert codes.segment == (2000, 1980) and codes.scales is not None and scales is not None
    torch.testing.assert_close(codes.scales[0], scales, rtol=1e-6, atol=0)
    torch.testing.assert_close(codec.decode(codes).samples[0], audio, rtol=0, atol=1e-5)


def test_the_scale_of_a_segment_is_its_own() -> None:
    codec, _ = pair("48khz")
    loud = sound(codec, 1980)
    codes = codec.encode(torch.cat([loud, 0.01 * loud], -1)[None])
    expected = [loud.mean(0).square().mean().sqrt().item() * level for level in (1, 0.01)]
    assert codes.scales is not None
    torch.testing.assert_close(codes.scales[0, 1].item(), expected[1], rtol=1e-4, atol=0)
    assert abs(codes.scales[0, 0].item() / expected[0] - 1) < 0.02  # its last 20 samples are soft
    assert codec.encode(torch.zeros(1, 2, 100)).scales == torch.tensor([[1e-8]])


def test_the_published_segments() -> None:
    """A file of 48 000 samples has segments of 150 and 2 frames."""
    assert segment_frames(48_000, 320, 48_000, 47_520) == [150, 2]
    assert segment_frames(47_520, 320, 48_000, 47_520) == [149]
    assert segment_frames(1, 320, 48_000, 47_520) == [1]
    assert sum(segment_frames(480_000, 320, 48_000, 47_520)) == 10 * 150 + 15


@pytest.mark.parametrize("name", PRESETS)
def test_a_batch_gives_what_transformers_gives_one_by_one(name: str) -> None:
    codec, model = pair(name)
    lengths = [700, 1, 2650, 1300]
    batch = torch.full((4, codec.channels, 2650), 9.0)
    for row, n in zip(batch, lengths, strict=True):
        row[:, :n] = sound(codec, n, n)
    codes = codec.encode(batch, lengths=lengths)
    audio = codec.decode(codes).samples
    for i, n in enumerate(lengths):
        tokens, heard, _ = theirs(model, batch[i, :, :n])
        assert torch.equal(codes.tokens[i, :, : codes.lengths[i]], tokens)
        torch.testing.assert_close(audio[i, :, :n], heard, rtol=0, atol=1e-5)
        assert not audio[i, :, n:].any()


def test_transformers_scales_a_padded_row_by_its_zeros() -> None:
    """Its 48 kHz model takes the loudness over the padding of shorter rows, and normalises over it: other codes than alone."""
    codec, model = pair("48khz")
    x = torch.zeros(2, 2, 1900)
    x[0], x[1, :, :900] = sound(codec, 1900, 1), sound(codec, 900, 2)
    mask = torch.ones(2, 1900, dtype=torch.bool)
    mask[1, 900:] = False
    with torch.no_grad():
        wrong = model.encode(x, mask, bandwidth=model.config.target_bandwidths[0])
    alone, _, scale = theirs(model, x[1, :, :900])
    ours = codec.encode(x, lengths=[1900, 900])
    assert torch.equal(ours.tokens[1, :, :3], alone)
    assert ours.scales is not None and scale is not None and torch.allclose(ours.scales[1, :1], scale)
    assert wrong.audio_scales[0][1].item() < 0.75 * scale.item()  # sqrt(900 / 1900) of it
    assert (wrong.audio_codes[0, 1, :, :3] != alone).float().mean() > 0.05


@pytest.mark.parametrize(("samples", "frames"), [(47_520 + 200, [150, 1]), (2 * 47_520 + 100, [150, 149, 1])])
def test_lengths_that_transformers_cannot_treat(samples: int, frames: list[int]) -> None:
    """Its segments do not fit into one sound (150 frames reach further than one more frame), or into one tensor: it raises.

    160 lengths in every 47 520 of the former kind, and as many of the latter. Ours gives back what went in.
    """
    codec, model = pair("48khz")
    assert segment_frames(samples, 320, 48_000, 47_520) == frames
    model = copy.deepcopy(model)
    model.config.chunk_length_s, model.config.overlap = 1.0, 0.01
    x = sound(codec, samples)
    with pytest.raises(RuntimeError):
        theirs(model, x)
    real = VQVAE(replace(codec.config, segment=SegmentConfig(48_000, 47_520, True))).eval()
    real.load_state_dict(codec.state_dict())
    codes = real.encode(x[None])
    assert codes.lengths == (sum(frames),) and real.decode(codes).samples.shape == (1, 2, samples)
    last, _, _ = theirs(model, x[:, (len(frames) - 1) * 47_520 :])
    assert torch.equal(codes.tokens[0, :, -1:], last)


@settings(max_examples=25)
@given(size=st.integers(1, 60), stride=st.integers(1, 60), samples=st.integers(1, 300))
def test_overlapping_segments_of_a_sound_add_up_to_it(size: int, stride: int, samples: int) -> None:
    """Cut, not coded, and added again: the sound, whatever the overlap; the weights are what transformers computes."""
    from solfa.codecs.segments import cut_segments, fade, overlap_add

    size = max(size, stride)
    x = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
    parts = list(cut_segments(x.split(7, -1), size, stride))
    assert [p.shape[-1] for p in parts] == segment_frames(samples, 1, size, stride)
    whole = torch.cat(list(overlap_add(parts, stride, fade(parts[0].shape[-1]))), -1)
    torch.testing.assert_close(whole, x, rtol=0, atol=1e-6)
    if len(parts) > 1 and size <= 2 * stride and (len(parts) - 1) * stride + parts[-1].shape[-1] == samples:
        noisy = [
            torch.randn(2, n, generator=torch.Generator().manual_seed(n)) for n in map(lambda p: p.shape[-1], parts)
        ]
        if (len(parts) - 2) * stride + parts[-2].shape[-1] <= samples:
            ours = torch.cat(list(overlap_add(noisy, stride, fade(noisy[0].shape[-1]))), -1)
            expected = EncodecModel._linear_overlap_add(noisy, stride)
            torch.testing.assert_close(ours[:, :samples], expected, rtol=0, atol=1e-6)


def test_the_full_size_model_gives_the_codes_of_transformers() -> None:
    """All 252 tensors of the published shape, a clip that is longer than a window and ends inside a frame."""
    config = replace(encodec.encodec_24khz(), chunk=20)
    torch.manual_seed(0)
    model = EncodecModel(EncodecConfig()).eval()
    with torch.no_grad():
        for layer in model.quantizer.layers:
            layer.codebook.embed.normal_(0, 0.05)
    codec = copied(model, config)
    assert len(from_transformers(model.state_dict())) == 252
    x = sound(codec, 9_999)
    with torch.no_grad():
        out = model.encode(x[None], bandwidth=24.0)
        audio = model.decode(out.audio_codes, out.audio_scales).audio_values[0, :, :9_999]
    codes = codec.encode(x[None])
    assert torch.equal(codes.tokens, out.audio_codes[0])
    torch.testing.assert_close(codec.decode(codes).samples[0], audio, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("preset", "hop", "books", "size", "rate", "kbps"),
    [
        (encodec.encodec_24khz, 320, 32, 1024, 75, 24.0),
        (encodec.encodec_48khz, 320, 16, 1024, 150, 24.0),
        (encodec.encodec_32khz, 640, 4, 2048, 50, 2.2),
        (encodec.soundstream, 320, 8, 1024, 75, 6.0),
        (lambda: encodec.soundstream(16, 32), 320, 16, 32, 75, 6.0),
        (lambda: encodec.soundstream(80, 2), 320, 80, 2, 75, 6.0),
        (encodec.hificodec, 320, 4, 1024, 75, 3.0),
    ],
)
def test_presets_have_the_published_shape(preset, hop, books, size, rate, kbps) -> None:
    with torch.device("meta"):
        codec = VQVAE(preset())
    assert (codec.hop, codec.codebooks, codec.codebook_size, codec.frame_rate) == (hop, books, size, rate)
    assert codec.bitrate / 1000 == pytest.approx(kbps)
