"""The numbers of solfa-music's card: does the music have the instrument, tempo, key, mode and metre that were asked for?

    make music-data && python bench/music.py [--model solfa-music] [--data data/music] [--items 96] [--fit-items 600]

For pieces of DATA/test (which the model never heard) a prompt is written that says all five; the model plays it, with the piece's number as
seed, into OUT (DATA/generated). `solfa eval generation DATA/test OUT --fit DATA/train --codec solfa-24khz --codebooks 4` then listens, and
prints the shares beside those of the true recordings, of the true ones through the codec, and of shuffled prompts; and the Fréchet
distances.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from solfa.data.composer.theory import MINOR_MODES
from solfa.data.composer.words import GENRE_NOUNS, instrument_names, tonic_name
from solfa.data.manifest import NAME, Entry, read_manifest, write_manifest
from solfa.lm.sampling import SamplingOptions
from solfa.music import TextToMusic

BATCH = 8


def asked(entry: Entry) -> str:
    """ "playful waltz for violin and piano in G major, 3/4, 140 bpm": the same wording for all, the first name of every instrument."""
    a = entry.attributes
    names = list(dict.fromkeys(instrument_names(voice["program"])[0] for voice in a["instruments"]))
    players = f"solo {names[0]}" if len(names) == 1 else f"{names[0]} and {names[1]}"
    key = f"{tonic_name(a['tonic'], a['mode'])} {'minor' if a['mode'] in MINOR_MODES else 'major'}"
    return f"{a['mood']} {GENRE_NOUNS[a['genre']][0]} for {players} in {key}, {a['metre'][0]}/{a['metre'][1]}, {a['tempo']} bpm"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/music"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--model", default="solfa-music")
    parser.add_argument("--items", type=int, default=96)
    parser.add_argument("--fit-items", type=int, default=600)
    parser.add_argument("--duration", type=float, default=10.0)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    test, out = options.data / "test", options.out or options.data / "generated"
    if not (test / NAME).is_file():
        print(f"left out: {test} is not there, make music-data makes it")
        return
    try:
        music = TextToMusic.load(options.model)
    except ValueError as error:
        print(f"left out: {error}")
        return
    entries = read_manifest(test / NAME)[: options.items]
    (out / "audio").mkdir(parents=True, exist_ok=True)
    made, begin = [], time.perf_counter()
    for start in range(0, len(entries), BATCH):
        some = entries[start : start + BATCH]
        prompts, seeds = [asked(entry) for entry in some], [start + i for i in range(len(some))]
        sampling = SamplingOptions(guidance=options.guidance)
        sounds = music.generate(prompts, options.duration, seeds, options=sampling)
        for entry, prompt, sound in zip(some, prompts, sounds, strict=True):
            path = f"audio/{entry.id}.flac"
            sound.save(out / path)
            made.append(Entry(entry.id, path, prompt, entry.attributes))
    seconds = time.perf_counter() - begin
    write_manifest(out / NAME, made)
    print(f"{len(made)} prompts, {options.duration:g} s each, in {seconds:.0f} s", flush=True)
    places = [str(test), str(out), "--fit", str(options.data / "train")]
    listen = ["--fit-items", str(options.fit_items), "--codec", music.codec.name, "-j", str(options.jobs)]
    books = ["--codebooks", str(music.model.config.codebooks)]
    sys.exit(subprocess.run([sys.executable, "-m", "solfa", "eval", "generation", *places, *listen, *books]).returncode)


if __name__ == "__main__":
    main()
