"""A few numbers, one a seed → mean, spread and an interval for the mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """A mean of n values and how sure it is.

    sd         of the values, with n - 1; None for one value, as are the next three
    se         of the mean, sd / √n
    low, high  interval of Student's t with n - 1 degrees of freedom: the mean of ever more seeds lies in it in 95 % of
               studies, if the values are roughly normal
    """

    n: int
    mean: float
    sd: float | None
    se: float | None
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.sd is None or self.low is None or self.high is None:
            return f"{self.mean:.4f} (n=1)"
        return f"{self.mean:.4f} ± {self.sd:.4f} (n={self.n}) [{self.low:.4f}, {self.high:.4f}]"


def summarise(values: Sequence[float], *, confidence: float = CONFIDENCE) -> Summary:
    """Mean, standard deviation, standard error and interval of at least one value.

    Raises ValueError for none, or for one that is not finite.

    >>> print(summarise([0.70, 0.72, 0.74]))
    0.7200 ± 0.0200 (n=3) [0.6703, 0.7697]
    """
    n = len(values)
    if not n:
        raise ValueError("a summary of no values")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"a summary of values that are not finite: {values}")
    mean = math.fsum(values) / n
    if n == 1:
        return Summary(1, mean, None, None, None, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    se = sd / math.sqrt(n)
    half = t_quantile((1 + confidence) / 2, n - 1) * se
    return Summary(n, mean, sd, se, mean - half, mean + half)


def t_quantile(probability: float, degrees: float) -> float:
    """The value below which Student's t lies with this probability."""
    from scipy.special import stdtrit  # a tenth of the time that scipy.stats takes to load

    return float(stdtrit(degrees, probability))


def t_two_sided(t: float, degrees: float) -> float:
    """Probability that Student's t is at least as far from 0 as `t`."""
    from scipy.special import stdtr

    return float(2 * stdtr(degrees, -abs(t)))
