"""One process at a time on a run, or on a shard: claims that outlive nobody.

A claim is a file that says who holds it. It is made by a hard link, which one process only can make (on NFS too), under a number one
above the claims that are there: a dead process's claim is never taken away, only stepped over, so that no two can take it at once.
A file system without hard links makes it by an exclusive open instead; who is killed between that and his name leaves a claim that
counts by its age.

Whether a holder lives is known of its process on the same machine; of another machine's it is believed as long as the file is touched,
which a thread of the holder does, by the clock of the file system. One that was held up for longer may find that its claim is another's:
`Claim.lost`, `Claim.check`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import secrets
import socket
import threading
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Self

BEAT = 15.0  # seconds between touches
STALE = 120.0  # seconds without a touch after which a holder on another machine counts as dead
_NO_LINKS = (
    errno.EPERM,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.ENOSYS,
)  # what file systems without hard links say of one


class Locked(ValueError):
    """Somebody else is at work. The message names the place, the process and the machine."""


@dataclass(frozen=True)
class Holder:
    """A process. started: when, in the machine's ticks, so that another one of the same number is told apart. place: the machine, as long
    as it is up, and the container, which has process numbers of its own."""

    host: str
    process: int
    started: str
    place: str

    @classmethod
    def me(cls) -> Holder:
        return cls(socket.gethostname(), os.getpid(), _started(os.getpid()) or "", _place())

    def lives(self) -> bool | None:
        """None where it cannot be seen from here."""
        if self.place != _place():
            return None
        started = _started(self.process)
        if started is None:
            return False
        return not self.started or not started or started == self.started


class Claim:
    """The claim on what `path` stands for; use it in a `with`. Raises Locked where another process holds it, OSError from the disk.

    lost: whether it was seen, a while after, that somebody else took it over; `check` looks at once.
    """

    def __init__(self, path: str | os.PathLike[str], what: str) -> None:
        self.path, self.what = Path(path), what
        self.lost = False
        self._mine: Path | None = None
        self._end = threading.Event()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(10):
            claims = self._claims()
            self._refuse(claims)
            mine = self.path.with_name(f"{self.path.name}.{max(claims, default=-1) + 1}")
            if not self._link(mine):
                continue
            others = {number: path for number, path in self._claims().items() if path != mine}
            if not any(self._alive(path) for path in others.values()):
                for path in others.values():
                    path.unlink(missing_ok=True)
                self._mine = mine
                threading.Thread(target=self._beat, args=(mine,), daemon=True).start()
                return self
            mine.unlink(missing_ok=True)  # two came at once: neither has it
            time.sleep(random.uniform(0.0, 0.1))
        raise Locked(f"{self.what} is locked: others are at it")

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._mine is not None:
            if self._held(self._mine):  # the next of that number may be another's
                self._mine.unlink(missing_ok=True)
            self._mine = None

    def check(self) -> None:
        """Raises Locked where the claim is no longer one's own: for who is about to do what two may not do."""
        if self._mine is None or self.lost or not self._held(self._mine):
            self.lost = True
            raise Locked(f"{self.what}: this process was held up for so long that another one took it over")

    def holder(self) -> Holder | None:
        """Who holds it now; None if nobody does."""
        for path in self._claims().values():
            if self._alive(path):
                return _read(path)
        return None

    def _refuse(self, claims: dict[int, Path]) -> None:
        for path in claims.values():
            if self._alive(path) and (holder := _read(path)):
                raise Locked(f"{self.what} is locked by process {holder.process} on {holder.host}")

    def _claims(self) -> dict[int, Path]:
        start = f"{self.path.name}."
        found: dict[int, Path] = {}
        if not self.path.parent.is_dir():
            return found
        for path in self.path.parent.iterdir():
            number = path.name.removeprefix(start)
            if path.name.startswith(start) and number.isdigit():
                found[int(number)] = path
        return found

    def _alive(self, path: Path) -> bool:
        holder = _read(path)
        if holder is None:
            return False  # gone in between
        lives = holder.lives()
        return self._touched(path) if lives is None else lives

    def _touched(self, path: Path) -> bool:
        probe = self.path.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            probe.touch()  # what time it is where the files are
            return probe.stat().st_mtime - path.stat().st_mtime < STALE
        except FileNotFoundError:
            return False
        finally:
            probe.unlink(missing_ok=True)

    def _link(self, mine: Path) -> bool:
        temporary, told = self.path.with_name(f".{secrets.token_hex(8)}.tmp"), json.dumps(asdict(Holder.me()))
        try:
            temporary.write_text(told)
            os.link(temporary, mine)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _open_new(mine, told)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _held(self, mine: Path) -> bool:
        """Whether the claim is still this process's. What cannot be read now counts as held."""
        try:
            return _read(mine) == Holder.me()
        except OSError:
            return True

    def _beat(self, mine: Path) -> None:
        while not self._end.wait(BEAT):
            if not self._held(mine):
                self.lost = not self._end.is_set()
                return
            with contextlib.suppress(OSError):
                os.utime(mine)


def _open_new(mine: Path, told: str) -> bool:
    """Make a claim where there are no hard links; False where it is there."""
    try:
        with open(mine, "x") as file:
            file.write(told)
    except FileExistsError:
        return False
    except OSError:
        mine.unlink(missing_ok=True)
        raise
    return True


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Holder("an unknown machine", 0, "", "")  # a claim that was damaged: its age decides


@cache
def _place() -> str:
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _started(process: int) -> str | None:
    """When a process began, "" where the system does not tell; None if there is none of that number, or nothing but its remains."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass  # it lives, and is another user's
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return None if fields[0] in "ZX" else fields[19]
