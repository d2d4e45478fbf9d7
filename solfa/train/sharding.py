"""FSDP2: weights, gradients and the optimizer's state divided among processes, each layer whole only while it is computed.

(Zhao et al., 2023, arXiv 2304.11277; torch's `fully_shard`.) What is saved and evaluated is gathered, so a run's files are those of a
run without it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from solfa.train.distributed import World


def shard(module: nn.Module, world: World) -> None:
    """Divide the parameters of a module among the processes, in place. Its layers (see `units`) are gathered one at a time."""
    mesh = init_device_mesh(world.device.type, (world.size,))
    for unit in units(module):
        fully_shard(unit, mesh=mesh)
    fully_shard(module, mesh=mesh)


def units(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost members of lists of modules that have parameters: the layers of transformers."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from (member for member in child if next(member.parameters(), None) is not None)
        else:
            yield from units(child)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, in every process; all of them must ask for it. One that is not divided is given as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def mine(tensor: Tensor) -> Tensor:
    """This process's share of a tensor, sharing its memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def divided_as(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor divided as another one of its shape is."""
    if not isinstance(other, DTensor) or tensor.shape != other.shape:
        return tensor
    return distribute_tensor(tensor.to(other.device), other.device_mesh, other.placements)


class Twin:
    """An undivided copy of a model for evaluation and export, in the leading process, in the CPU's memory while it rests."""

    def __init__(self, model: nn.Module, world: World) -> None:
        self.device = world.device
        self.model = copy.deepcopy(model).cpu().eval() if world.leads else None

    @contextmanager
    def holding(self, model: nn.Module, averages: Mapping[str, Tensor]) -> Iterator[nn.Module | None]:
        """The copy with the averages, and what has none as `model` has it. Every process must come; only the leading one gets it."""
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        copies = dict(self.model.named_parameters()) | dict(self.model.named_buffers()) if self.model else {}
        with torch.no_grad():
            for name, tensor in tensors.items():
                full = whole(averages.get(name, tensor))
                if name in copies:
                    copies[name].copy_(full)
        try:
            yield None if self.model is None else self.model.to(self.device)
        finally:
            if self.model is not None:
                self.model.cpu()
