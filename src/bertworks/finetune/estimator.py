"""A scikit-learn classifier of texts: cross_val_score, Pipeline and GridSearchCV work on it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from bertworks.base.errors import BertworksError
from bertworks.base.recipe import load
from bertworks.finetune.data import Data, prepare
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.run import finetune
from bertworks.predict.directory import ModelDirectory, load_model
from bertworks.predict.run import predict_rows
from bertworks.predict.texts import table_of


class TextClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A BERT fine-tuned on texts and their classes.

    model       a model directory, "bertworks-mini", or "preset:NAME" for random weights (then `vocab` too)
    epochs, lr, batch_size, max_length, dropout
                None = chosen by the size of the data and the model, as `bertworks finetune` does
    dev_share   of the rows held out to choose the best evaluation by; 0 = train on all, keep the last weights
    patience    stop after so many evaluations without a better one; needs dev_share above 0
    random_state  seed of order, dropout and the new head
    After `fit`: classes_ (C,), result_ the run's figures, model_ what answers.
    """

    def __init__(
        self,
        model: str = "bertworks-mini",
        *,
        vocab: str | None = None,
        epochs: float | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        max_length: int | None = None,
        dropout: float | None = None,
        dev_share: float = 0.0,
        patience: int | None = None,
        random_state: int = 0,
        dtype: Literal["auto", "float32", "bfloat16"] = "float32",
        threads: int | None = None,
    ) -> None:
        self.model = model
        self.vocab = vocab
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.max_length = max_length
        self.dropout = dropout
        self.dev_share = dev_share
        self.patience = patience
        self.random_state = random_state
        self.dtype = dtype
        self.threads = threads

    def fit(self, X: Sequence[Any], y: Sequence[Any]) -> TextClassifier:
        """Fine-tune on texts (n,) or pairs of texts (n, 2), and their classes (n,) of any type.

        Raises ValueError where X and y do not go together, or y has one class only; KeyboardInterrupt at Ctrl-C.
        """
        if y is None:
            raise ValueError("TextClassifier requires y to be passed, but the target y is None")
        texts = rows_of(X)
        check_classification_targets(y)
        classes = column_or_1d(y, warn=True)
        if len(texts) != len(classes):
            raise ValueError(f"X has {len(texts)} rows, y has {len(classes)}")
        found, numbers = np.unique(classes, return_inverse=True)
        if len(found) < 2:
            raise ValueError(f"y has one class only, {found.tolist()[0]!r}: a classifier needs two or more")
        with tempfile.TemporaryDirectory(prefix="bertworks-") as folder:
            result = finetune(self._recipe(), Path(folder) / "run", data=self._data(texts, numbers, len(found)))
            if result.stopped == "SIGINT":
                raise KeyboardInterrupt
            if result.stopped is not None:
                raise BertworksError(f"fit was stopped by {result.stopped}, the model is not trained", exit_code=1)
            model = load_model(result.run)
        self.classes_, self.result_, self.model_ = found, result.content, model
        return self

    def predict(self, X: Sequence[Any]) -> np.ndarray:
        """The likeliest class of each row, (n,)."""
        probabilities = self.predict_proba(X)
        chosen: np.ndarray = self.classes_[probabilities.argmax(1)]
        return chosen

    def predict_proba(self, X: Sequence[Any]) -> np.ndarray:
        """Probabilities (n, C), columns in the order of `classes_`."""
        check_is_fitted(self)
        texts = rows_of(X)
        opened: ModelDirectory = self.model_
        table = table_of(texts)
        found = predict_rows(opened.model, opened.task, opened.tokenizer, table.rows, max_length=opened.max_length)
        names = opened.task.labels.names
        scores = [answer.to_json()["scores"] for answer in found.answers]
        return np.array([[score[name] for name in names] for score in scores])

    def __sklearn_tags__(self) -> Any:
        """Texts go in: no numbers, no sparse matrices."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def _recipe(self) -> FinetuneRecipe:
        given = {
            "model.start": os.fspath(self.model),
            "model.vocab": None if self.vocab is None else os.fspath(self.vocab),
            "model.dropout": self.dropout,
            "data.train": "X",
            "data.task": "classify",
            "data.max_length": self.max_length,
            "data.dev_share": self.dev_share,
            "train.epochs": self.epochs,
            "train.lr": self.lr,
            "train.batch_size": self.batch_size,
            "train.patience": self.patience,
            "train.seed": self.random_state,
            "machine.dtype": self.dtype,
            "machine.threads": self.threads,
        }
        return load(FinetuneRecipe, None, {name: value for name, value in given.items() if value is not None})

    def _data(self, texts: list[Any], numbers: np.ndarray, classes: int) -> Data:
        names = tuple(f"{number}" for number in range(classes))
        rows = [
            {**row, "label": names[number]} for row, number in zip(table_of(texts).rows, numbers.tolist(), strict=True)
        ]
        return prepare(self._recipe().data, table_of(rows, "X"), {})


def rows_of(X: Any) -> list[Any]:
    """Texts (n,), or pairs (n, 2) as tuples, of a list, an array, a Series or a data frame.

    Raises ValueError for anything that is not texts.
    """
    values = X.to_numpy() if hasattr(X, "to_numpy") else X
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise ValueError("X must be a list of texts")
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if not listed:
        raise ValueError("X has no rows")
    made = [tuple(row) if isinstance(row, list) else row for row in listed]
    made = [row[0] if isinstance(row, tuple) and len(row) == 1 else row for row in made]
    for number, row in enumerate(made):
        is_pair = isinstance(row, tuple) and len(row) == 2 and all(isinstance(text, str) for text in row)
        if not isinstance(row, str) and not is_pair:
            raise ValueError(f"X[{number}] is {row!r:.60}, a text or a pair of texts is wanted")
    return made
