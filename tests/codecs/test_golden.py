"""Bytes that were committed once: another machine, torch or numpy must write the same, and read them. (tests/reference runs this too.)

GOLDEN=write pytest tests/codecs/test_golden.py writes the files of version 2 anew: only where the format was meant to change, for whoever
has such files loses them. `packed.solfa` was written by the first version of solfa.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from solfa.codecs.entropy.integer_lm import IntegerLM, share_table, tensor_shapes, unheard
from solfa.codecs.entropy.lm_config import CodeLMConfig
from solfa.codecs.token_file import TokenFile, TokenHeader, TokenWriter
from solfa.codecs.token_format import pack_head

GOLDEN = Path(__file__).parent / "golden"
SHAPE = CodeLMConfig("golden", "ab" * 32, 3, 40, widths=(12, 8), dilations=(1, 2, 3), inner=6, hidden=10)
FRAMES = 230


def numbers(name: str, count: int) -> np.ndarray:
    """Bytes that any numpy gives alike."""
    return np.frombuffer(hashlib.shake_128(name.encode()).digest(count), np.uint8)


def codes() -> np.ndarray:
    """Codes [3, FRAMES] below 40: the first codebook repeats itself, the second leans to low codes, the third is noise."""
    low, noise = numbers("low", FRAMES).astype(int), numbers("noise", FRAMES) % 40
    first = np.repeat(numbers("first", FRAMES) % 7, 3)[:FRAMES] * 5
    return np.stack([first, low * low * 40 >> 16, noise]).astype(np.int64)


def lm() -> IntegerLM:
    """A model with weights of no meaning."""
    tensors = {}
    for name, (shape, kind) in tensor_shapes(SHAPE).items():
        if name == "shares":
            tensors[name] = share_table()
            continue
        raw = numbers(name, int(np.prod(shape))).reshape(shape)
        if name.endswith(".exponent"):
            tensors[name] = (raw % 3 + (8 if "logits" in name else 7)).astype(kind)
        else:
            tensors[name] = ~unheard(SHAPE, name, shape) * (raw.astype(np.int8) // (3 if name.endswith(".weight") else 1)).astype(kind)
    return IntegerLM(SHAPE, tensors, "the golden model")



def write(path: Path, kind: str) -> None:
    geometry = {"sample_rate": 24_000, "channels": 1, "hop": 480, "codebooks": 3, "codebook_size": 40}
    if kind == "segments":
        segment = {"segment_samples": 48_000, "segment_stride": 47_520, "block_frames": 100, "scaled": True}
        header = TokenHeader("golden", "ab" * 32, **geometry, coding="adaptive", **segment)
    else:
        header = TokenHeader(
            "golden", "ab" * 32, **geometry, coding=kind, block_frames=64, lm=lm().hash if kind == "lm" else ""
        )
    with TokenWriter(path, header, lm() if kind == "lm" else None) as writer:
        if kind == "segments":  # of 47520 + 47520 + 14400 samples
            for start, stop, scale in ((0, 100, 0.25), (100, 200, 1.5), (200, 230, 1e-8)):
                writer.write(codes()[:, start:stop], scale)
            writer.close(2 * 47_520 + 14_400)
        else:
            writer.write(codes())
            writer.close(480 * FRAMES - 7)


@pytest.mark.parametrize("kind", ["packed", "adaptive", "lm", "segments"])
def test_golden(tmp_path: Path, kind: str) -> None:
    golden = GOLDEN / f"{kind}.solfa"
    if os.environ.get("GOLDEN") == "write" and kind != "packed":
        write(golden, kind)
    write(tmp_path / "a.solfa", kind)
    assert (tmp_path / "a.solfa").read_bytes() == golden.read_bytes()
    with TokenFile(golden, lm=lm() if kind == "lm" else None) as file:
        np.testing.assert_array_equal(file.read(), codes())
        np.testing.assert_array_equal(file.read(70, 129, 2), codes()[:2, 70:129])
        if kind in ("adaptive", "lm"):  # else the file would tell nothing about the coding
            assert file.size < len(pack_head(file.header)) + 4 * (file.header.head_bytes + 4) + 8 + 3 * 230 * 6 // 8
        assert file.damaged == () and file.header.version == (1 if kind == "packed" else 2)
        if kind == "segments":
            np.testing.assert_array_equal(file.scales, np.array([0.25, 1.5, 1e-8], np.float32))
