"""Soundfonts: where they lie on a system, and which presets are in one."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from solfa.files import file_hash

DRUM_BANK = 128
FOLDERS = (
    "/usr/share/sounds/sf2",  # Debian, Ubuntu
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",  # Fedora, Arch
    "/usr/local/share/soundfonts",
    "/usr/local/share/sounds/sf2",
    "/opt/homebrew/share/soundfonts",  # macOS
    "/opt/homebrew/share/fluid-synth/sf2",
    "/Library/Audio/Sounds/Banks",
    "~/Library/Audio/Sounds/Banks",
    "~/.local/share/soundfonts",
)
PREFERRED = ("FluidR3_GM", "FluidR3", "MuseScore_General", "GeneralUser", "TimGM6mb")
SUFFIXES = (".sf2", ".sf3")
PRESET_BYTES = 38  # one record of the phdr chunk
MAX_PRESETS = 1 << 16
HOW_TO_GET = (
    "install one (Debian, Ubuntu: apt install fluid-soundfont-gm; Fedora: dnf install fluid-soundfont-gm; "
    "Arch: pacman -S soundfont-fluid), or name a .sf2 file by --soundfont or the variable SOLFA_SOUNDFONT"
)


class SoundFontError(ValueError):
    """No soundfont, or a file that is none. The message names the file and the reason."""


@dataclass(frozen=True)
class SoundFont:
    """A soundfont on disk: its path, and the names of its presets by (bank, program); bank 128 holds the drum kits."""

    path: Path
    presets: dict[tuple[int, int], str] = field(repr=False)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def programs(self) -> tuple[int, ...]:
        """Programs of bank 0, sorted."""
        return tuple(sorted(program for bank, program in self.presets if bank == 0))

    @property
    def kits(self) -> tuple[int, ...]:
        """Programs of the drum kits, sorted."""
        return tuple(sorted(program for bank, program in self.presets if bank == DRUM_BANK))

    @property
    def sha256(self) -> str:
        """Hash of the file; computed once a process."""
        return _hash(self.path)


def find_soundfonts() -> list[Path]:
    """The soundfonts of this system, the best known General MIDI ones first. SOLFA_SOUNDFONT comes before all."""
    named = os.environ.get("SOLFA_SOUNDFONT")
    found = [Path(named)] if named else []
    there = [
        path
        for folder in FOLDERS
        if (place := Path(folder).expanduser()).is_dir()
        for path in sorted(place.iterdir())
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    return found + sorted(there, key=_rank)


def find_soundfont(path: str | os.PathLike[str] | None = None) -> SoundFont:
    """The soundfont at `path`, else the first of `find_soundfonts`. Raises SoundFontError where there is none."""
    if path is not None:
        return load_soundfont(path)
    found = find_soundfonts()
    if not found:
        raise SoundFontError(f"no soundfont on this system: {HOW_TO_GET}")
    return load_soundfont(found[0])


def load_soundfont(path: str | os.PathLike[str]) -> SoundFont:
    """Reads which presets a .sf2 or .sf3 file holds (SoundFont 2.04, section 7.2); the samples stay on disk."""
    return _load(Path(path))


@lru_cache(maxsize=16)
def _load(path: Path) -> SoundFont:
    try:
        with open(path, "rb") as file:
            presets = dict(_presets(file, path))
    except OSError as error:
        raise SoundFontError(f"{path}: {error.strerror}; {HOW_TO_GET}") from error
    if not presets:
        raise SoundFontError(f"{path}: holds no presets")
    return SoundFont(path, presets)


def _rank(path: Path) -> tuple[int, str]:
    places = [i for i, name in enumerate(PREFERRED) if path.stem.lower().startswith(name.lower())]
    return (places[0] if places else len(PREFERRED), path.name)


def _presets(file: BinaryIO, path: Path) -> Iterable[tuple[tuple[int, int], str]]:
    size = os.fstat(file.fileno()).st_size
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise SoundFontError(f"{path}: no soundfont (it does not begin as a RIFF file of kind sfbk)")
    body = _find(file, path, size, b"LIST", b"pdta")
    length = _find(file, path, min(size, body), b"phdr", None) - file.tell()
    if length % PRESET_BYTES or length > MAX_PRESETS * PRESET_BYTES:
        raise SoundFontError(f"{path}: damaged (a preset table of {length} bytes)")
    records = file.read(length)
    for name, program, bank in struct.iter_unpack("<20sHH14x", records[:-PRESET_BYTES]):  # the last is a terminator
        yield (bank, program), name.split(b"\0")[0].decode("latin-1").strip()


def _find(file: BinaryIO, path: Path, end: int, tag: bytes, kind: bytes | None) -> int:
    """Moves into the chunk `tag` (of the form `kind`, for a LIST) and gives where it ends."""
    while file.tell() + 8 <= end:
        name, length = struct.unpack("<4sI", file.read(8))
        start = file.tell()
        if start + length > end:
            raise SoundFontError(f"{path}: truncated (a chunk of {length} bytes goes beyond the end)")
        if name == tag and (kind is None or file.read(4) == kind):
            return start + length
        file.seek(start + length + length % 2)
    raise SoundFontError(f"{path}: damaged (no {(kind or tag).decode()} chunk)")


_hash = lru_cache(maxsize=16)(file_hash)
