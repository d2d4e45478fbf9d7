"""A tiny codec with random weights, sounds for it, and a corpus of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from solfa.codecs.codec import Codec
from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.quantizers.vector import VectorLevel
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.nn.frames import FrameConfig
from solfa.nn.seanet import SEANetConfig
from solfa.tokenize_audio.work.job import Job, run_claim
from solfa.tokenize_audio.work.plan import Plan, plan
from solfa.tokenize_audio.work.sources import find_sources

RATE = 8_000
QUANTIZER = QuantizerConfig(codebooks=3, codebook_size=16, kmeans_iters=0)
FRAMES = VQVAEConfig("tiny", RATE, latent_dim=8, frames=FrameConfig(20, 12, 2, 2, 3, 4), quantizer=QUANTIZER, chunk=100)
SEANET = VQVAEConfig(
    "tiny seanet",
    RATE,
    latent_dim=8,
    seanet=SEANetConfig(dimension=8, n_filters=2, ratios=(5, 4), causal=False),
    quantizer=QUANTIZER,
    chunk=100,
)


def build(config: VQVAEConfig, folder: Path) -> str:
    """A checkpoint whose codebook entries are all in use."""
    torch.manual_seed(1)
    codec = VQVAE(config).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        sound = 0.3 * torch.randn(8, 1, 600, generator=generator)
        rest = codec.encoder(sound).transpose(1, 2).flatten(0, 1)
        for book in codec.quantizer.books:
            assert isinstance(book, VectorLevel)
            book.codebook.copy_(rest[torch.randperm(len(rest), generator=generator)[:16]])
            rest = rest - book.decode(book.encode(rest[None]))[0]
    codec.save(folder)
    return str(folder)


@pytest.fixture(scope="session")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A codec that looks at frames; hop 20, three codebooks of 16."""
    return build(FRAMES, tmp_path_factory.mktemp("codecs") / "tiny")


@pytest.fixture(scope="session")
def seanet_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One that has batches of windows."""
    return build(SEANET, tmp_path_factory.mktemp("codecs") / "seanet")


@pytest.fixture(scope="session")
def codec(codec_folder: str) -> Codec:
    from solfa.codecs.registry import load_codec

    return load_codec(codec_folder)


def sound(seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> np.ndarray:
    """[S, C] float32."""
    return np.random.default_rng(seed).uniform(-0.4, 0.4, (max(1, round(seconds * rate)), channels)).astype("f4")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Six sounds of several rates, channels, formats and lengths, in two folders."""
    folder = tmp_path / "corpus"
    (folder / "b").mkdir(parents=True)
    for name, seconds, rate, channels in (
        ("a1.wav", 1.3, RATE, 1),
        ("a2.flac", 0.01, 11_025, 2),
        ("a3.wav", 2.5, 16_000, 2),
        ("b/b1.ogg", 1.0, RATE, 1),
        ("b/b2.wav", 0.7, RATE, 1),
        ("b/b3.flac", 1.9, 22_050, 1),
    ):
        soundfile.write(folder / name, sound(seconds, rate, channels, len(name)), rate)
    return folder


@pytest.fixture
def planned(codec: Codec, codec_folder: str) -> Callable[..., Plan]:
    """`plan` for that codec, with the store claimed as its caller must; in one shard, unless told otherwise."""

    def make(sources: Path | Sequence[Path | str], store: Path, **more: object) -> Plan:
        places = [sources] if isinstance(sources, Path) else sources
        with run_claim(store):
            return plan(find_sources(places), store, codec, codec_folder, **{"shard_items": 512} | more)  # type: ignore[arg-type]

    return make


@pytest.fixture
def store_bytes() -> Callable[[Path | str], dict[str, bytes]]:
    """Every file of a store but what is not the store."""

    def read(store: Path | str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(Path(store).iterdir()) if path.is_file()}

    return read


@pytest.fixture
def codes_of() -> Callable[[Job], dict[str, np.ndarray]]:
    """Key -> codes [K, T] of a store."""
    from solfa.tokenize_audio.store.store import TokenStore

    def read(job: Job) -> dict[str, np.ndarray]:
        store = TokenStore(job.store, verify=True)
        return {key: np.array(store.codes(i)) for i, key in enumerate(store.keys)}

    return read
