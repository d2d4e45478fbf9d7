"""Variants of recordings as codes: sound is varied and mixed before it is encoded, once, and the codes are kept."""

from __future__ import annotations

import hashlib
import json
import random
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from solfa.audio.io import Audio, AudioError, info, read
from solfa.codecs.codec import Codes
from solfa.data.mixing import MixOptions, Variation, draw_variation, vary_score, vary_sound
from solfa.score.score import Score
from solfa.train.code_cache import CodeCache, file_stamp


class VariantCache(CodeCache):
    """Token files of one variant of each recording, beside those of the recordings themselves:
    `<recording>.<first digits of a hash of what was drawn>.solfa`.

    plans: of each recording its variation and the files of the strands. A changed file, of any strand, is encoded again.
    """

    def __init__(self, plain: CodeCache, plans: Mapping[Path, tuple[Variation, Sequence[Path]]]) -> None:
        self.root, self.folder, self.codec = plain.root, plain.folder, plain.codec
        self.codebooks, self.apart = plain.codebooks, False
        self.plans = plans

    def targets(self, audio: Path) -> list[Path]:
        (plain,) = super().targets(audio)
        return [plain.with_name(f"{audio.name}.{self._digest(audio)}.solfa")]

    def source(self, audio: Path) -> str:
        return " ".join(file_stamp(path) if path.is_file() else "missing" for path in self.plans[audio][1])

    def encoded(self, audio: Path) -> Codes:
        variation, paths = self.plans[audio]
        rate = self.codec.sample_rate
        sound = vary_sound([_mono(path, rate) for path in paths], rate, variation)
        samples = torch.from_numpy(np.ascontiguousarray(sound))[None]
        return self.codec.encode(Audio(samples, rate), codebooks=self.codebooks)

    def _digest(self, audio: Path) -> str:
        variation, paths = self.plans[audio]
        said = json.dumps([variation.to_dict(), [path.name for path in paths]])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


def draw_variants(
    audio: Sequence[Path], scores: Sequence[Score], options: MixOptions, seed: int, number: int
) -> tuple[dict[Path, tuple[Variation, Sequence[Path]]], dict[Path, Score]]:
    """Variant `number` of every recording, mixed with others of the same list: what is drawn, and the notes.

    Both are functions of the arguments and the recordings' lengths alone. Recordings whose sound cannot be opened have no variant, and
    how many is said.
    """
    plans: dict[Path, tuple[Variation, Sequence[Path]]] = {}
    varied: dict[Path, Score] = {}
    for index, path in enumerate(audio):
        try:
            seconds = info(path).duration
        except (AudioError, OSError):
            continue
        variation = draw_variation(random.Random(f"{seed}/variant/{number}/{index}"), options, index, scores)
        strands = [strand.index for strand in variation.strands]
        plans[path] = (variation, [audio[i] for i in strands])
        varied[path] = vary_score([scores[i] for i in strands], variation, seconds)
    if len(plans) < len(audio):
        warnings.warn(f"{len(audio) - len(plans)} of {len(audio)} recordings have no sound to vary", stacklevel=2)
    return plans, varied


def _mono(path: Path, sample_rate: int) -> np.ndarray:
    """[1, S] float32 at a rate."""
    sound = read(path).to_mono().resample(sample_rate)
    return sound.samples[0].numpy()
