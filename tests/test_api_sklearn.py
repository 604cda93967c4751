"""TextClassifier among scikit-learn's tools."""

from __future__ import annotations

import os
import pickle
import signal
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import (
    check_estimator,
    check_estimator_cloneable,
    check_estimator_repr,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
)
from sklearn.utils.validation import check_is_fitted, validate_data

import bertworks as bw
from bertworks.base.errors import BertworksError
from bertworks.finetune import run as run_module
from finetune_support import KINDS, model_folder, toy_rows

ROWS = toy_rows(72)
X = np.array([row["text"] for row in ROWS], dtype=object)
y = np.array([row["label"] for row in ROWS])


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(model_folder(tmp_path_factory.mktemp("sklearn") / "start", dropout=0.0))


def classifier(start: str, **settings: Any) -> bw.TextClassifier:
    return bw.TextClassifier(start, **({"epochs": 14, "lr": 1e-2, "batch_size": 8, "threads": 1} | settings))


@pytest.fixture(scope="module")
def fitted(start: str) -> bw.TextClassifier:
    return classifier(start).fit(X, y)


def test_it_learns_and_scores(fitted: bw.TextClassifier) -> None:
    test = toy_rows(30, seed=3)
    assert fitted.score([row["text"] for row in test], [row["label"] for row in test]) > 0.85
    assert fitted.classes_.tolist() == ["animal", "colour", "metal"]


