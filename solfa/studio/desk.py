"""Jobs that are done one after the other in a thread: a queue, progress, a way to stop, and results that go when newer ones come."""

from __future__ import annotations

import secrets
import shutil
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

WAITING = 8  # unfinished jobs, the running one among them
KEPT, MOST = 8, 2 << 30  # finished ones, and bytes of their files: then the oldest goes
State = Literal["receiving", "waiting", "running", "done", "failed", "stopped"]
UNFINISHED = ("receiving", "waiting", "running")


class Stopped(Exception):
    """Whoever asked for the job does not want it any more."""


class Busy(ValueError):
    """Too many jobs wait."""


@dataclass(frozen=True)
class Result:
    """What a job made: HTML whose text has been escaped, the files that may be fetched, and what notes can be heard in: a token file
    (None: there is none), and the sound."""

    html: str
    files: tuple[Path, ...]
    tokens: Path | None
    sound: Path


@dataclass
class Job:
    """Something to do. name: of what, to be shown. folder: its own; what is received is its file `upload`."""

    id: str
    name: str
    folder: Path
    state: State = "receiving"
    done: float | None = None  # 0 to 1; None: not known
    doing: str = ""
    said: list[str] = field(default_factory=list)  # what is to be known of the result, a line each
    error: str = ""
    result: Result | None = None
    stopping: bool = False

    @property
    def upload(self) -> Path:
        return self.folder / "upload"

    @property
    def root(self) -> str:
        """Where its files are served."""
        return f"/results/{self.id}/"

    def progress(self, done: float | None, doing: str) -> None:
        """How far it is; raises Stopped where it is not to go on."""
        if self.stopping:
            raise Stopped
        self.done, self.doing = done, doing


Work = Callable[[Job], Result]


class Desk:
    """The queue and the thread that works it off. Every method may be called from any thread.

    folder: where the jobs' folders go. told: an error as one line. `close` ends the thread.
    """

    def __init__(self, folder: Path, told: Callable[[BaseException], str]) -> None:
        self._folder, self._told = folder, told
        self._jobs: dict[str, Job] = {}  # in the order in which they came
        self._queue: list[tuple[Job, Work]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="studio", daemon=True)
        self._thread.start()

    def open(self, name: str) -> Job:
        """A new job, whose upload can be received. Raises Busy where too many are unfinished."""
        with self._changed:
            if sum(job.state in UNFINISHED for job in self._jobs.values()) >= WAITING:
                raise Busy(f"{WAITING} jobs wait already: one has to end first")
            key = secrets.token_urlsafe(12)
            job = Job(key, name, self._folder / key)
            job.folder.mkdir()
            self._jobs[key] = job
            return job

    def put(self, job: Job, work: Work) -> None:
        """Into the queue."""
        with self._changed:
            if job.state == "receiving":  # not stopped meanwhile
                job.state = "waiting"
                self._queue.append((job, work))
                self._changed.notify_all()

    def find(self, key: str) -> Job | None:
        """The job of that name, while it is remembered."""
        with self._changed:
            return self._jobs.get(key)

    def ahead(self, job: Job) -> int:
        """How many jobs come before one that waits."""
        with self._changed:
            running = any(each.state == "running" for each in self._jobs.values())
            return next((place + running for place, (each, _) in enumerate(self._queue) if each is job), 0)

    def stop(self, job: Job) -> None:
        """At once if it waits, at its next sign of progress if it runs; one that has ended stays as it is."""
        with self._changed:
            job.stopping = True
            if job.state in ("receiving", "waiting"):
                self._queue = [pair for pair in self._queue if pair[0] is not job]
                self._end(job, "stopped")

    def fail(self, job: Job, error: str) -> None:
        """End a job that could not be received."""
        with self._changed:
            if job.state == "receiving":
                job.error = error
                self._end(job, "failed")

    def close(self) -> None:
        """Stop all, and wait for the one that runs."""
        with self._changed:
            self._closed = True
            for job in [*self._jobs.values()]:
                self.stop(job)
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    return
                job, work = self._queue.pop(0)
                job.state = "running"
            state = self._work(job, work)
            with self._changed:
                self._end(job, state)

    def _work(self, job: Job, work: Work) -> State:
        """One job. An error is the job's, and not the thread's."""
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            try:
                job.result = work(job)
            except Stopped:
                return "stopped"
            except Exception as error:
                job.error = self._told(error).replace(str(job.upload), job.name)  # its name on the sender's machine
                return "failed"
        lines = [" ".join(str(warning.message).split()).replace(str(job.upload), job.name) for warning in said]
        job.said += [line for line in dict.fromkeys(lines) if line not in job.said]
        return "done"

    def _end(self, job: Job, state: State) -> None:
        job.state = state
        self._changed.notify_all()
        if state != "done":
            shutil.rmtree(job.folder, ignore_errors=True)
        ended = [each for each in self._jobs.values() if each.state not in UNFINISHED]
        for old in ended[: _too_many(ended)]:
            del self._jobs[old.id]
            shutil.rmtree(old.folder, ignore_errors=True)


def _too_many(ended: Sequence[Job]) -> int:
    """How many of them have to go, from the first; never the last."""
    sizes = [sum(path.stat().st_size for path in job.folder.glob("*")) for job in ended]
    excess = max(0, len(ended) - KEPT)
    while excess < len(ended) - 1 and sum(sizes[excess:]) > MOST:
        excess += 1
    return excess
