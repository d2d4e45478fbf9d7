"""EnCodec 24 kHz and DAC 44.1 kHz beside transformers and the `encodec` and `dac` packages: speed, codes, memory.

    python bench/codecs.py [--seconds 10 60] [--runs 3] [--threads 2] [--minutes 10 2] [--models encodec-24khz dac-44khz]

All have the same random weights and the same sound. Each implementation runs in a process of its own; the packages in
.venv-reference (`make test-reference` makes it), with the torch that they need. "x" is seconds of sound a second of work, the median of
the runs after one to warm up; "ratio" is ours to the fastest peer. Beside it: how many codes are not ours, and the largest difference of
the sound from ours, relative to its peak. Memory is the peak of a process that codes one file of --minutes; ">" where it was more than
there was. With CUDA, a folder of mixed lengths follows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
ROWS = Path(__file__).with_name("_codec_rows.py")
REFERENCE = ROOT / ".venv-reference" / "bin" / "python"
IMPLEMENTATIONS = ("ours", "transformers", "package")
Result = dict[str, Any]


def child(job: str, implementation: str, model: str, folder: Path, *more: Any) -> Any:
    """What the process printed, or in a word why it printed nothing."""
    python = str(REFERENCE) if implementation == "package" else sys.executable
    if implementation == "package" and not REFERENCE.exists():
        return "absent"
    command = [python, str(ROWS), job, implementation, model, str(folder), *map(str, more)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"killed ({done.returncode})"])[-1][:60]
    return json.loads(done.stdout) if done.stdout else None


def differing(folder: Path, name: str, other: str) -> str:
    """How many codes of another implementation are not ours."""
    ours, theirs = (torch.load(folder / f"{each}-{name}.pt", weights_only=True) for each in ("ours", other))
    if ours.shape != theirs.shape:
        return "shapes differ"
    wrong = int((ours != theirs).sum())
    return f"{wrong} of {ours.numel()} differ" if wrong else "equal"


def speeds(model: str, folder: Path, options: argparse.Namespace) -> None:
    flags = "--seconds", *options.seconds, "--runs", options.runs, "--threads", options.threads
    found = {each: child("speed", each, model, folder, *flags) for each in IMPLEMENTATIONS}
    for each, result in found.items():
        if isinstance(result, str):
            print(f"{model:15} {each}: {result}")
    if isinstance(found["ours"], str):
        return
    for row, seconds in enumerate(options.seconds):
        peers = [each for each in IMPLEMENTATIONS[1:] if not isinstance(found[each], str)]
        codes = [f"{each}: {differing(folder, f'{seconds:g}', each)}" for each in peers]
        sounds = [f"{each}: {error(folder, f'{seconds:g}-audio', each):.0e}" for each in peers]
        for way, said in (("encode", codes), ("decode", sounds)):
            speed = {each: seconds / found[each][row][way] for each in ("ours", *peers)}
            columns = "".join(f"{speed[each]:13.2f}" if each in speed else f"{'-':>13}" for each in IMPLEMENTATIONS)
            ratio = speed["ours"] / max((speed[each] for each in peers), default=float("nan"))
            print(f"{model:15}{way:8}{seconds:7g}{columns}{ratio:8.2f}  {', '.join(said)}", flush=True)


def error(folder: Path, name: str, other: str) -> float:
    """Largest difference of the sound from ours, both from our codes, relative to its peak."""
    ours, theirs = (torch.load(folder / f"{each}-{name}.pt", weights_only=True) for each in ("ours", other))
    size = min(ours.shape[-1], theirs.shape[-1])
    return float((ours[..., :size] - theirs[..., :size]).abs().max() / ours.abs().max())


def memories(model: str, folder: Path, minutes: float, options: argparse.Namespace) -> None:
    flags = "--seconds", 60 * minutes, "--threads", options.threads
    for way in ("encode", "decode"):
        cells, peaks = [], {}
        for each in IMPLEMENTATIONS:
            result = child(f"{way}-memory", each, model, folder, *flags)
            if isinstance(result, str):
                cells.append(f"{result[:12]:>13}")
                continue
            peaks[each] = result["peak"]
            cells.append(f"{('>' if result['failed'] else '') + format(peaks[each], '.0f'):>13}")
        least = min((peak for each, peak in peaks.items() if each != "ours"), default=float("nan"))
        print(f"{model:15}{way:8}{60 * minutes:7g}{''.join(cells)}{least / peaks['ours']:8.2f}  MB", flush=True)


def folders(model: str, folder: Path, options: argparse.Namespace) -> None:
    flags = "--runs", options.runs
    found = {each: child("gpu", each, model, folder, *flags) for each in IMPLEMENTATIONS[:2]}
    if any(isinstance(result, str) for result in found.values()):
        print(f"{model:15} on the GPU: {found}")
        return
    for way in ("encode", "decode"):
        speed = {each: result["seconds"] / result[way] for each, result in found.items()}
        said = differing(folder, "gpu", "transformers") if way == "encode" else "ours in bfloat16"
        columns = f"{speed['ours']:13.0f}{speed['transformers']:13.0f}{'-':>13}"
        print(
            f"{model:15}{way:8}{'folder':>7}{columns}{speed['ours'] / speed['transformers']:8.2f}  {said}", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 60.0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    said = "of the file whose memory is measured: one for each model, or for all; 0 for none"
    parser.add_argument("--minutes", type=float, nargs="+", default=[10.0, 2.0], help=said)
    parser.add_argument("--models", nargs="+", default=["encodec-24khz", "dac-44khz"])
    options = parser.parse_args()
    print(f"{options.threads} threads, float32, median of {options.runs} runs; x real time")
    print(f"{'model':15}{'':8}{'sound s':>7}{'ours':>13}{'transformers':>13}{'package':>13}{'ratio':>8}")
    minutes = options.minutes + options.minutes[-1:] * len(options.models)
    for model, length in zip(options.models, minutes, strict=False):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if said := child("weights", "ours", model, folder):
                sys.exit(f"no weights for {model}: {said}")
            speeds(model, folder, options)
            if length:
                memories(model, folder, length, options)
            if torch.cuda.is_available():
                folders(model, folder, options)


if __name__ == "__main__":
    main()
