"""Gold and predicted → metrics by their names, each with the convention where it would be undefined.

Letters: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

MOST_PLACES = 10  # of a ranking that ndcg_at_10 and mrr_at_10 look at


def class_metrics(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Metrics of one class a row.

    gold, predicted  (N,) int
    accuracy; f1_macro = mean of the F1 of each class that is gold or predicted somewhere, 0 where a class is never
    right; f1_micro (one class a row: equal to accuracy); mcc, 0 where only one class is gold or only one predicted.
    """
    _, numbers = np.unique(np.concatenate([gold, predicted]), return_inverse=True)
    table = _confusion(numbers[: len(gold)], numbers[len(gold) :])
    right, golds, guesses, total = table.diagonal(), table.sum(1), table.sum(0), table.sum()
    accuracy = float(right.sum() / total)
    return {
        "accuracy": accuracy,
        "f1_macro": float(np.mean(2 * right / (golds + guesses))),
        "f1_micro": accuracy,
        "mcc": _mcc(right.sum(), golds, guesses, total),
    }


def score_metrics(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Pearson's and Spearman's correlation (ties get their mean rank); 0 where a side does not vary.

    gold, predicted  (N,) float
    """
    return {"pearson": _pearson(gold, predicted), "spearman": _pearson(_ranks(gold), _ranks(predicted))}


def rank_metrics(ranks: np.ndarray) -> dict[str, float]:
    """Mean reciprocal rank, and the share of rows whose match stands first; ranks (N,) int from 1."""
    return {"mrr": float((1 / ranks).mean()), "recall_at_1": float((ranks == 1).mean())}


def ranking_metrics(gold: np.ndarray, scores: np.ndarray, query: np.ndarray) -> dict[str, float]:
    """Metrics of passages ordered by score, each the mean over the queries that have a relevant passage; 0 where none.

    gold    (N,) float 0 to 1, relevant from 0.5 on; its value is the gain of ndcg, discounted by log2(1 + place)
    scores  (N,) float, the best first; equal ones keep the order of the rows
    query   (N,) int, which query each passage is for
    """
    found: list[tuple[float, float, float]] = []
    for one in np.unique(query):
        order = np.flatnonzero(query == one)
        order = order[np.argsort(-scores[order], kind="stable")]
        relevant = np.flatnonzero(gold[order] >= 0.5)
        if not len(relevant):
            continue
        discount = 1 / np.log2(np.arange(2, 2 + min(MOST_PLACES, len(order))))
        gain, best = gold[order][:MOST_PLACES] @ discount, np.sort(gold[order])[::-1][:MOST_PLACES] @ discount
        reciprocal = 1 / (relevant[0] + 1) if relevant[0] < MOST_PLACES else 0.0
        precision = float((np.arange(1, len(relevant) + 1) / (relevant + 1)).mean())
        found.append((float(gain / best), float(reciprocal), precision))
    means = np.mean(found, 0).tolist() if found else [0.0, 0.0, 0.0]
    return dict(zip(("ndcg_at_10", "mrr_at_10", "map"), means, strict=True))


def _confusion(gold: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """(C, C) float64 counts, gold down, predicted across."""
    classes = int(max(gold.max(), predicted.max())) + 1
    counts = np.bincount(gold * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.float64)


def _mcc(right: float, golds: np.ndarray, guesses: np.ndarray, total: float) -> float:
    # Gorodkin 2004, the form for C classes
    spread = (total**2 - (golds**2).sum()) * (total**2 - (guesses**2).sum())
    return float((right * total - golds @ guesses) / np.sqrt(spread)) if spread > 0 else 0.0


def _pearson(gold: np.ndarray, predicted: np.ndarray) -> float:
    a, b = (side.astype(np.float64) for side in (gold, predicted))
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    a, b = (a - a.mean()) / np.ptp(a), (b - b.mean()) / np.ptp(b)  # by the range first: no square under- or overflows
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    """(N,) float64, 1 for the smallest; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    mean_rank: np.ndarray = (ends - (counts - 1) / 2)[inverse]
    return mean_rank


def span_metrics(gold: Sequence[Iterable[Hashable]], predicted: Sequence[Iterable[Hashable]]) -> dict[str, float]:
    """f1, precision and recall of all rows' spans together, as conlleval and seqeval's micro average; 0 for 0 / 0.

    gold, predicted  of each row its spans; one is right where an equal one is in the other
    """
    right = found = there = 0
    for ours, theirs in zip(predicted, gold, strict=True):
        said, wanted = set(ours), set(theirs)
        right, found, there = right + len(said & wanted), found + len(said), there + len(wanted)
    precision, recall = right / max(found, 1), right / max(there, 1)
    return {"f1": 2 * right / max(found + there, 1), "precision": precision, "recall": recall}


def several_metrics(gold: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Metrics of any number of labels a row.

    gold, predicted  (N, C) bool
    f1_micro over all cells; f1_macro = mean over the labels, 0 for a label that is neither gold nor predicted, as
    scikit-learn; f1_samples = mean over the rows, 0 where a row has none on both sides; exact_match of whole rows.
    """
    both, either = (gold & predicted), gold.sum() + predicted.sum()

    def mean_f1(axis: int) -> float:
        sizes = gold.sum(axis) + predicted.sum(axis)
        return float(np.mean(2 * both.sum(axis) / np.maximum(sizes, 1)))

    return {
        "f1_micro": float(2 * both.sum() / max(either, 1)),
        "f1_macro": mean_f1(0),
        "f1_samples": mean_f1(1),
        "exact_match": float((gold == predicted).all(1).mean()),
    }
