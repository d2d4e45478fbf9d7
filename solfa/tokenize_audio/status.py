"""Seeing a corpus become tokens: events of the workers, a bar or lines on stderr, `status.json` for a dashboard, the summary."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from solfa.files import write_whole
from solfa.progress import Bar, duration

if TYPE_CHECKING:
    from solfa.tokenize_audio.work.report import Failure, ShardReport

FILE_SECONDS = 1.0  # between two writes of status.json, at least
BEAT = 10.0  # and at most, though nothing happens: who reads it sees that the run lives
STOPPED = 128  # what a shell adds to the number of the signal that ended a command


@dataclass(frozen=True)
class Event:
    """What an engine has to say while it runs.

    start: a worker takes a shard (again, perhaps); progress: so many more files (`failed` of them quarantined) and seconds of audio of it
    are through; done: its `report`; left: its worker died, or another process has it, and it waits again; failed: it is given up for this
    run; note: words for the user.
    """

    kind: Literal["start", "progress", "done", "left", "failed", "note"]
    shard: int = -1
    files: int = 0
    seconds: float = 0.0  # of audio
    failed: int = 0
    text: str = ""
    report: ShardReport | None = None


OnEvent = Callable[[Event], None]


def ignore(event: Event) -> None:
    """An `on_event` for whoever looks at the summary only."""


@dataclass(frozen=True)
class Problem:
    """A shard that could not be finished in this run, and why. What it lacks is done when the command is given again."""

    shard: int
    reason: str


@dataclass(frozen=True)
class Summary:
    """What became of a run. `failed` names every file that it was given and that is left out, those of shards done before among them."""

    store: str
    shards: int  # of the plan
    shards_done: int  # that are in the store now
    items: int  # in those
    seconds: float  # of audio in those
    encoded: int  # items that this run encoded
    encoded_seconds: float  # of audio in those
    elapsed: float  # seconds that the run took
    failed: tuple[Failure, ...] = ()
    problems: tuple[Problem, ...] = ()
    elsewhere: int = 0  # shards that are for other ranks to do
    dead_workers: int = 0
    halted: str = ""  # why the run ended before its time: no space on the disk, another codec, no worker that starts
    stopped: int = 0  # the signal that ended it before its time

    @property
    def real_time_factor(self) -> float:
        """Seconds of audio encoded in a second."""
        return self.encoded_seconds / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def exit_code(self) -> int:
        """0: all is in the store; 1: some is not; 130 or 143: the run was stopped by Ctrl-C or SIGTERM."""
        if self.stopped:
            return STOPPED + self.stopped
        missing = self.shards - self.shards_done - self.elsewhere
        return int(bool(self.failed or self.problems or self.halted) or missing > 0)


class Status(Bar):
    """Shows events as they come: `with Status(store, files=1000, shards=4) as status: run(job, on_event=status)`.

    On a terminal a bar with files, hours of audio, speed, time left and failures; elsewhere the same as a line every half minute.
    `file`: where the same numbers are kept as JSON, with who writes it and when (None: nowhere). Renewed at most once a second, and from a
    thread of its own every ten when there is no event: one that was not is of a run that was killed, and could not say so.
    """

    def __init__(self, name: str, files: int, shards: int, file: Path | None = None) -> None:
        super().__init__(name, files)
        self.files, self.shards, self.file = files, shards, file
        self.filed = self.started - FILE_SECONDS
        self.state = "running"
        self.before = self.encoded = self.failed = self.shards_done = self.shards_failed = self.left = 0
        self.seconds = 0.0  # of audio, in the shards that this run has finished
        self.under_way: dict[int, tuple[int, float, int]] = {}  # shard -> files, seconds, failed
        self._lock = threading.Lock()  # of the numbers and the file, while the beat is alive
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        self._write()
        self._heart.start()
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        super().__exit__(kind)
        self._over.set()
        self._heart.join()  # its last write is not to come after this one
        self.state = (
            "failed" if kind or self.shards_failed else "done" if self.shards_done >= self.shards else "stopped"
        )
        self._write()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._take(event)
            if time.monotonic() - self.filed >= FILE_SECONDS:
                self._write()
        if event.text:
            self.say(event.text)
        if self.due:
            self.show(self.numbers()["files_done"], self.line())

    def _take(self, event: Event) -> None:
        """Count an event."""
        if event.kind == "start":
            self.under_way[event.shard] = (0, 0.0, 0)
        elif event.kind == "progress":
            if event.shard not in self.under_way:
                return  # late news of a shard that is over
            files, seconds, failed = self.under_way[event.shard]
            self.under_way[event.shard] = (files + event.files, seconds + event.seconds, failed + event.failed)
        else:
            self.under_way.pop(event.shard, None)
        if event.kind == "done" and event.report is not None:
            self._count(event.report)
        elif event.kind == "failed":
            self.shards_failed += 1
        elif event.kind == "left":
            self.left += 1

    def numbers(self) -> dict[str, Any]:
        """What `status.json` holds. Audio and speed are of this run; files count those of shards that were done before too."""
        way = list(self.under_way.values())
        now = self.encoded + sum(files for files, _, _ in way)
        seconds = self.seconds + sum(seconds for _, seconds, _ in way)
        elapsed = time.monotonic() - self.started
        left = max(self.files - self.before - now, 0)
        return {
            "state": self.state,
            "files": self.files,
            "files_done": self.before + now,
            "shards": self.shards,
            "shards_done": self.shards_done,
            "audio_seconds": round(seconds, 3),
            "elapsed_seconds": round(elapsed, 3),
            "real_time_factor": round(seconds / elapsed, 3) if elapsed > 0 else 0.0,
            "seconds_left": round(elapsed / now * left, 1) if now else None,
            "failed_files": self.failed + sum(failed for _, _, failed in way),
            "failed_shards": self.shards_failed,
            "shards_begun_again": self.left,
            "updated": round(time.time(), 3),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }

    def line(self) -> str:
        """The same for a person."""
        now = self.numbers()
        parts = [f"{now['files_done']}/{self.files} files", f"{now['audio_seconds'] / 3600:.2f} h of audio"]
        parts.append(f"{now['real_time_factor']:.1f}x real time")
        if now["seconds_left"] is not None:
            parts.append(f"{duration(now['seconds_left'])} left")
        if now["failed_files"]:
            parts.append(f"{now['failed_files']} failed")
        return ", ".join(parts)

    def _count(self, report: ShardReport) -> None:
        files = report.items + len(report.quarantined) + report.others
        before = files if report.skipped else report.kept
        self.shards_done += 1
        self.failed += len(report.quarantined)
        self.before += before
        self.encoded += files - before
        if not report.skipped:
            self.seconds += report.seconds - report.kept_seconds

    def _beat(self) -> None:
        while not self._over.wait(BEAT):
            with self._lock:
                if time.monotonic() - self.filed >= FILE_SECONDS:
                    self._write()

    def _write(self) -> None:
        self.filed = time.monotonic()
        if self.file is not None:
            # A full disk must not end the run here: the shard that cannot be written says so.
            with contextlib.suppress(OSError):
                write_whole(self.file, json.dumps(self.numbers(), indent=2) + "\n")


def summary_json(summary: Summary) -> dict[str, Any]:
    """The summary in the types that JSON knows."""
    return {**asdict(summary), "real_time_factor": summary.real_time_factor, "exit_code": summary.exit_code}
