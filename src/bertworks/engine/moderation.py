"""Gradients and updates held back: scaled, averaged over updates, capped; and coupled L2."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bertworks.engine.optimiser import Optimiser
from bertworks.engine.parameters import FlatParameters, norm


@dataclass(frozen=True)
class GradientChange:
    """What is done to the whole batch's gradient before its norm is taken and clipped: scale · (gradient + l2 · w).

    scale  without clipping Adam undoes it, but for its epsilon: m / sqrt(v) has no scale
    l2     the gradient of l2 / 2 · ||w||² over matrices and tables, biases and LayerNorm left out as by weight decay.
           Adam divides it by its own size, which decoupled decay avoids (Loshchilov & Hutter 2019, section 2)
    """

    scale: float = 1.0
    l2: float = 0.0

    def __call__(self, parameters: FlatParameters) -> None:
        """Change `parameters.sums` in place."""
        n = parameters.decayed
        if self.l2:
            parameters.sums[:n].add_(parameters.masters[:n], alpha=self.l2)
        if self.scale != 1:
            parameters.sums.mul_(self.scale)


class AveragedGradient:
    """Feeds an optimiser the running mean of the gradients, after clipping, in place of the gradient.

    mean ← share · mean + (1 - share) · gradient, divided by 1 - share^t as Adam's own means are (Kingma & Ba 2015,
    section 3), so that the first update sees its gradient. An update that is left out does not enter.
    """

    def __init__(self, parameters: FlatParameters, inner: Optimiser, share: float) -> None:
        self.parameters, self.inner, self.share = parameters, inner, share
        self._mean = torch.zeros_like(parameters.sums)
        self._updates = torch.zeros((), dtype=torch.float64)

    def step(self, lr: float) -> None:
        """One update by the mean."""
        self._updates += 1
        self._mean.lerp_(self.parameters.sums, 1 - self.share)
        torch.div(self._mean, 1 - self.share ** float(self._updates), out=self.parameters.sums)
        self.inner.step(lr)

    def state(self) -> dict[str, Tensor]:
        """The mean and the count, beside the inner optimiser's."""
        return {"gradient_ema.mean": self._mean, "gradient_ema.updates": self._updates, **self.inner.state()}

    def restore(self, saved: dict[str, Tensor]) -> None:
        """As AdamW's."""
        self._mean.copy_(saved["gradient_ema.mean"])
        self._updates.copy_(saved["gradient_ema.updates"])
        self.inner.restore(saved)


class CappedUpdate:
    """Shortens an optimiser's update where its Euclidean norm, of all weights together, is above a cap.

    The norm is of what the weights move by: rate, moments and decay included. Clipping the gradient does not bound
    it, because Adam divides by the gradient's size; see update clipping in Shazeer & Stern 2018, section 6, which
    takes the root mean square of each matrix instead.
    """

    def __init__(self, parameters: FlatParameters, inner: Optimiser, cap: float) -> None:
        self.parameters, self.inner, self.cap = parameters, inner, cap

    def step(self, lr: float) -> None:
        """One update; the weights are the inner optimiser's own, bit for bit, where the cap is not reached."""
        masters = self.parameters.masters
        before = masters.clone()
        self.inner.step(lr)
        moved = masters - before
        size = norm(moved)
        if size > self.cap:
            masters.copy_(before.add_(moved, alpha=self.cap / size))
            self.parameters.publish()

    def state(self) -> dict[str, Tensor]:
        """The inner optimiser's."""
        return self.inner.state()

    def restore(self, saved: dict[str, Tensor]) -> None:
        """The inner optimiser's."""
        self.inner.restore(saved)
