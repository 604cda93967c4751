"""A long text in windows a fixed stride apart, and which window has most of the text around a token: run_squad's way.

Tags and classes use `windows.py` instead, whose windows overlap less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

STRIDE = 128  # tokens between the beginnings of two windows


def stretches(tokens: int, room: int) -> list[tuple[int, int]]:
    """The parts [start, end) of a context that windows read: each begins STRIDE tokens after the one before."""
    found = [(0, min(tokens, room))]
    while found[-1][1] < tokens:
        start = found[-1][0] + min(STRIDE, room)
        found.append((start, min(tokens, start + room)))
    return found


def owners(tokens: int, parts: Sequence[tuple[int, int]]) -> np.ndarray:
    """(tokens,) int64: of each token the first window with the most of the text on its poorer side.

    The original's `_check_is_max_context`: min(left, right) + 0.01 · length of the window.
    """
    best, owner = np.full(tokens, -1.0), np.zeros(tokens, np.int64)
    for index, (left, right) in enumerate(parts):
        place = np.arange(left, right)
        score = np.minimum(place - left, right - 1 - place) + 0.01 * (right - left)
        better = score > best[left:right]
        best[left:right][better], owner[left:right][better] = score[better], index
    return owner
