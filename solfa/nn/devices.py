"""Whether this machine has the device that a model is to run on, asked before anything is loaded for it."""

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
