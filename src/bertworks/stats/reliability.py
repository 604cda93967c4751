"""Whether probabilities mean what they say: bins of confidence, and the expected calibration error.

Letters: N answers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BINS = 15  # of equal width, as Guo et al. 2017


class Bin(NamedTuple):
    """Answers with a probability in (low, high]; the first bin holds 0 too.

    confidence, accuracy  mean probability, and share of right ones; both 0 in an empty bin
    """

    low: float
    high: float
    number: int
    confidence: float
    accuracy: float


def reliability(probs: np.ndarray, right: np.ndarray) -> list[Bin]:
    """15 bins of equal width.

    probs  (N,) probability that the answer is right
    right  (N,) bool
    """
    edges = np.linspace(0, 1, BINS + 1)
    where = np.clip(np.searchsorted(edges, probs, side="left") - 1, 0, BINS - 1)
    counts = np.bincount(where, minlength=BINS)
    divisor = np.maximum(counts, 1)
    confidence = np.bincount(where, weights=probs, minlength=BINS) / divisor
    accuracy = np.bincount(where, weights=right.astype(np.float64), minlength=BINS) / divisor
    columns = (edges[:-1], edges[1:], counts, confidence, accuracy)
    return [Bin(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def expected_calibration_error(bins: list[Bin]) -> float:
    """Mean distance of accuracy and confidence over the bins, each by its count (Guo et al. 2017, eq. 3).

    >>> round(expected_calibration_error(reliability(np.array([0.9, 0.9, 0.4]), np.array([True, False, True]))), 4)
    0.4667
    """
    total = sum(one.number for one in bins)
    return sum(one.number * abs(one.accuracy - one.confidence) for one in bins) / max(total, 1)
