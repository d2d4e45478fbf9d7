"""Music from a few prompts: the sounds and the files of the demo."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from solfa.audio.io import Audio
from solfa.lm.generate import Progress
from solfa.music.text_to_music import TextToMusic

PROMPTS = (
    "lively waltz for solo piano in G major, 140 bpm",
    "slow and solemn ballad for violin and piano in A minor, 70 bpm",
    "cheerful folk tune for flute and classical guitar in D major, 4/4, 110 bpm",
)
DURATION = 8.0  # seconds


@dataclass(frozen=True)
class Take:
    """What one prompt gave: samples [1, C, S]."""

    prompt: str
    seed: int
    audio: Audio
    path: Path


@dataclass(frozen=True)
class MusicDemo:
    """What `music_demo` made, with the name of the model, and the seconds that all takes took together."""

    model: str
    takes: tuple[Take, ...]
    seconds: float

    @property
    def factor(self) -> float:
        """Seconds of music in one of making."""
        return sum(take.audio.duration for take in self.takes) / max(self.seconds, 1e-9)


def music_demo(
    music: TextToMusic,
    folder: Path,
    prompts: Sequence[str] = PROMPTS,
    duration: float = DURATION,
    seed: int = 0,
    progress: Progress | None = None,
) -> MusicDemo:
    """Generate from the prompts, in one batch, and write the WAVs. folder: must be there; files of the same names are replaced."""
    started = time.perf_counter()
    sounds = music.generate(list(prompts), duration, seed, progress=progress)
    seconds = time.perf_counter() - started
    takes = []
    for number, (prompt, sound) in enumerate(zip(prompts, sounds, strict=True), 1):
        path = folder / f"music-{number}.wav"
        sound.save(path)
        takes.append(Take(prompt, seed, sound, path))
    return MusicDemo(music.model.config.name, tuple(takes), seconds)
