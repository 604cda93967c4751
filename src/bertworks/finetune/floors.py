"""What a model has to beat: the most frequent label, and TF-IDF with logistic regression on the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bertworks.finetune.data import Data
from bertworks.tasks.sentence import Answer
from bertworks.tasks.task import Row

if TYPE_CHECKING:
    import scipy.sparse

MOST_ROWS = 20_000  # of training; logistic regression over more classes and rows takes longer than it tells
STRENGTH = 10.0  # inverse of the penalty: a usual choice for short texts, not tuned on dev


def floors(data: Data) -> dict[str, dict[str, dict[str, float]]]:
    """Floor name -> split -> metric -> value; nothing for a score, and no regression for very many rows."""
    if data.task.kind != "classify":
        return {}
    judged = {name: rows for name, rows in (("dev", data.dev), ("test", data.test)) if rows}
    gold = [int(data.task.gold(row, "train")) for row in data.train]
    most = Counter(gold).most_common(1)[0][0]
    found = {"majority": {name: scored(data, [most] * len(rows), rows) for name, rows in judged.items()}}
    if len(data.train) <= MOST_ROWS and judged:
        predict = tfidf_classifier(data.train, gold)
        found["tfidf"] = {name: scored(data, predict(rows), rows) for name, rows in judged.items()}
    return found


def scored(data: Data, classes: Sequence[int], rows: Sequence[Row]) -> dict[str, float]:
    """Metrics of class numbers."""
    names = data.task.labels.names
    return data.task.score([Answer(names[number], 1.0) for number in classes], rows)


def tfidf_classifier(rows: Sequence[Row], classes: Sequence[int]) -> Any:
    """A function from rows to class numbers, fitted on words and pairs of words of each text."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    roles = [role for role in ("text", "sentence1", "sentence2") if role in rows[0]]
    pattern = r"(?u)\w\w+|[\u4e00-\u9fff]"  # as usual, and single Chinese characters
    settings = {"sublinear_tf": True, "ngram_range": (1, 2), "token_pattern": pattern}
    vectorizers = {role: TfidfVectorizer(**settings) for role in roles}

    def features(part: Sequence[Row], *, fit: bool) -> scipy.sparse.csr_matrix:
        import scipy.sparse

        texts = {role: [row[role] for row in part] for role in roles}
        blocks = [
            vectorizer.fit_transform(texts[role]) if fit else vectorizer.transform(texts[role])
            for role, vectorizer in vectorizers.items()
        ]
        return scipy.sparse.hstack(blocks).tocsr()

    try:
        matrix = features(rows, fit=True)
    except ValueError:  # no word anywhere: the floor is the majority
        most = Counter(classes).most_common(1)[0][0]
        return lambda part: [most] * len(part)
    model = LogisticRegression(C=STRENGTH, max_iter=200).fit(matrix, np.asarray(classes))
    return lambda part: model.predict(features(part, fit=False)).tolist()
