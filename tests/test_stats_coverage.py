"""Simulated studies: a 95 % interval covers the truth in about 95 of 100, a test cries wolf in about 5."""

from __future__ import annotations

import numpy as np
import pytest

from bertworks.stats.paired import mcnemar, paired_bootstrap, paired_difference
from bertworks.stats.summary import summarise

STUDIES = 2000
MARGIN = 4 * np.sqrt(0.05 * 0.95 / STUDIES)  # four standard errors of the share: 1.9 points


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_interval_over_seeds(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    found = [summarise(rng.normal(0.7, 0.03, seeds).tolist()) for _ in range(STUDIES)]
    covers = np.mean([one.low < 0.7 < one.high for one in found])
    assert abs(covers - 0.95) < MARGIN
    by_normal = np.mean([abs(one.mean - 0.7) < 1.96 * one.se for one in found])
    assert by_normal < 0.95 - MARGIN  # the shortcut with 1.96 would be caught


def test_paired_difference_over_seeds() -> None:
    rng = np.random.default_rng(1)
    covers, alarms = [], []
    for _ in range(STUDIES):
        shared = rng.normal(0, 0.05, 5)
        a, b = 0.71 + shared + rng.normal(0, 0.01, 5), 0.7 + shared + rng.normal(0, 0.01, 5)
        one = paired_difference(a.tolist(), b.tolist())
        covers.append(one.summary.low < 0.01 < one.summary.high)
        null = paired_difference((a - 0.01).tolist(), b.tolist())
        alarms.append(null.p < 0.05)
    assert abs(np.mean(covers) - 0.95) < MARGIN
    assert abs(np.mean(alarms) - 0.05) < MARGIN


def accuracy(gold: np.ndarray, predicted: np.ndarray) -> float:
    return float((gold == predicted).mean())


def test_bootstrap_over_rows() -> None:
    rng = np.random.default_rng(2)
    rows, studies = 200, 300
    difference = truth()
    covers, alarms = [], []
    for study in range(studies):
        gold = np.zeros(rows, int)
        easy = rng.random(rows)
        a, b = (easy + rng.normal(0, 0.2, (2, rows)) < np.array([[0.8], [0.75]])).astype(int)
        a, b = 1 - a, 1 - b
        one = paired_bootstrap(gold, a, b, accuracy, seed=study, draws=300)
        covers.append(one.low <= difference <= one.high)
        alarms.append(one.p < 0.05)
    margin = 4 * np.sqrt(0.05 * 0.95 / studies)
    assert abs(np.mean(covers) - 0.95) < margin
    assert np.mean(alarms) > 0.2  # there is a difference, and it is found at times


def truth() -> float:
    """Difference of the two systems above on a million rows."""
    rng = np.random.default_rng(3)
    easy = rng.random(1_000_000)
    noise = rng.normal(0, 0.2, 1_000_000)
    return float((easy + noise < 0.8).mean() - (easy + noise < 0.75).mean())


def test_bootstrap_is_the_same_each_time_and_seeds_differ() -> None:
    rng = np.random.default_rng(4)
    gold, a, b = rng.integers(0, 2, (3, 100))
    first, again, other = (paired_bootstrap(gold, a, b, accuracy, seed=seed, draws=100) for seed in (0, 0, 1))
    assert first == again
    assert first.se != other.se
    assert first.difference == accuracy(gold, a) - accuracy(gold, b)
    same = paired_bootstrap(gold, a, a, accuracy, draws=100)
    assert (same.difference, same.p) == (0.0, 1.0)
    with pytest.raises(ValueError, match="99 and 100 answers"):
        paired_bootstrap(gold, a[1:], b, accuracy)


def test_mcnemar_keeps_its_level() -> None:
    rng = np.random.default_rng(5)
    alarms = []
    for _ in range(STUDIES):
        right = rng.random((2, 150)) < 0.8
        alarms.append(mcnemar(right[0], right[1]).p < 0.05)
    assert 0.01 < np.mean(alarms) <= 0.05 + MARGIN  # exact, so on the safe side
    better = rng.random((2, 1000)) < np.array([[0.9], [0.8]])
    assert mcnemar(better[0], better[1]).p < 1e-4
