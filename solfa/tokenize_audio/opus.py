"""Opus as a yardstick: the reference encoder and decoder (opus-tools), run on samples in memory."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from solfa.audio.io import Audio, read, write

HOW_TO_GET = "opusenc and opusdec are not on the PATH; install opus-tools (apt-get install opus-tools)"


@dataclass(frozen=True)
class OpusResult:
    """What came back of a recording that went through Opus."""

    audio: Audio  # as many samples, at the same rate, as went in
    bits: int  # of Opus packets, without the Ogg container around them


def opus_available() -> bool:
    """Whether opusenc and opusdec can be run."""
    return all(shutil.which(tool) for tool in ("opusenc", "opusdec"))


@lru_cache(maxsize=1)
def opus_version() -> str:
    """What opusenc says of itself and of its libopus, as in "0.2 (using libopus 1.3.1)". Raises ValueError where it fails."""
    lines = _run("opusenc", "--version").splitlines()
    if not lines:
        raise ValueError("opusenc --version said nothing")
    return lines[0].removeprefix("opusenc ").removeprefix("opus-tools ").strip()


def opus_round_trip(audio: Audio, kbps: float) -> OpusResult:
    """Encodes one recording [1, C, S] at about `kbps` (variable bitrate, complexity 10, 20 ms frames) and decodes it.

    opusdec leaves out the encoder's delay (pre-skip) and resamples to the recording's rate, so the result lies sample on
    sample; what rounding of the length leaves is cut, or filled with zeros. Raises ValueError where the tools are not
    there or fail, and for a bitrate that Opus does not have.
    """
    if not opus_available():
        raise ValueError(HOW_TO_GET)
    if not 6 * audio.channels <= kbps <= 256 * audio.channels:
        raise ValueError(f"Opus at {kbps:g} kbps: 6 to 256 a channel")
    with tempfile.TemporaryDirectory() as folder:
        original, coded, decoded = (Path(folder, name) for name in ("a.wav", "a.opus", "b.wav"))
        write(original, audio, "FLOAT")
        _run("opusenc", "--quiet", "--bitrate", f"{kbps:g}", "--vbr", "--comp", "10", str(original), str(coded))
        _run("opusdec", "--quiet", "--float", "--rate", str(audio.sample_rate), str(coded), str(decoded))
        result, bits = read(decoded), 8 * packet_bytes(coded.read_bytes())
    length = audio.samples.shape[-1]
    samples = torch.nn.functional.pad(result.samples[..., :length], (0, max(0, length - result.samples.shape[-1])))
    return OpusResult(Audio(samples, audio.sample_rate), bits)


def packet_bytes(ogg: bytes) -> int:
    """Bytes of sound in an Ogg Opus file (RFC 7845): of all pages but those of its two headers, whose position is 0."""
    total = position = 0
    while ogg[position : position + 4] == b"OggS":
        segments = ogg[position + 26]
        body = sum(ogg[position + 27 : position + 27 + segments])
        if ogg[position + 6 : position + 14] != bytes(8):
            total += body
        position += 27 + segments + body
    return total


def _run(*command: str) -> str:
    """What it says on its standard output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ValueError(f"{command[0]} failed ({lines[-1] if lines else f'exit code {done.returncode}'})")
    return done.stdout
