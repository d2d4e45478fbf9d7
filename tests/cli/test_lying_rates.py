"""Sound files whose rate is a lie: what they become is worked on bit by bit, in bounded memory, whatever the command."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from solfa.codecs.token_file import read_tokens

pytest.importorskip("resource", reason="no limits of memory on this system")

SAMPLES = 4_800  # at 3 Hz: 51 MB at 8 kHz, of which soxr and its callers held several copies
LIMIT = 200  # MiB beyond what is mapped when the libraries are loaded
RUN = """
import sys
import solfa, soxr, torch
import solfa.transcriber, solfa.music.text_to_music, solfa.codecs.vqvae
from solfa.audio.apart import limit_memory
from solfa.cli.app import run
torch.set_num_threads(1)
limit_memory(int(sys.argv[1]))
sys.exit(run(sys.argv[2:]))
"""


def solfa(*command: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of bounded memory."""
    child = [sys.executable, "-c", RUN, str(LIMIT), *map(str, command)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return subprocess.run(child, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    path = tmp_path / "slow.wav"
    sound = np.random.default_rng(0).standard_normal(SAMPLES)
    soundfile.write(path, 0.1 * sound, 3, subtype="PCM_16")
    return path


@pytest.mark.parametrize("jobs", [1, 2])
def test_encode_takes_a_file_of_3_hz_in_bounded_memory(tiny: Path, slow: Path, jobs: int) -> None:
    usual = slow.with_name("usual.wav")
    soundfile.write(usual, np.full(8000, 0.1), 8000)
    done = solfa("encode", slow, usual, "-o", slow.parent / "out", "--codec", tiny, "-j", jobs)
    assert done.returncode == 0, done
    lengths = [read_tokens(slow.parent / "out" / f"{name}.solfa").samples[0] for name in ("slow", "usual")]
    assert lengths == [SAMPLES * 8000 // 3, 8000]


def test_eval_codec_names_a_file_whose_rate_cannot_be_compared(tiny: Path, slow: Path) -> None:
    done = solfa("eval", "codec", slow, "--codec", tiny, "--opus", "none")
    assert done.returncode == 1
    assert f"{slow}: sample rate 3: 8000 to 1000000 Hz can be compared" in done.stderr
