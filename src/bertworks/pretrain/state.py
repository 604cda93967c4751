"""All that moves in a run beside weights and moments; saved with every checkpoint, so that a resume is exact."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bertworks.engine.step import StepReport


@dataclass
class Cursor:
    """All that is counted: (epoch, batch) is the next batch, the rest counts what is behind."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    tokens: int = 0
    seconds: float = 0.0
    bad_steps: int = 0

    def done(self, unit: str) -> float:
        """How much of the run is behind, in the unit that ends it: `steps`, `tokens` or `seconds`."""
        return {"steps": float(self.step), "tokens": float(self.tokens), "seconds": self.seconds}[unit]

    def advance(self, tokens: int, batches: int) -> None:
        """One update further; after an epoch's last batch the next epoch begins."""
        self.step += 1
        self.tokens += tokens
        self.batch += 1
        if self.batch >= batches:
            self.epoch, self.batch = self.epoch + 1, 0


@dataclass
class Lately:
    """Means since the last log line, over the updates that were finite; the speed is of this process alone."""

    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0
    grad_norm: float = 0.0
    tokens_here: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, tokens: int, report: StepReport) -> None:
        """Count one update of so many tokens."""
        self.tokens_here += tokens
        if not report.finite:
            return
        self.count += 1
        self.grad_norm = max(self.grad_norm, report.grad_norm)
        for name, loss in report.losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + loss

    def figures(self) -> dict[str, float | None]:
        """Losses and their sum, the largest gradient norm, speed; losses None where no update was finite."""
        losses = {name: total / self.count for name, total in self.sums.items()}
        seconds = max(time.monotonic() - self.began, 1e-9)
        return {
            "loss": sum(losses.values()) if losses else None,
            **losses,
            "grad_norm": self.grad_norm if self.count else None,
            "tokens_per_second": round(self.tokens_here / seconds, 1),
        }


@dataclass
class State:
    """What a checkpoint's state.json holds of the run.

    lately   means that no log line has told yet
    figures  of the last evaluation
    best     lowest held-out loss so far
    """

    cursor: Cursor = field(default_factory=Cursor)
    lately: Lately = field(default_factory=Lately)
    figures: dict[str, float] = field(default_factory=dict)
    best: float = math.inf

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is infinite becomes null."""
        lately = {name: getattr(self.lately, name) for name in ("sums", "count", "grad_norm")}
        return {"cursor": dataclasses.asdict(self.cursor), "lately": lately, "figures": self.figures, "best": self.best}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> State:
        """What `to_json` gave, read back from a file."""
        best = math.inf if saved["best"] is None else saved["best"]
        return cls(Cursor(**saved["cursor"]), Lately(**saved["lately"]), dict(saved["figures"]), best)
