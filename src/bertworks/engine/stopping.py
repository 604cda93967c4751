"""SIGTERM and Ctrl-C become a wish that the loop reads between two steps, so that it can save first."""

import signal
from types import FrameType, TracebackType
from typing import Any


class StopWish:
    """While open: the first SIGTERM or Ctrl-C is noted in `signal_number`; a Ctrl-C after it stops at once.

    Outside the main thread signals cannot be caught; then it stays 0.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopWish":
        for which in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[which] = signal.signal(which, self._note)
            except ValueError:
                break
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = self.signal_number or number

    @property
    def signal_name(self) -> str | None:
        """`SIGTERM`, `SIGINT`, or None while nobody wishes to stop."""
        return signal.Signals(self.signal_number).name if self.signal_number else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for which, handler in self._before.items():
            signal.signal(which, handler)
