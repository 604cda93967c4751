"""The run's log.txt: everything from INFO on, however quiet the rest of the program is."""

from __future__ import annotations

import logging
import logging.handlers
from collections.abc import Iterator
from contextlib import contextmanager

PACKAGE = "bertworks"
MOST_WAITING = 10_000  # records kept before the run's folder is known


@contextmanager
def logged_to(handler: logging.Handler) -> Iterator[None]:
    """Send the package's records from INFO on to `handler`; everyone else hears what they heard before."""
    package = logging.getLogger(PACKAGE)
    level, heard, propagate, others = package.level, package.getEffectiveLevel(), package.propagate, package.handlers

    def is_heard(record: logging.LogRecord) -> bool:
        return record.levelno >= heard

    outside = _Outside()
    outside.addFilter(is_heard)
    for other in others:
        other.addFilter(is_heard)
    package.setLevel(min(heard, logging.INFO))
    package.propagate = False
    package.handlers = [*others, handler, *([outside] if propagate else [])]
    try:
        yield
    finally:
        package.handlers, package.propagate = others, propagate
        package.setLevel(level)
        for other in others:
            other.removeFilter(is_heard)


class WaitingLog(logging.handlers.MemoryHandler):
    """Keeps records until the file they belong to is there: `write_to` hands them over, and all that come after."""

    def __init__(self) -> None:
        super().__init__(MOST_WAITING, flushLevel=logging.CRITICAL + 1, flushOnClose=False)

    def write_to(self, handler: logging.Handler) -> None:
        """From now on records go to `handler`, which is closed with this one."""
        self.setTarget(handler)
        self.capacity = 1
        self.flush()

    def close(self) -> None:
        """Close the file too."""
        target = self.target
        super().close()
        if target is not None:
            target.close()


class _Outside(logging.Handler):
    """Hands a record to the handlers above the package's logger, as propagation would."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on."""
        above = logging.getLogger(PACKAGE).parent
        if above is not None:
            above.callHandlers(record)
