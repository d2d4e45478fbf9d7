"""A codec with random weights, small enough to be made for every run, and a few recordings."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.nn.frames import FrameConfig

RATE = 8000


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec's folder: 8 kHz mono, 50 frames a second, 4 codebooks of 16."""
    return make_codec(tmp_path_factory.mktemp("codec") / "tiny", seed=0)


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with other weights."""
    return make_codec(tmp_path_factory.mktemp("codec") / "other", seed=1)


def make_codec(folder: Path, seed: int) -> Path:
    config = VQVAEConfig(
        name="tiny",
        sample_rate=RATE,
        latent_dim=8,
        chunk=25,
        frames=FrameConfig(hop=160, width=16, blocks=1, kernel=3, bands=8),
        quantizer=QuantizerConfig(codebooks=4, codebook_size=16),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        VQVAE(config).save(folder)
    return folder


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder with two recordings, in a folder of its own each."""
    folder = tmp_path / "in"
    rng = np.random.default_rng(0)
    for name, samples, rate, channels in (("a.wav", 9_877, RATE, 1), ("sub/b.flac", 20_001, 22_050, 2)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, 0.2 * rng.standard_normal((samples, channels)), rate)
    return folder
