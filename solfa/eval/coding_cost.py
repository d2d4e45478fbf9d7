"""What codings of codes cost: bits a code, what that saves beside whole bits, and the bitrate of the files.

Pure functions of how many bits a recording's planes (the codes of one codebook in one block) and its file took; who codes them is
`tokenize_audio.coding_cost`. A coding is lossless, so this is all that it costs, but for time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from solfa.eval.evaluation import Evaluation, Measure

INFINITY = float("inf")
PACKED = "packed"  # whole bits: of a recording only the file's size says something

MEASURES: tuple[Measure, ...] = (
    Measure(
        "bits",
        "Bits that a code takes: the bytes of the planes of all codebooks over the codes in them; header, checksums and index of the file "
        "are left out. In the table `codings`, and there of each codebook too, over the codes of all recordings together.",
        "bits",
        0.0,
        INFINITY,
        "lower",
    ),
    Measure(
        "saved",
        "1 - bits / ceil(log2 N), the share of whole bits that the coding saves; below 0 where few codes are filled up to whole bytes. "
        "Compression papers often give its complement.",
        "",
        -INFINITY,
        1.0,
        "higher",
    ),
    Measure(
        "kbps",
        "Thousands of bits a second that the whole file takes, with header, checksums and index, which weigh more the shorter the "
        "recording is.",
        "kbit/s",
        0.0,
        INFINITY,
        "lower",
    ),
)
_DEFINED = {measure.name: measure for measure in MEASURES}
# Columns of the table that are no measures of a recording.
COLUMNS = {
    "coding": "how the codes are stored: packed in whole bits, adaptive by a model that learns from each recording, lm by a language model",
    "block": "frames after which a coding forgets what it learned",
    "n": "recordings that were written, read back, and found to be the same, code for code",
    "0, 1, ...": "bits that a code of this codebook takes",
}


@dataclass(frozen=True)
class CodingCost:
    """What one recording took in one coding, in bits: the codes of each codebook, and the file. block: frames of a whole one."""

    coding: str
    block: int
    planes: tuple[int, ...]  # [K]
    file: int
    frames: int
    seconds: float


def bits_per_code(costs: Sequence[CodingCost]) -> np.ndarray:
    """Bits that a code of each codebook takes, over the recordings together: [K], 0 and above.

    Raises ValueError where there are no frames.
    """
    frames = sum(cost.frames for cost in costs)
    if not frames:
        raise ValueError("no codes were coded: at least one frame is needed")
    return np.sum([cost.planes for cost in costs], axis=0) / frames


def saved(costs: Sequence[CodingCost], codebook_size: int) -> float:
    """The share of whole bits, ceil(log2 N) a code, that is saved over the recordings together; at most 1."""
    return 1 - float(bits_per_code(costs).mean()) / (codebook_size - 1).bit_length()


def kbps(costs: Sequence[CodingCost]) -> float:
    """Thousands of bits a second of the files together; NaN for no sound."""
    seconds = sum(cost.seconds for cost in costs)
    return sum(cost.file for cost in costs) / seconds / 1000 if seconds else float("nan")


class CodingCosts:
    """The costs of recordings as they come, all in the same codings, and what of them an evaluation shows."""

    def __init__(self, codebook_size: int) -> None:
        self.codebook_size = codebook_size
        self.recordings: list[tuple[CodingCost, ...]] = []

    def add(self, costs: Sequence[CodingCost]) -> None:
        """Those of one recording, a coding each, in one order for all."""
        assert not self.recordings or [c.coding for c in costs] == [c.coding for c in self.recordings[0]]
        self.recordings.append(tuple(costs))

    def told(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation of the same recordings, with what each took in each coding as measures, and a table over all of them."""
        items = [
            replace(item, values={**item.values, **self._values(costs)})
            for item, costs in zip(evaluation.items, self.recordings, strict=True)
        ]
        codings = [cost.coding for cost in self.recordings[0]] if self.recordings else []
        measures = [*evaluation.measures, *(measure for coding in codings for measure in measures_of(coding))]
        tables = {"codings": self._rows(), **evaluation.tables}
        shown = {**evaluation.settings.get("in_tables", {}), **COLUMNS}
        settings = {**evaluation.settings, "in_tables": shown}
        return replace(evaluation, settings=settings, measures=measures, items=items, tables=tables)

    def _values(self, costs: Sequence[CodingCost]) -> dict[str, float]:
        measured = {cost.coding: self._measured([cost]) for cost in costs}
        named = [(coding, name) for coding in measured for name in _shown(coding)]
        return {f"{coding} {name}": measured[coding][name] for coding, name in named}

    def _measured(self, costs: Sequence[CodingCost]) -> dict[str, float]:
        bits = float(bits_per_code(costs).mean())
        return {"bits": bits, "saved": saved(costs, self.codebook_size), "kbps": kbps(costs)}

    def _rows(self) -> list[Mapping[str, Any]]:
        """A row a coding: over all recordings together, with the bits of each codebook behind."""
        rows: list[Mapping[str, Any]] = []
        for costs in zip(*self.recordings, strict=True):
            books = {str(book): float(bits) for book, bits in enumerate(bits_per_code(costs))}
            whole = {"coding": costs[0].coding, "block": costs[0].block, **self._measured(costs)}
            rows.append({**whole, "n": len(costs), **books})
        return rows


def measures_of(coding: str) -> list[Measure]:
    """The measures of a recording in one coding, under its name."""
    return [replace(_DEFINED[name], name=f"{coding} {name}") for name in _shown(coding)]


def _shown(coding: str) -> Sequence[str]:
    return ("kbps",) if coding == PACKED else tuple(_DEFINED)
