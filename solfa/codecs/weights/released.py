"""The released codecs: one row each, where their weights come from, and where they are on this machine. Loads no torch.

EnCodec's weights are CC BY-NC 4.0 (not for commercial use), DAC's MIT. None ship with this package.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from solfa.foreign import hub

if TYPE_CHECKING:
    from solfa.codecs.vqvae import VQVAEConfig

ENCODEC_URL = "https://dl.fbaipublicfiles.com/encodec/v0/"
DAC_URL = "https://github.com/descriptinc/descript-audio-codec/releases/download/"
ORIGINALS = (".th", ".pth", ".bin")  # suffixes of original files: encodec, dac, AudioCraft
# EnCodec's language models (see `codecs.other_formats.ecdc_lm`), by codec.
LANGUAGE_MODELS = {"encodec-24khz": "encodec_lm_24khz-1608e3c0.th", "encodec-48khz": "encodec_lm_48khz-7add9fc3.th"}
NON_COMMERCIAL, MIT = "CC BY-NC 4.0", "MIT"


@dataclass(frozen=True)
class Released:
    """A released model.

    family: whose tensor names it has, and the module of its preset. preset: the function there that gives its configuration.
    repo: on the Hugging Face hub, if it is there. url: of the original file, if it is published alone; a name that ends in eight
    hex digits carries the start of the file's sha256. cached: the name under which the original package keeps that file.
    """

    name: str
    family: str  # "encodec" or "dac"
    preset: str
    sample_rate: int  # Hz
    channels: int
    hop: int  # samples a frame
    codebooks: int
    codebook_size: int
    licence: str
    repo: str | None = None
    url: str | None = None
    cached: str | None = None

    @property
    def how(self) -> str:
        """How to get the weights, as words for a person."""
        if self.repo:
            return f"hf download {self.repo}"
        return f"download {self.url} to {originals_folder(self.family) / str(self.cached)}"

    def config(self) -> VQVAEConfig:
        """Its configuration (this imports torch)."""
        return getattr(import_module(f"solfa.codecs.{self.family}"), self.preset)()


# fmt: off
RELEASED: tuple[Released, ...] = (
    Released("encodec-24khz", "encodec", "encodec_24khz", 24_000, 1, 320, 32, 1024, NON_COMMERCIAL, "facebook/encodec_24khz",
             ENCODEC_URL + "encodec_24khz-d7cc33bc.th", "encodec_24khz-d7cc33bc.th"),
    Released("encodec-48khz", "encodec", "encodec_48khz", 48_000, 2, 320, 16, 1024, NON_COMMERCIAL, "facebook/encodec_48khz",
             ENCODEC_URL + "encodec_48khz-7e698e3e.th", "encodec_48khz-7e698e3e.th"),
    Released("encodec-32khz", "encodec", "encodec_32khz", 32_000, 1, 640, 4, 2048, NON_COMMERCIAL, "facebook/encodec_32khz"),
    Released("dac-44khz", "dac", "dac_44khz", 44_100, 1, 512, 9, 1024, MIT, "descript/dac_44khz",
             DAC_URL + "0.0.1/weights.pth", "weights_44khz_8kbps_0.0.1.pth"),
    Released("dac-44khz-16kbps", "dac", "dac_44khz_16kbps", 44_100, 1, 512, 18, 1024, MIT, None,
             DAC_URL + "1.0.0/weights_44khz_16kbps.pth", "weights_44khz_16kbps_1.0.0.pth"),
    Released("dac-24khz", "dac", "dac_24khz", 24_000, 1, 320, 32, 1024, MIT, "descript/dac_24khz",
             DAC_URL + "0.0.4/weights_24khz.pth", "weights_24khz_8kbps_0.0.4.pth"),
    Released("dac-16khz", "dac", "dac_16khz", 16_000, 1, 320, 12, 1024, MIT, "descript/dac_16khz",
             DAC_URL + "0.0.5/weights_16khz.pth", "weights_16khz_8kbps_0.0.5.pth"),
)
# fmt: on


@dataclass(frozen=True)
class Adapted:
    """A codec on the hub that transformers' own network runs (see `codecs.adapter`); its name is that of its repository."""

    repo: str
    sample_rate: int  # Hz
    channels: int
    hop: int  # samples a frame
    codebooks: int
    codebook_size: int
    licence: str

    @property
    def name(self) -> str:
        return self.repo

    @property
    def how(self) -> str:
        """How to get the weights, as words for a person."""
        return f"hf download {self.repo}"


ADAPTED = (Adapted("kyutai/mimi", 24_000, 1, 1920, 32, 2048, "CC BY 4.0"),)


def find(name: str) -> Released | None:
    """The released model of that name, or of that hub repository."""
    return next((entry for entry in RELEASED if name in (entry.name, entry.repo)), None)


def known_hash(file_name: str) -> str | None:
    """How the sha256 of an original file begins, if this is the name of one whose hash is known."""
    ours = file_name in {*(entry.cached for entry in RELEASED), *LANGUAGE_MODELS.values()}
    found = re.fullmatch(r".*-([0-9a-f]{8})\.th", file_name)
    return found[1] if ours and found else None


def on_disk(entry: Released) -> Path | None:
    """Its weights on this machine: a folder in the hub's cache, or a file in the original package's; None if neither is there."""
    folder = hub.cached(entry.repo) if entry.repo else None
    if folder is None and entry.cached:
        original = originals_folder(entry.family) / entry.cached
        return original if original.is_file() else None
    return folder


def obtain(entry: Released, fetch: bool = True) -> Path:
    """The same, fetched from the hub if it is not there, `fetch` allows it and HF_HUB_OFFLINE does not forbid it.

    Raises ValueError that says what to do.
    """
    found = on_disk(entry)
    if found is not None:
        return found
    why = f"the weights of {entry.name} are not on this machine"
    advice = f"{entry.how}, or name a file or folder that holds them"
    if entry.repo is None or not fetch:
        raise ValueError(f"{why}: {advice}")
    try:
        return hub.fetch(entry.repo)
    except ValueError as error:
        raise ValueError(f"{why}, and {error}: {advice}") from error


def originals_folder(family: str) -> Path:
    """Where the original package keeps what it has downloaded."""
    if family == "dac":
        return Path.home() / ".cache" / "descript" / "dac"
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"
