"""Several processes under ``torchrun``; alone, everything here does nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed, nn

__all__ = ["Team", "join"]


@dataclass(frozen=True)
class Team:
    """One process among those that train together.

    Attributes
    ----------
    rank : int
        Rank 0 writes files and talks.
    size : int
    local_rank : int
        Which device of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over the processes."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def gather(self, value: list[Any]) -> list[Any]:
        """Join the lists of all processes, in order of rank."""
        if self.size == 1:
            return value
        parts: list[list[Any]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(parts, value)
        return [item for part in parts for item in part]

    def agreed(self, value: Any) -> Any:
        """Return rank 0's value, everywhere."""
        if self.size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box)
        return box[0]

    def any(self, mine: bool) -> bool:
        """Whether it is so in any process."""
        if self.size == 1:
            return mine
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        return bool(self.total(torch.tensor(int(mine), device=device)).item())

    def share_buffers(self, model: nn.Module) -> None:
        """Give all processes rank 0's batch-norm statistics, so that they validate one network."""
        if self.size > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    def leave(self) -> None:
        """Leave the group of processes."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def join(device: str) -> Team:
    """Join the processes that ``torchrun`` started, as its environment variables say."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Team()
    cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    distributed.init_process_group("nccl" if cuda else "gloo")
    return Team(distributed.get_rank(), size, int(os.environ.get("LOCAL_RANK", "0")))
