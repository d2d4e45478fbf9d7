"""Progress on stderr: a bar on a terminal, elsewhere a line every half minute; how durations are told, and what strangers say."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

BAR_SECONDS = 0.1
LINE_SECONDS = 30.0  # between two lines where there is no terminal


class Bar:
    """`with Bar("encode", len(files)) as bar: ... bar.advance(1, file.name)`. Lines printed meanwhile appear above it.

    total: of what is counted; None where nobody knows it. quiet: nothing at all is shown.
    """

    def __init__(self, name: str, total: float | None, quiet: bool = False) -> None:
        self.name, self.total, self.quiet = name, total, quiet
        self.done = 0.0  # by `advance`
        self.started = self._shown = time.monotonic()
        self._bar: Any = None
        self._row: Any = None

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
            from rich.table import Column

            detail = TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True))
            columns = TextColumn("{task.description}", markup=False), BarColumn(10), TimeElapsedColumn(), detail
            # stdout is drawn above the bar only where it is the same terminal: a file must get its lines.
            console, above = Console(stderr=True), sys.stdout.isatty()
            self._bar = Progress(*columns, console=console, transient=True, redirect_stdout=above)
            total = None if self.total is None else max(self.total, 1)
            self._row = self._bar.add_task(self.name, total=total, detail="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def due(self) -> bool:
        """Whether what is shown is old enough for something new."""
        return time.monotonic() - self._shown >= (LINE_SECONDS if self._bar is None else BAR_SECONDS)

    def say(self, text: str) -> None:
        """A message of its own line."""
        text = on_a_line(text)
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def advance(self, amount: float = 1, detail: str = "") -> None:
        """`amount` more is done: how much it is now, the time left and `detail` are shown; in a pipe when it is due."""
        self.done += amount
        if self._bar is not None or self.due:  # a bar shows the newest at any time, for the next may be long in coming
            self.show(self.done, ", ".join(part for part in (*self._counted(), detail) if part))

    def _counted(self) -> list[str]:
        if self.total is None:
            return []
        elapsed = time.monotonic() - self.started
        left = [f"{duration(elapsed * (self.total / self.done - 1))} left"] if 0 < self.done < self.total else []
        return [f"{self.done:.0f}/{self.total:.0f}", *left]

    def show(self, done: float, detail: str) -> None:
        """`done` of the total, and words on it: now. Who shows often looks first whether it is `due`."""
        detail = on_a_line(detail)
        self._shown = time.monotonic()
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


def on_a_line(text: str) -> str:
    """What a stranger says, fit for a line: line breaks, and all that would speak to the terminal, written as escapes."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
