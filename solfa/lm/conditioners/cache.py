"""What frozen encoders have said of an input, kept for the next time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from torch import Tensor

LIMIT = 256 << 20  # bytes


class EmbeddingCache:
    """Tensors by key, the least recently used forgotten first, such that at most `limit` bytes are kept.

    Threads may share it. A copy of it, with a model that is copied, begins empty.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit, self.bytes = limit, 0
        self._kept: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[EmbeddingCache], tuple[int]]:
        return EmbeddingCache, (self.limit,)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """The tensor of that key, made if it is not kept. Threads that ask for a new one at a time all make it; one is kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make().detach()
        with self._lock:
            if key in self._kept:
                return self._kept[key]
            self._kept[key] = made
            self.bytes += made.numel() * made.element_size()
            while self.bytes > self.limit:
                _, oldest = self._kept.popitem(last=False)
                self.bytes -= oldest.numel() * oldest.element_size()
        return made
