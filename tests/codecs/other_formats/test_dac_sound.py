"""Sound to `.dac` files and back, by tiny codecs of DAC's geometry. (Against the package: tests/reference.)"""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from solfa.audio.io import Audio
from solfa.codecs.dac import dac_16khz, dac_24khz, dac_44khz, dac_44khz_16kbps
from solfa.codecs.encodec import encodec_24khz
from solfa.codecs.other_formats.dac_file import DacFile, read_dac, write_dac
from solfa.codecs.other_formats.dac_loudness import dac_loudness
from solfa.codecs.other_formats.dac_sound import (
    compress,
    dac_codes,
    decompress,
    fits,
    likely_codecs,
    unpadded,
    unpadded_length,
)
from solfa.codecs.vqvae import VQVAE, VQVAEConfig

PRESETS = {"44khz": dac_44khz, "44khz-16kbps": dac_44khz_16kbps, "24khz": dac_24khz, "16khz": dac_16khz}


@cache
def tiny(name: str) -> VQVAE:
    """The preset with few channels and 3 codebooks of 16."""
    config = PRESETS[name]()
    assert config.seanet is not None and config.decoder is not None
    config = replace(
        config,
        name="tiny",
        latent_dim=8,
        chunk=24,
        seanet=replace(config.seanet, n_filters=2, dimension=8),
        decoder=replace(config.decoder, n_filters=2, dimension=8),
        quantizer=replace(config.quantizer, codebooks=3, codebook_size=16, dim=4),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = VQVAE(config, "hash").eval()
        for name, parameter in codec.named_parameters():  # a sound that is not silence
            if name.endswith("bias"):
                parameter.data.normal_(0, 0.05)
    return codec.requires_grad_(False)


def noise(samples: int, channels: int = 1, rate: int = 44_100, level: float = 0.1) -> Audio:
    generator = torch.Generator().manual_seed(samples)
    return Audio(level * torch.randn(1, channels, samples, generator=generator), rate)


def file_of(frames: int, chunk: int | None = None, books: int = 3, **changes: Any) -> DacFile:
    tokens = np.random.default_rng(frames).integers(0, 16, (1, books, frames)).astype(np.uint16)
    fields = {"chunk_length": chunk or frames, "original_length": 1, "sample_rate": 44_100, "channels": 1}
    return DacFile(**({"tokens": tokens, "padding": chunk is None, "input_db": (-20.0,)} | fields | changes))


# Frames of a chunk, samples that it decodes to, and what the sound's length is divided by: the package's windows of 1 and of 5 s.
@pytest.mark.parametrize(
    ("name", "frames", "samples"),
    [
        ("44khz", 72, 28_522),
        ("44khz", 416, 204_650),
        ("44khz-16kbps", 72, 28_522),
        ("24khz", 59, 13_346),
        ("24khz", 359, 109_346),
        ("16khz", 34, 5_346),
        ("16khz", 234, 69_346),
    ],
)
def test_the_published_chunks(name: str, frames: int, samples: int) -> None:
    stack = PRESETS[name]().decoder
    assert stack is not None and unpadded_length(stack, frames) == samples


@pytest.mark.parametrize("name", PRESETS)
def test_layers_without_padding(name: str) -> None:
    codec = tiny(name)
    least = next(frames for frames in range(1, 99) if unpadded_length(codec.config.decoder, frames) > 0)
    for frames in (least, least + 1, 40):
        latents = codec.quantizer.decode(torch.randint(16, (1, 3, frames)))
        sound = unpadded(codec.decoder.layers, latents)
        assert sound.shape[-1] == unpadded_length(codec.config.decoder, frames)
    # Far from the ends they are the layers with padding, which add as much on either side.
    padded = codec.decoder(latents)
    around = (40 * codec.hop - codec.decoder.short - sound.shape[-1]) // 2
    first, last = 12 * codec.hop, 28 * codec.hop
    assert padded.std() > 0.001
    torch.testing.assert_close(padded[..., first:last], sound[..., first - around : last - around], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["44khz", "24khz"])
@pytest.mark.parametrize("rate", [44_100, 24_000, 48_000])
def test_any_length_comes_back(tmp_path: Path, name: str, rate: int) -> None:
    codec = tiny(name)
    for samples in (1, 2, 320, 321, 1_024, 4_799, 4_800):
        audio = noise(samples, rate=rate)
        file = compress(codec, audio)
        assert file.original_length == samples and file.sample_rate == rate and file.padding
        write_dac(tmp_path / "a.dac", file)
        again = read_dac(tmp_path / "a.dac")
        np.testing.assert_array_equal(again.tokens, file.tokens)
        found = decompress(codec, again)
        assert found.samples.shape == (1, 1, samples) and found.sample_rate == rate
        codes = dac_codes(codec, again)
        assert (
            codes.lengths == (codes.tokens.shape[-1],)
            and (codes.tokens.numpy() == file.tokens[..., : codes.lengths[0]]).all()
        )
        assert codec.decode(codes).samples.shape == (1, 1, codes.samples[0])


def test_a_frame_more_where_the_package_would_come_out_short() -> None:
    codec = tiny("24khz")
    for samples in (
        3_191,
        3_192,
        3_193,
        3_197,
        3_200,
        3_201,
    ):  # 3200 = 10 frames, which its decoder makes 3192 samples of
        file = compress(codec, noise(samples, rate=24_000))
        short = 3_192 < samples <= 3_200
        frames = -(-samples // 320)
        assert (file.chunk_length, file.frames) == (frames, frames + short)
        codes = dac_codes(codec, file)
        assert codes.lengths == (frames,)
        plain = codec.decode(codes).samples[0]
        found = decompress(codec, file).samples[0]
        # The codec's own sound, all of it, at another level.
        torch.testing.assert_close(found / found.abs().max(), plain / plain.abs().max(), atol=1e-5, rtol=0)
        # A file that the package wrote itself, and cannot read.
        alone = replace(file, tokens=file.tokens[..., :frames])
        theirs = decompress(codec, alone).samples[0]
        torch.testing.assert_close(theirs / theirs.abs().max(), plain / plain.abs().max(), atol=1e-5, rtol=0)


def test_the_level_comes_back_for_every_channel() -> None:
    codec = tiny("44khz")
    audio = noise(40_000, channels=2)
    audio = Audio(audio.samples * torch.tensor([1.0, 0.05])[:, None], 44_100)
    file = compress(codec, audio)
    levels = [dac_loudness(audio.samples[0, i : i + 1].numpy(), 44_100) for i in (0, 1)]
    assert file.input_db == pytest.approx(levels) and levels[0] - levels[1] == pytest.approx(26.02, abs=0.3)
    found = decompress(codec, file).samples[0].numpy()
    # Not to the last digit: what is measured is the sound before it is cut to its length.
    assert [dac_loudness(found[i : i + 1], 44_100) for i in (0, 1)] == pytest.approx(levels, abs=0.1)
    # As the package writes it, with one loudness for both: both get it, as it plays it.
    joint = dac_loudness(audio.samples[0].numpy(), 44_100)
    found = decompress(codec, replace(file, input_db=(joint,))).samples[0].numpy()
    assert [dac_loudness(found[i : i + 1], 44_100) for i in (0, 1)] == pytest.approx([joint, joint], abs=0.1)


def test_what_is_coded_is_at_minus_16_and_within_1() -> None:
    codec = tiny("44khz")
    audio = noise(30_000, level=0.001)
    loud = Audio(audio.samples * 10 ** ((-16 - dac_loudness(audio.samples[0].numpy(), 44_100)) / 20), 44_100)
    assert float(loud.samples.abs().max()) < 1
    np.testing.assert_array_equal(compress(codec, audio).tokens, codec.encode(loud).tokens.numpy())
    np.testing.assert_array_equal(compress(codec, loud, normalize=None).tokens, codec.encode(loud).tokens.numpy())
    np.testing.assert_array_equal(
        compress(codec, loud, normalize=-30.0).tokens, compress(codec, audio, normalize=-30.0).tokens
    )
    click = audio.samples.clone()
    click[..., 5_000] = 1.0  # at -16 LUFS it would reach far beyond 1
    gained = click * 10 ** ((-16 - dac_loudness(click[0].numpy(), 44_100)) / 20)
    assert float(gained.abs().max()) > 1
    limited = codec.encode(gained / gained.abs().max()).tokens.numpy()
    np.testing.assert_array_equal(compress(codec, Audio(click, 44_100)).tokens, limited)
    assert compress(codec, Audio(torch.zeros(1, 1, 3_000), 44_100)).input_db == (-70.0,)


def test_fewer_codebooks_are_the_first_ones() -> None:
    codec = tiny("44khz")
    file = compress(codec, noise(9_000))
    np.testing.assert_array_equal(compress(codec, noise(9_000), codebooks=2).tokens, file.tokens[:, :2])
    few = decompress(codec, replace(file, tokens=file.tokens[:, :2])).samples
    assert torch.equal(decompress(codec, file, codebooks=2).samples, few)
    with pytest.raises(ValueError, match="between 1 and 3"):
        decompress(codec, file, codebooks=4)


def test_chunks_are_decoded_alone() -> None:
    codec = tiny("44khz")
    step = unpadded_length(codec.config.decoder, 40)
    file = file_of(120, 40, original_length=2 * step + 77, input_db=(-25.0,))
    found = decompress(codec, file).samples[0, 0]
    assert len(found) == 2 * step + 77
    assert dac_loudness(
        decompress(codec, replace(file, original_length=3 * step)).samples[0].numpy(), 44_100
    ) == pytest.approx(-25, abs=1e-3)
    last = decompress(codec, replace(file, tokens=file.tokens[..., 80:], original_length=step)).samples[0, 0, :77]
    torch.testing.assert_close(found[2 * step :] / found[2 * step], last / last[0], atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="chunks of 40 frames, which overlap"):
        dac_codes(codec, file)


def test_a_batch_of_recordings() -> None:
    codec = tiny("44khz")
    one = compress(codec, noise(5_000, channels=2))
    two = replace(one, tokens=np.concatenate([one.tokens, one.tokens[::-1]]), input_db=(-20.0, -30.0))
    found = decompress(codec, two).samples
    assert found.shape == (2, 2, 5_000)
    torch.testing.assert_close(found[1], found[0].flip(0) * 10 ** (-10 / 20))


def test_a_codec_that_did_not_make_it() -> None:
    file = file_of(100, original_length=51_200)
    assert fits(tiny("44khz").config, file)
    with pytest.raises(
        ValueError,
        match=r"100 frames for 1\.16 s: tiny did not make it; by these numbers it was dac-44khz, dac-44khz-16kbps",
    ):
        decompress(tiny("24khz"), file)
    with pytest.raises(ValueError, match="4 codebooks and 100 frames"):
        decompress(tiny("44khz"), replace(file, tokens=file.tokens.repeat(4, 1)[:, :4]))
    with pytest.raises(ValueError, match="a code is 16: those of tiny are 0 to 15"):
        decompress(tiny("44khz"), replace(file, tokens=file.tokens * 0 + 16))
    for length in (10**13, 51_200 + 10, 50_688 - 2, 1):  # told before memory is taken
        with pytest.raises(ValueError, match=r"none that solfa knows|it was dac"):
            decompress(tiny("44khz"), replace(file, original_length=length))
    for few in (1, 30):  # chunks that decode to nothing
        with pytest.raises(ValueError, match="did not make it"):
            decompress(tiny("44khz"), file_of(60, 10 if few == 30 else 1, original_length=51_200))
    with pytest.raises(
        ValueError, match=r"encodec-24khz makes no \.dac files: dac-44khz, dac-44khz-16kbps, dac-24khz, dac-16khz do"
    ):
        decompress(VQVAE(encodec_small()), file)
    with pytest.raises(ValueError, match="2 recordings"):
        compress(tiny("44khz"), Audio(torch.ones(2, 1, 100), 44_100))
    with pytest.raises(ValueError, match="6 channels"):
        compress(tiny("44khz"), Audio(torch.ones(1, 6, 100), 44_100))
    with pytest.raises(ValueError, match="NaN"):
        compress(tiny("44khz"), Audio(torch.full((1, 1, 100), torch.nan), 44_100))


def encodec_small() -> VQVAEConfig:
    preset = encodec_24khz()
    return replace(preset, latent_dim=4, seanet=replace(preset.seanet, n_filters=2, dimension=4))


def test_which_codec_made_a_file() -> None:
    for books, frames, rate, likely in (
        (9, 862, 44_100, ["dac-44khz", "dac-44khz-16kbps"]),
        (18, 862, 48_000, ["dac-44khz-16kbps"]),
        (32, 750, 44_100, ["dac-24khz"]),
        (12, 750, 44_100, ["dac-24khz"]),
        (12, 500, 8_000, ["dac-16khz"]),
        (4, 862, 44_100, ["dac-44khz", "dac-44khz-16kbps"]),
        (9, 640, 44_100, []),
        (40, 862, 44_100, []),
    ):
        assert likely_codecs(file_of(frames, books=books, original_length=10 * rate, sample_rate=rate)) == likely
    # 10 s in windows of 5 s and of 1 s.
    assert likely_codecs(file_of(3 * 416, 416, books=9, original_length=441_000)) == ["dac-44khz", "dac-44khz-16kbps"]
    assert likely_codecs(file_of(18 * 59, 59, books=9, original_length=441_000)) == ["dac-24khz"]
    assert likely_codecs(file_of(30 * 34, 34, books=12, original_length=441_000)) == ["dac-16khz"]
