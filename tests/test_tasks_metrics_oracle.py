"""Metrics against scikit-learn and scipy, on random and on degenerate answers."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics

from bertworks.tasks.metrics import class_metrics, score_metrics


@pytest.mark.parametrize("classes", [2, 3, 7, 77])
@pytest.mark.parametrize("accuracy", [0.1, 0.5, 0.95])
def test_class_metrics_are_scikit_learns(classes: int, accuracy: float) -> None:
    rng = np.random.default_rng(classes)
    gold = rng.choice(classes, 499, p=rng.dirichlet(np.ones(classes)))
    predicted = np.where(rng.random(499) < accuracy, gold, rng.integers(0, classes, 499))
    found = class_metrics(gold, predicted)
    expected = {
        "accuracy": metrics.accuracy_score(gold, predicted),
        "f1_macro": metrics.f1_score(gold, predicted, average="macro"),
        "f1_micro": metrics.f1_score(gold, predicted, average="micro"),
        "mcc": metrics.matthews_corrcoef(gold, predicted),
    }
    assert found.keys() == expected.keys()
    assert len({round(value, 6) for value in expected.values()}) >= 3  # the numbers can be told apart
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_small_and_one_sided_answers(pairs: list[tuple[int, int]]) -> None:
    gold, predicted = np.array(pairs).T
    found = class_metrics(gold, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found["f1_macro"] == pytest.approx(metrics.f1_score(gold, predicted, average="macro"), abs=1e-12)
        assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(gold, predicted), abs=1e-12)


def test_known_values() -> None:
    gold, predicted = np.array([1, 1, 1, 0, 0, 1]), np.array([1, 0, 1, 0, 1, 1])
    assert class_metrics(gold, predicted)["mcc"] == pytest.approx(0.25)
    assert class_metrics(gold, predicted)["accuracy"] == pytest.approx(4 / 6)
    assert class_metrics(gold, np.ones(6, int))["mcc"] == 0.0
    scores = score_metrics(np.array([0, 1, 2.5, 4, 5]), np.array([0.2, 0.9, 3, 3.5, 5]))
    assert scores["pearson"] == pytest.approx(0.984344, abs=5e-7)
    assert scores["spearman"] == pytest.approx(1.0)
    assert score_metrics(np.array([1.0, 2, 2, 4]), np.array([1.0, 3, 2, 4]))["spearman"] == pytest.approx(
        0.948683, abs=5e-7
    )


@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(-1e6, 1e6)), min_size=3, max_size=40))
@settings(max_examples=100, deadline=None)
def test_correlations_are_scipys(pairs: list[tuple[int, float]]) -> None:
    gold, predicted = np.array(pairs, np.float64).T
    found = score_metrics(gold, predicted)
    if np.ptp(gold) == 0 or np.ptp(predicted) == 0:
        assert found == {"pearson": 0.0, "spearman": 0.0}
        return
    assert found["spearman"] == pytest.approx(stats.spearmanr(gold, predicted).statistic, abs=1e-9)
    if np.ptp(predicted) > 1e-3 * np.abs(predicted).max():  # beyond, the oracle itself loses its digits
        assert found["pearson"] == pytest.approx(stats.pearsonr(gold, predicted).statistic, abs=1e-9)
