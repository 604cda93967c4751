"""Token ids of a row → the windows that read it, without a word lost or owned twice.

Letters: n tokens of one text, T tokens of one window, room = the text tokens a window holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

OVERLAP = 8  # neighbouring windows share 1/8 of their room: 14 % more tokens buy each word 32 of context at length 512
HEAD = 4  # head+tail keeps 1/4 of the room from the head: 128 + 382 of 510, Sun et al. 2019, table 2
LEAST_LENGTH = 8  # [CLS] a [SEP] b [SEP] with a few tokens each


@dataclass(frozen=True)
class Part:
    """What one window reads of one text: tokens [start, end), and the words it owns."""

    start: int
    end: int
    words: int


def parts(word_starts: np.ndarray, room: int) -> list[Part]:
    """Overlapping parts of at most `room` tokens that cover a text; each word is owned by one of them.

    word_starts  (n,) bool, True where a word begins
    """
    return [
        Part(start, end, int(word_starts[left:right].sum())) for start, end, left, right in owned(word_starts, room)
    ]


def owned(word_starts: np.ndarray, room: int) -> list[tuple[int, int, int, int]]:
    """As `parts`: tokens [start, end) that a window reads, and [left, right) of them whose words it owns.

    A part begins where a word does if one is near; the border between two owners lies in the middle of their overlap.
    """
    n = len(word_starts)
    if n <= room:
        return [(0, n, 0, n)]
    overlap = room // OVERLAP
    spans = [(0, room)]
    while spans[-1][1] < n:
        start = _word_before(word_starts, spans[-1][1] - overlap, overlap // 2)
        spans.append((start, min(n, start + room)))
    borders = [0]
    for (_, end), (start, _) in pairwise(spans):
        borders.append(_word_before(word_starts, (start + end + 1) // 2, (end - start) // 2))
    borders.append(n)
    return [(*span, *border) for span, border in zip(spans, pairwise(borders), strict=True)]


def pair_rooms(length_a: int, length_b: int, room: int) -> tuple[int, int]:
    """Room for each text of a pair: the shorter one is read whole in every window unless it takes more than half."""
    if length_a + length_b <= room:
        return length_a, length_b
    if length_a <= length_b:
        share = min(length_a, room // 2)
        return share, room - share
    share = min(length_b, room // 2)
    return room - share, share


def pair_parts(starts_a: np.ndarray, starts_b: np.ndarray, room: int) -> list[tuple[Part, Part]]:
    """Parts of both texts, side by side; where both are long, the parts at like distance from the start meet.

    Every part of either text occurs; its words are owned where it occurs first.
    """
    room_a, room_b = pair_rooms(len(starts_a), len(starts_b), room)
    parts_a, parts_b = parts(starts_a, room_a), parts(starts_b, room_b)
    windows = max(len(parts_a), len(parts_b))
    return list(zip(_spread(parts_a, windows), _spread(parts_b, windows), strict=True))


def cut_lengths(length_a: int, length_b: int, room: int) -> tuple[int, int]:
    """What BERT keeps of a pair: the longer text loses its last token, at a tie the second, until both fit.

    As `_truncate_seq_pair` of the 2018 release, without its loop.
    """
    excess = max(0, length_a + length_b - room)
    longer = min(excess, abs(length_a - length_b))
    if length_a > length_b:
        length_a -= longer
    else:
        length_b -= longer
    excess -= longer
    return length_a - excess // 2, length_b - (excess + 1) // 2


def head(word_starts: np.ndarray, kept: int) -> Part:
    """The first `kept` tokens; a word cut in two is not counted as read."""
    n = len(word_starts)
    whole = kept >= n or bool(word_starts[kept])
    return Part(0, min(n, kept), int(word_starts[:kept].sum()) - (not whole))


def head_and_tail(word_starts: np.ndarray, room: int) -> tuple[np.ndarray, int]:
    """Indices of the first quarter and the last three quarters of the room, and the words they hold whole."""
    n = len(word_starts)
    if n <= room:
        return np.arange(n), int(word_starts.sum())
    front = head(word_starts, room // HEAD)
    tail = n - (room - front.end)
    return np.r_[0 : front.end, tail:n], front.words + int(word_starts[tail:].sum())


def _word_before(word_starts: np.ndarray, position: int, reach: int) -> int:
    """The nearest word start at or before `position`, at most `reach` tokens off; else `position`."""
    for candidate in range(position, max(0, position - reach) - 1, -1):
        if word_starts[candidate]:
            return candidate
    return position


def _spread(side: list[Part], windows: int) -> Iterator[Part]:
    last = -1
    for window in range(windows):
        index = window * len(side) // windows
        part = side[index]
        yield part if index != last else Part(part.start, part.end, 0)
        last = index
