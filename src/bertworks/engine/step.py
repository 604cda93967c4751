"""One update: micro-batches and ranks give the gradient of the whole batch's sum of losses over its count."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor

from bertworks.engine.optimiser import Optimiser
from bertworks.engine.parameters import FlatParameters
from bertworks.engine.ranks import Ranks

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class StepReport:
    """What one update did. `losses` are sums over counts of the whole batch, over all ranks, in nats.

    second  the same of the second pass, where there was one
    """

    losses: dict[str, float]
    grad_norm: float
    finite: bool
    second: dict[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """All losses together."""
        return sum(self.losses.values())


def train_step(
    micro_batches: Sequence[Batch],
    counts: Mapping[str, float],
    scaled_losses: Callable[[Batch, Mapping[str, float]], Mapping[str, Tensor]],
    parameters: FlatParameters,
    optimiser: Optimiser,
    *,
    lr: float,
    max_grad_norm: float = 1.0,
    change: Callable[[FlatParameters], None] | None = None,
    ranks: Ranks | None = None,
    second_pass: Callable[[], AbstractContextManager[None]] | None = None,
) -> StepReport:
    """Backward over every micro-batch, then one clipped update; no update if anything is not finite.

    counts         loss name → number of targets in all of this rank's micro-batches (known before the first backward)
    scaled_losses  (micro-batch, name → 1 / total count) → name → loss sum times that scale, differentiable
    max_grad_norm  0 switches clipping off
    second_pass    entered with this rank's whole gradient in `parameters.sums`; inside, all micro-batches are passed
                   once more, and the gradients of both passes add up
    change         changes the gradient in `parameters.sums` before its norm is taken; None leaves it
    """
    ranks = ranks or Ranks.alone()
    totals = ranks.sum_counts(counts)
    scales = {name: 1.0 / total if total else 0.0 for name, total in totals.items()}
    losses = backward(micro_batches, scales, scaled_losses, parameters)
    second: dict[str, float] = {}
    if second_pass is not None:
        with second_pass():
            second = backward(micro_batches, scales, scaled_losses, parameters)
    losses = ranks.sum_gradients(parameters.sums, losses)
    if change is not None:
        change(parameters)
    grad_norm = parameters.gradient_norm()
    finite = math.isfinite(grad_norm) and all(map(math.isfinite, losses.values()))
    if finite:
        if max_grad_norm and grad_norm > max_grad_norm:
            parameters.sums.mul_(max_grad_norm / grad_norm)
        optimiser.step(lr)
    parameters.clear()
    return StepReport(losses, grad_norm, finite, second)


def backward(
    micro_batches: Sequence[Batch],
    scales: Mapping[str, float],
    scaled_losses: Callable[[Batch, Mapping[str, float]], Mapping[str, Tensor]],
    parameters: FlatParameters,
) -> dict[str, float]:
    """Add the gradients of all micro-batches to `parameters.sums`; returns this rank's losses."""
    losses = dict.fromkeys(scales, 0.0)
    for batch in micro_batches:
        parts = scaled_losses(batch, scales)
        loss = sum(parts.values())
        if isinstance(loss, Tensor) and loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        parameters.collect()
        for name, part in parts.items():
            losses[name] += float(part.detach())
    return losses
