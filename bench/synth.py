"""How fast `solfa synth` makes sound, on one core: whole items, their stages, both synthesizers, and the fluidsynth program.

    python bench/synth.py [ITEMS] [SOUNDFONT]

"x real time" is seconds of sound a second: by the clock, and by the processor's time (the same on an idle machine). Items are
those of `--seed 0 --seconds 20 40`, 24 kHz mono with all effects, after one that loads the soundfont. The program plays the
same MIDI files at the rate that ours synthesizes at, with its own reverb and chorus, and includes loading the soundfont.
"""

import argparse
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

from solfa.audio.io import Audio, write
from solfa.data.backends import BACKENDS, choose_backend
from solfa.data.collection import Made
from solfa.data.composer.caption import caption
from solfa.data.composer.compose import compose
from solfa.data.effects import PLAIN, RenderOptions, apply_effects, draw_effects
from solfa.data.render import Renderer, play_rate
from solfa.data.sounds.speech import choose_engines
from solfa.data.synth import ComposedItem, Settings, SoundItem, SpeechItem, draw_attributes
from solfa.score.midi import write_midi

RATE = 24_000


@contextmanager
def row(name: str, seconds: Callable[[], float]) -> Iterator[None]:
    """One line of the table for what happens inside; `seconds` gives how much sound that was."""
    clock, used = time.perf_counter(), time.process_time()
    yield
    clock, used = time.perf_counter() - clock, time.process_time() - used
    print(
        f"{name:44}{seconds():10.0f}{clock:10.2f}{seconds() / clock:12.0f}{seconds() / max(used, 1e-9):12.0f}",
        flush=True,
    )


def save(made: Made, folder: str) -> None:
    path = Path(folder) / Path(made.entry.audio).name
    write(path, Audio(torch.from_numpy(np.ascontiguousarray(made.samples))[None], made.sample_rate))
    if made.score is not None:
        write_midi(made.score, path.with_suffix(".mid"))


def whole(name: str, make: Callable[[int], Made], items: int, folder: str) -> list[Made]:
    make(items)
    made: list[Made] = []
    with row(name, lambda: sum(one.entry.seconds or 0.0 for one in made)):
        for index in range(items):
            made.append(make(index))
            save(made[-1], folder)
    return made


def stages(settings: Settings, made: list[Made], folder: str) -> None:
    total = sum(one.entry.seconds or 0.0 for one in made)
    with row("  composing and captions", lambda: total):
        for index in range(len(made)):
            rng = random.Random(index)
            attributes = draw_attributes(settings, settings.presets, rng)
            compose(attributes)
            caption(attributes, rng)
    for name in BACKENDS:
        try:
            renderer = Renderer(settings.soundfonts[0], RATE, backend=choose_backend(name))
        except ImportError:
            print(f"  {name}: not installed")
            continue
        played: list[np.ndarray] = []
        with row(f"  playing with {name}", lambda done=played: sum(x.shape[1] for x in done) / RATE):  # type: ignore[misc]
            played += [renderer.render(one.score, 0, PLAIN) for one in made if one.score]
    options = RenderOptions(dry=0.0, noisy=1.0)
    with row("  effects, all on", lambda: total):
        for index, one in enumerate(made):
            apply_effects(one.samples, RATE, draw_effects(random.Random(index), options))
    with row("  writing FLAC and MIDI", lambda: total):
        for one in made:
            save(one, folder)


def program(settings: Settings, made: list[Made], folder: str) -> None:
    if not shutil.which("fluidsynth"):
        print("fluidsynth program: not installed")
        return
    clock, seconds = time.perf_counter(), 0.0
    for one in made:
        path, target = Path(folder) / f"{one.entry.id}.mid", Path(folder) / "program.wav"
        command: list[Any] = [
            "fluidsynth",
            "-ni",
            "-q",
            "-r",
            play_rate(RATE),
            "-F",
            target,
            settings.soundfonts[0],
            path,
        ]
        subprocess.run(
            [str(part) for part in command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        seconds += one.entry.seconds or 0.0
    clock = time.perf_counter() - clock
    print(f"{'fluidsynth program, a process a piece':44}{seconds:10.0f}{clock:10.2f}{seconds / clock:12.0f}{'-':>12}")


def main(items: int, soundfont: str | None) -> None:
    torch.set_num_threads(1)
    settings = Settings(seconds=(20.0, 40.0), soundfonts=(soundfont,) if soundfont else ()).resolved()
    print(f"{items} items, {Path(settings.soundfonts[0]).name}, {settings.renderer}, {os.cpu_count()} cores")
    print(f"{'':44}{'sound s':>10}{'clock s':>10}{'x real time':>12}{'x by CPU':>12}")
    with tempfile.TemporaryDirectory() as folder:
        made = whole("scores: composed, rendered, written", ComposedItem(settings), items, folder)
        stages(settings, made, folder)
        program(settings, made, folder)
        whole("sounds: made and written", SoundItem(settings), items, folder)
        try:
            whole("speech: spoken and written", SpeechItem(settings, choose_engines()), max(1, items // 4), folder)
        except ImportError as error:
            print(f"speech: {error}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="?", type=int, default=20)
    parser.add_argument("soundfont", nargs="?")
    options = parser.parse_args()
    main(options.items, options.soundfont)