def test_probabilities_are_in_the_order_of_classes(fitted: bw.TextClassifier) -> None:
    probabilities = fitted.predict_proba(X)
    assert probabilities.shape == (72, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert (fitted.classes_[probabilities.argmax(1)] == fitted.predict(X)).all()
    assert len(set(fitted.predict(X))) == 3


@pytest.mark.parametrize("classes", [[10, 2, -3], [True, False], ["b", "a", "c"]])
def test_classes_of_any_type_come_back_as_they_were(start: str, classes: list[Any]) -> None:
    labels = np.array([classes[i % len(classes)] for i in range(24)])
    model = classifier(start, epochs=1).fit(list(X[:24]), labels)
    assert model.classes_.tolist() == sorted(classes)
    assert model.predict(X[:5]).dtype == labels.dtype
    assert set(model.predict(X[:5]).tolist()) <= set(classes)


def test_clone_and_params(start: str) -> None:
    model = classifier(start, random_state=4)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert twin.set_params(lr=3e-4).lr == 3e-4
    assert model.lr == 1e-2
    with pytest.raises(NotFittedError):
        twin.predict(X[:2])


def test_the_same_seed_gives_the_same_model_and_another_another(start: str, fitted: bw.TextClassifier) -> None:
    again = classifier(start).fit(X, y).predict_proba(X)
    np.testing.assert_array_equal(again, fitted.predict_proba(X))
    assert np.abs(classifier(start, random_state=1).fit(X, y).predict_proba(X) - again).max() > 1e-3


def test_a_pickle_answers_alike_wherever_the_files_went(fitted: bw.TextClassifier) -> None:
    twin = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(twin.predict_proba(X[:9]), fitted.predict_proba(X[:9]))


def test_cross_val_score_and_grid_search_run(start: str) -> None:
    scores = cross_val_score(classifier(start), X, y, cv=2)
    assert scores.shape == (2,)
    assert scores.mean() > 0.5
    search = GridSearchCV(classifier(start, epochs=8), {"lr": [1e-9, 1e-2]}, cv=2).fit(X, y)
    assert search.best_params_ == {"lr": 1e-2}
    assert search.predict(X[:3]).shape == (3,)


def test_a_pipeline_hands_texts_through(start: str) -> None:
    pipeline = make_pipeline(
        FunctionTransformer(lambda texts: [text.upper() for text in texts]), classifier(start, epochs=1)
    )
    assert pipeline.fit(X, y).predict(X[:4]).shape == (4,)


def test_pairs_of_texts(start: str) -> None:
    pairs = np.array([[a, b] for a, b in zip(X[:24], X[24:48], strict=True)], dtype=object)
    model = classifier(start, epochs=1).fit(pairs, y[:24])
    assert model.model_.task.pair
    assert model.predict([("the cat", "a dog")]).shape == (1,)


def test_a_dev_share_and_patience_are_passed_on(start: str) -> None:
    model = classifier(start, dev_share=0.2, patience=1, lr=1e-9, epochs=30).fit(X, y)
    assert model.result_["rows"] == {"train": 58, "dev": 14, "test": 0, "dropped": {}}
    assert model.result_["steps"] < 30 * 8


def test_what_does_not_go_together_is_refused(start: str) -> None:
    model = classifier(start)
    with pytest.raises(ValueError, match="X has 3 rows, y has 2"):
        model.fit(["a", "b", "c"], [1, 2])
    with pytest.raises(ValueError, match=r"X\[1\] is 3"):
        model.fit(["a", 3], [1, 2])
    with pytest.raises(ValueError, match="X has no rows"):
        model.fit([], [])
    with pytest.raises(ValueError, match="X must be a list of texts"):
        model.fit("a text", ["b"])
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit(["a", "b", "c"], [0.1, 0.2, 0.35])
    with pytest.raises(ValueError, match="y has one class only"):
        model.fit(["a", "b", "c"], ["x", "x", "x"])


def stopping_by(which: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on the second update of a run is interrupted; the list grows with the updates."""
    real, done = run_module.train_step, []

    def interrupted(*given: Any, **settings: Any) -> Any:
        done.append(1)
        if len(done) == 2:
            os.kill(os.getpid(), which)
        return real(*given, **settings)

    monkeypatch.setattr(run_module, "train_step", interrupted)
    return done


@pytest.mark.parametrize(
    ("which", "error", "told"),
    [(signal.SIGINT, KeyboardInterrupt, "^$"), (signal.SIGTERM, BertworksError, "stopped by SIGTERM, the model")],
)
def test_a_stopped_fit_raises(
    start: str, monkeypatch: pytest.MonkeyPatch, which: signal.Signals, error: type[BaseException], told: str
) -> None:
    model = classifier(start)
    done = stopping_by(which, monkeypatch)
    with pytest.raises(error, match=told):
        model.fit(X, y)
    assert len(done) == 2, "and it stops at once"
    assert not {"model_", "result_"} & set(vars(model))
    monkeypatch.undo()
    assert model.set_params(epochs=1).fit(X, y).predict(X[:3]).shape == (3,)


def test_after_a_stopped_fit_the_model_is_not_fitted(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(start)
    stopping_by(signal.SIGTERM, monkeypatch)
    with pytest.raises(BertworksError, match="the model is not trained"):
        model.fit(X, y)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    with pytest.raises(NotFittedError):
        model.predict(X[:2])


def test_a_stopped_second_fit_does_not_name_the_first_ones_answers_anew(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = classifier(start, epochs=1).fit(X, y)
    stopping_by(signal.SIGTERM, monkeypatch)
    with pytest.raises(BertworksError, match="the model is not trained"):
        model.fit(X[:24], ["left", "right"] * 12)
    try:
        found = model.predict(X)
    except NotFittedError:
        return
    assert set(found) <= set(KINDS), "the old network's answers, so the old classes"


class OfNumbers(bw.TextClassifier):
    """scikit-learn's checks bring matrices of numbers: each row becomes words, one for each number's size."""

    def fit(self, X: Any, y: Any) -> OfNumbers:
        X, y = validate_data(self, X, y)
        super().fit(as_words(X), y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return super().predict_proba(as_words(validate_data(self, X, reset=False)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        return tags


def as_words(X: np.ndarray) -> list[str]:
    """Numbers of each row as words of the toy vocabulary, of which nearby ones are equal."""
    words = [word for kind in KINDS.values() for word in kind]
    sizes = np.clip(np.round(np.asarray(X, np.float64)), -6, 5).astype(int) % len(words)
    return [" ".join(words[size] for size in row) for row in sizes.tolist()]


SKIPPED = {
    "check_array_api_input": "no array API: texts are no arrays of numbers",
    "check_classifiers_train": "wants 83 % on blobs of numbers, of which words keep the rounded value only",
}


@pytest.mark.slow  # about seventy little trainings
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(start: str) -> None:
    model = OfNumbers(start, epochs=1, batch_size=8, threads=1)
    found = check_estimator(model, on_fail=None, on_skip=None)
    found = [check for check in found if "pandas is not installed" not in str(check["exception"])]
    status = {check["check_name"]: (check["status"], check["exception"]) for check in found}
    assert len(status) > 40
    assert {name: told for name, told in status.items() if told[0] != "passed" and name not in SKIPPED} == {}
    assert all(status[name][0] != "passed" for name in SKIPPED), "a check that passes is not skipped"


@pytest.mark.filterwarnings("ignore")
def test_the_checks_that_train_nothing(start: str) -> None:
    """Those that need no rows, on the estimator as it is."""
    model = classifier(start)
    for check in (
        check_estimator_cloneable,
        check_no_attributes_set_in_init,
        check_get_params_invariance,
        check_set_params,
    ):
        check("TextClassifier", model)
    check_parameters_default_constructible("TextClassifier", model)
    check_estimator_repr("TextClassifier", model)
