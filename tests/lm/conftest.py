"""Language models with random weights, small enough to be made for every test."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from solfa.lm.conditioners.beat import BeatConfig
from solfa.lm.conditioners.text import ByteTextConfig
from solfa.lm.model import Conditions, LMConfig, TokenLM
from solfa.lm.patterns import PatternConfig, delay
from solfa.lm.sampling import SamplingOptions
from solfa.lm.serve import Batch
from solfa.nn.transformer import TransformerConfig

MakeLM = Callable[..., TokenLM]
Serve = Callable[[Any, Sequence[Conditions], int, Sequence[int], SamplingOptions], list[torch.Tensor]]


@pytest.fixture(scope="session")
def make_lm() -> MakeLM:
    """make_lm(pattern, depth=False, text=True, beat=False, summary=False, crop=24, **shape): K codebooks of 32 codes, as many as the
    pattern has; sharp logits."""

    def make(
        pattern: PatternConfig | None = None,
        *,
        depth: bool = False,
        text: bool = True,
        beat: bool = False,
        summary: bool = False,
        crop: int = 24,
        **shape: Any,
    ) -> TokenLM:
        pattern = delay(4) if pattern is None else pattern
        config = LMConfig(
            name="tiny-lm",
            codec="tiny",
            sample_rate=8000,
            frame_rate=50.0,
            transformer=TransformerConfig(**{"width": 16, "layers": 2, "heads": 2} | shape),
            codebooks=pattern.codebooks,
            codebook_size=32,
            pattern=pattern,
            depth=TransformerConfig(width=8, layers=1, heads=2, cross=False) if depth else None,
            text=ByteTextConfig(width=8, layers=1, heads=2, hidden=16, longest=64) if text else None,
            crop_frames=crop,
            beat=BeatConfig() if beat else None,
            summary=summary,
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = TokenLM(config).eval()
            with torch.no_grad():
                for weight in model.parameters():
                    if weight.ndim > 1:
                        weight *= 2  # so that the codes that are heard matter to those that are written
                if model.beat is not None:
                    model.beat.project.weight.normal_()
                if model.summary is not None:
                    model.summary.project.weight.normal_()
        return model

    return make


@pytest.fixture(scope="session")
def serve() -> Serve:
    """serve(model, told, frames, seeds, options): the codes [K, T] of prompts that join a batch two steps after one another."""

    def write(
        model: Any, told: Sequence[Conditions], frames: int, seeds: Sequence[int], options: SamplingOptions
    ) -> list[torch.Tensor]:
        batch, tickets, got = Batch(model), [], {}
        for conditions, seed in zip(told, seeds, strict=True):
            tickets.append(batch.join(conditions, frames, seeds=[seed], options=options))
            for ticket, piece in (*batch.step(), *batch.step()):
                got.setdefault(ticket, []).append(piece.codes[0])
        while len(batch):
            for ticket, piece in batch.step():
                got.setdefault(ticket, []).append(piece.codes[0])
        return [torch.cat(got[ticket], 1) for ticket in tickets]

    return write
