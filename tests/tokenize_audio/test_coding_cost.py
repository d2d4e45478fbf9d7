"""Codes written in a coding and read back: what is counted is what the files hold, and other codes are never passed over."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from solfa.codecs.codec import Codes
from solfa.codecs.token_file import TokenFile, write_tokens
from solfa.codecs.token_format import INDEX_BYTES, PRELUDE, TRAILER
from solfa.tokenize_audio.coding_cost import coded, codings, costs


def codes_of(tokens, size=16, samples=None, **changes) -> Codes:
    tokens = torch.as_tensor(np.asarray(tokens))[None].long()
    return Codes(tokens, "toy", "abc", 8000, 1, 80, size, (samples or 80 * tokens.shape[2],), **changes)


def drawn(frames, books=3, size=16, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, size, (books, frames))


def test_what_files_take(tmp_path):
    """The cost is that of the file that is written otherwise; all of it but heads, header and index is planes."""
    codes = codes_of(np.concatenate([drawn(700), np.zeros((3, 300), int)], 1), samples=80 * 1000 - 7)
    for coding, blocks, head in (("packed", 4, 4), ("adaptive", 1, 6)):
        found = coded(codes, coding).cost
        path = tmp_path / f"{coding}.solfa"
        header = write_tokens(path, codes, coding=coding)
        assert (found.coding, found.file, found.frames) == (coding, 8 * path.stat().st_size, 1000)
        assert found.seconds == header.duration and found.block == header.block_frames
        with TokenFile(path) as file:
            assert file.plane_bytes().shape == (blocks, 3)
            assert found.planes == tuple(8 * file.plane_bytes().sum(0))
            around = PRELUDE.size + len(header.to_json()) + TRAILER.size + blocks * (INDEX_BYTES + 3 * head)
        assert found.file == sum(found.planes) + 8 * around
    assert coded(codes, "packed").cost.planes == (4000,) * 3


def test_codes_that_can_be_guessed_take_less():
    """Chance cannot be coded, a code that stays can; the lower codebooks' planes are their own."""
    books = np.stack([np.zeros(2000, int), np.arange(2000) % 16, drawn(2000)[0]])
    still, cycle, chance = coded(codes_of(books), "adaptive").cost.planes
    assert still == 8 * 2000 // 16 and still <= cycle < chance / 2  # no plane has fewer than 1/16 byte a frame
    assert 0.98 * 8000 < chance <= 8000
    assert coded(codes_of(books[::-1].copy()), "adaptive").cost.planes == (chance, cycle, still)
    short, whole = (coded(codes_of(drawn(2000)), "adaptive", block_frames=n).cost for n in (64, None))
    assert short.file > whole.file and (short.block, whole.block) == (64, 4096)


def test_one_frame_and_large_codebooks():
    (packed, adaptive) = costs(codes_of(drawn(1)))
    assert packed.planes == (8, 8, 8) == adaptive.planes and packed.frames == 1
    assert codings(16) == ("packed", "adaptive") and codings(1 << 15) == ("packed",)
    assert [cost.coding for cost in costs(codes_of(drawn(9, size=1 << 15), size=1 << 15))] == ["packed"]


def test_segments_with_scales():
    codes = codes_of(drawn(25), samples=1800, segment=(800, 720), scales=torch.tensor([[0.5, 2.0, 0.25]]))
    for cost in costs(codes):
        assert (cost.frames, cost.block) == (25, 10)
        assert cost.planes == tuple(8 * (5 + 5 + 3) for _ in range(3))  # 10, 10 and 5 frames of 4 bits


@pytest.mark.parametrize("change", ["tokens", "samples", "scales"])
def test_what_comes_back_otherwise_is_an_error(monkeypatch, change):
    codes = codes_of(drawn(25), samples=1800, segment=(800, 720), scales=torch.tensor([[0.5, 2.0, 0.25]]))
    wrong = {"tokens": codes.tokens ^ 1, "samples": (1799,), "scales": codes.scales * 2}
    monkeypatch.setattr(TokenFile, "codes", lambda self: replace(codes, **{change: wrong[change]}))
    with pytest.raises(ValueError, match="coded as packed, other codes came back"):
        coded(codes, "packed")
