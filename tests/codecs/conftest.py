"""Tiny codecs of every kind, with random weights and codebooks whose entries are all in use; and what strangers do to files."""

import dataclasses
import struct
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

import pytest
import torch
from hypothesis import strategies as st

from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.quantizers.vector import VectorLevel
from solfa.codecs.segments import SegmentConfig
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.nn.frames import FrameConfig
from solfa.nn.seanet import SEANetConfig

T = TypeVar("T")
Edit: TypeAlias = tuple[str, int, int, bytes]
SMALL = QuantizerConfig(codebooks=3, codebook_size=16, kmeans_iters=0)
FRAMES = VQVAEConfig("tiny", 8_000, latent_dim=8, frames=FrameConfig(20, 12, 2, 2, 3, 4), quantizer=SMALL, chunk=7)
SEANET = SEANetConfig(dimension=8, n_filters=2, ratios=(5, 4), causal=False)
ENCODEC = dataclasses.replace(SEANET, lstm_layers=1, pad_mode="reflect")
DAC = dataclasses.replace(SEANET, activation="snake", residual_kernel_size=7, true_skip=True, symmetric=True)
SEGMENTS = dataclasses.replace(ENCODEC, channels=2, n_filters=4, norm="time_group_norm")


def _seanet(seanet: SEANetConfig, **more: object) -> VQVAEConfig:
    return dataclasses.replace(FRAMES, frames=None, seanet=seanet, channels=seanet.channels, **more)


CONFIGS = {
    "frames": FRAMES,
    "stereo": dataclasses.replace(FRAMES, channels=2),
    "seanet": _seanet(SEANET),
    "causal": _seanet(dataclasses.replace(SEANET, causal=True)),
    "causal lstm": _seanet(dataclasses.replace(SEANET, causal=True, lstm_layers=1)),
    "encodec 24k": _seanet(dataclasses.replace(ENCODEC, causal=True)),
    "encodec 32k": _seanet(dataclasses.replace(ENCODEC, true_skip=True)),
    "encodec 48k": _seanet(SEGMENTS, segment=SegmentConfig(120, 110, True)),
    "dac": _seanet(DAC, decoder=dataclasses.replace(DAC, n_filters=3, final_tanh=True)),
}


def _build(config: VQVAEConfig) -> VQVAE:
    torch.manual_seed(1)
    codec = VQVAE(config, "0" * 64).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in codec.named_parameters():
            if name.endswith("original0"):  # the norm of a weight: 0.6 by default, under which a signal dies away
                parameter.fill_(1.2)
        rest = (
            codec.encoder(0.3 * torch.randn(8, config.channels, 600, generator=generator)).transpose(1, 2).flatten(0, 1)
        )
        for book in codec.quantizer.books:
            assert isinstance(book, VectorLevel)
            book.codebook.copy_(rest[torch.randperm(len(rest), generator=generator)[:16]])
            rest = rest - book.decode(book.encode(rest[None]))[0]
    return codec


@pytest.fixture(scope="session")
def tiny_codecs() -> dict[str, VQVAE]:
    """A codec of each kind; hop 20, three codebooks of 16. Tests must not change them."""
    return {name: _build(config) for name, config in CONFIGS.items()}


def _edited(data: bytes, edits: list[Edit]) -> bytes:
    for kind, at, other, extra in edits:
        at, other = min(at, len(data)), min(other, len(data))
        if kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ (extra[0] or 1)]) + data[at + 1 :]
        elif kind == "cut":
            data = data[: min(at, other)] + data[max(at, other) :]
        elif kind == "insert":
            data = data[:at] + extra + data[at:]
        elif kind == "copy":
            data = data[:at] + data[other : other + 40] + data[at:]
        elif kind == "number":
            number = [0, 1, 2**31, 2**32 - 1][other % 4]
            data = data[:at] + struct.pack("<I", number) + data[at + 4 :]
    return data


@pytest.fixture(scope="session")
def damage() -> st.SearchStrategy[Callable[[bytes], bytes]]:
    """Draws functions that change a file's bytes at one to four places."""
    kinds = st.sampled_from(["flip", "cut", "insert", "copy", "number"])
    edit = st.tuples(kinds, st.integers(0, 800), st.integers(0, 800), st.binary(min_size=1, max_size=12))
    return st.lists(edit, min_size=1, max_size=4).map(lambda edits: partial(_edited, edits=edits))


def _read_bounded(
    read: Callable[[Path], T], path: Path, data: bytes, error: type[Exception], memory: int = 200
) -> T | str:
    path.write_bytes(data)
    tracemalloc.start()
    try:
        return read(path)
    except error as found:
        said = str(found)
        assert said.startswith(str(path)) and "\n" not in said and len(said) < 1000
        return said
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < memory * len(data) + 2_000_000


@pytest.fixture(scope="session")
def read_bounded() -> Callable[..., object]:
    """What `read(path)` makes of a stranger's bytes, or the words of its one kind of error, in `memory` bytes for each of them."""
    return _read_bounded
