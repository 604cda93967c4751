"""The likeliest legal sequence of tags, for many sequences at once.

Letters: N sequences, L words of the longest, C tags.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertworks.tasks.crf import Transitions
from bertworks.tasks.schemes import may_begin, may_end, may_follow

FORBIDDEN = -1e9  # added for what is not legal; finite, so that tags without any legal sequence still get an answer
TOGETHER = 256  # sequences decoded at once: (TOGETHER, C, C) numbers a word


def legality(tags: Sequence[str], scheme: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """0 or FORBIDDEN for each first tag (C,), last tag (C,), and pair of neighbours (C, C), float64."""
    first = np.array([0.0 if may_begin(tag, scheme) else FORBIDDEN for tag in tags])
    last = np.array([0.0 if may_end(tag, scheme) else FORBIDDEN for tag in tags])
    follow = [[0.0 if may_follow(tag, after, scheme) else FORBIDDEN for after in tags] for tag in tags]
    return first, last, np.array(follow)


def legal_tags(
    scores: Sequence[np.ndarray], tags: Sequence[str], scheme: str, transitions: Transitions | None = None
) -> list[np.ndarray]:
    """Numbers of the tags, (L_i,) int64 of each sequence: the legal sequence with the greatest sum of scores.

    scores       of each sequence (L_i, C), logits or log-probabilities: both give the same sequence
    transitions  whose log-probabilities are added; None: neighbours matter for what is legal alone
    Where the greatest scores alone are legal, they are the answer; only the other sequences are searched.
    """
    first, last, follow = legality(tags, scheme)
    if transitions is not None:
        first, last = first + np.array(transitions.first), last + np.array(transitions.last)
        follow = follow + np.array(transitions.follow)
    found = [each.argmax(-1) for each in scores]
    broken = [
        i
        for i, path in enumerate(found)
        if len(path) and (first[path[0]] + last[path[-1]] + follow[path[:-1], path[1:]].sum()) < 0
    ]
    broken.sort(key=lambda i: -len(scores[i]))
    for start in range(0, len(broken), TOGETHER):
        part = broken[start : start + TOGETHER]
        for i, path in zip(part, best_paths([scores[i] for i in part], first, last, follow), strict=True):
            found[i] = path
    return found


def best_paths(
    scores: Sequence[np.ndarray], first: np.ndarray, last: np.ndarray, follow: np.ndarray
) -> list[np.ndarray]:
    """Viterbi's algorithm; scores of N sequences (L_i, C), the longest first, none empty."""
    lengths = np.array([len(each) for each in scores])
    number, tags = len(scores), len(first)
    best = np.stack([each[0] for each in scores]).astype(np.float64) + first  # (N, C)
    back = np.zeros((int(lengths[0]), number, tags), np.int64)
    for place in range(1, int(lengths[0])):
        going = int((lengths > place).sum())
        ways = best[:going, :, None] + follow  # (going, C before, C now)
        back[place, :going] = ways.argmax(1)
        best[:going] = ways.max(1) + np.stack([each[place] for each in scores[:going]])
    current = (best + last).argmax(-1)
    paths = [np.empty(int(length), np.int64) for length in lengths]
    for i, path in enumerate(paths):
        path[-1] = current[i]
        for place in range(len(path) - 1, 0, -1):
            path[place - 1] = back[place, i, path[place]]
    return paths
