"""Summaries and tests against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bertworks.stats.paired import mcnemar, paired_difference
from bertworks.stats.summary import summarise, t_quantile, t_two_sided


@pytest.mark.parametrize("n", [2, 3, 5, 17])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_the_interval_is_students(n: int, confidence: float) -> None:
    values = np.random.default_rng(n).normal(0.8, 0.02, n).tolist()
    found = summarise(values, confidence=confidence)
    low, high = stats.t.interval(confidence, n - 1, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (found.mean, found.sd) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)))
    assert found.se == pytest.approx(stats.sem(values))
    assert t_quantile(0.9, n) == pytest.approx(stats.t.ppf(0.9, n))
    assert t_two_sided(1.7, n) == pytest.approx(2 * stats.t.sf(1.7, n))


def test_one_value_has_no_spread() -> None:
    found = summarise([0.5])
    assert (found.n, found.mean, found.sd, found.se, found.low, found.high) == (1, 0.5, None, None, None, None)
    assert str(found) == "0.5000 (n=1)"
    assert str(summarise([0.5, 0.5])) == "0.5000 ± 0.0000 (n=2) [0.5000, 0.5000]"


def test_values_that_are_none() -> None:
    with pytest.raises(ValueError, match="no values"):
        summarise([])
    with pytest.raises(ValueError, match="not finite"):
        summarise([0.1, float("nan")])


def test_the_paired_difference_is_scipys_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 0.1, 7)  # what both share goes out
    a, b = 0.81 + hard + rng.normal(0, 0.01, 7), 0.8 + hard + rng.normal(0, 0.01, 7)
    found = paired_difference(a.tolist(), b.tolist())
    oracle = stats.ttest_rel(a, b)
    assert found.p == pytest.approx(oracle.pvalue)
    assert (found.summary.low, found.summary.high) == pytest.approx(tuple(oracle.confidence_interval()))
    assert found.summary.se < 0.3 * stats.sem(a)  # unpaired, the spread would hide it
    assert stats.ttest_ind(a, b).pvalue > 0.5


def test_differences_without_spread() -> None:
    assert paired_difference([0.5, 0.6], [0.5, 0.6]).p == 1.0
    assert paired_difference([0.75, 0.75], [0.5, 0.5]).p == 0.0
    assert paired_difference([0.75], [0.5]).p is None
    with pytest.raises(ValueError, match="shorter"):
        paired_difference([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 5), (3, 12), (40, 61)])
def test_mcnemar_is_the_binomial_test(only_a: int, only_b: int) -> None:
    a = np.array([True] * only_a + [False] * only_b + [True] * 10 + [False] * 3)
    b = np.array([False] * only_a + [True] * only_b + [True] * 10 + [False] * 3)
    found = mcnemar(a, b)
    assert (found.only_a, found.only_b) == (only_a, only_b)
    expected = stats.binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert found.p == pytest.approx(expected)
