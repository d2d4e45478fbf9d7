"""EnCodec at 24 kHz as it was trained: arXiv 2210.13438 in the configuration that AudioCraft publishes.

    solfa train encodec_24khz -o runs/encodec --task.train my_music/
    solfa train encodec_24khz:finetune -o runs/mine --task.train ...     # from the released weights

Losses: adversarial (hinge) 4, feature matching 4, waveform L1 0.1 and multi-scale mel 2, balanced; the quantizer's commitment 1,
a mean over codebooks, beside the balancer. Every item draws its own number of codebooks (AudioCraft draws one for the batch).
"""

from dataclasses import replace

from solfa.codecs import encodec
from solfa.nn.seanet import SEANetConfig
from solfa.train.codec import CodecTaskConfig, LossWeights
from solfa.train.config import TrainConfig
from solfa.train.crops import PLAIN
from solfa.train.discriminators import DiscriminatorConfig, ScaleConfig
from solfa.train.recipe import Recipe
from solfa.train.reconstruction import encodec_spectral

SCALES = ScaleConfig(windows=(1024, 2048, 512, 256, 128), slope=0.3)


def encodec_24khz() -> Recipe[CodecTaskConfig]:
    """From scratch: 200 epochs of 2000 updates, 64 crops of a second each."""
    codec = encodec.encodec_24khz()
    codec = replace(codec, quantizer=replace(codec.quantizer, dropout=1.0))
    weights = LossWeights(waveform=0.0, mae=0.1, mel=2.0, adversarial=4.0, feature=4.0, quantizer=1.0)
    task = CodecTaskConfig(
        codec,
        batch=64,
        frames=75,
        weights=weights,
        augmentation=PLAIN,
        discriminator=DiscriminatorConfig(periods=None, scales=SCALES, bands=None, remove_dc=False, peak=None),
        discriminator_first=True,
        adversarial_loss="hinge",
        balance=True,
        half_export=False,
        spectral=encodec_spectral(),
        quantizer_over="mean",
    )
    train = TrainConfig(
        steps=400_000,
        learning_rate=3e-4,
        betas=(0.5, 0.9),
        floor=1.0,
        clip=None,
        ema=0.99,
        evaluate_every=10_000,
        save_every=2_000,
    )
    return Recipe(task, train)


def finetune() -> Recipe[CodecTaskConfig]:
    """From the released weights, at a third of the rate. The discriminators are new (none were released) and learn alone at first."""
    recipe = encodec_24khz()
    task = replace(recipe.task, init="encodec-24khz", discriminator_warmup=2_000)
    return Recipe(task, replace(recipe.train, steps=50_000, learning_rate=1e-4, warmup=500, evaluate_every=2_000))


def tiny() -> Recipe[CodecTaskConfig]:
    """The same losses on a codec of 8 kHz that trains in seconds, to try a change."""
    recipe = encodec_24khz()
    codec = replace(
        recipe.task.codec,
        name="encodec-tiny",
        sample_rate=8_000,
        latent_dim=16,
        seanet=SEANetConfig(dimension=16, n_filters=16, ratios=(4,), lstm_layers=1, pad_mode="reflect"),
        quantizer=replace(recipe.task.codec.quantizer, codebooks=4, codebook_size=32, kmeans_iters=10, decay=0.8),
        chunk=50,
    )
    data = ("data/tiny/manifest.jsonl",)
    judges = replace(recipe.task.discriminator, scales=replace(SCALES, windows=(128, 64), filters=4))
    task = replace(recipe.task, codec=codec, train=data, batch=4, frames=256, discriminator=judges, valid_items=4)
    rates = (3e-4, 2e-3)  # discriminators, codec
    train = replace(
        recipe.train, steps=300, learning_rate=rates, ema=0.9, log_every=10, evaluate_every=100, save_every=100
    )
    return Recipe(task, train)
