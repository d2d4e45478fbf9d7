import math
import struct
import zlib

import numpy as np
import pytest
import torch

from solfa.studio.picture import _srgb, loudest, mel_ticks, png, ramp, spectrogram, token_matrix


def read_png(data: bytes) -> np.ndarray:
    """Pixels [H, W, 3] of what `png` writes, with every checksum checked: an independent reader."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
        chunks[kind] = body
        at += 12 + length
    assert next(iter(chunks)) == b"IHDR" and list(chunks)[-1] == b"IEND"
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert depth == 8 and rest == [0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    if colour == 2:
        return rows[:, 1:].reshape(height, width, 3)
    assert colour == 3
    return np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)[rows[:, 1:]]


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (128, 33)])
def test_pixels_come_back(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    np.testing.assert_array_equal(read_png(png(colours)), colours)
    palette, index = rng.integers(0, 256, (200, 3)).astype(np.uint8), rng.integers(0, 200, shape).astype(np.uint8)
    np.testing.assert_array_equal(read_png(png(index, palette)), palette[index])


@pytest.mark.parametrize(
    ("oklch", "rgb"),
    [
        ((1, 0, 0), (255, 255, 255)),
        ((0.62796, 0.25768, 29.234), (255, 0, 0)),
        ((0.45201, 0.31321, 264.052), (0, 0, 255)),
    ],
)
def test_colours_are_those_of_css(oklch: tuple[float, float, float], rgb: tuple[int, int, int]) -> None:
    lightness, chroma, hue = (np.array(value) for value in oklch)
    assert np.abs(_srgb(lightness, chroma, np.deg2rad(hue)).astype(int) - rgb).max() <= 1


def test_louder_is_always_brighter() -> None:
    luminance = ramp().astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > -1).all() and luminance[0] < 20 and luminance[-1] > 220
    assert (luminance[8:] > luminance[:-8]).all()


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100])
def test_a_tone_shines_at_its_tick(rate: int) -> None:
    for hz, place in mel_ticks(rate):
        tone = torch.sin(2 * math.pi * hz * torch.arange(rate) / rate)[None]
        image = read_png(spectrogram(tone, rate, width=50, height=128, top=loudest(tone, rate, width=50, height=128)))
        assert image.shape == (128, 50, 3)
        brightest = image[:, 25].astype(int).sum(1).argmax()
        assert abs((127.5 - brightest) / 128 - place) < 0.03


@pytest.mark.parametrize("samples", [1, 10, 300, 5_000])
def test_sounds_of_any_length_and_silence_fill_the_picture(samples: int) -> None:
    for sound in (torch.zeros(2, samples), torch.rand(2, samples)):
        image = read_png(spectrogram(sound, 24_000, width=60, height=32, top=0.0))
        assert image.shape == (32, 60, 3)


def test_quieter_sound_is_darker_on_the_same_scale() -> None:
    noise = torch.randn(1, 24_000, generator=torch.Generator().manual_seed(0))
    top = loudest(noise, 24_000, width=50, height=64)
    loud, quiet = (read_png(spectrogram(x, 24_000, width=50, height=64, top=top)).mean() for x in (noise, noise / 30))
    assert quiet < loud / 1.5


def test_equal_codes_have_equal_colours() -> None:
    tokens = np.array([[3, 700, 3], [700, 3, 1023]])
    tall = read_png(token_matrix(tokens))
    assert tall.shape == (16, 3, 3)
    image = tall[::8]
    np.testing.assert_array_equal(image.repeat(8, axis=0), tall)
    for code in np.unique(tokens):
        assert len(np.unique(image[tokens == code], axis=0)) == 1
    assert len(np.unique(image.reshape(-1, 3), axis=0)) == 3
