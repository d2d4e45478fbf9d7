"""The released language models: one row each, and where they are on this machine. Loads no torch.

Their weights are CC BY-NC 4.0 (not for commercial use), and none ship with this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from solfa.foreign import hub

if TYPE_CHECKING:
    from solfa.lm.model import LMConfig

NON_COMMERCIAL = "CC BY-NC 4.0"
_HOME = "solfa.lm.musicgen"


@dataclass(frozen=True)
class Released:
    """A released model. preset: the function of `lm.musicgen` that gives its configuration, with its arguments. parameters: of the
    language model alone, in billions."""

    name: str
    repo: str  # on the Hugging Face hub
    preset: tuple[str, tuple[str | bool, ...]]
    parameters: float
    channels: int = 1
    sample_rate: int = 32_000  # Hz
    frame_rate: float = 50.0  # Hz
    codebooks: int = 4  # a channel
    codebook_size: int = 2048
    codec: str = "encodec-32khz"
    licence: str = NON_COMMERCIAL

    @property
    def how(self) -> str:
        """How to get the weights, as words for a person."""
        return f"hf download {self.repo}"

    def config(self) -> LMConfig:
        """Its configuration (this imports torch)."""
        function, arguments = self.preset
        return getattr(import_module(_HOME), function)(*arguments)


# fmt: off
RELEASED: tuple[Released, ...] = (
    Released("musicgen-small", "facebook/musicgen-small", ("musicgen", ("small",)), 0.42),
    Released("musicgen-medium", "facebook/musicgen-medium", ("musicgen", ("medium",)), 1.84),
    Released("musicgen-large", "facebook/musicgen-large", ("musicgen", ("large",)), 3.26),
    Released("musicgen-melody", "facebook/musicgen-melody", ("musicgen_melody", ("medium",)), 1.39),
    Released("musicgen-melody-large", "facebook/musicgen-melody-large", ("musicgen_melody", ("large",)), 2.45),
    Released("musicgen-stereo-small", "facebook/musicgen-stereo-small", ("musicgen_stereo", ("small",)), 0.44, 2),
    Released("musicgen-stereo-medium", "facebook/musicgen-stereo-medium", ("musicgen_stereo", ("medium",)), 1.86, 2),
    Released("musicgen-stereo-large", "facebook/musicgen-stereo-large", ("musicgen_stereo", ("large",)), 3.29, 2),
    Released("musicgen-stereo-melody", "facebook/musicgen-stereo-melody", ("musicgen_stereo", ("medium", True)), 1.41, 2),
    Released("musicgen-stereo-melody-large", "facebook/musicgen-stereo-melody-large", ("musicgen_stereo", ("large", True)), 2.49, 2),
)
# fmt: on


def find(name: str) -> Released | None:
    """The released model of that name, or of that hub repository."""
    return next((entry for entry in RELEASED if name in (entry.name, entry.repo)), None)


def on_disk(entry: Released) -> Path | None:
    """Its folder in the hub's cache, if all of it is there."""
    return hub.cached(entry.repo)


def obtain(entry: Released, fetch: bool = True) -> Path:
    """The same, fetched from the hub if it is not there, `fetch` allows it and HF_HUB_OFFLINE does not forbid it.

    Raises ValueError that says what to do.
    """
    found = on_disk(entry)
    if found is not None:
        return found
    why = f"the weights of {entry.name} are not on this machine"
    advice = f"{entry.how}, or name a folder that holds them"
    if not fetch:
        raise ValueError(f"{why}: {advice}")
    try:
        folder = hub.fetch(entry.repo)
        for name in ("tokenizer.json", "spiece.model", "tokenizer_config.json"):
            hub.obtain_file(entry.repo, name)
        return folder
    except ValueError as error:
        raise ValueError(f"{why}, and {error}: {advice}") from error
