"""Progress on stderr: a bar on a terminal, one line every 30 seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Self

from solfa.tokenize_audio.status import duration

LINE_SECONDS = 30.0


class Progress:
    """Shows step, loss, throughput and time left. `quiet` shows nothing at all."""

    def __init__(self, name: str, done: int, total: int, quiet: bool = False) -> None:
        self.name, self.first, self.done, self.total, self.quiet = name, done, done, total, quiet
        self.started = self.printed = time.monotonic()
        self.losses: dict[str, float] = {}
        self._bar: Any = None
        self._row: Any = None

    def __enter__(self) -> Self:
        if not self.quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar
            from rich.table import Column

            count = TextColumn("{task.completed}/{task.total}", table_column=Column(no_wrap=True, overflow="ignore"))
            detail = TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True))
            self._bar = Bar(
                TextColumn("{task.description}"), BarColumn(10), count, detail, console=Console(stderr=True)
            )
            self._row = self._bar.add_task(self.name, total=self.total, completed=self.done, detail="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """A message of its own line."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        elif not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def logged(self, values: dict[str, float]) -> None:
        """New means of the metrics; those named loss are shown."""
        self.losses = {key: value for key, value in values.items() if key.endswith("/loss")}

    def step(self, done: int) -> None:
        self.done = done
        if self._bar is not None:
            self._bar.update(self._row, completed=done, detail=self.detail())
        elif not self.quiet and time.monotonic() - self.printed >= LINE_SECONDS:
            self.printed = time.monotonic()
            self.say(f"{self.name}: step {done}/{self.total}, {self.detail()}")

    def detail(self) -> str:
        elapsed = time.monotonic() - self.started
        rate = (self.done - self.first) / elapsed if elapsed > 0 else 0.0
        several = len(self.losses) > 1
        parts = [f"{key.split('/')[0] if several else 'loss'} {value:.4f}" for key, value in self.losses.items()]
        parts.append(f"{rate:.2f} steps/s")
        if rate > 0:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        return ", ".join(parts)
