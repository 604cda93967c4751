"""The log on standard error, as sentences, above a progress bar where one is running."""

from __future__ import annotations

import logging
import sys


class ConsoleHandler(logging.Handler):
    """Prints what the rooms log: a plain line, `warning: …` in front of warnings, the module's name in debug lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record without breaking a bar."""
        line = record.getMessage()
        if record.levelno >= logging.WARNING:
            line = f"{record.levelname.lower()}: {line}"
        elif record.levelno < logging.INFO:
            line = f"{record.name}: {line}"
        if record.exc_info:
            line += "\n" + (self.formatter or logging.Formatter()).formatException(record.exc_info)
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)
