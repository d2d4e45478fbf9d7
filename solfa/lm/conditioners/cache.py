"""What frozen encoders have said of an input, kept for the next time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

from torch import Tensor

LIMIT = 256 << 20  # bytes


class EmbeddingCache:
    """Tensors by key, the least recently used forgotten first, such that at most `limit` bytes are kept."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit, self.bytes = limit, 0
        self._kept: OrderedDict[Hashable, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """The tensor of that key, made if it is not kept."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        made = make().detach()
        self._kept[key] = made
        self.bytes += made.numel() * made.element_size()
        while self.bytes > self.limit:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= oldest.numel() * oldest.element_size()
        return made
