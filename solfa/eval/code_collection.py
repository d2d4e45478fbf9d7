"""The codes of many recordings of one codec, counted as they come, and the evaluation of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from solfa.eval import bag_of_codes, code_statistics, codebooks
from solfa.eval.bag_of_codes import cosine_similarity, tf_idf, typical_codes
from solfa.eval.code_statistics import (
    MutualInformation,
    PairCounts,
    RunCounts,
    chosen_pairs,
    conditional_entropy,
    mutual_information,
)
from solfa.eval.codebooks import CodebookCounts, CodebookReport
from solfa.eval.evaluation import Evaluation, Item

MAX_BAGS = 1 << 23  # recordings x words, and recordings x recordings, whose numbers are held: 64 MB each time
_DEFINED = {m.name: m for module in (codebooks, code_statistics, bag_of_codes) for m in module.MEASURES}
ITEM_MEASURES = tuple(_DEFINED[name] for name in ("usage", "entropy", "perplexity", "efficiency", "run_length"))
Rows = list[dict[str, Any]]


class CodeCollection:
    """Counts recordings of a codec of K codebooks of N codes: `add` each, then read.

    Memory: K x N numbers a recording, and one for each other, while the bags are kept (MAX_BAGS in all; then none is), and at most 256 MB
    each for pairs of codebooks and for a code and the one before, which are left out where N is too large for that.
    """

    def __init__(self, books: int, size: int) -> None:
        self.total = CodebookCounts(books, size)
        self.runs = RunCounts(books)
        self.pairs = PairCounts(chosen_pairs(books, size), size)
        before = [(book, book) for book in range(books)]
        self.before = PairCounts(before, size) if books * size**2 <= code_statistics.MAX_CELLS else None
        self.items: list[Item] = []
        self.bags: list[np.ndarray] | None = []  # counts [K N] of each recording

    @property
    def every_pair(self) -> bool:
        """Whether all pairs of codebooks are counted."""
        books = len(self.total.counts)
        return len(self.pairs.pairs) == books * (books - 1) // 2

    def add(self, name: str, codes: np.ndarray) -> None:
        """Count codes [K, T] of one recording. Raises ValueError, with nothing counted, for none, another shape, or a code beyond N."""
        if np.ndim(codes) != 2:
            raise ValueError(
                f"codes of shape {list(np.shape(codes))}: must be [{len(self.total.counts)}, T], of one recording"
            )
        own = CodebookCounts(*self.total.counts.shape)
        own.add(codes)
        report = own.report()
        self.pairs.add(codes, codes)
        self.total.counts += own.counts
        if self.before is not None:
            self.before.add(codes[:, :-1], codes[:, 1:])
        values = {
            "usage": report.usage_total,
            "entropy": report.entropy_total / report.codebooks,
            "perplexity": report.perplexity_mean,
            "efficiency": report.efficiency_total,
            "run_length": float(self.runs.add(codes).mean()),
        }
        self.items.append(Item(name, values))
        count = len(self.items)
        if self.bags is not None and count * max(count, own.counts.size) <= MAX_BAGS:
            self.bags.append(own.counts.ravel())
        else:
            self.bags = None

    def report(self) -> CodebookReport:
        """The codebooks over all recordings together. Raises ValueError for none."""
        return self.total.report()

    def information(self) -> dict[tuple[int, int], MutualInformation]:
        """What each counted pair of codebooks tells of each other."""
        return {pair: mutual_information(self.pairs.joint(at)) for at, pair in enumerate(self.pairs.pairs)}

    def evaluation(self, settings: Mapping[str, Any], tf: str = "tf_l1", idf: str = "idf_e1") -> Evaluation:
        """Values of each recording, and tables of the whole. Raises ValueError for no recordings, or a weight that there is not."""
        tables: dict[str, Rows] = {"codebooks": self._codebooks(), "run_lengths": self._run_lengths()}
        if self.pairs.pairs:
            tables["mutual_information"] = [
                {"codebook": a, "with": b, "mutual_information": found.bits, "corrected": found.corrected}
                | {"chance": found.chance, "share": found.share, "frames": found.frames, "pairs": found.pairs}
                for (a, b), found in self.information().items()
            ]
        if self.bags is not None and len(self.bags) > 1:
            tables["bags_of_codes"] = self._bags(self.bags, tf, idf)
        shown = {m.name: m.definition for m in _DEFINED.values() if m.name not in {i.name for i in ITEM_MEASURES}}
        whole = {**settings, "tf": tf, "idf": idf, "in_tables": shown}
        return Evaluation("codebooks", whole, ITEM_MEASURES, self.items, tables)

    def _codebooks(self) -> Rows:
        found = asdict(self.report())
        lengths, columns = self.runs.mean(), [measure.name for measure in codebooks.MEASURES]
        rows: Rows = [
            {"codebook": str(book), **{name: found[name][book] for name in columns}, "run_length": float(lengths[book])}
            for book in range(found["codebooks"])
        ]
        totals = ("usage_total", "dead_total", "entropy_total", "perplexity_mean", "efficiency_total")
        whole = {name: found[total] for name, total in zip(columns, totals, strict=True)}
        rows.append({"codebook": "all", **whole, "run_length": float(lengths.mean())})
        if self.before is not None:
            bits = [conditional_entropy(self.before.joint(book)) for book in range(found["codebooks"])]
            for row, value in zip(rows, [*bits, float(np.sum(bits))], strict=True):
                row["conditional_entropy"] = value
        return rows

    def _run_lengths(self) -> Rows:
        """The share of each codebook's runs that are as long as its column says, in frames."""
        shares = self.runs.runs / self.runs.runs.sum(axis=1, keepdims=True)
        return [
            {"codebook": book, "longest": int(self.runs.longest[book])}
            | dict(zip(RunCounts.BINS, row.tolist(), strict=True))
            for book, row in enumerate(shares)
        ]

    def _bags(self, bags: list[np.ndarray], tf: str, idf: str) -> Rows:
        """Of each recording the nearest other one, and its typical codes as codebook:code."""
        size = self.total.counts.shape[1]
        weights = tf_idf(np.stack(bags), tf, idf)
        alike = cosine_similarity(weights)
        np.fill_diagonal(alike, np.nan)
        rows: Rows = []
        for item, row, words in zip(self.items, alike, typical_codes(weights), strict=True):
            known = not np.isnan(row).all()
            nearest = int(np.nanargmax(row)) if known else -1
            rows.append(
                {"item": item.name, "nearest": self.items[nearest].name if known else None}
                | {"cosine": float(row[nearest]) if known else None}
                | {"typical": " ".join(f"{word // size}:{word % size}" for word in words)}
            )
        return rows
