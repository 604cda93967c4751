"""Two systems on the same seeds, or on the same rows → their difference, and whether chance would give one as large.

Letters: N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bertworks.base.randomness import generator
from bertworks.stats.summary import CONFIDENCE, Summary, summarise, t_two_sided

DRAWS = 2000  # the 2.5 % edge then stands on 50 draws: its place wanders by a tenth of a standard error

Metric = Callable[[np.ndarray, np.ndarray], float]
"""(gold, predicted) -> a number; more is better."""


@dataclass(frozen=True)
class PairedDifference:
    """a - b, seed by seed.

    differences  of each pair
    summary      their mean, standard error and interval by t
    p            two-sided, paired t-test; None for one pair; 1 where all differences are 0
    """

    differences: tuple[float, ...]
    summary: Summary
    p: float | None

    def __str__(self) -> str:
        p = "" if self.p is None else f", p = {self.p:.3g}"
        return f"difference {self.summary}{p}"


@dataclass(frozen=True)
class BootstrapDifference:
    """metric(a) - metric(b) over rows drawn again and again.

    difference  on the rows as they are
    se          standard deviation over the draws
    low, high   percentile interval
    p           two-sided: twice the share of draws on the other side of 0, at least 2 / (draws + 1)
    """

    difference: float
    se: float
    low: float
    high: float
    p: float
    draws: int


@dataclass(frozen=True)
class McNemar:
    """Rows that one of two classifiers gets right and the other wrong, and the exact test of their balance.

    only_a, only_b  rows right by a alone, by b alone
    p               two-sided, binomial; 1 where they never differ
    """

    only_a: int
    only_b: int
    p: float


def paired_difference(a: Sequence[float], b: Sequence[float], *, confidence: float = CONFIDENCE) -> PairedDifference:
    """a - b of the same seeds in the same order. Raises ValueError where the numbers of values differ."""
    differences = tuple(one - other for one, other in zip(a, b, strict=True))
    summary = summarise(differences, confidence=confidence)
    p = None
    if summary.se is not None:
        p = t_two_sided(summary.mean / summary.se, summary.n - 1) if summary.se > 0 else float(summary.mean == 0)
    return PairedDifference(differences, summary, p)


def paired_bootstrap(
    gold: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    metric: Metric,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
) -> BootstrapDifference:
    """Difference of a metric of two systems on the same rows, with the spread that other rows would have given.

    gold, a, b  (N, …) gold and both systems' answers, a row each
    Each draw takes N rows with replacement, the same for both systems.
    """
    n = len(gold)
    if not n or len(a) != n or len(b) != n:
        raise ValueError(f"{len(a)} and {len(b)} answers for {n} rows")
    rng = generator("paired bootstrap", seed)
    sampled = np.empty(draws)
    for draw in range(draws):
        rows = rng.integers(0, n, n)
        sampled[draw] = metric(gold[rows], a[rows]) - metric(gold[rows], b[rows])
    low, high = np.quantile(sampled, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    beyond = min(int((sampled <= 0).sum()), int((sampled >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (draws + 1))
    return BootstrapDifference(metric(gold, a) - metric(gold, b), float(sampled.std(ddof=1)), low, high, p, draws)


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> McNemar:
    """Exact test whether two classifiers err equally often on the same rows.

    right_a, right_b  (N,) bool
    """
    from scipy.special import bdtr

    if len(right_a) != len(right_b):
        raise ValueError(f"{len(right_a)} and {len(right_b)} rows")
    only_a = int((right_a & ~right_b).sum())
    only_b = int((~right_a & right_b).sum())
    differ = only_a + only_b
    p = min(1.0, 2 * float(bdtr(min(only_a, only_b), differ, 0.5))) if differ else 1.0
    return McNemar(only_a, only_b, p)
