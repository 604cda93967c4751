"""How far a figure of one set of rows may lie from that of ever more such rows: Wilson's interval, and the bootstrap.

Letters: N rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bertworks.base.randomness import generator
from bertworks.stats.summary import CONFIDENCE

DRAWS = 1000  # each edge of the interval then stands on 25 draws
MOST_ROWS_DRAWN = 10_000_000  # of all draws together: a second or two of the slowest metric
FEWEST_DRAWS = 200


class Interval(NamedTuple):
    """A confidence interval: it holds the figure of ever more rows in 95 % of such samples."""

    low: float
    high: float


def wilson(right: int, n: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Of a share, `right` of n rows. Wilson 1927; right too near 0 and 1, where the usual one leaves the scale.

    Raises ValueError where n is not positive, or right not within it.

    >>> print("%.4f %.4f" % wilson(90, 100))
    0.8256 0.9448
    """
    if n < 1 or not 0 <= right <= n:
        raise ValueError(f"{right} of {n}")
    from scipy.special import ndtri  # a tenth of the time that scipy.stats takes to load

    z = float(ndtri((1 + confidence) / 2))
    share = right / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
    return Interval(0.0 if right == 0 else low, 1.0 if right == n else high)  # the edges, free of rounding


def bootstrap(
    gold: np.ndarray,
    said: np.ndarray,
    metric: Callable[[np.ndarray, np.ndarray], float],
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Percentile interval of a metric over rows drawn with replacement (Efron 1979).

    gold, said  (N, …) gold and answers, a row each
    1,000 draws, fewer where N is large, never under 200. Raises ValueError without rows.
    """
    n = len(gold)
    if not n or len(said) != n:
        raise ValueError(f"{len(said)} answers for {n} rows")
    rng = generator("bootstrap", seed)
    values = []
    for _ in range(max(FEWEST_DRAWS, min(DRAWS, MOST_ROWS_DRAWN // n))):
        rows = rng.integers(0, n, n)
        values.append(metric(gold[rows], said[rows]))
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return Interval(low, high)
