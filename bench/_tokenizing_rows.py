"""What bench/tokenizing.py measures in a process of its own: the loop that one writes by hand, and formats that hold codes.

python bench/_tokenizing_rows.py loop CODEC OUT THREADS FILE...          a line of JSON: seconds in the codec
python bench/_tokenizing_rows.py FORMAT FOLDER ITEMS CROPS REPEATS       a line of JSON: seconds to write, MB, crops a second
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

CODEBOOKS, SIZE, FRAMES = 8, 1024, 500  # of an item: ten seconds of solfa-24khz
CROP, BATCH = 250, 64
ROWS = 100  # of a Parquet row group
SHARD = 5000  # items of a shard of the store, and of a tar
TEXT = "a slow waltz for piano, take {}"
Crops = Callable[[np.ndarray, np.ndarray], np.ndarray]  # items [B], starts [B] -> [B, K, CROP]


def loop(codec: str, out: str, threads: str, *files: str) -> dict[str, float]:
    """Read with soundfile, encode, save the codes: one file after the other."""
    import soundfile
    import torch

    from solfa.audio.io import Audio
    from solfa.codecs.registry import load_codec

    torch.set_num_threads(int(threads))
    model, encoding = load_codec(codec), 0.0
    for name in files:
        samples, rate = soundfile.read(name, dtype="float32", always_2d=True)
        audio = Audio(torch.from_numpy(samples.T.copy())[None], rate).to_mono().resample(model.sample_rate)
        begin = time.perf_counter()
        codes = model.encode(audio)
        encoding += time.perf_counter() - begin
        np.save(Path(out) / f"{Path(name).stem}.npy", codes.tokens[0].numpy().astype(np.int16))
    return {"encoding": encoding}


def items(count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Keys and random codes [K, T], which no format makes smaller than their ten bits."""
    rng = np.random.default_rng(0)
    for i in range(count):
        yield f"{i:06d}", rng.integers(0, SIZE, (CODEBOOKS, FRAMES), np.int16)


def rows(count: int) -> Iterator[dict[str, Any]]:
    return ({"key": key, "text": TEXT.format(key), "codes": codes.tobytes()} for key, codes in items(count))


def item(data: Any) -> np.ndarray:
    return np.frombuffer(data, np.int16).reshape(CODEBOOKS, FRAMES)


def stacked(read: Callable[[int], np.ndarray]) -> Crops:
    """Crops of a format that gives one item at a time."""
    return lambda chosen, starts: np.stack([read(i)[:, s : s + CROP] for i, s in zip(chosen, starts, strict=True)])


def write_store(folder: Path, count: int) -> None:
    from solfa.tokenize_audio.store.format import Meta, StoreHead, write_head
    from solfa.tokenize_audio.store.writer import write_shard

    head = StoreHead("bench", "", 24000, 1, 480, CODEBOOKS, SIZE)
    write_head(folder, head)
    waiting, samples = items(count), FRAMES * head.hop
    for index, first in enumerate(range(0, count, SHARD)):
        shard = (
            (Meta(key, samples, samples / 24000, texts=(TEXT.format(key),)), codes)
            for _, (key, codes) in zip(range(min(SHARD, count - first)), waiting)  # noqa: B905  (the rest is for the next shard)
        )
        write_shard(folder, index, head, shard, (), "bench")


def read_store(folder: Path) -> Crops:
    from solfa.tokenize_audio.store.store import TokenStore

    store = TokenStore(str(folder))
    return lambda chosen, starts: store.crops(chosen, starts, CROP)


def write_datasets(folder: Path, count: int) -> None:
    import datasets

    datasets.disable_progress_bars()
    found = datasets.Dataset.from_generator(rows, gen_kwargs={"count": count}, cache_dir=str(folder / "cache"))
    found.save_to_disk(folder / "set")


def read_datasets(folder: Path) -> Crops:
    import datasets

    found = datasets.load_from_disk(folder / "set").with_format("arrow")
    return stacked(lambda i: item(found[int(i)]["codes"][0].as_buffer()))


def write_parquet(folder: Path, count: int) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema({"key": pyarrow.string(), "text": pyarrow.string(), "codes": pyarrow.binary()})
    waiting = rows(count)
    with parquet.ParquetWriter(folder / "codes.parquet", schema, compression="none") as writer:
        for first in range(0, count, ROWS):
            group = [next(waiting) for _ in range(min(ROWS, count - first))]
            writer.write_table(pyarrow.Table.from_pylist(group, schema))


def read_parquet(folder: Path) -> Crops:
    from pyarrow import parquet

    file = parquet.ParquetFile(folder / "codes.parquet", memory_map=True)

    def read(i: int) -> np.ndarray:
        group = file.read_row_group(int(i) // ROWS, columns=["codes"])
        return item(group.column(0)[int(i) % ROWS].as_buffer())

    return stacked(read)


def write_webdataset(folder: Path, count: int) -> None:
    import webdataset

    with webdataset.ShardWriter(str(folder / "%05d.tar"), maxcount=SHARD, verbose=0) as writer:
        for row in rows(count):
            writer.write({"__key__": row["key"], "txt": row["text"], "bin": row["codes"]})


def read_webdataset(folder: Path) -> Crops:
    """A tar is read from its start to its end: crops of the items as they come, shuffled by a buffer as its users do."""
    import webdataset

    tars = [str(path) for path in sorted(folder.glob("*.tar"))]
    # No decoders by name: those of webdataset unpickle some endings.
    source = webdataset.WebDataset(tars, shardshuffle=False, seed=0, empty_check=False).shuffle(1000).repeat()
    waiting = iter(source)
    return lambda chosen, starts: np.stack([item(next(waiting)["bin"])[:, s : s + CROP] for s in starts])


FORMATS: dict[str, tuple[Callable[[Path, int], None], Callable[[Path], Crops]]] = {
    "store": (write_store, read_store),
    "datasets": (write_datasets, read_datasets),
    "parquet": (write_parquet, read_parquet),
    "webdataset": (write_webdataset, read_webdataset),
}


def measure(name: str, place: str, count: str, crops: str, repeats: str) -> dict[str, float]:
    """Seconds to write, and crops a second in batches, a median over repeats; all once before, to warm up."""
    write, read = FORMATS[name]
    seconds, rates, folder = [], [], Path(place)
    for run in range(int(repeats) + 1):
        folder = Path(place) / str(run)
        folder.mkdir()
        begin = time.perf_counter()
        write(folder, int(count))
        seconds.append(time.perf_counter() - begin)
    take, rng = read(folder), np.random.default_rng(1)
    for _ in range(int(repeats) + 1):
        batches = [
            (rng.integers(0, int(count), BATCH), rng.integers(0, FRAMES - CROP + 1, BATCH))
            for _ in range(int(crops) // BATCH)
        ]
        begin = time.perf_counter()
        for chosen, starts in batches:
            found = take(chosen, starts)
        rates.append(len(batches) * BATCH / (time.perf_counter() - begin))
    assert found.shape == (BATCH, CODEBOOKS, CROP)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and "cache" not in path.parts)
    return {"write": statistics.median(seconds[1:]), "mb": size / 1e6, "crops": statistics.median(rates[1:])}


def main(job: str, *arguments: str) -> None:
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, io.StringIO()  # libraries print what they like
    result = loop(*arguments) if job == "loop" else measure(job, *arguments)
    print(json.dumps(result), file=out)


if __name__ == "__main__":
    main(*sys.argv[1:])
