"""A file of three hours goes through in the memory of a short one."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import pyarrow.parquet  # noqa: F401  (what it takes itself is not counted)
import pytest
import torch

from solfa.codecs.quantizers import QuantizerConfig
from solfa.codecs.vqvae import VQVAE, VQVAEConfig
from solfa.nn.frames import FrameConfig
from solfa.tokenize_audio.work.plan import plan
from solfa.tokenize_audio.work.shard import encode_shard
from solfa.tokenize_audio.work.sources import find_sources
from solfa.tokenize_audio.work.trial import try_apart

LEAST = VQVAEConfig(
    "least",
    8_000,
    latent_dim=2,
    frames=FrameConfig(80, 2, 1, 1, 1, 2),
    quantizer=QuantizerConfig(codebooks=2, codebook_size=4),
    chunk=5000,
)
GROWTH = 160  # MiB: windows, blocks, threads, what the allocator keeps; the sound alone would be twice that


def _kib(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a process")
def test_three_hours(tmp_path: Path) -> None:
    torch.manual_seed(0)
    codec = VQVAE(LEAST).eval()
    size = 3 * 3600 * 8000 * 2
    with open(tmp_path / "long.wav", "wb") as file:  # silence, of which the disk holds nothing: 330 MiB as float32
        file.write(
            b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
        )
        file.write(b"data" + struct.pack("<I", size))
        file.truncate(44 + size)
    job = plan(find_sources([tmp_path / "long.wav"]), tmp_path / "store", codec).job
    told = tmp_path / "growth"

    def work() -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
        before = _kib("VmRSS")
        report = encode_shard(job, 0, codec)
        told.write_text(f"{report.seconds} {report.frames} {(_kib('VmHWM') - before) // 1024}")

    assert try_apart(work, lambda: os.times(), 120.0) is None
    seconds, frames, growth = told.read_text().split()
    assert (float(seconds), int(frames)) == (10_800.0, 1_080_000)
    assert int(growth) < GROWTH
