"""How far a training is."""

from __future__ import annotations

import time

from solfa.progress import Bar, duration


class Progress(Bar):
    """Shows step, loss, throughput and time left. done: steps of earlier runs. `quiet` shows nothing at all."""

    def __init__(self, name: str, done: int, total: int, quiet: bool = False) -> None:
        super().__init__(name, total, quiet)
        self.first, self.steps = done, total
        self.losses: dict[str, float] = {}

    def logged(self, values: dict[str, float]) -> None:
        """New means of the metrics; those named loss are shown."""
        self.losses = {key: value for key, value in values.items() if key.endswith("/loss")}

    def step(self, done: int) -> None:
        if not self.due:
            return
        elapsed = time.monotonic() - self.started
        rate = (done - self.first) / elapsed if elapsed > 0 else 0.0
        several = len(self.losses) > 1
        parts = [f"{key.split('/')[0] if several else 'loss'} {value:.4f}" for key, value in self.losses.items()]
        parts.append(f"{rate:.2f} steps/s")
        if rate > 0:
            parts.append(f"{duration((self.steps - done) / rate)} left")
        self.show(done, f"step {done}/{self.steps}, {', '.join(parts)}")
