"""A codec small enough to train in seconds, to try the loop or a change.

solfa synth -o data/tiny --items 4 --seed 1
solfa train codec_tiny -o runs/tiny       # or --task.train my_music/
"""

from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.vqvae import VQVAEConfig
from solfa.nn.frames import FrameConfig
from solfa.train.codec import CodecTaskConfig
from solfa.train.config import TrainConfig
from solfa.train.recipe import Recipe


def codec_tiny() -> Recipe[CodecTaskConfig]:
    """8 kHz, 50 frames a second, 4 codebooks of 64 entries: 1.2 kbps."""
    frames = FrameConfig(hop=160, width=48, blocks=2, expansion=2, bands=16)
    quantizer = QuantizerConfig(codebooks=4, codebook_size=64, dropout=0.5, dead_code_threshold=0.5)
    codec = VQVAEConfig("tiny-8khz", 8_000, latent_dim=16, frames=frames, quantizer=quantizer, chunk=100)
    data = ("data/tiny/manifest.jsonl",)
    task = CodecTaskConfig(codec, data, batch=8, frames=50, valid_items=4)
    train = TrainConfig(
        steps=300, learning_rate=2e-3, warmup=20, ema=0.99, log_every=10, evaluate_every=100, save_every=100
    )
    return Recipe(task, train)
