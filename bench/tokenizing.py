"""A corpus to tokens: `solfa tokenize` beside a plain loop and a process a file, Ray, the store beside other formats, memory.

    python bench/tokenizing.py [--files 120] [--seconds 10] [--format flac] [--rate 44100] [--channels 2] [--repeats 3]
                             [--codec solfa-24khz] [--workers 1 2] [--engines local ray]
                             [--items 20000] [--crops 64000] [--hours 3] [--only speed formats memory]
    python bench/tokenizing.py --files 12 --seconds 4 --repeats 1 --items 1000 --crops 6400 --hours 0.1      a short run

The corpus is of mixed lengths around --seconds. "loop" reads with soundfile, encodes and saves, as one writes it by hand, in so many
processes of one thread; "codec" is the time that these spend in the codec alone; "a process a file" starts the loop anew for each. Every
way is a command, which encodes a few files, enough for all its processes to start, then all of them: what the rest took beyond the few
is its speed, and "start s" is the command with the few. Ways take turns, one round to warm up; medians. "to loop" and "to codec" are
ratios to those of as many processes as there are workers; where there are fewer cores than workers and decoders together, decoding and
resampling take their part of them. nan: so few files that the start drowns them.

Formats hold the same random codes and a caption an item, and give crops of 250 frames in batches of 64, warm, one process; WebDataset
reads from start to end. Memory is the peak of all processes of the command together: shared pages counted once (PSS).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from _codec_rows import PRESETS, make_weights

from solfa.tokenize_audio.work.cut import LEAST_ITEMS

ROWS = Path(__file__).with_name("_tokenizing_rows.py")
RATE = 44100
FORMATS = ("store", "datasets", "parquet", "webdataset")
PARTS = ("speed", "formats", "memory")
EACH = 4  # files at most that a process a file is given: it is slow, and always the same
LOOK = 0.1  # seconds between two looks at memory


@dataclass(frozen=True)
class Taken:
    """What a command took: seconds, and seconds of them in the codec where it counts them."""

    seconds: float
    encoding: float = 0.0


@dataclass(frozen=True)
class Way:
    """One way to encode: some files of a folder, into a new folder. workers: processes of the loop that it is compared with. few: files
    that start all of its processes. most: files that it is given, or all."""

    name: str
    run: Callable[[Path, list[Path], Path], Taken]
    workers: int
    few: int
    most: int | None = None


def make_sound(path: Path, seconds: float, seed: int, rate: int, channels: int) -> Path:
    """Tones in noise, written in parts."""
    rng, left = np.random.default_rng(seed), round(seconds * rate)
    axis = np.arange(10 * rate) / rate
    tones = 0.2 * np.sin(2 * np.pi * (220 + 11 * (seed % 40)) * axis)
    with soundfile.SoundFile(path, "x", rate, channels, "PCM_16") as file:
        while left > 0:
            part = tones[:left, None] + 0.05 * rng.standard_normal((min(left, len(axis)), channels))
            file.write(part)
            left -= len(part)
    return path


def make_corpus(folder: Path, options: argparse.Namespace) -> list[Path]:
    files = options.files
    folder.mkdir(parents=True)
    lengths = options.seconds * np.linspace(0.5, 1.5, files)
    for i in range(files):  # lengths in no order
        path = folder / f"{i:05d}.{options.format}"
        make_sound(path, lengths[i * 7 % files if files % 7 else i], i, options.rate, options.channels)
    return sorted(folder.iterdir())


def linked(files: list[Path], folder: Path) -> Path:
    """A folder of these files."""
    folder.mkdir()
    for path in files:
        os.link(path, folder / path.name)
    return folder


def run_commands(*commands: list[str], threads: int | None = None) -> tuple[float, list[str]]:
    """Commands at the same time: seconds until all ended, and what each printed. Ends the benchmark where one failed."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack:
        pairs = []
        for command in commands:
            out, errors = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2))
            pairs.append((subprocess.Popen(command, stdout=out, stderr=errors, env=environment), out, errors))
        codes = [process.wait() for process, _, _ in pairs]
        seconds, said = time.perf_counter() - begin, []
        for command, code, (_, out, errors) in zip(commands, codes, pairs, strict=True):
            out.seek(0)
            errors.seek(0)
            said.append(out.read())
            if code:
                sys.exit(f"{' '.join(command[:6])} ... ended with {code}: {errors.read().strip()[-2000:]}")
    return seconds, said


