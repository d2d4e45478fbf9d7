"""Slakh2100 (Manilow et al. 2019, arXiv 1909.08494): mixtures of MIDI files of Lakh, each stem by a sampled instrument.

    train/Track00001/metadata.yaml     UUID of the MIDI file; stems: S00: {program_num, is_drum, plugin_name, audio_rendered, ...}
    train/Track00001/MIDI/S00.mid      train/Track00001/stems/S00.flac
    train/Track00001/mix.flac          train/Track00001/all_src.mid

also validation, test and, in Slakh2100-redux, omitted; sound may be .wav. The small BabySlakh has no folders of splits: all is "train".

Notes are those of the stems' MIDI files that were rendered, with program and drums as the metadata say: `all_src.mid`, the file of Lakh,
has sources that do not sound and notes as they were before they were changed for the sampler (the MR-MT3 authors find 0.1 less F1 against
it). Notes end as they are heard: under the pedal when it comes up. Pitch bends are not followed.

The original release and BabySlakh hold some MIDI files several times, with other sounds. Tracks whose MIDI file is also in a held-out split
have the split "overlap" (test goes before validation, validation before train); those that redux omits keep its name, "omitted".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from solfa.data.manifest import Entry
from solfa.data.readers.rows import OVERLAP, Found, attempt, instruments, read_text
from solfa.score.midi import read_midi
from solfa.score.note import Note
from solfa.score.pedal import pedal_extended

# Splits and their folders, in the order in which a MIDI file is theirs.
SPLITS = (("test", "test"), ("validation", "validation"), ("train", "train"), ("train", ""), ("omitted", "omitted"))
SOUNDS = ("mix.flac", "mix.wav")
STEM = re.compile(r"S\d{2,3}")
TRACKS = "Track*/metadata.yaml"


def is_here(folder: Path) -> bool:
    return any(next((folder / place).glob(TRACKS), None) for _, place in SPLITS)


def read(folder: Path) -> Iterator[Found]:
    """A recording for each track."""
    owners: dict[str, str] = {}
    for split, place in SPLITS:
        for path in sorted((folder / place).glob(TRACKS)):
            yield attempt(_entry, path, split, owners)


def _entry(path: Path, split: str, owners: dict[str, str]) -> Entry:
    """The recording of a track. owners: the split of each MIDI file so far, by its UUID."""
    track, data = path.parent, _metadata(path)
    owner = owners.setdefault(data["UUID"], split)
    audio = next((track / name for name in SOUNDS if (track / name).is_file()), None)
    if audio is None:
        raise ValueError(f"{track}: no {' or '.join(SOUNDS)}")
    heard = {name: stem for name, stem in data["stems"].items() if stem["audio_rendered"]}
    notes = tuple(sorted(note for name, stem in heard.items() for note in _stem_notes(track, name, stem)))
    return Entry(
        id=track.name,
        audio=str(audio),
        notes=notes,
        split=split if split in (owner, "omitted") else OVERLAP,
        attributes={
            "instruments": instruments(notes),
            "plugins": {name: str(stem.get("plugin_name", "")) for name, stem in heard.items()},
            "uuid": data["UUID"],
        },
    )


def _stem_notes(track: Path, name: str, stem: dict[str, Any]) -> Iterator[Note]:
    path, drums = track / "MIDI" / f"{name}.mid", stem["is_drum"]
    if not path.is_file():
        raise ValueError(f"{path}: no such file, though the stem sounds")
    score = read_midi(path)
    program = 0 if drums else stem["program_num"]
    for note in (score if drums else pedal_extended(score)).notes:
        yield replace(note, program=program, is_drum=drums)


class _Plain(yaml.SafeLoader):
    """YAML without aliases, which the dataset has none of: a few lines of them make a list of millions."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "an alias", self.peek_event().start_mark)
        return super().compose_node(parent, index)


def _metadata(path: Path) -> dict[str, Any]:
    """The metadata, with the fields that are used here checked."""
    text = read_text(path)
    try:
        data = _Plain(text).get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that is none
        raise ValueError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    stems = data.get("stems") if isinstance(data, dict) else None
    if not isinstance(stems, dict) or not stems or data.get("UUID") is None:
        raise ValueError(f"{path}: a UUID and stems are needed")
    for name, stem in stems.items():
        _check_stem(f"{path}: stem {str(name)[:20]!r}", name, stem)
    return {"UUID": str(data["UUID"]), "stems": stems}


def _check_stem(where: str, name: Any, stem: Any) -> None:
    if not isinstance(name, str) or not STEM.fullmatch(name) or not isinstance(stem, dict):
        raise ValueError(f"{where}: it should be an object with a name such as S00")
    for field in ("is_drum", "audio_rendered"):
        if not isinstance(stem.get(field), bool):
            raise ValueError(f"{where}: {field} {stem.get(field)!r}: legal are true, false")
    program = stem.get("program_num")
    highest = 128 if stem["is_drum"] else 127  # the dataset's own number for drums
    if isinstance(program, bool) or not isinstance(program, int) or not 0 <= program <= highest:
        raise ValueError(f"{where}: program_num {program!r}: legal are 0 to {highest}")
