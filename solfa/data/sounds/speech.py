"""Synthetic speech by espeak-ng or flite, as child processes: many voices, pitches and speeds, and sentences of no meaning."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from solfa.audio.io import read
from solfa.audio.resample import resample
from solfa.data.sounds.sound import Sound, panned

ENGINES = ("espeak-ng", "flite")
TIMEOUT = 60  # seconds for one sentence
# Languages of espeak-ng; each reads words spelt for it below, or syllables that any language can say.
LANGUAGES = (
    "en-gb", "en-us", "en-gb-scotland", "en-gb-x-rp", "de", "fr-fr", "es", "it", "nl", "pt", "pt-br", "sv", "nb", "da",
    "fi", "pl", "cs", "ro", "hu", "tr", "el", "ru", "id", "sw", "eo", "la", "ja", "ko", "cmn", "vi", "hi", "ar",
)  # fmt: skip
VARIANTS = (
    "", "+m1", "+m2", "+m3", "+m4", "+m5", "+m6", "+m7", "+f1", "+f2", "+f3", "+f4", "+f5", "+klatt", "+klatt3", "+whisper",
    "+croak",
)  # fmt: skip
FLITE_VOICES = ("slt", "rms", "awb", "kal16")

_SUBJECTS = (
    "the old captain", "my neighbour", "a quiet stranger", "the youngest sister", "every child in the village", "our teacher",
    "the tall gardener", "a group of students", "the night train", "nobody", "the baker's son", "that orchestra", "the first violin",
    "a small brown dog", "the river", "her grandmother", "the whole crew", "an engineer from the north", "the winter storm",
    "somebody behind the curtain", "the singer", "a judge", "the committee", "your cousin", "the lighthouse keeper",
)  # fmt: skip
_VERBS = (
    "carried", "forgot", "remembered", "painted", "measured", "crossed", "followed", "answered", "repaired", "borrowed", "heard",
    "watched", "opened", "closed", "counted", "described", "changed", "shook", "found", "lost", "whistled at", "thought about",
    "argued over", "waited for", "laughed at", "pushed", "bought", "judged", "vexed", "zipped past",
)  # fmt: skip
_OBJECTS = (
    "seven heavy boxes", "the yellow bicycle", "a map of the harbour", "the broken clock", "three cups of tea", "an unusual question",
    "the long bridge", "a song about rain", "the wooden gate", "five fresh loaves", "the edge of the field", "his favourite coat",
    "the price of sugar", "a letter from the queen", "the noise in the cellar", "two shining keys", "the last page", "a jar of honey",
    "the path through the woods", "every window", "a thousand sheep", "the judge's decision", "the fifth chapter", "some cheese",
)  # fmt: skip
_ENDINGS = (
    "before breakfast", "on Thursday", "without a word", "in the middle of the night", "as usual", "for the third time",
    "near the station", "while it was snowing", "because of the weather", "at half past six", "in nineteen eighty-four", "very slowly",
    "under the stairs", "with both hands", "just in time", "after the concert", "far from the city", "", "", "",
)  # fmt: skip
_JOINTS = (". ", ". ", "? ", "! ", ", and ", ", but ", "; then ")


def choose_engines() -> tuple[str, ...]:
    """The speech synthesizers that are installed. Raises ImportError, saying what to install, where there is none."""
    there = tuple(name for name in ENGINES if shutil.which(name))
    if not there:
        raise ImportError(
            "no speech synthesizer: install espeak-ng or flite (Debian, Ubuntu: apt install espeak-ng flite)"
        )
    return there


def make_speech(rng: random.Random, seconds: float, sample_rate: int, channels: int, engines: Sequence[str]) -> Sound:
    """So many seconds of sentences, one after another, each [C, S] in a voice that stays. Raises OSError if an engine fails."""
    espeak = "flite" not in engines or ("espeak-ng" in engines and rng.random() < 0.75)
    voice = _espeak_voice(rng) if espeak else _flite_voice(rng)
    english = voice["language"].startswith("en")
    pieces: list[np.ndarray] = []
    spoken: list[str] = []
    left = count = max(1024, round(seconds * sample_rate))
    while left > 0:
        text = paragraph(rng) if english else babble(rng)
        sound = _speak(voice, text)
        pieces.append(resample(sound[0], sound[1], sample_rate))
        pieces.append(np.zeros(round(rng.uniform(0.1, 0.7) * sample_rate), np.float32))
        spoken.append(text)
        left -= len(pieces[-2]) + len(pieces[-1])
    samples = np.concatenate(pieces)[:count]
    pan = rng.uniform(-0.3, 0.3)
    name = f"{'a whispering' if 'whisper' in voice['voice'] else 'a synthetic'} voice"
    text = f'{name.capitalize()} ({voice["language"]}) says: "{" ".join(spoken)}"'
    return Sound(panned(samples, pan, channels), text, {"kind": "speech", **voice, "spoken": " ".join(spoken)})


def paragraph(rng: random.Random) -> str:
    """One to four English clauses."""
    text = ""
    for index in range(rng.randint(1, 4)):
        clause = " ".join(rng.choice(words) for words in (_SUBJECTS, _VERBS, _OBJECTS, _ENDINGS)).strip()
        joint = rng.choice(_JOINTS) if index else ""
        text += joint + (clause[0].upper() + clause[1:] if not joint or joint[0] in ".?!" else clause)
    return text + rng.choice("..?!")


def babble(rng: random.Random) -> str:
    """Words of simple syllables, which every language's rules can read."""
    words = ["".join(_syllable(rng) for _ in range(rng.choice((1, 2, 2, 3)))) for _ in range(rng.randint(5, 14))]
    words[rng.randrange(len(words) - 1)] += ","
    return " ".join(words).capitalize() + rng.choice("..?!")


