"""A folder that one process works in: a lock that ends with the process, however that ends."""

from __future__ import annotations

import os
from pathlib import Path

from bertworks.base.errors import BertworksError


class FolderLock:
    """Held from the moment it is made until `release`, or the end of the process.

    doing  what the other process is doing there, for the message
    Raises BertworksError where another holder is at work. On systems and file systems without locks it does nothing.
    """

    def __init__(self, directory: Path, doing: str) -> None:
        self._descriptor: int | None = None
        try:
            import fcntl
        except ImportError:
            return
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise BertworksError(
                f"{directory}: another process is {doing} there", "wait for it, or name another `--out`"
            ) from None
        except OSError:  # a file system without locks
            os.close(descriptor)
            return
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others in; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.release()
