"""How a transcriber is scored while it learns: read in many ways at once as in one after the other, and the best way taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from solfa.score.note import Note
from solfa.score.score import score_of_notes
from solfa.train.transcriber_data import Take
from solfa.train.transcriber_notes import note_table
from solfa.train.transcriber_score import best_peaks, score_takes, try_peaks
from solfa.transcription.config import READ, TranscriberConfig
from solfa.transcription.frames import FrameOptions
from solfa.transcription.model import TokenTranscriber


@pytest.fixture(scope="module")
def model() -> TokenTranscriber:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = TranscriberConfig(
            "tiny", "tiny", 8000, 50.0, 2, 16, width=16, heads=2, encoder_layers=2, kernel=3, channels=4, pitch_layers=1, segment_frames=40,
            lowest=58, highest=67,
        )  # fmt: skip
        found = TokenTranscriber(shape).eval()
        with torch.no_grad():
            for weight in found.parameters():
                weight *= 2 if weight.ndim > 1 else 1
            found.frame_head.bias += 3  # notes everywhere
        return found


def takes(count: int = 3) -> list[Take]:
    found = []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        onsets = np.sort(rng.uniform(0, 2, 40))
        notes = [
            Note(t, t + 0.1, int(rng.integers(58, 68)), 80, int(rng.integers(3)), bool(i % 9 == 0))
            for i, t in enumerate(onsets)
        ]
        found.append(Take(rng.integers(0, 16, (2, 110)), note_table(score_of_notes(notes))))
    return found


def test_many_ways_at_once_are_each_alone(model: TokenTranscriber) -> None:
    ways = [READ, FrameOptions(), replace(READ, onset=0.2), FrameOptions(0.2, 0.2, drum=0.1)]
    together = score_takes(model, takes(), 2, None, ways)
    assert together == [score_takes(model, takes(), 2, None, [way])[0] for way in ways]
    assert len({scores["onset_f1"] for scores in together}) == 4 and min(s["onset_recall"] for s in together) > 0
    tried = try_peaks(model, takes(), None, (0.2, 0.5))
    assert list(tried) == [(name, value) for name in ("onset", "drum", "frame") for value in (0.5, 0.2)]
    assert tried["onset", 0.2] == together[2]
    assert tried["onset", 0.5] == tried["drum", 0.5] == tried["frame", 0.5] == together[0]


def test_the_best_thresholds() -> None:
    def row(onset: float, offset: float, **more: float) -> dict[str, float]:
        return {"onset_f1": onset, "onset_offset_f1": offset, **more}

    usual, quiet = row(0.5, 0.4), row(0.6, 0.9)
    one = {("onset", 0.5): usual, ("onset", 0.3): quiet, ("drum", 0.5): usual, ("drum", 0.3): quiet}
    one |= {("frame", 0.5): usual, ("frame", 0.3): row(0.9, 0.3)}
    assert best_peaks(one) == replace(READ, onset=0.3)  # there are no drums, and what sounds on is better as it was
    drummed = one | {("drum", 0.5): row(0.9, 0.9, drum_f1=0.1), ("drum", 0.3): row(0.1, 0.1, drum_f1=0.2)}
    drummed[("frame", 0.3)] = row(0.1, 0.5)
    assert best_peaks(drummed) == replace(READ, onset=0.3, drum=0.3, frame=0.3)  # each by its own measure
    assert best_peaks({cell: usual for cell in one}) == READ