def _syllable(rng: random.Random) -> str:
    return rng.choice([*"bdfgklmnprstv", ""]) + rng.choice("aaeiou") + rng.choice(["", "", *"nrsl"])


def _espeak_voice(rng: random.Random) -> dict[str, str]:
    language = rng.choice(LANGUAGES[:4]) if rng.random() < 0.5 else rng.choice(LANGUAGES[4:])
    return {
        "engine": "espeak-ng",
        "language": language,
        "voice": language + rng.choice(VARIANTS),
        "pitch": str(rng.randint(15, 85)),
        "speed": str(rng.randint(110, 240)),
    }


def _flite_voice(rng: random.Random) -> dict[str, str]:
    return {
        "engine": "flite",
        "language": "en-us",
        "voice": rng.choice(FLITE_VOICES),
        "pitch": f"{rng.uniform(80, 220):.0f}",
        "speed": f"{rng.uniform(0.75, 1.3):.2f}",
    }


def _speak(voice: dict[str, str], text: str) -> tuple[np.ndarray, int]:
    """The samples [S] of a text, and their rate."""
    with tempfile.TemporaryDirectory(prefix="solfa-speech-") as folder:
        path = Path(folder) / "speech.wav"
        if voice["engine"] == "espeak-ng":
            command = ["espeak-ng", "-v", voice["voice"], "-p", voice["pitch"], "-s", voice["speed"], "-w", str(path), text]  # fmt: skip
        else:
            settings = [
                "--setf",
                f"int_f0_target_mean={voice['pitch']}",
                "--setf",
                f"duration_stretch={voice['speed']}",
            ]
            command = ["flite", "-voice", voice["voice"], *settings, "-t", text, "-o", str(path)]
        try:
            result = subprocess.run(command, capture_output=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{voice['engine']} took more than {TIMEOUT} s for one sentence") from error
        if result.returncode or not path.exists():
            said = result.stderr.decode(errors="replace").strip()[:200]
            raise OSError(f"{voice['engine']} failed ({said or f'exit code {result.returncode}'})")
        audio = read(path)
        return audio.samples[0, 0].numpy(), audio.sample_rate
