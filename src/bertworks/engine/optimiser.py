"""AdamW over flat parameters: torch's fused kernel, in the original's form or with bias correction."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from bertworks.engine.parameters import FlatParameters

# With this step count Adam's bias corrections 1 - beta^t are exactly 1 in float64: the original BERT has none.
_CORRECTION_SPENT = 1e7


class Optimiser(Protocol):
    """What the loop needs of an optimiser over flat parameters."""

    def step(self, lr: float) -> None:
        """One update with the gradients in `parameters.sums`, then round the masters into the weights."""

    def state(self) -> dict[str, Tensor]:
        """Live tensors by name, to be saved."""

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Copy tensors saved from `state` back; raises KeyError or RuntimeError where they do not fit."""


class AdamW:
    """AdamW with decoupled decay on matrices only (Loshchilov & Hutter 2019; google-research/bert optimization.py).

    bias_correction=False with eps=1e-6 and betas (0.9, 0.999) is the original's `AdamWeightDecayOptimizer`.
    """

    def __init__(
        self,
        parameters: FlatParameters,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        bias_correction: bool = True,
        first: int = 0,
        part_of: Callable[[str], int] | None = None,
        factors: Sequence[float] = (1.0,),
    ) -> None:
        """As published, in one sweep; or part by part, each at its own rate.

        first    elements of the flat parameters before it are left to another optimiser
        part_of  the part, an index into `factors`, of a parameter's name; None: one part, all elements
        factors  of the rate, for each part
        """
        self.parameters = parameters
        self.bias_correction = bias_correction
        n = parameters.decayed
        slices = [(slice(first, n), 0), (slice(n, len(parameters)), 0)]
        if part_of is not None:
            slices = parameters.runs(part_of)
        groups = []
        for run, part in slices:
            leaf = torch.nn.Parameter(parameters.masters[run], requires_grad=True)
            leaf.data = parameters.masters[run]
            leaf.grad = parameters.sums[run]
            if leaf.numel():
                decay = weight_decay if run.start < n else 0.0
                groups.append({"params": [leaf], "weight_decay": decay, "part": part, "factor": factors[part]})
        self._adam = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=eps, fused=True)
        self._start_moments()

    def _start_moments(self) -> None:
        for leaf in self._leaves():
            self._adam.state[leaf] = {
                "step": torch.tensor(0.0 if self.bias_correction else _CORRECTION_SPENT, device=leaf.device),
                "exp_avg": torch.zeros_like(leaf),
                "exp_avg_sq": torch.zeros_like(leaf),
            }

    def _leaves(self) -> list[Tensor]:
        return [leaf for group in self._adam.param_groups for leaf in group["params"]]

    def step(self, lr: float) -> None:
        """One update with the gradients in `parameters.sums`, then round the masters into the weights."""
        for group in self._adam.param_groups:
            group["lr"] = lr * group["factor"]
        self._adam.step()
        self.parameters.publish()

    def only_from(self, lowest: int) -> None:
        """From now on parts below `lowest` stand still: no decay, no moments, no step counted for their correction."""
        start = 0
        for group in self._adam.param_groups:
            (leaf,) = group["params"]
            run = slice(start, start + leaf.numel())
            leaf.grad = self.parameters.sums[run] if group["part"] >= lowest else None
            start = run.stop

    def state(self) -> dict[str, Tensor]:
        """Moments and step counts by name, to be saved; the tensors are live."""
        saved = {}
        for i, leaf in enumerate(self._leaves()):
            for name, value in self._adam.state[leaf].items():
                saved[f"{i}.{name}"] = value
        return saved

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Copy moments saved by `state` back; raises KeyError or RuntimeError where they do not fit."""
        for name, value in self.state().items():
            value.copy_(saved[name])
