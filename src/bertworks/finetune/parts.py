"""A split's figures in parts: by class, label or type of span; by kind of question; and how sure the answers were.

Letters: N rows, n answers, C labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, cast

import numpy as np

from bertworks.finetune.compare import evidence
from bertworks.stats.intervals import bootstrap, wilson
from bertworks.stats.reliability import Bin, expected_calibration_error, reliability
from bertworks.tasks.answer_metrics import RULES
from bertworks.tasks.answering import SpanAnswer, SpanTask
from bertworks.tasks.intent_slots import FrameAnswer, FrameTask
from bertworks.tasks.schemes import spans_of
from bertworks.tasks.sentence import Answer as SentenceAnswer
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsAnswer, LabelsTask
from bertworks.tasks.tagging import TagAnswer, TagTask
from bertworks.tasks.task import Answer, Row, Task

Figures = dict[str, dict[str, float]]
SHARES = (
    "accuracy",
    "exact_match",
    "frame_accuracy",
)  # of rows, each right or wrong: Wilson's interval; all else by the bootstrap
LENGTHS = ((1, 1), (2, 3), (4, 6), (7, 10**9))  # of answers, in words


def by_class(task: Task, answers: Sequence[Answer], rows: Sequence[Row]) -> Figures:
    """Name -> precision, recall, f1, support; of labels their threshold too. Empty for tasks without classes."""
    golds, said = class_items(task, answers, rows)
    gold, given = Counter(name for name, _ in golds), Counter(name for name, _ in said)
    right = Counter(name for name, _ in golds & said)
    there = {*gold, *given}
    known = [name for name in task.labels.names if name in there]
    found: Figures = {}
    for name in [*known, *sorted(there - set(known))]:
        precision, recall = right[name] / max(given[name], 1), right[name] / max(gold[name], 1)
        f1 = 2 * right[name] / (gold[name] + given[name])
        found[name] = {"precision": precision, "recall": recall, "f1": f1, "support": gold[name]}
        if isinstance(task, LabelsTask):
            found[name]["threshold"] = task.thresholds[task.labels.number(name)]
    return found


Items = set[tuple[str, Hashable]]


def class_items(task: Task, answers: Sequence[Answer], rows: Sequence[Row]) -> tuple[Items, Items]:
    """What there is and what is said, each a (class, place): equal ones are right."""
    if isinstance(task, LabelsTask):
        names = task.labels.names
        gold: Items = {
            (names[number], i)
            for i, row in enumerate(rows)
            for number in np.flatnonzero(task.gold(row, f"row {i + 1}")).tolist()
        }
        return gold, {(name, i) for i, one in enumerate(answers) for name in cast("LabelsAnswer", one).labels}
    if isinstance(task, TagTask) and task.scheme != "plain":
        return spans_at(task.gold(row, f"row {i}") for i, row in enumerate(rows, 1)), spans_at(
            cast("TagAnswer", one).tags for one in answers
        )
    gold_names, said_names = task.confused(answers, rows)
    return named(gold_names), named(said_names)


def named(labels: Sequence[str]) -> Items:
    """A label a place."""
    return {(label, place) for place, label in enumerate(labels)}


def spans_at(sequences: Iterable[Sequence[str]]) -> Items:
    """Spans by the lenient rule, which is the one that f1 counts."""
    return {
        (span.type or "span", (i, span.start, span.end)) for i, tags in enumerate(sequences) for span in spans_of(tags)
    }


def by_kind(task: Task, answers: Sequence[Answer], rows: Sequence[Row]) -> Figures:
    """Of questions: with and without an answer, and by the words of the shortest gold answer -> rows, f1, exact_match.

    Empty for other tasks.
    """
    if not isinstance(task, SpanTask):
        return {}
    kinds: dict[str, list[tuple[float, float]]] = {"with an answer": [], "without an answer": []}
    kinds |= {length_name(*length): [] for length in LENGTHS}
    for row, answer in zip(rows, answers, strict=True):
        gold = [text for text, _ in row.get("answers") or ()]
        right = RULES[task.rule](cast("SpanAnswer", answer).answer, gold)
        kinds["with an answer" if gold else "without an answer"].append((right.f1, right.exact))
        if gold:
            words = min(len(text.split()) or 1 for text in gold)
            (length,) = (one for one in LENGTHS if one[0] <= words <= one[1])
            kinds[length_name(*length)].append((right.f1, right.exact))
    return {
        name: dict(zip(("rows", "f1", "exact_match"), (len(found), *np.mean(found, 0).tolist()), strict=True))
        for name, found in kinds.items()
        if found
    }


def length_name(least: int, most: int) -> str:
    """In words."""
    if least == most:
        return "answer of 1 word"
    return f"answer of {least} words and more" if most > 10**6 else f"answer of {least} to {most} words"


def confidences(task: Task, answers: Sequence[Answer], rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray] | None:
    """Probabilities (n,) and whether what they are of is right (n,) bool; None where answers have none.

    Classes: of the answer. Labels: of every label of every row, answered or not. Tags: of each word's tag. Questions:
    of the answer among the best candidates, right where it matches exactly.
    """
    if isinstance(task, LabelsTask):
        gold = np.array([task.gold(row, f"row {i}") for i, row in enumerate(rows, 1)])
        return np.array([list(cast("LabelsAnswer", one).scores.values()) for one in answers]).ravel(), gold.ravel()
    if isinstance(task, FrameTask) or (isinstance(task, SentenceTask) and task.kind == "classify"):
        golds, said = task.confused(answers, rows)
        scores = [cast("SentenceAnswer | FrameAnswer", one).score for one in answers]
        return np.array(scores), np.array(golds) == np.array(said)
    if isinstance(task, TagTask):
        scores = [sure for one in answers for sure in cast("TagAnswer", one).scores]
        tags = [tag for one in answers for tag in cast("TagAnswer", one).tags]
        wanted = [tag for i, row in enumerate(rows, 1) for tag in task.gold(row, f"row {i}")]
        right = np.array([ours == theirs for ours, theirs in zip(tags, wanted, strict=True)], bool)
        return (np.array(scores), right) if scores else None
    if isinstance(task, SpanTask):
        given = [cast("SpanAnswer", one) for one in answers]
        golds_of = [[text for text, _ in row.get("answers") or ()] for row in rows]
        exact = [RULES[task.rule](one.answer, gold).exact == 1 for one, gold in zip(given, golds_of, strict=True)]
        return np.array([one.score for one in given]), np.array(exact)
    return None


def sureness(task: Task, answers: Sequence[Answer], rows: Sequence[Row]) -> list[Bin]:
    """Bins of confidence; none where answers have no probability."""
    found = confidences(task, answers, rows)
    return [] if found is None else reliability(*found)


def ece(bins: Sequence[Bin]) -> float:
    """The expected calibration error of these bins."""
    return expected_calibration_error(list(bins))


def interval(
    task: Task, answers: Sequence[Answer], rows: Sequence[Row], metric: str, value: float
) -> dict[str, Any] | None:
    """{"metric", "low", "high", "by"}, 95 %, of ever more such rows for this very model; None where there is no rule.

    value  of the metric on these rows
    """
    is_row_wise = isinstance(task, SentenceTask | LabelsTask | SpanTask | FrameTask)
    if metric in SHARES and is_row_wise:
        low, high = wilson(round(value * len(rows)), len(rows))
        return {"metric": metric, "low": low, "high": high, "by": "Wilson"}
    measured = evidence(task, [dict(row) for row in rows], metric)
    if measured is None:
        return None
    gold, read, measure = measured
    low, high = bootstrap(gold, read([answer.to_json() for answer in answers]), measure)
    return {"metric": metric, "low": low, "high": high, "by": "bootstrap over rows"}


def parts(task: Task, answers: Sequence[Answer], rows: Sequence[Row], metric: str, value: float) -> dict[str, Any]:
    """What result.json says of one split beside its metrics; only what the task has."""
    bins = sureness(task, answers, rows)
    found = {
        "interval": interval(task, answers, rows, metric, value),
        "ece": ece(bins) if bins else None,
        "by_class": by_class(task, answers, rows),
        "by_kind": by_kind(task, answers, rows),
        "confidence": [one._asdict() for one in bins],
    }
    return {name: told for name, told in found.items() if told not in (None, {}, [])}
