"""Discriminators: published geometry, what each one looks at, their input's preparation, and that they can learn.

That they are those of `dac` and `encodec` to the last weight is held in tests/reference/test_training.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solfa.train.adversarial import discriminator_loss, feature_loss, generator_loss
from solfa.train.discriminators import (
    BandConfig,
    BandDiscriminator,
    DiscriminatorConfig,
    Discriminators,
    PeriodConfig,
    PeriodDiscriminator,
    ScaleConfig,
    ScaleDiscriminator,
    WaveConfig,
    WaveDiscriminator,
    hifigan_waves,
)
from solfa.train.discriminators.layers import spectrum

PERIODS = PeriodConfig(periods=(2, 3), widths=(4, 8, 8))
SCALES = ScaleConfig(windows=(64, 32), filters=4)
BANDS = BandConfig(windows=(64, 32), filters=4)
WAVES = WaveConfig(rates=(1, 2), widths=(4, 8, 8), strides=(1, 4, 1), groups=(1, 2, 1))
SMALL = DiscriminatorConfig(periods=PERIODS, scales=SCALES, bands=BANDS, waves=WAVES)


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.dim() > 1 and p.shape[1:].numel() > 1)


def test_defaults_have_the_published_sizes():
    with torch.device("meta"):
        period = PeriodDiscriminator(2, PeriodConfig(), 1)
        scale = ScaleDiscriminator(1024, ScaleConfig(), 1)
        band = BandDiscriminator(1024, BandConfig(), 1)
    # kernel products by hand: 5 taps from 1 to 32, 128, 512, 1024, 1024; 3 taps to 1
    assert parameters(period) == 5 * (32 + 32 * 128 + 128 * 512 + 512 * 1024 + 1024 * 1024) + 3 * 1024
    assert parameters(scale) == 32 * (2 * 27 + 3 * 32 * 27 + 32 * 9) + 32 * 9
    assert parameters(band) == 5 * 32 * (2 * 27 + 3 * 32 * 27 + 32 * 9) + 32 * 9
    assert len(Discriminators(replace(SMALL, periods=replace(PERIODS, periods=(2, 3, 5, 7, 11)))).parts) == 11
    assert DiscriminatorConfig().periods.periods == (2, 3, 5, 7, 11)
    assert not any("parametrizations" in name for name, _ in scale.stack.convs[0].named_parameters())
    assert all(
        "parametrizations" in name
        for conv in scale.stack.convs[1:]
        for name, _ in conv.named_parameters()
        if "bias" not in name
    )


def test_period_discriminator_keeps_the_phases_apart():
    """A column of its grid sees every third sample only."""
    disc = PeriodDiscriminator(3, PERIODS, 1)
    x = torch.randn(1, 1, 300, requires_grad=True)
    out = disc(x)
    assert [f.shape[2:] for f in out.features] == [(34, 3), (12, 3), (12, 3)]
    assert out.logits.shape == (1, 1, 12, 3)
    out.logits[..., 1].sum().backward()
    touched = x.grad[0, 0].nonzero()[:, 0]
    assert len(touched) == 100 and (touched % 3 == 1).all()


def test_pad_whole_adds_a_period_only_where_none_is_missing():
    """DAC fills up a length that fits already; HiFi-GAN leaves it alone."""
    plain, whole = (PeriodDiscriminator(3, replace(PERIODS, pad_whole=flag), 1) for flag in (False, True))
    whole.load_state_dict(plain.state_dict())
    assert [d(torch.randn(1, 1, 297)).features[0].shape[2] for d in (plain, whole)] == [33, 34]
    x = torch.randn(1, 1, 298)
    assert torch.equal(plain(x).logits, whole(x).logits)


@pytest.mark.parametrize(
    ("config", "sizes"),
    [
        # taps x channels in a group x channels out, layer by layer
        (WaveConfig(), [15 * 16, 41 * 4 * 64, 41 * 4 * 256, 41 * 4 * 1024, 41 * 4 * 1024, 5 * 1024 * 1024, 3 * 1024]),
        (
            hifigan_waves(),
            [
                15 * 128,
                41 * 32 * 128,
                41 * 8 * 256,
                41 * 16 * 512,
                41 * 32 * 1024,
                41 * 64 * 1024,
                5 * 1024 * 1024,
                3 * 1024,
            ],
        ),
    ],
)
def test_wave_discriminators_have_the_published_sizes(config, sizes):
    with torch.device("meta"):
        disc = WaveDiscriminator(config.rates[-1], config, 1)
    assert [conv.weight.numel() for conv in (*disc.stack.convs, disc.post)] == sizes


def test_wave_discriminators_see_these_samples():
    x = torch.randn(2, 1, 401)
    dac, gan = (WaveDiscriminator(4, replace(WAVES, rates=(1, 2, 4), down=down), 1) for down in ("sinc", "pool"))
    assert [f.shape[2] for f in dac(x).features] == [100, 25, 25]  # 401 // 4
    assert [f.shape[2] for f in gan(x).features] == [101, 26, 26]  # 401 -> 201 -> 101
    full = WaveDiscriminator(1, WAVES, 1)
    assert torch.equal(full(x).features[0], torch.nn.functional.leaky_relu(full.stack.convs[0](x), 0.1))
    assert dac(torch.randn(2, 1, 4)).logits.shape == (2, 1, 1)


def test_slower_waves_have_no_aliases_and_pooled_ones_are_means():
    """At a third of the rate a tone above its Nyquist frequency is gone, one below it stays; pooling is a mean of 4 samples."""
    t = torch.arange(600)
    third = WaveDiscriminator(3, replace(WAVES, rates=(3,)), 1)
    low, high = (third._filtered(torch.cos(2 * torch.pi * f * t)[None, None])[0, 0, 40:-40] for f in (0.05, 0.25))
    torch.testing.assert_close(low, torch.cos(2 * torch.pi * 0.05 * t[::3])[40:-40], rtol=0, atol=1e-3)
    assert high.abs().max() < 1e-3
    half = WaveDiscriminator(2, replace(WAVES, down="pool"), 1)
    assert half._pooled(torch.arange(1.0, 9.0)[None, None]).tolist() == [[[0.75, 2.5, 4.5, 6.5, 3.75]]]


def test_spectral_norm_stands_at_the_first_rate_only():
    first, second = (WaveDiscriminator(rate, replace(WAVES, down="pool", spectral=True), 1) for rate in (1, 2))
    kinds = [type(disc.post.parametrizations.weight[0]).__name__ for disc in (first, second)]
    assert kinds == ["_SpectralNorm", "_WeightNorm"]
    weight = first.eval().stack.convs[1].weight.flatten(1)
    assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("window", [32, 64])
def test_stft_discriminators_see_these_frames(window):
    hop = window // 4
    scale, band = ScaleDiscriminator(window, SCALES, 1), BandDiscriminator(window, BANDS, 1)
    for samples in (400, 401, 400 + hop):
        x = torch.randn(2, 1, samples)
        frames = (samples - window) // hop + 1
        assert all(f.shape[:3] == (2, 4, frames) for f in scale(x).features)
        out = band(x)
        assert all(f.shape[:3] == (2, 4, -(-samples // hop)) for f in out.features)
        assert len(out.features) == 5 * 5
    assert [f.shape[3] for f in scale(x).features] == {64: [33, 17, 9, 5, 5], 32: [17, 9, 5, 3, 3]}[window]


@pytest.mark.parametrize("disc", [ScaleDiscriminator(64, SCALES, 1), BandDiscriminator(64, BANDS, 1)])
def test_stft_discriminators_see_the_sample_they_should(disc):
    """The first activation at frame 10 spans three frames; the taps of the STFT's window reach as far as it says."""
    x = torch.randn(1, 1, 795, requires_grad=True)
    disc(x).features[0][:, :, 10].sum().backward()
    touched = x.grad[0, 0].nonzero()[:, 0]
    start = 9 * 16 - (24 if isinstance(disc, BandDiscriminator) else 0)
    assert (touched.min(), touched.max()) == (start + 1, start + 2 * 16 + 63)  # a Hann window begins with a zero


