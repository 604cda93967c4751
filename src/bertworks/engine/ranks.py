"""Several processes as one: sums of counts before the backward, one sum of the flat gradients after it."""

import atexit
import math
import os
from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor


class Ranks:
    """This process's place among `world` processes. With one process every sum is the argument itself."""

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world

    @classmethod
    def alone(cls) -> "Ranks":
        """One process."""
        return cls(0, 1)

    @classmethod
    def from_environment(cls) -> "Ranks":
        """Join the group that torchrun described in RANK and WORLD_SIZE (gloo, nccl on a GPU); alone without them."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world == 1:
            return cls.alone()
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        if not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
            atexit.register(leave_group)
        return cls(dist.get_rank(), world)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def share(self, count: int) -> range:
        """The part of `count` items in a row that this rank takes; the parts differ by one item at most."""
        return range(self.rank * count // self.world, (self.rank + 1) * count // self.world)

    def copy_first(self, values: Tensor) -> None:
        """Overwrite the values with the first rank's, in place."""
        if self.world > 1:
            dist.broadcast(values, 0)

    def sum_counts(self, counts: Mapping[str, float]) -> dict[str, float]:
        """The counts of all ranks together, by name."""
        if self.world == 1:
            return dict(counts)
        names = sorted(counts)
        values = torch.tensor([float(counts[name]) for name in names], dtype=torch.float64)
        dist.all_reduce(values)
        return dict(zip(names, values.tolist(), strict=True))

    def sum_gradients(self, gradients: Tensor, losses: Mapping[str, float]) -> dict[str, float]:
        """Add the flat gradients of all ranks in place; returns the summed losses."""
        if self.world > 1:
            dist.all_reduce(gradients)
        return self.sum_counts(losses)

    def agree(self, signal_number: int, seconds: float) -> tuple[int, float]:
        """The highest signal number that any rank holds, and the first rank's seconds.

        Whatever ends the loop or sets its rate must be the same everywhere, or some ranks wait for ones that are gone.
        """
        if self.world == 1:
            return signal_number, seconds
        shared = torch.tensor([signal_number, seconds if self.is_first else -math.inf], dtype=torch.float64)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return int(shared[0]), float(shared[1])

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.world > 1:
            dist.barrier()


def leave_group() -> None:
    """End the group's threads before the interpreter goes: one that is still there may abort a process that is done."""
    if dist.is_initialized():
        dist.destroy_process_group()
