"""A disk that fails at a chosen call: every write, fsync and rename of the package passes here."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from bertworks.base import files


class Fault:
    """Fails the n-th call of `_write`, `_fsync` or `_rename`, as a full or broken disk does, and counts them all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int | None) -> None:
        self.calls: list[str] = []
        for name in ("_write", "_fsync", "_rename"):
            monkeypatch.setattr(files, name, self._wrap(name, getattr(files, name), at))

    def _wrap(self, name: str, real: Callable[..., object], at: int | None) -> Callable[..., object]:
        def call(*words: object) -> object:
            self.calls.append(name)
            if at is not None and len(self.calls) == at + 1:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*words)

        return call
