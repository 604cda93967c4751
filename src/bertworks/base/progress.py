"""Progress on standard error: a bar in a terminal, a line now and then in a log, nothing in the API."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

LINE_SECONDS = 10.0  # between two lines where standard error is a file: six a minute can still be read

_shown = False


def show(shown: bool) -> None:
    """Turn progress on or off for the whole process; off until the command line turns it on."""
    global _shown
    _shown = shown


class Progress:
    """How far a loop is, how fast it goes and how long it will still take.

    total    units of work in all, None where nobody knows
    unit     what is counted, in the plural ("tokens", "documents")
    label    what is being done ("pretrain")
    enabled  None = as `show` said
    begun    units that an earlier process did: they count as done, not as speed
    """

    def __init__(
        self, total: int | None, unit: str, label: str, *, enabled: bool | None = None, begun: int = 0
    ) -> None:
        self.total, self.unit, self.label = total, unit, label
        self.begun = begun
        self.enabled = _shown if enabled is None else enabled
        self.done = begun
        self._figures: dict[str, object] = {}
        self._started = self._spoken = time.monotonic()
        self._bar: Any = None
        self._closed = False
        if self.enabled and sys.stderr.isatty():
            from tqdm import tqdm  # 20 ms, and only a terminal needs it

            self._bar = tqdm(
                total=total, unit=f" {unit}", desc=label, unit_scale=True, dynamic_ncols=True, leave=True, initial=begun
            )

    def update(self, n: int = 1, **figures: object) -> None:
        """Count `n` more units; `figures` (loss, …) are shown beside from now on."""
        self.done += n
        self._figures.update(figures)
        if not self.enabled:
            return
        if self._bar is not None:
            if figures:
                self._bar.set_postfix_str(_joined(self._figures), refresh=False)
            self._bar.update(n)
        elif time.monotonic() - self._spoken >= LINE_SECONDS:
            self._spoken = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Say the end; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._bar is not None:
            self._bar.close()
        elif self.enabled:
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """What stands now, as one line: label, units of total, speed, time left or taken, figures."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        speed = (self.done - self.begun) / seconds
        of_total = "" if self.total is None else f"/{self.total:,}"
        if self.total is None or self.done >= self.total or self.done == self.begun:
            clock = f"{_clock(seconds)} taken"
        else:
            clock = f"{_clock((self.total - self.done) / speed)} left"
        parts = [f"{self.done:,}{of_total} {self.unit}", f"{speed:,.{0 if speed >= 10 else 2}f} {self.unit}/s", clock]
        return f"{self.label}: {', '.join([*parts, *filter(None, [_joined(self._figures)])])}"

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _joined(figures: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
