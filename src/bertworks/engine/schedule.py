"""Learning rates as functions of how much of the run is done, in steps, tokens or seconds."""

import math
from dataclasses import dataclass

from bertworks.base.errors import BertworksError

KINDS = ("linear", "bert", "constant", "cosine", "trapezoid")


@dataclass(frozen=True)
class Schedule:
    """Warm-up, then one of: `linear` to 0; `bert`, the original's linear decay counted from step 0 (so it drops at the
    end of the warm-up, SPEC of optimization.py); `constant`; `cosine` to 0; `trapezoid`, constant and then linear to 0
    over the last `cooldown`.

    peak_lr              rate after the warm-up
    total, warmup, cooldown   all in one unit: steps, tokens or seconds
    """

    kind: str
    peak_lr: float
    total: float
    warmup: float = 0.0
    cooldown: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BertworksError(f"unknown schedule `{self.kind}`", f"choose one of {', '.join(KINDS)}")

    def lr(self, done: float) -> float:
        """Rate of the update that begins when `done` units are behind; step 0 of a warm-up has rate 0."""
        if done < self.warmup:
            return self.peak_lr * done / self.warmup
        left = max(0.0, self.total - done)
        if self.kind == "linear":
            return self.peak_lr * left / max(self.total - self.warmup, 1e-12)
        if self.kind == "bert":
            return self.peak_lr * (1 - min(done, self.total) / self.total)
        if self.kind == "cosine":
            share = min(1.0, (done - self.warmup) / max(self.total - self.warmup, 1e-12))
            return self.peak_lr * 0.5 * (1 + math.cos(math.pi * share))
        if self.kind == "trapezoid" and left < self.cooldown:
            return self.peak_lr * left / self.cooldown
        return self.peak_lr
