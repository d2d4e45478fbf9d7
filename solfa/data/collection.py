"""A folder of rendered recordings, made item by item: audio, notes, a journal, and at the very end the manifest.

    audio/ID.flac  notes/ID.mid  journal.jsonl  manifest.jsonl

The journal's first line holds the settings, each further line a finished item with the hashes of its files. A killed run finds
there what is done. Items are independent, so the folder's bytes do not depend on the number of processes or on interruptions.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from solfa.audio.io import Audio, write
from solfa.data.manifest import NAME, Entry, ManifestError, json_line, read_lines, write_lines, write_manifest
from solfa.files import file_hash
from solfa.parent import cores, end_with
from solfa.score.midi import write_midi
from solfa.score.score import Score

Task = TypeVar("Task")
JOURNAL = "journal.jsonl"
LEFT_OVER = re.compile(r"\..*\.tmp")
AHEAD = 4  # tasks in flight a process


@dataclass(frozen=True)
class Made:
    """One item before it is written: `audio` and `notes` of the entry are where it is to lie."""

    entry: Entry
    samples: np.ndarray  # [C, S] float32
    sample_rate: int
    score: Score | None = None


@dataclass(frozen=True)
class Done(Generic[Task]):
    """One item of a run: its entry, or why there is none; `kept` if an earlier run had made it."""

    task: Task
    entry: Entry | None = None
    error: str | None = None
    kept: bool = False


@dataclass(frozen=True)
class Summary:
    """What a run left: entries in the manifest, how many of them were there already, and how many tasks failed."""

    entries: int
    kept: int
    failed: int
    seconds: float


def build(
    out: Path,
    tasks: Sequence[Task],
    identify: Callable[[Task], str],
    make: Callable[[Task], Made],
    settings: dict[str, Any],
    *,
    jobs: int = 1,
    overwrite: bool = False,
    on_item: Callable[[Done[Task]], None] = lambda done: None,
) -> Summary:
    """Makes what is missing of the tasks and writes the manifest.

    `identify` gives a task's id. With `jobs` > 1 (0: one a core) `make` runs in that many processes, so it and the tasks must pickle; an
    exception in it (ValueError, OSError) costs only its item. Raises ValueError where `out` was made with other settings,
    unless `overwrite` says to begin anew.
    """
    if jobs < 0:
        raise ValueError(f"jobs {jobs}: at least 0 (0 is one a core)")
    _open(out, overwrite)
    journal = _Journal(out, settings)
    (out / NAME).unlink(missing_ok=True)  # it comes back when all is there
    here = [journal.verified(identify(task)) for task in tasks]
    missing = iter(_run(_Write(out, make), [t for t, entry in zip(tasks, here, strict=True) if entry is None], jobs))
    entries: list[Entry] = []
    failed = 0
    for task, entry in zip(tasks, here, strict=True):
        done: Done[Task] = Done(task, entry, kept=True) if entry else journal.added(task, next(missing))
        entries += [done.entry] if done.entry else []
        failed += done.entry is None
        on_item(done)
    journal.close(entries)
    write_manifest(out / NAME, entries)
    kept = sum(entry is not None for entry in here)
    return Summary(len(entries), kept, failed, sum(entry.seconds or 0.0 for entry in entries))


def _open(out: Path, overwrite: bool) -> None:
    """The folder with its two inner ones, freed of what a killed run left half written."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is no folder")
    if out.is_dir() and not (out / JOURNAL).exists() and any(out.iterdir()):
        raise ValueError(f"{out}: holds other files; name a folder that is new or empty")
    if overwrite:
        for name in ("audio", "notes"):
            shutil.rmtree(out / name, ignore_errors=True)
        (out / JOURNAL).unlink(missing_ok=True)
    for folder in (out, out / "audio", out / "notes"):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if LEFT_OVER.fullmatch(path.name):
                path.unlink()


