"""What a model plays while it is trained: sound files of fixed prompts with fixed seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from solfa.audio.io import Audio, write
from solfa.codecs.codec import Codec, Codes
from solfa.codecs.sides import join_sides
from solfa.lm.generate import generate
from solfa.lm.guidance import beats_of, conditions_for, later
from solfa.lm.model import Conditions, LMConfig, TokenLM
from solfa.lm.patterns import separate
from solfa.lm.sampling import USUAL


@torch.no_grad()
def write_samples(model: TokenLM, codec: Codec, prompts: Sequence[str], seconds: float, folder: Path) -> list[Path]:
    """Play each prompt, told and guided, into `folder`/sample-N.wav; prompt N has the seed N. Gives the files."""
    samples = max(1, round(seconds * codec.sample_rate))
    grids = beats_of(model.config, prompts)

    def told(begin: int) -> Conditions:
        return conditions_for(model, prompts, USUAL, beat=later(grids, begin / model.config.frame_rate))

    frames, seeds = -(-samples // codec.hop), range(len(prompts))
    codes = generate(model, told, frames, seeds=seeds, options=USUAL)  # [B, K, T]
    files = []
    for number, (row, prompt) in enumerate(zip(codes.cpu(), prompts, strict=True)):
        files.append(folder / f"sample-{number}.wav")
        write(files[-1], played(row[None], model.config, codec, samples))
        files[-1].with_suffix(".txt").write_text(prompt + "\n", encoding="utf-8")
    return files


def played(codes: Tensor, config: LMConfig, codec: Codec, samples: int | None = None) -> Audio:
    """The sound of a model's codes [1, K, T], of so many samples, or of all frames; of a stereo model over a mono codec, both channels."""
    apart = config.channels == 2 and codec.channels == 1
    sides = torch.cat(separate(codes)) if apart else codes
    length = codes.shape[2] * codec.hop if samples is None else samples
    shape = codec.name, codec.weights_hash, codec.sample_rate, codec.channels, codec.hop, codec.codebook_size
    sound = codec.decode(Codes(sides, *shape, (length,) * len(sides))).samples
    return Audio(join_sides(sound) if apart else sound, codec.sample_rate)