@pytest.mark.parametrize(("low", "high", "band"), [(3, 5, 0), (24, 27, 2)])
def test_bands_are_judged_apart(low, high, band):
    """A tone that moves within one band leaves the features of all others alone."""
    torch.manual_seed(0)
    disc = BandDiscriminator(64, replace(BANDS, edges=(0.0, 0.25, 0.5, 1.0)), 1)
    t = torch.arange(640, dtype=torch.float64) / 64
    with torch.no_grad():
        one, other = (disc(torch.cos(2 * torch.pi * k * t).float()[None, None]).features for k in (low, high))
    inner = slice(8, -8)  # away from the reflected ends, where a tone breaks off
    changed = [(a[:, :, inner] - b[:, :, inner]).abs().max().item() for a, b in zip(one, other, strict=True)]
    mine = range(5 * band, 5 * band + 5)
    assert all((change > 1e-2) if i in mine else (change < 1e-4) for i, change in enumerate(changed))
    assert [one[5 * i].shape[-1] for i in range(3)] == [8, 8, 17]


def test_stft_is_normalised_by_the_energy_of_the_window():
    """White noise of unit variance gives bins of unit power."""
    torch.manual_seed(0)
    z = spectrum(torch.randn(4, 1, 20000), ScaleDiscriminator(64, SCALES, 1).window)
    power = z[:, :1].square() + z[:, 1:].square()
    assert power[..., 2:-2].mean().item() == pytest.approx(1.0, rel=0.02)


