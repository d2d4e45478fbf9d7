"""A store as a folder that Hugging Face datasets reads, or the hub shows: Parquet files by split, and a card that names them.

README.md                       the card: which files are of which split, and whose codes they are
data/train-00000.parquet        the columns of `columns`
data/valid-00000.parquet

datasets.load_dataset("folder")["train"][0]["codes"]      K lists of T integers
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from solfa.tokenize_audio.store.export_parquet import ItemsWriter

if TYPE_CHECKING:
    from solfa.tokenize_audio.store.store import TokenStore

NO_SPLIT = "train"  # what items without a split are of
_OPEN_SPLITS = 32


def write_hf(store: TokenStore, folder: Path, on_shard: Callable[[int, int], None]) -> None:
    """A file a shard and split, and the card. The column `split` keeps the store's own word. Raises ValueError for too many splits."""
    (folder / "data").mkdir()
    first = 0
    names: dict[str, str] = {}  # of the splits
    for done, manifest in enumerate(store.manifests, 1):
        files: dict[str, ItemsWriter] = {}
        with ExitStack() as open_files:
            for item in range(first, first + manifest.items):
                meta = store.meta(item)
                said = meta.split.strip() or NO_SPLIT
                if said not in names:
                    if len(names) == _OPEN_SPLITS:
                        raise ValueError(f"{store.path}: more than {_OPEN_SPLITS} splits, {said!r} is another")
                    names[said] = split_name(said, names.values())
                split = names[said]
                if split not in files:
                    path = folder / "data" / f"{split}-{manifest.shard:05d}.parquet"
                    files[split] = open_files.enter_context(ItemsWriter(path, store.head, {}))
                files[split].add(meta, store.codes(item))
        first += manifest.items
        on_shard(done, len(store.manifests))
    (folder / "README.md").write_text(_card(store, sorted(names.values())), encoding="utf-8")


def split_name(split: str, taken: Collection[str] = ()) -> str:
    """A split's name as datasets takes it: letters, digits and underscores, with a number where another split has that name."""
    name = re.sub(r"\W+", "_", split)
    return next(each for each in chain([name], (f"{name}_{n}" for n in count(2))) if each not in taken)


def _card(store: TokenStore, splits: list[str]) -> str:
    head = store.head
    listed = "".join(f"  - split: {split}\n    path: data/{split}-*.parquet\n" for split in splits)
    configs = f"configs:\n- config_name: default\n  data_files:\n{listed}" if splits else "configs: []\n"
    return (
        f"---\n{configs}---\n\n# Audio as tokens\n\n"
        f"{len(store)} recordings, encoded with `{head.codec}` (weights `{head.weights_hash}`): "
        f"{head.codebooks} codebooks of {head.codebook_size} codes, {head.frame_rate:g} frames a second, "
        f"{head.sample_rate} Hz, {head.channels} channel{'s' if head.channels > 1 else ''}.\n\n"
        '`codes` are lists of the codes of a codebook, coarsest first: `numpy.array(row["codes"])` is `[K, T]`. `attributes` and '
        "`extra` are JSON. Written by `solfa store export --to hf`.\n"
    )
