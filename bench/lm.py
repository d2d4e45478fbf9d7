"""Writing with MusicGen-small's shape beside transformers: milliseconds a step, peak memory; and what fewer bits cost in perplexity.

    python bench/lm.py [--steps 500] [--threads 2] [--only ours-int8 transformers-float32 ...]
    python bench/lm.py --perplexity MODEL DATA [--items 64]

Width 1024, 16 heads, 24 layers, 4 codebooks of 2048, random weights; text of 20 tokens, guidance 3 (two rows), top-k 250. Each
implementation runs in a process of its own, eight steps to warm up; a step is all that is done for one: transformer, heads, guidance,
drawing. Memory is the peak of the process, from its start. "ratio" is to transformers in float32 and in bfloat16. With CUDA the same on
the GPU, eager and with one CUDA graph a step, and steps of training.

MODEL is a language model's folder, DATA a folder with manifest.jsonl and codes/*.solfa that it was not trained on.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

ROWS = Path(__file__).with_name("_lm_rows.py")
CPU = (
    "transformers-float32", "transformers-bfloat16", "ours-float32", "ours-bfloat16", "ours-int8", "ours-int4",
)  # fmt: skip
GPU = (
    "transformers-float32", "transformers-bfloat16", "ours-float32", "ours-bfloat16", "graph-float32", "graph-bfloat16",
    "train-transformers-bfloat16", "train-bfloat16",
)  # fmt: skip
Result = dict[str, float]


def child(name: str, device: str, options: argparse.Namespace) -> Result | str:
    """What the process measured, or in a line why it measured nothing."""
    implementation, _, precision = name.rpartition("-")
    steps = options.steps if not name.startswith("train") else max(8, options.steps // 20)
    flags = ["--steps", str(steps), "--threads", str(options.threads), "--device", device]
    command = [sys.executable, str(ROWS), implementation, precision, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        last = ""
        for line in process.stderr:  # "timing" and "timed" are passed on for who wants the machine quiet meanwhile
            last = line.strip() or last
            if last in ("timing", "timed"):
                print(last, file=sys.stderr, flush=True)
        said = process.stdout.read()
    if process.returncode:
        return last[:90] or f"ended with {process.returncode}"
    found: Result = json.loads(said)
    return found


def table(names: tuple[str, ...], device: str, options: argparse.Namespace) -> None:
    chosen = [name for name in names if not options.only or name in options.only]
    print(f"{device}: {options.steps} steps, {options.threads} threads, torch {torch.__version__}")
    print(f"{'':29}{'ms/step':>9}{'x real time':>13}{'peak GB':>9}{'to float32':>12}{'to bfloat16':>13}", flush=True)
    found: dict[str, Result] = {}
    for name in chosen:
        result = child(name, device, options)
        if isinstance(result, str):
            print(f"{name:29}{result}", flush=True)
            continue
        found[name] = result
        ms, peers = result["ms"], "train-transformers" if name.startswith("train") else "transformers"
        ratios = [
            found.get(f"{peers}-{precision}", {}).get("ms", math.nan) / ms for precision in ("float32", "bfloat16")
        ]
        columns = "".join(
            f"{'-':>{width}}" if math.isnan(r) else f"{r:{width}.2f}" for r, width in zip(ratios, (12, 13), strict=True)
        )
        print(f"{name:29}{ms:9.2f}{20 / ms:13.2f}{result['gb']:9.2f}{columns}", flush=True)


def perplexity(folder: str, data: Path, options: argparse.Namespace) -> None:
    """Perplexity of held-out codes, told their caption, in each precision."""
    from solfa.lm.fast import fast_lm
    from solfa.lm.model import load_lm
    from solfa.nn.quantized import PRECISIONS

    model = load_lm(folder)
    items = held_out(data, model.config, options.items)
    print(f"{folder}: {len(items)} held-out recordings, {sum(codes.shape[1] for codes, _ in items)} frames")
    head = "".join(f"{f'codebook {k}':>13}" for k in range(model.config.codebooks))
    print(f"{'perplexity':12}{head}{'all':>9}{'to float32':>12}", flush=True)
    first = 0.0
    for precision in PRECISIONS:
        lm = fast_lm(model, precision)
        nats = torch.stack([cross_entropy(lm, codes, text) for codes, text in items]).mean(0)  # [K]
        first = first or float(nats.mean())
        columns = "".join(f"{value:13.3f}" for value in nats.exp().tolist())
        print(
            f"{precision:12}{columns}{nats.mean().exp():9.3f}{math.exp(float(nats.mean()) - first):12.4f}", flush=True
        )


def held_out(data: Path, config: Any, count: int) -> list[tuple[torch.Tensor, str]]:
    """Codes [K, T] and captions."""
    from solfa.codecs.token_file import TokenFile
    from solfa.data.manifest import read_manifest

    items = []
    for entry in read_manifest(data / "manifest.jsonl")[:count]:
        with TokenFile(data / "codes" / f"{Path(entry.audio).stem}.solfa") as file:
            codes = file.read(stop=min(file.frames, config.crop_frames), codebooks=config.codebooks)
        items.append((torch.from_numpy(codes.astype("int64")), entry.text))
    return items


def cross_entropy(lm: Any, codes: torch.Tensor, text: str) -> torch.Tensor:
    """Mean nats of the codes of each codebook, [K]: every step from the true steps before it."""
    from solfa.lm.patterns import NOTHING, make_pattern

    config, found = lm.config, []
    pattern = make_pattern(config.pattern, codes.shape[1])
    sequence = pattern.build(codes[None], config.special)
    state = lm.start(1, pattern.steps, lm.describe([text]))
    hidden, _ = lm.advance(sequence[:, :, :-1], state)

    def draw(logits: torch.Tensor, _: int | None) -> torch.Tensor:
        found.append(logits)
        return logits.argmax(-1)

    lm.head.write(hidden[0], draw)  # the steps as rows: [S, K, N]
    target = pattern.build(codes[None], NOTHING)[0, :, 1:]  # [K, S]
    losses = torch.nn.functional.cross_entropy(
        found[0].permute(1, 2, 0).float(), target, ignore_index=NOTHING, reduction="none"
    )
    return losses.sum(1) / (target != NOTHING).sum(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], help=f"of {', '.join(dict.fromkeys(CPU + GPU))}")
    parser.add_argument("--perplexity", nargs=2, metavar=("MODEL", "DATA"))
    parser.add_argument("--items", type=int, default=64)
    options = parser.parse_args()
    if options.perplexity:
        perplexity(options.perplexity[0], Path(options.perplexity[1]), options)
        return
    table(CPU, "cpu", options)
    if torch.cuda.is_available():
        table(GPU, "cuda", options)


if __name__ == "__main__":
    main()