def looped(codec: str, workers: int) -> Callable[[Path, list[Path], Path], Taken]:
    """The loop by hand, in processes of one thread that share the files."""

    def run(_: Path, files: list[Path], out: Path) -> Taken:
        parts = [part for part in (files[i::workers] for i in range(workers)) if part]
        begin = [sys.executable, str(ROWS), "loop", codec, str(out), "1"]
        seconds, said = run_commands(*([*begin, *map(str, part)] for part in parts), threads=1)
        return Taken(seconds, sum(json.loads(each)["encoding"] for each in said) / workers)

    return run


def each(codec: str) -> Callable[[Path, list[Path], Path], Taken]:
    def run(folder: Path, files: list[Path], out: Path) -> Taken:
        return Taken(sum(looped(codec, 1)(folder, [file], out).seconds for file in files))

    return run


def tokenize_command(codec: str, source: Path, store: Path, engine: str, workers: int) -> list[str]:
    command = [sys.executable, "-m", "solfa", "tokenize", str(source), "-o", str(store), "--codec", codec]
    return [*command, "--engine", engine, "-j", str(workers)]


def tokenized(codec: str, engine: str, workers: int) -> Callable[[Path, list[Path], Path], Taken]:
    def run(folder: Path, _: list[Path], out: Path) -> Taken:
        return Taken(run_commands(tokenize_command(codec, folder, out / "store", engine, workers))[0])

    return run


def ways(options: argparse.Namespace) -> list[Way]:
    codec, workers = options.codec, options.workers
    found = [Way(f"loop, {told(count)}", looped(codec, count), count, count) for count in dict.fromkeys([1, *workers])]
    found.append(Way("a process a file", each(codec), 1, 1, EACH))
    for engine in options.engines:
        found += [
            Way(f"solfa tokenize, {engine} -j {n}", tokenized(codec, engine, n), n, LEAST_ITEMS * n) for n in workers
        ]
    return found


def told(processes: int) -> str:
    return f"{processes} process{'es' if processes > 1 else ''}"


def speeds(options: argparse.Namespace, folder: Path) -> None:
    files = make_corpus(folder / "corpus", options)
    chosen = ways(options)
    taken = {way.name: list[tuple[Taken, Taken]]() for way in chosen}
    for turn in range(options.repeats + 1):
        for way in chosen:
            pair = run_twice(way, files, folder)
            if turn:
                taken[way.name].append(pair)
    hours = sum(soundfile.info(path).duration for path in files) / 3600
    sound = f"{options.format} of {options.rate} Hz and {options.channels} channels"
    print(f"{options.files} files, {hours:.2f} hours, {sound}; {Path(options.codec).name}; {os.cpu_count()} cores")
    print("x is seconds of sound a second")
    print(f"{'':28}{'start s':>9}{'files/s':>9}{'x':>9}{'to loop':>9}{'to codec':>10}", flush=True)
    loops: dict[int, Speed] = {}
    for way in chosen:
        speed = summarised(files, way, taken[way.name])
        if way.name.startswith("loop"):
            loops[way.workers] = speed
            ratio = speed.codec / speed.sound
            print(f"{f'codec, {told(way.workers)}':28}{'':18}{speed.codec:9.1f}{ratio:9.2f}{1:10.2f}")
        loop = loops[way.workers]
        ratios = f"{speed.sound / loop.sound:9.2f}{speed.sound / loop.codec:10.2f}"
        print(f"{way.name:28}{speed.start:9.2f}{speed.files:9.2f}{speed.sound:9.1f}{ratios}", flush=True)


def run_twice(way: Way, files: list[Path], folder: Path) -> tuple[Taken, Taken]:
    """What a few files take, and all."""
    found = []
    for chosen in (files[: way.few], files[: way.most]):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            out = Path(place) / "out"
            out.mkdir()
            found.append(way.run(linked(chosen, Path(place) / "in"), chosen, out))
    return found[0], found[1]


@dataclass(frozen=True)
class Speed:
    """Seconds of the command with a few files; of the others, files a second, seconds of sound a second, and that in the codec alone."""

    start: float
    files: float
    sound: float
    codec: float


