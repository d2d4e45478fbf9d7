"""Levels by pitch on the map of pitches: a band lands where its pitch and its harmonics are."""

import torch

from solfa.audio import bands
from solfa.transcription import harmonics
from solfa.transcription.harmonics import HARMONICS, MIDDLE, Harmonics

WIDTH = 3 * bands.band_count(24_000)


def layer(weights: dict[int, float]) -> Harmonics:
    found = Harmonics(WIDTH, 1, 21, 108)
    with torch.no_grad():
        found.inward.bias.zero_()
        found.inward.weight.zero_()
        for at, value in weights.items():
            found.inward.weight[0, at] = value
    return found


def levels(window: int, band: int) -> torch.Tensor:
    x = torch.full((1, 3, WIDTH // 3, 4), MIDDLE)
    x[0, window, band, 2] += 1
    return x.flatten(1, 2)


def test_the_constants_are_those_of_the_spectrum() -> None:
    ours = harmonics.WINDOWS, harmonics.PER_SEMITONE, harmonics.LOWEST
    assert ours == (len(bands.WINDOWS), bands.PER_SEMITONE, bands.LOWEST)


def test_each_weight_sees_its_harmonic() -> None:
    per = 3 * len(HARMONICS)
    for window in range(3):
        for i, harmonic in enumerate(HARMONICS):
            for offset in (-1, 0, 1):
                steps = round(36 * torch.log2(torch.tensor(float(harmonic))).item())
                for pitch in (21, 60, 100):
                    band = 1 + 3 * (pitch - 21) + steps + offset
                    if not 0 <= band < WIDTH // 3:
                        continue
                    found = layer({window * per + 3 * i + offset + 1: 1.0})(levels(window, band))
                    assert found.shape == (1, 1, 4, 88)
                    assert (
                        found[0, 0].nonzero().tolist() == [[2, pitch - 21]]
                        or found[0, 0].abs().argmax() == 2 * 88 + pitch - 21
                    )


def test_in_bfloat16_it_is_the_same_but_for_rounding() -> None:
    stem, x = Harmonics(WIDTH, 4, 30, 90), torch.rand(2, WIDTH, 5)
    with torch.autocast("cpu", torch.bfloat16):
        half = stem(x)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), stem(x), atol=0.05, rtol=0.05)
