"""Where a model is loaded to, and as what: a device that is there, float32 whatever the program around it has for a default."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def check_device(device: str | torch.device) -> None:
    """Raise ValueError for a device that torch does not know, or that is not there."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # each backend has its own way to say so
        reason = str(error).partition("\n")[0].strip().rstrip(".") or "it is not there"
        raise ValueError(
            f"device is {str(device)!r}: {reason}; cpu is always there, cuda where there is a GPU"
        ) from error


@contextmanager
def in_float32() -> Iterator[None]:
    """What is built within has float32 weights and tables, also where torch's default is another."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
