"""`solfa-24khz`: 24 kHz mono, 50 frames a second, 8 codebooks of 1024 entries (4 kbps), in the frame domain.

    make codec-data SONGS=scores.zip      # composes, renders and speaks the sound that it learns from, in data/codec
    solfa train codec_24khz -o runs/codec_24khz

`frame` is what ships: it trains on two CPU cores. `seanet` is the time-domain codec of the same rate with discriminators, for a GPU
(`solfa train codec_24khz:seanet`). Without songs, leave them out: `--task.train` takes the manifests that there are.
"""

from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.vqvae import VQVAEConfig
from solfa.nn.frames import FrameConfig
from solfa.nn.seanet import SEANetConfig
from solfa.train.codec import CodecTaskConfig, LossWeights
from solfa.train.config import TrainConfig
from solfa.train.crops import Augmentation
from solfa.train.discriminators import BandConfig, DiscriminatorConfig, ScaleConfig
from solfa.train.recipe import Recipe

DATA = tuple(f"data/codec/{part}/manifest.jsonl" for part in ("scores", "sounds", "speech", "songs"))
VALID = ("data/codec/held-out/manifest.jsonl",)
QUANTIZER = QuantizerConfig(codebooks=8, codebook_size=1024, dropout=0.4, dead_code_threshold=1.0, conscience=0.5)


def frame() -> Recipe[CodecTaskConfig]:
    """The shipped codec: MDCT frames and ConvNeXt blocks, no discriminators, two hours on two cores."""
    codec = VQVAEConfig("solfa-24khz", 24_000, latent_dim=64, frames=FrameConfig(hop=480), quantizer=QUANTIZER)
    weights = LossWeights(waveform=2.0, mel=1.5)
    varied = Augmentation(gain=(-14.0, 3.0), equalise=0.2, lowpass=0.05, noise=0.05)
    task = CodecTaskConfig(codec, DATA, VALID, batch=16, frames=100, weights=weights, augmentation=varied)
    train = TrainConfig(
        steps=8_000,
        learning_rate=1e-3,
        betas=(0.9, 0.98),
        weight_decay=0.01,
        muon="*.blocks.*",
        warmup=100,
        floor=0.02,
        clip=1.0,
        ema=0.998,
        precision="bfloat16",
        evaluate_every=500,
        save_every=200,
    )
    return Recipe(task, train)


def seanet() -> Recipe[CodecTaskConfig]:
    """A causal SEANet with discriminators and balanced losses, for a GPU."""
    shape = SEANetConfig(dimension=128, n_filters=32, ratios=(8, 5, 4, 3), n_residual_layers=2, activation="snake")
    codec = VQVAEConfig("seanet-24khz", 24_000, latent_dim=128, seanet=shape, quantizer=QUANTIZER)
    weights = LossWeights(waveform=1.0, l1=0.5, mel=4.0, stft=1.0, adversarial=1.0, feature=2.0)
    discriminator = DiscriminatorConfig(scales=ScaleConfig(), bands=BandConfig())
    task = CodecTaskConfig(
        codec, DATA, VALID, 32, 100, weights=weights, discriminator=discriminator, adversarial_from=10_000, balance=True
    )
    train = TrainConfig(
        steps=400_000,
        learning_rate=3e-4,
        betas=(0.8, 0.99),
        warmup=1_000,
        clip=(10.0, 10.0),
        ema=0.999,
        precision="bfloat16",
    )
    return Recipe(task, train)
