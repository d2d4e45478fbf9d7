"""Scores of the user's own, rendered: MIDI and MusicXML files in a folder or a zip, or the corpus of music21."""

from __future__ import annotations

import hashlib
import lzma
import os
import random
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from solfa.data.collection import Done, Made, Summary, build
from solfa.data.composer.caption import caption
from solfa.data.composer.describe import describe
from solfa.data.pianist import pianos, play_as_pianist
from solfa.data.programs import restrict, vary
from solfa.data.render import excerpt
from solfa.data.soundfont import find_soundfont
from solfa.data.synth import Settings, draw_renderer, rendered
from solfa.score.midi import read_midi
from solfa.score.musicxml.read import read_musicxml
from solfa.score.score import Score

MIDI_SUFFIXES = (".mid", ".midi")
XML_SUFFIXES = (".musicxml", ".mxl", ".xml")
MUSIC21_SUFFIXES = (".krn", ".abc")  # what only music21 reads
Instruments = Literal["keep", "vary", "pianist"]
MAX_BYTES = 64 << 20  # of one score
MAX_PIECES = 1_000_000
OPEN_ZIPS = 2  # at a time and process
# What zipfile runs into in a damaged archive: a field beyond its end, a name that is none, a method or a version that it does not know.
ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    RuntimeError,
    LookupError,
    ValueError,
    EOFError,
    OSError,
)


class CorpusError(ValueError):
    """A folder or zip of scores that cannot be read. The message names it and the reason."""


@dataclass(frozen=True)
class Piece:
    """One score: a file, or a member of the zip `path`. `name` is its path within the corpus."""

    path: str
    name: str
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else self.path

    @property
    def identity(self) -> str:
        """A name for files that is short, plain, and its own."""
        slug = re.sub(r"[^a-z0-9]+", "-", PurePosixPath(self.name).with_suffix("").name.lower()).strip("-")[:40]
        return f"{slug or 'piece'}-{hashlib.sha256(self.name.encode('utf-8', 'replace')).hexdigest()[:8]}"


def find_pieces(source: str | os.PathLike[str]) -> list[Piece]:
    """The scores of a folder (searched through), a zip, one file, or "music21", in order of name. Raises CorpusError for none."""
    if str(source) == "music21" and not Path(source).exists():
        pieces = _music21_pieces()
    else:
        path = Path(source)
        if path.is_dir():
            pieces = _folder_pieces(path)
        elif not path.is_file():
            raise CorpusError(f"{source}: no such folder or file")
        elif path.suffix.lower() == ".zip":
            pieces = _zip_pieces(path)
        else:
            pieces = [Piece(str(path), path.name)] if _is_score(path.name) else []
    if not pieces:
        raise CorpusError(f"{source}: holds no scores ({', '.join(MIDI_SUFFIXES + XML_SUFFIXES)})")
    return sorted(pieces, key=lambda piece: piece.name)


def render_corpus(
    source: str | os.PathLike[str] | Sequence[Piece],
    out: str | os.PathLike[str],
    jobs: int = 1,
    settings: Settings | None = None,
    *,
    instruments: Instruments = "keep",
    max_seconds: float | None = None,
    overwrite: bool = False,
    on_item: Callable[[Done[Piece]], None] = lambda done: None,
) -> Summary:
    """Renders scores into the folder `out`, as `synthesize` does; `source` is what `find_pieces` takes or gives.

    Captions say what is in the score. instruments: "keep" those of the score; "vary" draws others for the parts; "pianist" has one
    pianist play them all, see `play_as_pianist`. `max_seconds` (at least 1) takes an excerpt from a place that is drawn. A score that
    cannot be read is told to `on_item` and left out.
    """
    if instruments not in get_args(Instruments):
        raise ValueError(f"instruments {instruments!r}: legal are {', '.join(get_args(Instruments))}")
    if max_seconds is not None and not max_seconds >= 1:
        raise ValueError(f"max_seconds {max_seconds}: at least 1")
    settings = (settings or Settings()).resolved()
    pieces = find_pieces(source) if isinstance(source, str | os.PathLike) else list(source)
    if instruments == "pianist":
        for font in settings.soundfonts:
            pianos(settings.presets.within(find_soundfont(font)))
    make = CorpusItem(settings, instruments, max_seconds)
    named = settings.to_dict() | {
        "kind": "corpus",
        "vary_instruments": instruments == "vary",
        "max_seconds": max_seconds,
    }
    if instruments == "pianist":
        named["pianist"] = True  # folders that were made before there was one stay valid
    del named["seconds"]
    return build(Path(out), pieces, _identity, make, named, jobs=jobs, overwrite=overwrite, on_item=on_item)


def _identity(piece: Piece) -> str:
    return piece.identity


