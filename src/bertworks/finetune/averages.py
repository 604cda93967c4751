"""Means of the weights over the updates, evaluated and saved in place of the last ones.

EMA with a bias-corrected start, as Adam corrects its moments; SWA, the plain mean over the last share of the run
(Izmailov et al. 2018).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from bertworks.engine.parameters import FlatParameters


class Average:
    """A running mean of the masters.

    decay  of an exponential mean: after t updates it is the mean with weights decay^(t-1), …, decay, 1; None = all
           alike
    The idle rows of the word table only decay, by one factor for all: its mean is carried beside them.
    """

    def __init__(self, parameters: FlatParameters, decay: float | None) -> None:
        self._parameters, self._decay = parameters, decay
        self._mean = torch.zeros_like(parameters.masters)
        self._count = torch.zeros((), dtype=torch.int64)
        self._idle = torch.ones(2, dtype=torch.float64)  # the factor now, and its mean

    def decayed(self, factor: float) -> None:
        """Note what an update did to the idle rows."""
        self._idle[0] *= factor

    def add(self) -> None:
        """Take the weights as they are after an update into the mean."""
        self._count += 1
        count = int(self._count)
        share = 1 / count if self._decay is None else (1 - self._decay) / (1 - self._decay**count)
        self._mean.lerp_(self._parameters.masters, share)
        self._idle[1] += share * (self._idle[0] - self._idle[1])

    @property
    def idle_factor(self) -> float:
        """What makes the idle rows as they are their mean; 1 before the first update."""
        return float(self._idle[1] / self._idle[0]) if self._count else 1.0

    @contextmanager
    def used(self) -> Iterator[None]:
        """Inside, the module computes with the mean; before the first update, with the weights as they are."""
        if not self._count:
            yield
            return
        masters = self._parameters.masters
        kept = masters.clone()
        masters.copy_(self._mean)
        self._parameters.publish()
        try:
            yield
        finally:
            masters.copy_(kept)
            self._parameters.publish()

    def state(self) -> dict[str, Tensor]:
        """Live tensors by name, for a checkpoint."""
        return {"average.mean": self._mean, "average.count": self._count, "average.idle": self._idle}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Copy tensors saved from `state` back."""
        for name, tensor in self.state().items():
            tensor.copy_(saved[name])
