"""DAC at 44.1 kHz as it was trained: arXiv 2306.06546 in the final configuration of `descript-audio-codec`.

    solfa train dac_44khz -o runs/dac --task.train my_music/
    solfa train dac_44khz:finetune -o runs/mine --task.train ...     # from the released weights

Losses: mel 15, feature matching 2, adversarial (least squares) 1, summed over discriminators and resolutions; codebook 1 and commitment
0.25, summed over codebooks. Half of the items draw a number of codebooks. Crops: drawn anew, up to eight times, where one is not above
-40 LUFS; brought to -16 LUFS, at a peak of 1 at most; all of their phases turned by one random angle.

Not as there: DAC draws a number of codebooks for the first half of the batch, here every item does with probability 0.5. Its peaks are
limited before the phase is turned, ours after. Loudness is measured as BS.1770-4 says, where audiotools counts the silence with which
it fills a crop up to half a second, which makes DAC's crops about 0.6 dB louder.
"""

from dataclasses import replace
from typing import Any

from solfa.codecs import dac
from solfa.train.codec import CodecTaskConfig, LossWeights
from solfa.train.config import TrainConfig
from solfa.train.crops import PLAIN
from solfa.train.discriminators import BandConfig, DiscriminatorConfig, PeriodConfig
from solfa.train.recipe import Recipe
from solfa.train.reconstruction import dac_spectral


def dac_44khz() -> Recipe[CodecTaskConfig]:
    """From scratch: 400,000 steps of 72 crops of 33 frames, 0.38 s."""
    weights = LossWeights(waveform=0.0, mel=15.0, adversarial=1.0, feature=2.0, quantizer=1.0)
    task = CodecTaskConfig(
        dac.dac_44khz(),
        batch=72,
        frames=33,
        weights=weights,
        augmentation=replace(PLAIN, loudness=-16.0, phase=(-180.0, 180.0), salient=-40.0),
        discriminator=DiscriminatorConfig(periods=PeriodConfig(pad_whole=True), bands=BandConfig()),
        discriminator_first=True,
        adversarial_loss="least_squares",
        adversarial_over="sum",
        half_export=False,
        spectral=dac_spectral(),
    )
    train = TrainConfig(
        steps=400_000,
        learning_rate=1e-4,
        betas=(0.8, 0.99),
        weight_decay=0.01,  # torch's default, which DAC keeps
        decay_all=True,
        gamma=0.999996,
        clip=(10.0, 1000.0),  # discriminators, codec
        ema=0.0,
        evaluate_every=10_000,
        save_every=2_000,
    )
    return Recipe(task, train)


def finetune() -> Recipe[CodecTaskConfig]:
    """From the released weights. The discriminators are new (none were released) and learn alone at first."""
    recipe = dac_44khz()
    task = replace(recipe.task, init="dac-44khz", discriminator_warmup=2_000)
    return Recipe(task, replace(recipe.train, steps=50_000, learning_rate=5e-5, warmup=500, evaluate_every=2_000))


def tiny() -> Recipe[CodecTaskConfig]:
    """The same losses on a codec of 8 kHz that trains in seconds, to try a change."""
    recipe = dac_44khz()
    codec = recipe.task.codec
    assert codec.seanet is not None and codec.decoder is not None
    shape: dict[str, Any] = {"dimension": 16, "ratios": (4,), "n_filters": 16, "n_residual_layers": 1}
    codec = replace(
        codec,
        name="dac-tiny",
        sample_rate=8_000,
        latent_dim=16,
        seanet=replace(codec.seanet, **shape),
        decoder=replace(codec.decoder, **shape),
        quantizer=replace(codec.quantizer, codebooks=4, codebook_size=32, dim=4),
        chunk=50,
    )
    spectral = replace(recipe.task.spectral, windows=(32, 128, 512), bands=(5, 10, 40))
    judges = DiscriminatorConfig(
        periods=PeriodConfig((2, 3), (4, 8, 8), pad_whole=True), bands=BandConfig(windows=(128, 64), filters=4)
    )
    data = ("data/tiny/manifest.jsonl",)
    task = replace(
        recipe.task,
        codec=codec,
        train=data,
        batch=4,
        frames=256,
        discriminator=judges,
        spectral=spectral,
        valid_items=4,
    )
    train = replace(
        recipe.train, steps=300, learning_rate=(1e-4, 2e-3), log_every=10, evaluate_every=100, save_every=100
    )
    return Recipe(task, train)