@dataclass(frozen=True)
class CorpusItem:
    """The item of one score; what is drawn depends on the seed and the score's name alone."""

    settings: Settings
    instruments: Instruments
    max_seconds: float | None

    def __call__(self, piece: Piece) -> Made:
        settings = self.settings
        rng = random.Random(f"{settings.seed}/corpus/{piece.name}")
        renderer = draw_renderer(settings, rng)
        presets = settings.presets.within(renderer.soundfont)
        score = read_piece(piece)
        if not score.notes:
            raise CorpusError("holds no notes")
        if self.instruments == "pianist":  # whose time is not the score's
            score = _excerpt(play_as_pianist(score, presets, rng), self.max_seconds, rng)
        else:
            score = _excerpt(score, self.max_seconds, rng)
            score = (vary if self.instruments == "vary" else restrict)(score, presets, rng)
        attributes = describe(score)
        text = caption(attributes, rng)
        attributes = {**attributes, "source": piece.name}
        return rendered(settings, piece.identity, piece.name, score, renderer, rng, text, attributes)


def _excerpt(score: Score, seconds: float | None, rng: random.Random) -> Score:
    """An excerpt that begins with a note, drawn so that it is full where the score is long enough; leading silence is cut."""
    onsets = sorted({note.onset for note in score.notes})
    if seconds is None:
        return score
    last = max(note.offset for note in score.notes)
    starts = [onset for onset in onsets if onset + seconds <= last] or onsets[:1]
    return excerpt(score, rng.choice(starts), seconds)


def read_piece(piece: Piece) -> Score:
    """The score of a piece. Raises ValueError for one that is too large, damaged or of another kind."""
    suffix = PurePosixPath(piece.member or piece.path).suffix.lower()
    if suffix in MUSIC21_SUFFIXES:
        return read_midi(_music21_midi(piece.path))
    data = _bytes(piece)
    return read_midi(data) if suffix in MIDI_SUFFIXES else read_musicxml(data)


def _bytes(piece: Piece) -> bytes:
    if piece.member is None:
        with open(piece.path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    else:
        try:
            with _archive(piece.path).open(piece.member) as file:
                data = file.read(MAX_BYTES + 1)  # never more, whatever the zip says about its size
        except ZIP_FAULTS as error:
            raise CorpusError(f"cannot be unpacked ({_said(error)})") from error
    if len(data) > MAX_BYTES:
        raise CorpusError(f"larger than {MAX_BYTES >> 20} MiB")
    return data


def _archive(path: str) -> zipfile.ZipFile:
    """A zip that stays open: to read its directory takes seconds where it is long. Another file in its place is opened anew."""
    found = os.stat(path)
    return _opened(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns), os.getpid())


@lru_cache(maxsize=OPEN_ZIPS)
def _opened(path: str, version: tuple[int, ...], process: int) -> zipfile.ZipFile:
    """process: a forked one has a place in the file of its own only if it opens it itself. A zip closes when it falls out."""
    return zipfile.ZipFile(path)


def _said(error: Exception) -> str:
    """Some errors of zipfile's have no words."""
    return str(error) or type(error).__name__


def _is_score(name: str) -> bool:
    base = PurePosixPath(name)
    return base.suffix.lower() in MIDI_SUFFIXES + XML_SUFFIXES and not base.name.startswith(".")


def _folder_pieces(folder: Path) -> list[Piece]:
    found = (path for path in folder.rglob("*") if _is_score(path.name) and path.is_file())
    return [Piece(str(path), path.relative_to(folder).as_posix()) for path in found]


def _zip_pieces(path: Path) -> list[Piece]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except ZIP_FAULTS as error:
        raise CorpusError(f"{path}: cannot be read ({_said(error)})") from error
    if len(members) > MAX_PIECES:
        raise CorpusError(f"{path}: {len(members)} members; at most {MAX_PIECES}")
    names: dict[str, None] = {}
    for member in members:
        place = PurePosixPath(member.filename.replace("\\", "/"))
        odd = place.is_absolute() or ".." in place.parts or stat.S_ISLNK(member.external_attr >> 16)
        # A member may have no name, of which is_dir fails: the suffix comes first.
        if _is_score(member.filename) and not member.is_dir() and "__MACOSX" not in place.parts:
            if odd:  # nothing is ever extracted, but such a zip is not what it says
                raise CorpusError(f"{path}: its member {member.filename!r} points outside of it")
            names[member.filename] = None
    return [Piece(str(path), name, name) for name in names]


def _music21() -> Any:
    try:
        return import_module("music21")
    except ImportError as error:
        raise ImportError("music21's corpus needs that package: pip install music21") from error


def _music21_pieces() -> list[Piece]:
    root = Path(_music21().common.getCorpusFilePath())
    found = (path for path in root.rglob("*") if _is_score(path.name) or path.suffix.lower() in MUSIC21_SUFFIXES)
    return [Piece(str(path), path.relative_to(root).as_posix()) for path in found if path.is_file()]


def _music21_midi(path: str) -> bytes:
    music21 = _music21()
    try:
        stream = music21.converter.parse(path, forceSource=True)
        if isinstance(stream, music21.stream.Opus):
            stream = stream.scores[0]  # a file of several tunes: the first
        data: bytes = music21.midi.translate.music21ObjectToMidiFile(stream).writestr()
    except Exception as error:  # music21 raises whatever its parsers run into
        raise CorpusError(f"music21 cannot read it ({type(error).__name__}: {error})") from error
    return data
