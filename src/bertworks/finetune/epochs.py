"""Epochs in updates, where the batch may grow from one epoch to the next; all of it a function of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Epochs:
    """How many rows an update has, and how many updates an epoch.

    rows        of training; each epoch draws so many
    batch_size  rows an update in the first epoch; the last update of an epoch may have fewer
    growth      times as many rows an update in each epoch as in the one before, up to `most`: the noise of the gradient
                falls as it would with a falling rate (Smith et al. 2018, "Don't decay the learning rate, increase the
                batch size", section 3)
    """

    rows: int
    batch_size: int
    growth: float = 1.0
    most: int | None = None

    def size(self, epoch: int) -> int:
        """Rows an update in an epoch (from 0)."""
        if self.growth == 1:
            return self.batch_size
        most = self.rows if self.most is None else self.most
        if epoch * math.log(self.growth) >= math.log(max(1.0, most / self.batch_size)):
            return max(most, self.batch_size)
        return min(most, round(self.batch_size * self.growth**epoch))

    def steps(self, epoch: int) -> int:
        """Updates in an epoch."""
        return -(-self.rows // self.size(epoch))

    def at(self, step: int) -> tuple[int, int]:
        """The epoch of an update, and its number within it; all from 0."""
        if self.growth == 1:
            return divmod(step, self.steps(0))
        epoch = 0
        while step >= self.steps(epoch):
            step -= self.steps(epoch)
            epoch += 1
        return epoch, step

    def done(self, step: int) -> float:
        """Epochs that are over after `step` updates."""
        if self.growth == 1:
            return step / self.steps(0)
        epoch, index = self.at(step)
        return epoch + index / self.steps(epoch)

    def steps_in(self, epochs: float) -> int:
        """Updates in a number of epochs, a part of an update counted as one."""
        if self.growth == 1:
            return math.ceil(epochs * self.steps(0))
        whole = int(epochs)
        return sum(map(self.steps, range(whole))) + math.ceil((epochs - whole) * self.steps(whole))
