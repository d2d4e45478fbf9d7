"""What is counted in a store, and the picture of it."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from solfa.eval.codebooks import codebook_report
from solfa.tokenize_audio.store import usage as module
from solfa.tokenize_audio.store.format import Quarantined, TokenStoreError, write_head
from solfa.tokenize_audio.store.store import TokenStore
from solfa.tokenize_audio.store.usage import usage
from solfa.tokenize_audio.store.usage_chart import usage_chart
from solfa.tokenize_audio.store.writer import write_shard

Make = Callable[..., TokenStore]


def test_everything_is_counted_once(make_store: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRAMES_AT_ONCE", 7)
    store = make_store()
    steps: list[tuple[int, int]] = []
    found = usage(store, lambda done, of: steps.append((done, of)))
    counts = np.zeros((4, 1024), np.int64)
    for i in range(len(store)):
        for book, codes in enumerate(store.codes(i)):
            np.add.at(counts[book], codes, 1)
    assert np.array_equal(found.counts, counts) and found.codebooks == codebook_report(counts)
    assert (found.shards, found.items, found.frames, found.tokens) == (3, 5, 138, 552)
    assert found.seconds == pytest.approx(138 * 320 / 24000)
    metas = list(store.metas())
    assert found.notes == sum(meta.notes is not None for meta in metas) and found.captions == 5
    assert found.splits == {split: sum(meta.split == split for meta in metas) for split in ("train", "valid")}
    assert found.bytes == sum(path.stat().st_size for path in Path(store.path).glob("0*.[sc,m]*.*"))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_store_of_nothing_and_one_that_cannot_be_counted(make_store: Make, tmp_path: Path) -> None:
    store = make_store([[0]])
    write_shard(tmp_path / "store", 1, store.head, [], [Quarantined("a", "a", "cut")])
    found = usage(TokenStore(tmp_path / "store"))
    assert (found.items, found.frames, found.codebooks, found.quarantined) == (1, 0, None, 1)
    write_head(tmp_path / "big", replace(store.head, codebook_size=1 << 21))
    with pytest.raises(TokenStoreError, match="no more than 4194304 codes can be counted"):
        usage(TokenStore(tmp_path / "big"))


def test_the_picture_shows_the_numbers() -> None:
    counts = np.zeros((2, 64), np.int64)
    counts[0] = 10
    counts[1, :16] = 40
    root = ElementTree.fromstring(usage_chart(counts, codebook_report(counts), "<store> & co"))
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert texts[0] == "<store> & co"
    assert texts[5:] == ["0", "100 %", "6", "64", "1", "25 %", "4", "16"]
    bars = {kind: [] for kind in ("usage", "entropy", "perplexity")}  # type: dict[str, list[float]]
    for element in root.iter():
        if element.get("class") in bars:
            bars[element.get("class") or ""].append(float(element.get("width") or 0))
    assert bars["usage"] == pytest.approx([150, 150 / 4], abs=0.1)
    assert bars["entropy"] == pytest.approx([150, 150 * 4 / 6], abs=0.1)
    assert bars["perplexity"] == pytest.approx([150, 150 / 4], abs=0.1)
    curves = [element.get("points") or "" for element in root.iter() if element.tag.endswith("polyline")]
    heights = [[float(point.split(",")[1]) for point in curve.split()] for curve in curves]
    assert len(set(heights[0])) == 1, "an even codebook is a straight line"
    assert len(set(heights[1])) == 2 and heights[1] == sorted(heights[1]), "a quarter of the codes, then nothing"


def test_the_matrix_of_pairs_is_drawn_both_ways_and_within_its_bounds() -> None:
    counts = np.ones((3, 4), np.int64)
    shares = {(0, 1): 0.25, (0, 2): -0.1, (1, 2): float("nan")}
    root = ElementTree.fromstring(usage_chart(counts, codebook_report(counts), "pairs", shares))
    cells = [(e.get("x"), e.get("y"), e.get("fill-opacity")) for e in root.iter() if e.get("class") == "pair"]
    assert len(cells) == 4 and {cell[2] for cell in cells} == {"0.250", "0.000"}
    height = float(root.get("height") or 0)
    assert all(float(y or 0) + 36 <= height for _, y, _ in cells)
    (x, y), (mirrored_x, mirrored_y) = [(float(x or 0), float(y or 0)) for x, y, share in cells if share == "0.250"]
    assert x - mirrored_x == mirrored_y - y == 38
