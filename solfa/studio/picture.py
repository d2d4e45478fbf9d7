"""Pictures of sound and of tokens as PNG bytes, from NumPy and zlib alone."""

import math
import struct
import zlib

import numpy as np
import torch

from solfa.audio.spectra import mel_spectrogram

# Lightness, chroma and hue (degrees) in OKLCH: even steps of lightness, so that loudness reads as brightness in
# any theme and to any eye.
_RAMP = (
    (0.17, 0.035, 285),
    (0.30, 0.115, 295),
    (0.45, 0.170, 340),
    (0.62, 0.180, 25),
    (0.78, 0.150, 65),
    (0.95, 0.080, 100),
)
TOKEN_LIGHTNESS, TOKEN_CHROMA, TOKEN_HEIGHT = 0.74, 0.115, 8
GOLDEN_ANGLE = 180 * (3 - math.sqrt(5))  # degrees: successive codes get hues that are far apart


def png(pixels: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """A PNG of 8-bit pixels: [H, W, 3] RGB, or [H, W] indices of a palette [P, 3] (P at most 256)."""
    height, width = pixels.shape[:2]
    assert pixels.dtype == np.uint8 and height and width
    indexed = palette is not None
    assert pixels.ndim == (2 if indexed else 3)
    rows = np.zeros((height, 1 + width * (1 if indexed else 3)), np.uint8)  # each row begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, -1)
    parts = [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3 if indexed else 2, 0, 0, 0)),
    ]
    if palette is not None:
        parts.append(_chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
    return b"".join([*parts, _chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)), _chunk(b"IEND", b"")])


def spectrogram(
    samples: torch.Tensor, sample_rate: int, *, width: int, height: int, top: float, depth: float = 80.0
) -> bytes:
    """A log-mel spectrogram of samples [C, S] (mixed to mono), low notes at the bottom.

    top: the level in dB (see `loudest`) that is drawn brightest; `depth` dB below it is black. The same `top` makes
    pictures of two recordings comparable.
    """
    levels = _levels(samples, sample_rate, width, height)  # [H, T] dB
    # Squared: music is loud nearly everywhere within 80 dB, and its partials stand out only against a darker ground.
    shade = np.clip((levels - top + depth) / depth, 0, 1) ** 2
    columns = _resized(shade[::-1], width)
    return png(np.round(columns * 255).astype(np.uint8), ramp())


def loudest(samples: torch.Tensor, sample_rate: int, *, width: int, height: int) -> float:
    """The highest level in dB of the picture that `spectrogram` draws of samples [C, S]."""
    return float(_levels(samples, sample_rate, width, height).max())


def mel_ticks(
    sample_rate: int, frequencies: tuple[int, ...] = (300, 1000, 2000, 5000, 10000, 20000)
) -> list[tuple[int, float]]:
    """Frequencies (Hz) that fit under half the rate, and their place in the picture: 0 the bottom, 1 the top."""
    top = _mel(sample_rate / 2)
    return [(hz, _mel(hz) / top) for hz in frequencies if _mel(hz) < 0.97 * top]


def token_matrix(tokens: np.ndarray) -> bytes:
    """A picture of codes [K, T], codebook 0 at the top, equal codes in equal colours: [8 K, T] pixels.

    Each code is eight pixels high, so that a browser which makes the picture smaller does not blend codebooks.
    """
    hue = np.deg2rad(token_hue(tokens))
    lightness, chroma = np.full(hue.shape, TOKEN_LIGHTNESS), np.full(hue.shape, TOKEN_CHROMA)
    return png(_srgb(lightness, chroma, hue).repeat(TOKEN_HEIGHT, axis=0))


def token_hue(tokens: np.ndarray) -> np.ndarray:
    """Hue in degrees of each code. The page's script uses the same formula."""
    return tokens * GOLDEN_ANGLE % 360


def token_css(code: int) -> str:
    """The colour of a code in the words of CSS."""
    return f"oklch({TOKEN_LIGHTNESS} {TOKEN_CHROMA} {float(token_hue(np.array(code))):.1f})"


def ramp(steps: int = 256) -> np.ndarray:
    """The colours of a spectrogram, quiet to loud: uint8 [steps, 3]."""
    at = np.linspace(0, len(_RAMP) - 1, steps)
    lightness, chroma, hue = (np.interp(at, range(len(_RAMP)), column) for column in zip(*_unwrapped(), strict=True))
    return _srgb(lightness, chroma, np.deg2rad(hue))


def _unwrapped() -> list[tuple[float, float, float]]:
    """The ramp with hues that only rise, so that they are not interpolated the long way round."""
    result: list[tuple[float, float, float]] = []
    for lightness, chroma, hue in _RAMP:
        result.append((lightness, chroma, hue + 360 * (bool(result) and hue < 180)))
    return result


def _srgb(lightness: np.ndarray, chroma: np.ndarray, hue: np.ndarray) -> np.ndarray:
    """OKLCH (hue in radians) to 8-bit sRGB [..., 3]: the matrices of Ottosson, "A perceptual color space" (2020)."""
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
        ],
        -1,
    ).clip(0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(curved * 255).astype(np.uint8)


def _levels(samples: torch.Tensor, sample_rate: int, width: int, height: int) -> np.ndarray:
    """Log-mel power in dB: [height, T], T at least `width` where the sound is long enough."""
    n_fft = 1 << max(6, round(math.log2(sample_rate * 0.046)))  # 43 ms at 24 kHz, 46 ms at 44.1 kHz
    hop = max(1, min(n_fft // 4, samples.shape[-1] // width))
    mel = mel_spectrogram(samples.mean(0), sample_rate, n_fft, hop, height, power=2.0, scale="htk", norm=None)
    return 10 * np.log10(np.maximum(mel.numpy(), 1e-10))


def _resized(image: np.ndarray, width: int) -> np.ndarray:
    """Columns drawn out or merged (the loudest is kept) to a given number: [H, T] -> [H, width]."""
    edges = np.linspace(0, image.shape[1], width + 1).astype(int)
    return np.maximum.reduceat(image, edges[:-1], axis=1)


def _mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