@dataclass(frozen=True)
class _Record:
    """A finished item: its entry, and its files' hashes by their path in the folder."""

    entry: Entry
    sha256: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        return {"sha256": self.sha256, "entry": self.entry.to_dict()}


class _Journal:
    """What is done, on disk as it is done."""

    def __init__(self, out: Path, settings: dict[str, Any]) -> None:
        self._out, self._path = out, out / JOURNAL
        self._head = {"settings": settings}
        self._records: dict[str, _Record] = {}
        if self._path.exists():
            self._read()
        write_lines(self._path, [self._head, *(record.to_dict() for record in self._records.values())])
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 (closed by `close`)

    def _read(self) -> None:
        lines = read_lines(self._path)
        try:
            _, head = next(lines)
            if head != self._head:
                raise ValueError(
                    f"{self._out}: was made with other settings ({_difference(head, self._head)}); "
                    "name another folder, or overwrite"
                )
            for _, data in lines:
                record = _Record(Entry.from_dict(data["entry"]), dict(data["sha256"]))
                self._records[record.entry.id] = record
        except (ManifestError, StopIteration, KeyError, TypeError):
            return  # the last line of a killed run was cut: what stands before it counts

    def verified(self, identity: str) -> Entry | None:
        """The entry of an item whose files are all there, unchanged."""
        record = self._records.get(identity)
        if record and all(_unchanged(self._out / name, value) for name, value in record.sha256.items()):
            return record.entry
        return None

    def added(self, task: Task, result: _Record | str) -> Done[Task]:
        if isinstance(result, str):
            return Done(task, error=result)
        self._records[result.entry.id] = result
        self._file.write(json_line(result.to_dict()))
        self._file.flush()
        return Done(task, result.entry)

    def close(self, entries: list[Entry]) -> None:
        """The journal in the order of the tasks."""
        self._file.close()
        write_lines(self._path, [self._head, *(self._records[entry.id].to_dict() for entry in entries)])


@dataclass(frozen=True)
class _Write(Generic[Task]):
    """Makes an item and writes its files; gives its record, or why it failed as a line."""

    out: Path
    make: Callable[[Task], Made]

    def __call__(self, task: Task) -> _Record | str:
        try:
            made = self.make(task)
        except (ValueError, OSError) as error:
            return " ".join(str(error).split()) or type(error).__name__
        entry = made.entry
        write(
            self.out / entry.audio, Audio(torch.from_numpy(np.ascontiguousarray(made.samples))[None], made.sample_rate)
        )
        names = [entry.audio]
        if made.score is not None:
            assert isinstance(entry.notes, str)
            write_midi(made.score, self.out / entry.notes)
            names.append(entry.notes)
        return _Record(entry, {name: file_hash(self.out / name) for name in names})


def _run(work: Callable[[Task], Any], tasks: Sequence[Task], jobs: int) -> Iterator[Any]:
    """`work` over the tasks, results in their order."""
    jobs = min(jobs or cores(), len(tasks))
    if jobs <= 1:
        yield from map(work, tasks)
        return
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start)
    waiting, flying = iter(tasks), deque[Future[Any]]()
    try:
        while True:
            flying.extend(pool.submit(work, task) for task in islice(waiting, jobs * AHEAD - len(flying)))
            if not flying:
                break
            yield flying.popleft().result()
    except BrokenProcessPool as error:
        raise OSError("a process died (out of memory, or a crash); the same command goes on from here") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    end_with()  # who comes next writes to the same folder


def _unchanged(path: Path, value: str) -> bool:
    """Whether a file is there, and has that hash."""
    try:
        return file_hash(path) == value
    except OSError:
        return False


def _difference(old: Any, new: Any) -> str:
    old, new = (dict(head.get("settings", {})) if isinstance(head, dict) else {} for head in (old, new))
    keys = [key for key in [*new, *old] if old.get(key) != new.get(key)]
    return (
        ", ".join(f"{key} {str(old.get(key))[:40]}, now {str(new.get(key))[:40]}" for key in dict.fromkeys(keys))
        or "unreadable"
    )
