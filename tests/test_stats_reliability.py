"""Intervals cover what they should, and bins of confidence add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.stats.intervals import bootstrap, wilson
from bertworks.stats.reliability import BINS, expected_calibration_error, reliability


def test_wilson_has_known_answers() -> None:
    from scipy.stats import binomtest

    for right, n in [(0, 7), (7, 7), (1, 13), (81, 263), (15, 148), (29, 29)]:
        theirs = binomtest(right, n).proportion_ci(method="wilson")
        assert wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    with pytest.raises(ValueError, match=r"8 of 7"):
        wilson(8, 7)


def test_wilson_covers_the_truth() -> None:
    random = np.random.default_rng(3)
    for share in (0.02, 0.5, 0.93):
        inside = 0
        for right in random.binomial(60, share, 2000).tolist():
            low, high = wilson(right, 60)
            inside += low <= share <= high
        assert 0.92 < inside / 2000 < 0.99


def test_the_bootstrap_covers_the_truth() -> None:
    random = np.random.default_rng(5)
    inside = 0
    for trial in range(60):
        values = random.normal(0.3, 1, 80)
        low, high = bootstrap(np.zeros(80), values, lambda _, said: float(said.mean()), seed=trial)
        assert low < values.mean() < high
        inside += low <= 0.3 <= high
    assert inside >= 50
    with pytest.raises(ValueError, match=r"2 answers for 3 rows"):
        bootstrap(np.zeros(3), np.zeros(2), lambda gold, said: 0.0)


def transcribed_ece(probs: np.ndarray, right: np.ndarray) -> float:
    """Guo et al. 2017, eq. 3, bin by bin: B_m are those with a confidence in ((m - 1) / M, m / M]."""
    total = 0.0
    for m in range(1, BINS + 1):
        inside = (probs > (m - 1) / BINS) & (probs <= m / BINS)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - probs[inside].mean())
    return total


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.001, 1.0), st.booleans()), min_size=1, max_size=80))
def test_the_error_is_the_papers(pairs: list[tuple[float, bool]]) -> None:
    probs, right = (np.array(side) for side in zip(*pairs, strict=True))
    bins = reliability(probs, right)
    assert sum(one.number for one in bins) == len(pairs)
    assert len(bins) == BINS
    assert expected_calibration_error(bins) == pytest.approx(transcribed_ece(probs, right), abs=1e-9)


def test_certain_and_right_has_no_error() -> None:
    assert expected_calibration_error(reliability(np.array([1.0, 0.0]), np.array([True, False]))) == 0
    assert expected_calibration_error(reliability(np.array([1.0, 1.0]), np.array([True, False]))) == 0.5
    assert expected_calibration_error(reliability(np.empty(0), np.empty(0, bool))) == 0
