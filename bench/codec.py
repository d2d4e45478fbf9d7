"""Encode and decode: speed and memory of the codec, whole and in chunks, beside EnCodec 24 kHz of transformers (random weights).

    python bench/codec.py [SECONDS] [RUNS]

Each row runs in a process of its own, since memory is the process's peak. "x real time" is seconds of sound a second of work, the
median of the runs after one to warm up. EnCodec runs at 6 kbps, its usual rate; its speed does not depend on what the weights are.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

RATE = 24_000
ROWS = ("idle", "solfa-24khz", "solfa-24khz, 1 thread", "solfa-24khz, file", "encodec (transformers)")


def median_seconds(work: Callable[[], object], runs: int) -> float:
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def noise_and_tones(seconds: float):  # type: ignore[no-untyped-def]
    import torch

    time_axis = torch.arange(int(seconds * RATE)) / RATE
    tones = sum(torch.sin(2 * torch.pi * f * time_axis) for f in (220.0, 331.0, 554.0))
    return (0.1 * tones + 0.02 * torch.randn(len(time_axis), generator=torch.Generator().manual_seed(0)))[None, None]


def ours(row: str, seconds: float, runs: int) -> tuple[float, float]:
    import torch

    import solfa

    if row.endswith("1 thread"):
        torch.set_num_threads(1)
    codec = solfa.load_codec("solfa-24khz")
    if row.endswith("file"):
        # What `solfa encode` and `solfa decode` do: blocks from the disk, sound of any length in bounded memory.
        from solfa.audio.io import write_blocks

        with tempfile.TemporaryDirectory() as folder:
            second = noise_and_tones(1.0)[0].numpy()
            write_blocks(Path(folder) / "x.wav", (second for _ in range(int(seconds))), RATE)
            encode = median_seconds(lambda: codec.encode_file(Path(folder) / "x.wav"), runs)
            tokens = codec.encode_file(Path(folder) / "x.wav").tokens[0]
        frames = tokens.shape[-1]
        return encode, median_seconds(
            lambda: [0 for _ in codec.decode_blocks(lambda a, b: tokens[:, a:b], frames)], runs
        )
    sound = noise_and_tones(seconds)
    encode = median_seconds(lambda: codec.encode(sound), runs)
    codes = codec.encode(sound)
    return encode, median_seconds(lambda: codec.decode(codes), runs)


def peer(seconds: float, runs: int) -> tuple[float, float]:
    import torch
    from transformers import EncodecConfig, EncodecModel

    model = EncodecModel(EncodecConfig()).eval()
    sound = noise_and_tones(seconds)
    with torch.inference_mode():
        encode = median_seconds(lambda: model.encode(sound, bandwidth=6.0), runs)
        codes = model.encode(sound, bandwidth=6.0)
        return encode, median_seconds(lambda: model.decode(codes.audio_codes, codes.audio_scales), runs)


def measure(row: str, seconds: float, runs: int) -> None:
    """In the child: print encode seconds, decode seconds, peak MB."""
    if row == "idle":
        import solfa

        solfa.load_codec("solfa-24khz")
        encode = decode = 0.0
    else:
        encode, decode = peer(seconds, runs) if row.startswith("encodec") else ours(row, seconds, runs)
    print(encode, decode, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", nargs="?", type=float, default=60.0)
    parser.add_argument("runs", nargs="?", type=int, default=3)
    return parser.parse_args()


def main(seconds: float, runs: int) -> None:
    print(f"{os.cpu_count()} cores, median of {runs} runs")
    print(f"{'':28}{'sound s':>9}{'encode x':>10}{'decode x':>10}{'peak MB':>9}")
    for length in (seconds, 10 * seconds):
        for row in ROWS:
            if row == "idle" and length != seconds:
                continue
            if row.startswith("encodec") and length != seconds:
                continue  # ten times the sound takes ten times the memory there
            child = [sys.executable, __file__, "--row", row, str(length), str(runs)]
            result = subprocess.run(child, capture_output=True, text=True)
            if result.returncode:
                print(f"{row:28}{length:9g}  not measured: {(result.stderr.strip().splitlines() or ['?'])[-1]}")
                continue
            encode, decode, peak = map(float, result.stdout.split())
            speeds = "".join(f"{length / value:10.1f}" if value else f"{'-':>10}" for value in (encode, decode))
            print(f"{row:28}{length:9g}{speeds}{peak:9.0f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--row"]:
        measure(sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
    else:
        options = parsed()
        main(options.seconds, options.runs)