def test_dc_and_level_do_not_matter_when_removed_and_do_when_not():
    torch.manual_seed(0)
    x = torch.randn(2, 1, 500)
    moved = 3 * x + 0.5
    judge = Discriminators(SMALL)
    with torch.no_grad():
        for a, b in zip(judge(x), judge(moved), strict=True):
            torch.testing.assert_close(a.logits, b.logits, rtol=1e-4, atol=1e-5)
        prepared = judge.prepare(moved)
        torch.testing.assert_close(prepared.abs().amax((1, 2)), torch.full((2,), 0.8))
        torch.testing.assert_close(prepared.mean((1, 2)), torch.zeros(2), rtol=0, atol=1e-6)
        assert torch.equal(Discriminators(replace(SMALL, remove_dc=False, peak=None)).prepare(moved), moved)
        assert judge.prepare(torch.zeros(1, 1, 500)).isfinite().all()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 2), st.integers(1, 2), st.integers(80, 200))
def test_any_length_and_channel_count(batch, channels, samples):
    judge = Discriminators(replace(SMALL, channels=channels))
    outputs = judge(torch.randn(batch, channels, samples))
    assert len(outputs) == 8
    assert all(o.logits.shape[:2] == (batch, 1) and o.logits.isfinite().all() for o in outputs)


def test_autocast_and_silence():
    judge = Discriminators(SMALL)
    assert ScaleDiscriminator(64, SCALES, 1)(torch.randn(1, 1, 300).bfloat16()).logits.dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        outputs = judge(torch.randn(1, 1, 300).bfloat16())
        loss = generator_loss(outputs)
    assert outputs[4].features[0].dtype == torch.bfloat16 and loss.isfinite()
    x = torch.zeros(1, 1, 300, requires_grad=True)
    generator_loss(judge(x)).backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(("kind", "over"), [("hinge", "mean"), ("least_squares", "sum")])
def test_they_learn_to_tell_noise_from_tones_and_pull_the_generator(kind, over):
    torch.manual_seed(0)
    judge = Discriminators(SMALL)
    optimizer = torch.optim.Adam(judge.parameters(), 3e-3)
    t = torch.arange(512) / 64
    losses = []
    for _ in range(30):
        real = torch.sin(2 * torch.pi * (5 + torch.rand(4, 1, 1)) * t)
        loss = discriminator_loss(judge(real), judge(torch.randn(4, 1, 512)), kind, over)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in judge.parameters())
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    fake = torch.randn(4, 1, 512, requires_grad=True)
    outputs = judge(fake)
    (generator_loss(outputs, kind, over) + feature_loss(outputs, judge(real), over)).backward()
    assert fake.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: DiscriminatorConfig(periods=None, bands=None), "at least one"),
        (lambda: DiscriminatorConfig(channels=0), "channels"),
        (lambda: DiscriminatorConfig(peak=0.0), "peak"),
        (lambda: PeriodConfig(periods=(0,)), "periods"),
        (lambda: ScaleConfig(windows=(30,)), "multiples of 4"),
        (lambda: BandConfig(windows=()), "multiples of 4"),
        (lambda: WaveConfig(rates=()), "rates"),
        (lambda: WaveConfig(rates=(1, 3), down="pool"), "powers of 2"),
        (lambda: WaveConfig(down="mean"), "sinc, pool"),
        (lambda: WaveConfig(groups=(1, 4)), "of one length"),
        (lambda: WaveDiscriminator(4, WAVES, 1)(torch.zeros(1, 1, 3)), "rate 4"),
        (lambda: Discriminators(replace(SMALL, bands=BandConfig(windows=(16,)))), "edges must rise"),
        (lambda: Discriminators(replace(SMALL, bands=replace(BANDS, edges=(0.0, 1.5)))), "edges must rise"),
        (lambda: Discriminators(SMALL)(torch.zeros(1, 2, 300)), r"\[B, 1, S\]"),
        (lambda: Discriminators(SMALL)(torch.zeros(1, 1, 40)), "window 64 needs at least 64"),
        (lambda: BandDiscriminator(64, BANDS, 1)(torch.zeros(1, 1, 20)), "window 64 needs more than"),
        (lambda: PeriodDiscriminator(11, PERIODS, 1)(torch.zeros(1, 1, 4)), "period 11"),
    ],
)
def test_errors_name_the_cause(make, word):
    with pytest.raises(ValueError, match=word):
        make()
