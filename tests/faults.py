"""Let the n-th write, fsync or rename of the project fail, or kill the process there."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bertworks.base import files

HOOKS = ("_write", "_fsync", "_rename")  # the only three ways to the disk


class CountedFault:
    """Lets `_write`, `_fsync` and `_rename` through until the n-th call of all, which does `fail`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, fail: Callable[[], None]) -> None:
        self.calls, self.at, self.fail = 0, at, fail
        self.names: list[str] = []  # of the calls, in order
        for name in HOOKS:
            monkeypatch.setattr(files, name, self.hooked(name, getattr(files, name)))

    def hooked(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        """The real function with a count before it."""

        def call(*words: object) -> object:
            self.calls += 1
            self.names.append(name)
            if self.calls == self.at:
                self.fail()
            return real(*words)

        return call


def full_disk() -> None:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, "No space left on device")
