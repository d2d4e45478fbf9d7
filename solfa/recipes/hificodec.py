"""HiFi-Codec at 24 kHz: arXiv 2305.02765, with the losses and the discriminators of its authors' code (AcademiCodec).

    solfa train hificodec -o runs/hificodec --task.train my_music/

Losses: L1 of natural-log mels 45 at a window of 1024 samples and 1 each at 512 and 256, feature matching 2, adversarial (least squares) 1,
summed over discriminators; quantizer 10: codebook 1 and commitment 0.25, a mean over codebooks. Discriminators: multi-period,
multi-scale and multi-scale STFT. Two groups of two residual codebooks, trained by gradient.

Not as there: codebooks start from k-means, residuals are detached (theirs lose the commitment gradient of the second level), the logits
are no feature, the last frame of a mel is filled up, and crops come as they are (theirs are brought to one peak). Batch, crop and
epoch differ between the copies of their configuration: here 64 crops of 2/3 s, and 8,000 steps for an epoch.
"""

import math
from dataclasses import replace

from solfa.codecs import encodec
from solfa.train.codec import CodecTaskConfig, LossWeights
from solfa.train.config import TrainConfig
from solfa.train.crops import PLAIN
from solfa.train.discriminators import DiscriminatorConfig, PeriodConfig, ScaleConfig, WaveConfig, hifigan_waves
from solfa.train.recipe import Recipe
from solfa.train.reconstruction import SpectralConfig

MELS = SpectralConfig(
    windows=(1024, 512, 256),
    bands=(80, 80, 80),
    hops=(240, 120, 60),
    weights=(45.0, 1.0, 1.0),
    turns=1,
    framing="stride",
    log=math.log(10),
    over="sum",
)
EPOCH = 8_000  # steps


def hificodec() -> Recipe[CodecTaskConfig]:
    """From scratch. Rates fall by 2 % an epoch."""
    codec = encodec.hificodec()
    quantizer = replace(codec.quantizer, update="gradient", commitment=0.25, dead_code_threshold=0.0)
    task = CodecTaskConfig(
        replace(codec, quantizer=quantizer),
        batch=64,
        frames=50,
        weights=LossWeights(waveform=0.0, mel=1.0, adversarial=1.0, feature=2.0, quantizer=10.0),
        augmentation=PLAIN,
        discriminator=DiscriminatorConfig(
            periods=PeriodConfig(),
            waves=hifigan_waves(),
            scales=ScaleConfig(windows=(1024, 2048, 512, 256, 128)),
            bands=None,
            remove_dc=False,
            peak=None,
        ),
        discriminator_first=True,
        adversarial_loss="least_squares",
        adversarial_over="sum",
        half_export=False,
        spectral=MELS,
        quantizer_over="mean",
    )
    train = TrainConfig(
        steps=400_000,
        learning_rate=2e-4,
        betas=(0.5, 0.9),
        gamma=0.98 ** (1 / EPOCH),
        clip=None,
        ema=0.0,
        evaluate_every=10_000,
        save_every=2_000,
    )
    return Recipe(task, train)


def tiny() -> Recipe[CodecTaskConfig]:
    """The same losses on a codec of 8 kHz that trains in seconds, to try a change."""
    recipe = hificodec()
    codec = recipe.task.codec
    assert codec.seanet is not None
    codec = replace(
        codec,
        name="hificodec-tiny",
        sample_rate=8_000,
        latent_dim=16,
        seanet=replace(codec.seanet, dimension=16, n_filters=16, ratios=(4,), lstm_layers=1),
        quantizer=replace(codec.quantizer, codebook_size=32, kmeans_iters=10),
        chunk=50,
    )
    judges = replace(
        recipe.task.discriminator,
        periods=PeriodConfig((2, 3), (4, 8, 8)),
        waves=WaveConfig((1, 2), (4, 8, 8), (1, 4, 1), (1, 2, 1), down="pool", spectral=True),
        scales=ScaleConfig(windows=(128, 64), filters=4),
    )
    spectral = replace(MELS, windows=(512, 256, 128), bands=(40, 20, 10), hops=(120, 60, 30))
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
        recipe.train, steps=300, learning_rate=(2e-4, 2e-3), log_every=10, evaluate_every=100, save_every=100
    )
    return Recipe(task, train)
