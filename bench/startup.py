"""How long it takes until `solfa` can begin: a fresh interpreter for each run, the quickest and the middle one of several.

    python bench/startup.py [RUNS]

`import torch` stands beside it: what every command would cost if the shell loaded what it does not need. Then what it takes
to load the shipped models, torch included, and beside it what a part of transformers would.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUBJECTS = {
    "python -c pass": ["-c", "pass"],
    "import solfa": ["-c", "import solfa"],
    "solfa --help": ["-m", "solfa", "--help"],
    "solfa encode --help": ["-m", "solfa", "encode", "--help"],
    "solfa models": ["-m", "solfa", "models"],
    "import torch": ["-c", "import torch"],
    "... and transformers' T5": ["-c", "import torch; from transformers import T5EncoderModel"],
    "solfa-24khz": ["-c", "import solfa; solfa.load_codec()"],
    "solfa-music and its codec": ["-c", "import solfa; solfa.TextToMusic.load()"],
    "solfa-notes": ["-c", "import solfa; solfa.Transcriber.load()"],
}


def measure(arguments: list[str]) -> tuple[float, float]:
    """Seconds until the process ends, and its peak memory in MB."""
    # A fork's own memory counts as its child's peak, so a small interpreter starts the process and asks the system.
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    command = [sys.executable, *arguments]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    seconds = time.perf_counter() - start
    peak = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, cwd=ROOT).stdout
    return seconds, int(peak) / 1024


def main(runs: int) -> None:
    print(f"{'':26}{'least s':>9}{'median s':>10}{'peak MB':>9}   ({runs} runs, {os.cpu_count()} cores)")
    for name, arguments in SUBJECTS.items():
        measured = [measure(arguments) for _ in range(runs)]
        seconds = [second for second, _ in measured]
        peak = max(peak for _, peak in measured)
        print(f"{name:26}{min(seconds):9.3f}{statistics.median(seconds):10.3f}{peak:9.0f}", flush=True)
    door = "import sys, solfa; from solfa.cli.app import run; run(['--help']); sys.exit('torch' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", door], stdout=subprocess.DEVNULL, cwd=ROOT).returncode
    print(f"torch loaded by `import solfa` and `solfa --help`: {'yes' if loaded else 'no'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=int, default=5)
    main(parser.parse_args().runs)
