"""Labels that are probably wrong: confident learning (Northcutt, Jiang and Chuang 2021) on out-of-fold probabilities.

The probabilities are those of logistic regression on TF-IDF of words and pairs of words, each row judged by a model
that did not see it; or those of a fine-tuned model, from a study over folds (judgement.py). A row is suspicious when
some other class is probable above that class's threshold, the mean probability that its own rows give it (section 3.1,
the off-diagonal of the confident joint), and more probable than the given one; the rank is the normalised margin,
p(given) - max p(other).

Letters: N rows, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bertworks.base.randomness import generator
from bertworks.read.tables import Table
from bertworks.tasks.lint.finding import Example, Finding, Place, examples, share, shown, texts_of
from bertworks.tasks.lint.labels import labels_of

FOLDS, FOLDS_OF_MANY, MANY_ROWS = 5, 3, 20_000
LEAST_ROWS, LEAST_OF_CLASS = 50, FOLDS  # rows, and rows of a class, that can be judged
MOST_WORK = 600_000  # rows x classes: a quarter of a minute
LEAST_GAIN = 0.1  # of the rows outside the commonest class must be right beyond it, or the model knows too little
MOST_FEATURES = 50_000
STRENGTH = 10.0  # inverse of the penalty; as the floor of `finetune`
_WORDS = r"[\u3400-\u9fff]|(?:(?![\u3400-\u9fff])\w)+"


class Suspicion(NamedTuple):
    """Row `row`: its class, the one it looks like, and p(given) - p(other), from -1 (surely wrong) up."""

    row: int
    given: int
    other: int
    margin: float


@dataclass(frozen=True)
class Judgement:
    """What a model says of all rows, each of which it has not seen.

    probs    (N, C) of the classes, in the order of `classes`
    classes  their names, as `labels_of` gives them
    whose    for the reader: the model
    """

    probs: np.ndarray
    classes: tuple[str, ...]
    whose: str


WORD_COUNTS = "a model of word counts"


def check_given_labels(name: str, table: Table, judgement: Judgement | None = None) -> Iterator[Finding]:
    """Rows of one label each whose label looks wrong, the surest first.

    judgement  None = that of TF-IDF and logistic regression, trained here
    """
    labels = [labels_of(row) for row in table.rows]
    if any(len(found) != 1 for found in labels):
        return
    names, numbers, counts = np.unique([found[0] for found in labels], return_inverse=True, return_counts=True)
    rows = _judged(numbers, counts) if judgement is None else np.arange(len(numbers))
    if len(rows) < LEAST_ROWS or len(np.unique(numbers[rows])) < 2:
        told = f"labels were not judged: fewer than {LEAST_ROWS} rows of classes with {LEAST_OF_CLASS} rows"
        yield Finding("info", "suspicious_labels", told)
        return
    kept, given = np.unique(numbers[rows], return_inverse=True)
    if judgement is None:
        probs = out_of_fold([texts_of(table.rows[index]) for index in rows.tolist()], given)
    else:
        probs = judgement.probs[:, [judgement.classes.index(str(names[one])) for one in kept]]
    whose = WORD_COUNTS if judgement is None else judgement.whose
    right = float((probs.argmax(-1) == given).mean())
    usual = float(np.bincount(given).max() / len(given))
    if right - usual < LEAST_GAIN * (1 - usual):
        told = f"labels were not judged: {whose} knows little of them ({right:.1%} right, the commonest {usual:.1%})"
        yield Finding("info", "suspicious_labels", told)
        return
    found = suspicions(probs, given)
    judged = "" if len(rows) == len(numbers) else f" judged of {len(numbers):,}"
    told = (
        f"{share(len(found), len(rows))} of the rows{judged} look like another class to {whose} "
        f"that has not seen them (it is right on {right:.1%})"
    )
    made = (
        Example(
            (Place(name, int(rows[one.row])),),
            f"`{names[kept[one.given]]}`, perhaps `{names[kept[one.other]]}` (margin {one.margin:.2f}): "
            + " / ".join(shown(text) for text in texts_of(table.rows[int(rows[one.row])])),
        )
        for one in found
    )
    advice = (
        "read the first ones: the list is sorted, the surest first; it names candidates, not mistakes" if found else ""
    )
    yield Finding("warning" if found else "info", "suspicious_labels", told, advice, len(found), examples(made))


def suspicions(probs: np.ndarray, given: np.ndarray) -> list[Suspicion]:
    """Rows off the diagonal of the confident joint, the least margin first.

    probs  (N, C) out-of-fold probabilities
    given  (N,) classes 0 … C - 1, each there at least once
    """
    number, classes = probs.shape
    thresholds = np.array([probs[given == one, one].mean() for one in range(classes)])
    above = np.where(probs >= thresholds - 1e-9, probs, -1.0)
    other = above.argmax(-1)
    rows = np.arange(number)
    is_off = (above[rows, other] > 0) & (other != given) & (probs.argmax(-1) != given)
    rest = probs.copy()
    rest[rows, given] = -1.0
    margin = probs[rows, given] - rest.max(-1)
    found = np.flatnonzero(is_off)
    order = found[np.argsort(margin[found], kind="stable")]
    return [Suspicion(int(at), int(given[at]), int(other[at]), float(margin[at])) for at in order]


def out_of_fold(texts: Sequence[Sequence[str]], given: np.ndarray) -> np.ndarray:
    """(N, C) probabilities of each row by a model of the other folds' rows; folds are cut class by class.

    texts  the texts of each row; words of a second text are other words
    given  (N,) classes, each with at least FOLDS rows
    """
    from scipy.sparse import hstack
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    is_many = len(given) > MANY_ROWS
    fold = _folds(given, FOLDS_OF_MANY if is_many else FOLDS)
    sides = max(map(len, texts))
    columns = [[parts[side] if side < len(parts) else "" for parts in texts] for side in range(sides)]
    vectorizers = [
        TfidfVectorizer(
            sublinear_tf=True,
            ngram_range=(1, 1 if is_many else 2),
            token_pattern=_WORDS,
            min_df=2 if is_many else 1,
            max_features=MOST_FEATURES,
        )
        for _ in columns
    ]
    probs = np.full((len(given), int(given.max()) + 1), 1.0 / (int(given.max()) + 1))
    blocks = []
    for vectorizer, column in zip(vectorizers, columns, strict=True):
        try:
            blocks.append(vectorizer.fit_transform(column))  # words are counted in all rows, labels are not looked at
        except ValueError:  # no word anywhere
            continue
    if not blocks:
        return probs
    matrix = hstack(blocks).tocsr()
    for number in range(int(fold.max()) + 1):
        test = np.flatnonzero(fold == number)
        train = np.flatnonzero(fold != number)
        model = LogisticRegression(C=STRENGTH, max_iter=50 if is_many else 300, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for a rank
            model.fit(matrix[train], given[train])
        probs[np.ix_(test, model.classes_)] = model.predict_proba(matrix[test])
    return probs


def _folds(given: np.ndarray, number: int) -> np.ndarray:
    """(N,) fold of each row: of every class as many in each."""
    fold = np.empty(len(given), np.int64)
    order = generator("lint folds", len(given)).permutation(len(given))
    for one in range(int(given.max()) + 1):
        own = order[given[order] == one]
        fold[own] = np.arange(len(own)) % number
    return fold


def _judged(numbers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rows of the classes that are large enough, ascending; of very many a part by chance."""
    rows = np.flatnonzero(counts[numbers] >= LEAST_OF_CLASS)
    most = MOST_WORK // max(1, int((counts >= LEAST_OF_CLASS).sum()))
    if len(rows) > most:
        rows = np.sort(generator("lint rows", len(rows)).permutation(rows)[:most])
        rare = np.bincount(numbers[rows], minlength=len(counts)) < LEAST_OF_CLASS
        rows = rows[~rare[numbers[rows]]]
    return rows
