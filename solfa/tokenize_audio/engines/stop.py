"""Ctrl-C and SIGTERM while an engine runs."""

import signal
import threading
from types import FrameType
from typing import Any, Self


class Stop:
    """`with Stop() as stop:` and look at it now and then.

    soon: Ctrl-C once: no new shard is begun, those in flight are finished. now: Ctrl-C twice, or SIGTERM: nothing is finished, and what is
    under way is done again another time. signal: the first of them, 0 if there was none. In another thread than the main one, whose
    signals are not ours, nothing is caught.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.soon = self.now = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._asked)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _asked(self, number: int, frame: FrameType | None) -> None:
        self.now = self.now or self.soon or number == signal.SIGTERM
        self.soon = True
        self.signal = self.signal or number
