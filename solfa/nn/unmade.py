"""Models built without memory: their shapes are there, no weight is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

DRAWN = (Tensor.normal_, Tensor.uniform_)


class _Undrawn(TorchFunctionMode):
    """Leaves weights as they are where they would be started: on the meta device that loads torch's compiler, a second's work for
    nothing, and so does arithmetic there; constants are to be made on the CPU."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in DRAWN or getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextlib.contextmanager
def unmade() -> Iterator[None]:
    """Within it, new tensors have shapes and types and take no memory, as on torch's meta device; nothing is drawn at random."""
    with torch.device("meta"), _Undrawn():
        yield
