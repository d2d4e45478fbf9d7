"""From what a user types to files: paths, folders, globs, `@list.txt`, `-`; and where each result goes."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from solfa.cli.report import UsageError, say

PLAIN_SUFFIXES = (  # these are those of `data.tables` and `audio.media`, which the shell does not load
    *(".wav", ".wave", ".bwf", ".w64", ".rf64", ".flac", ".mp3", ".ogg", ".oga", ".opus"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
)
MEDIA_SUFFIXES = (
    *(".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".aac", ".ac3", ".wma", ".wmv", ".asf", ".webm", ".mka", ".mkv"),
    *(".avi", ".flv", ".mpg", ".mpeg", ".m2ts", ".wv", ".tta", ".ape", ".amr"),
)
UNREAD_SUFFIXES = MEDIA_SUFFIXES if find_spec("av") is None else ()
AUDIO_SUFFIXES = (*PLAIN_SUFFIXES, *(suffix for suffix in MEDIA_SUFFIXES if suffix not in UNREAD_SUFFIXES))
TOKEN_SUFFIXES = (".solfa",)
NOTE_SUFFIXES = (".mid", ".midi", ".abc", ".musicxml", ".xml", ".mxl", ".json", ".jsonl")  # those of `score.write.READ`
OTHER_SUFFIXES = (".ecdc", ".dac")  # code files of EnCodec's and DAC's own packages


@dataclass(frozen=True)
class Input:
    """One file to work on. `relative` is its place in the tree that is mirrored under -o."""

    path: Path
    relative: Path
    problem: str | None = None  # why this input cannot be used, to be reported as its failure
    single: bool = False  # named itself, rather than found in a folder, a glob or a list
    target: Path | None = None  # where its result goes, once `with_targets` has said so


def expand(arguments: Sequence[str], suffixes: Sequence[str]) -> list[Input]:
    """The files that `arguments` name, in order, each once.

    A folder gives every file below it whose suffix is in `suffixes` (sorted, hidden ones left out), a glob (`**` too)
    what it matches, `@list.txt` one argument a line, and `-` (or `@-`) the same from stdin. What leads to no file comes
    back as an Input with a `problem`: the others are not held up. No argument at all raises UsageError.
    """
    if not arguments:
        raise UsageError("no input: name files, folders, globs, @list.txt, or - for a list on stdin")
    seen: dict[Path, Input] = {}
    for found in _expand_all(arguments, suffixes):
        seen.setdefault(Path(os.path.abspath(found.path)), found)
    return list(seen.values())


def _expand_all(arguments: Iterable[str], suffixes: Sequence[str]) -> Iterator[Input]:
    for argument in arguments:
        if argument.startswith("@"):
            yield from _from_list(argument[1:], suffixes)
        else:
            yield from _from_path(argument, suffixes)


def _from_path(argument: str, suffixes: Sequence[str]) -> Iterator[Input]:
    path = Path(argument)
    if not argument:
        yield Input(path, path, "an empty name")
    elif path.is_dir():
        yield from _from_folder(path, path, suffixes)
    elif path.exists() or not glob.has_magic(argument):
        missing = None if path.exists() else "no such file"
        yield Input(path, Path(path.name), missing, single=True)
    else:
        yield from _from_glob(argument, suffixes)


def _from_folder(folder: Path, root: Path, suffixes: Sequence[str]) -> Iterator[Input]:
    found, shut, links, unread = False, list[OSError](), list[Path](), list[Path]()
    others = UNREAD_SUFFIXES if set(PLAIN_SUFFIXES) <= set(suffixes) else ()
    for parent, folders, files in os.walk(folder, onerror=shut.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        links += [path for name in folders if (path := Path(parent, name)).is_symlink()]
        shown = sorted(name for name in files if not name.startswith("."))
        unread += [Path(parent, name) for name in shown if name.lower().endswith(others)]
        for name in shown:
            if name.lower().endswith(tuple(suffixes)):
                found = True
                path = Path(parent, name)
                yield Input(path, path.relative_to(root))
    for error in shut:
        path = Path(error.filename)
        yield Input(path, path.relative_to(root), f"this folder cannot be read ({error.strerror})")
    _say_of(links, "behind a link to another folder, which is not searched: name that folder too")
    _say_of(unread, 'of a format that is read with pip install "solfa[av]" only')
    if not found and not shut:
        yield Input(folder, Path(folder.name), f"no file here ends in {', '.join(suffixes)}")


def _say_of(paths: Sequence[Path], what: str) -> None:
    if paths:
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        say(f"{paths[0]}{more}: left out, {what}")


def _from_glob(pattern: str, suffixes: Sequence[str]) -> Iterator[Input]:
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        yield Input(Path(pattern), Path(pattern), "no file matches")
    for match in map(Path, matches):
        if not match.is_dir():
            yield Input(match, match.relative_to(root))
        elif parts[-1] != "**":  # `**` gives the files below each folder itself
            yield from _from_folder(match, root, suffixes)


def _from_list(name: str, suffixes: Sequence[str]) -> Iterator[Input]:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        yield Input(Path(name), Path(name), f"cannot read this list: {error.strerror}")
        return
    if b"\0" in data:
        yield Input(Path(name), Path(name), "this is no list of files: one path a line is read, not sound")
        return
    lines = [os.fsdecode(line) for line in data.splitlines() if line.strip()]
    if not lines:
        yield Input(Path(name), Path(name), "this list is empty")
    for line in lines:
        for found in _from_path(line, suffixes):
            # A relative line keeps its folders under -o: lists often name many files of one name.
            keep = found.single and not Path(line).is_absolute() and ".." not in Path(line).parts
            yield replace(found, relative=Path(line) if keep else found.relative, single=False)


def with_targets(inputs: Sequence[Input], out: Path | None, suffixes: Sequence[str]) -> list[Input]:
    """The inputs with their `target`: beside the input, or under `out`, where the inputs' tree is mirrored.

    Targets end in `suffixes[0]`. For one named file an `out` with a suffix is the target itself, and must end in one of
    `suffixes`, unless a folder of that name is there. Two inputs with one target, and a target
    that is its own source, are a `problem` of the later input.
    """
    if out == Path("@-"):  # what `-` has become
        raise UsageError("-o -: results are files, not what is written to stdout: name a file or a folder")
    if out is not None and len(inputs) == 1 and inputs[0].single and _names_file(out):
        if out.suffix.lower() not in suffixes:
            raise UsageError(f"-o {out}: the name must end in {' or '.join(suffixes)} (or be a folder that is there)")
        return [_placed(inputs[0], out, inputs[0].path)]
    if out is not None and out.suffix.lower() in suffixes and not out.is_dir():
        raise UsageError(f"-o {out} names one file, and the input may be several: name a folder")
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"-o {out} is a file: name a folder")
    taken: dict[Path, Path] = {}
    placed = []
    for item in inputs:
        if item.problem:
            placed.append(item)
            continue
        name = _with_suffix(item.relative, suffixes[0])
        target = item.path.parent / name.name if out is None else out / name
        placed.append(_placed(item, target, taken.setdefault(target, item.path)))
    return placed


def _placed(item: Input, target: Path, first: Path) -> Input:
    problem = item.problem
    if problem is None and target.exists() and item.path.samefile(target):
        problem = f"a {target.suffix} file is what comes out here, not what is read (its result would replace it)"
    elif first != item.path:
        problem = f"{target} is already the result of {first}"
    return replace(item, target=target, problem=problem)


def _names_file(out: Path) -> bool:
    return bool(out.suffix) and not out.is_dir()


def _with_suffix(path: Path, suffix: str) -> Path:
    known = path.suffix.lower() in (*AUDIO_SUFFIXES, *TOKEN_SUFFIXES, *OTHER_SUFFIXES, *NOTE_SUFFIXES)
    return path.with_suffix(suffix) if known else path.with_name(path.name + suffix)
