"""Where a model is loaded to, and as what: a device that is there, float32 whatever the program around it has for a default."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def pick_device(name: str | torch.device) -> torch.device:
    """The device of that name; "auto" is cuda where there is one, else the cpu. Nothing is put on it yet.

    Raises ValueError for one that torch does not know, or that is not there.
    """
    if str(name) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        why = _missing(device)
    except (RuntimeError, AssertionError, NotImplementedError):  # each backend has its own way to say so
        why = "no such device here"
    if why:
        raise ValueError(f"device is {str(name)!r}: {why}; legal are cpu, cuda where there is a GPU, and auto")
    return device


def _missing(device: torch.device) -> str:
    """Why a device cannot be had, "" where it can. Of a GPU it takes nothing: who only hands work out must not sit on one."""
    if device.type == "cuda":
        if not torch.cuda.is_available():
            return "this machine or this torch has no CUDA"
        count = torch.cuda.device_count()
        return f"the machine has {count} GPUs, counted from 0" if (device.index or 0) >= count > 0 else ""
    torch.empty(0, device=device)
    return ""


@contextmanager
def in_float32() -> Iterator[None]:
    """What is built within has float32 weights and tables, also where torch's default is another."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
