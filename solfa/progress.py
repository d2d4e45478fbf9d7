"""Progress on stderr: a bar on a terminal, elsewhere a line every half minute; and how durations are told."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

BAR_SECONDS = 0.1
LINE_SECONDS = 30.0  # between two lines where there is no terminal


class Bar:
    """`with Bar("train", 100) as bar: ... bar.show(3, "loss 0.5")`. quiet: nothing at all is shown."""

    def __init__(self, name: str, total: int, quiet: bool = False) -> None:
        self.name, self.total, self.quiet = name, total, quiet
        self.started = self._shown = time.monotonic()
        self._bar: Any = None
        self._row: Any = None

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn
            from rich.table import Column

            detail = TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True))
            name = TextColumn("{task.description}", markup=False)
            self._bar = Progress(name, BarColumn(10), detail, console=Console(stderr=True), transient=True)
            self._row = self._bar.add_task(self.name, total=max(self.total, 1), detail="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A message of its own line."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def show(self, done: int, detail: str) -> None:
        """`done` of the total, and words on it, if those that are shown are old enough."""
        moment = time.monotonic()
        if moment - self._shown < (LINE_SECONDS if self._bar is None else BAR_SECONDS):
            return
        self._shown = moment
        if self._bar is not None:
            self._bar.update(self._row, completed=done, detail=detail)
        else:
            self.say(f"{self.name}: {detail}")


def duration(seconds: float) -> str:
    """61 -> "1m01s", 7260 -> "2h01m"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