def summarised(files: list[Path], way: Way, taken: list[tuple[Taken, Taken]]) -> Speed:
    """Medians over the turns."""
    others = files[way.few : way.most]
    sound = sum(soundfile.info(path).duration for path in others)
    start = statistics.median(few.seconds for few, _ in taken)
    rest = statistics.median(whole.seconds - few.seconds for few, whole in taken)
    inside = statistics.median(whole.encoding - few.encoding for few, whole in taken)
    if rest <= 0:  # so few files that the start drowns them
        return Speed(start, math.nan, math.nan, math.nan)
    return Speed(start, len(others) / rest, sound / rest, sound / inside if inside > 0 else math.nan)


def formats(options: argparse.Namespace, folder: Path) -> None:
    print(f"\n{options.items} items of 8 x 500 codes; one process, warm")
    print(f"{'':14}{'write s':>9}{'MB':>9}{'crops/s':>11}{'store is':>10}", flush=True)
    best = math.nan
    for name in FORMATS:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            numbers = [str(options.items), str(options.crops), str(options.repeats)]
            command = [sys.executable, str(ROWS), name, place, *numbers]
            found: dict[str, Any] = json.loads(run_commands(command, threads=1)[1][0])
        best = found["crops"] if name == "store" else best
        ratio = f"{best / found['crops']:9.1f}x"
        print(f"{name:14}{found['write']:9.2f}{found['mb']:9.1f}{found['crops']:11.0f}{ratio}", flush=True)


def memory(options: argparse.Namespace, folder: Path) -> None:
    print(f"\nmemory of solfa tokenize -j 1, all processes together\n{'sound':>12}{'MB':>9}{'seconds':>9}", flush=True)
    for hours in (1 / 60, options.hours):
        source = folder / f"long-{hours:g}"
        source.mkdir()
        make_sound(source / "long.wav", 3600 * hours, 0, RATE, channels=1)
        with tempfile.TemporaryDirectory(dir=folder) as out:
            command = tokenize_command(options.codec, source, Path(out) / "store", "local", 1)
            peak, seconds = watched(command)
        length = f"{60 * hours:.3g} min" if hours < 1 else f"{hours:g} h"
        print(f"{length:>12}{peak:9.0f}{seconds:9.1f}", flush=True)


def watched(command: list[str]) -> tuple[float, float]:
    """Peak MB of a command with all its children, and its seconds."""
    begin, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        while process.poll() is None:
            peak = max(peak, sum(map(resident, family(process.pid))))
            time.sleep(LOOK)
        if process.returncode:
            said.seek(0)
            sys.exit(f"solfa tokenize ended with {process.returncode}: {said.read().decode()[-2000:]}")
    return peak / 1024, time.perf_counter() - begin


def family(pid: int) -> list[int]:
    """A process and all that came of it, as Linux tells."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def resident(pid: int) -> float:
    """KB of a process; pages that it shares count by its part of them."""
    with contextlib.suppress(OSError):  # it has just ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1])
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=10.0, help="mean length of a file")
    parser.add_argument("--format", default="flac", choices=["flac", "wav"])
    parser.add_argument("--rate", type=int, default=RATE, help="of the sound files")
    parser.add_argument("--channels", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--codec", default="solfa-24khz", help=f"of {' and '.join(PRESETS)} weights are made, random ones"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engines", nargs="+", default=["local", "ray"], choices=["local", "ray"])
    parser.add_argument("--items", type=int, default=20000)
    parser.add_argument("--crops", type=int, default=64000)
    parser.add_argument("--hours", type=float, default=3.0, help="of the long file")
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=PARTS)
    options = parser.parse_args()
    if options.files <= (least := LEAST_ITEMS * max(options.workers)):
        parser.error(f"--files must be above {least}: so many start all workers")
    jobs = {"speed": speeds, "formats": formats, "memory": memory}
    with tempfile.TemporaryDirectory() as place:
        if options.codec in PRESETS:
            make_weights(options.codec, weights := Path(place) / options.codec)
            options.codec = str(weights)
        for part in PARTS:
            if part in options.only:
                jobs[part](options, Path(place))


if __name__ == "__main__":
    main()
