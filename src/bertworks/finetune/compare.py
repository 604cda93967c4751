"""Two runs side by side: the difference over seeds or folds, and over examples where both answered the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json
from bertworks.stats.paired import BootstrapDifference, paired_bootstrap
from bertworks.stats.results import Compared, compare_results, read_result
from bertworks.tasks.answer_metrics import RULES
from bertworks.tasks.answering import SpanTask
from bertworks.tasks.intent_slots import FrameTask
from bertworks.tasks.known import task_from_settings
from bertworks.tasks.metrics import class_metrics, score_metrics, several_metrics
from bertworks.tasks.schemes import spans_of
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsTask
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.task import Task

Metric = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class RunsCompared:
    """a - b of one metric.

    over_runs      paired by seed, or by fold
    over_examples  what other rows would have given, paired bootstrap of the first common seed's answers, or of all rows
                   of train out of fold; None where the runs did not answer the same rows, or the metric is not one of
                   the answers alone
    rows_differ    whether the runs were judged on other rows: then no difference says anything of the models
    """

    over_runs: Compared
    over_examples: BootstrapDifference | None
    rows_differ: bool = False


def compare_runs(a: Path, b: Path, *, split: str | None = None, metric: str | None = None) -> RunsCompared:
    """Compare two runs, or two studies.

    split   None = test where both have it, else dev
    metric  None = the one that chose the best evaluation of `a`
    Raises BertworksError where a run is unfinished, the tasks differ, or no seed, fold or metric is common.
    """
    of_a, of_b = read_result(a), read_result(b)
    if of_a.task != of_b.task:
        raise BertworksError(f"{a} is of task {of_a.task}, {b} of {of_b.task}", "compare runs of one task")
    splits = [set.intersection(*(set(one) for one in result.by_part.values())) for result in (of_a, of_b)]
    chosen = split or ("test" if "test" in splits[0] & splits[1] else "dev")
    first = next(iter(next(iter(of_a.by_part.values())).get(chosen, {"": 0.0})))
    name = metric or str(read_json(of_a.path).get("metric", first))
    compared = compare_results(of_a, of_b, split=chosen, metric=name)
    answered = [answers_of(one.path.parent, one.word, compared.numbers[0], chosen) for one in (of_a, of_b)]
    (one, other) = answered
    if one is None or other is None:
        return RunsCompared(compared, None)
    if one[1] != other[1]:
        return RunsCompared(compared, None, rows_differ=True)
    return RunsCompared(compared, over_examples(*one, other[2], name, compared.numbers[0]))


def over_examples(
    task: Task,
    rows: list[dict[str, Any]],
    said_a: list[dict[str, Any]],
    said_b: list[dict[str, Any]],
    metric: str,
    seed: int,
) -> BootstrapDifference | None:
    """The paired bootstrap over the rows of one seed or fold, or of all rows out of fold, see RunsCompared."""
    measured = evidence(task, rows, metric)
    if measured is None:
        return None
    gold, read, value = measured
    return paired_bootstrap(gold, read(said_a), read(said_b), value, seed=seed)


def answers_of(
    run: Path, word: str, number: int, split: str
) -> tuple[Task, list[dict[str, Any]], list[dict[str, Any]]] | None:
    """The task, the rows and the answers of a predictions file; None where there is none.

    That of a seed; of folds the one of all rows of train for dev, else that of one fold.
    """
    name = f"predictions-{split}.jsonl"
    if word == "fold" and split == "dev":
        folder, name = run, "predictions-folds.jsonl"
    else:
        folder = run / f"{word}-{number}" if (run / f"{word}-{number}").is_dir() else run
    file, settings = folder / name, folder / "best" / "bertworks.json"
    settings = settings if settings.is_file() else folder / "last" / "bertworks.json"
    if not file.is_file() or not settings.is_file():
        return None
    task = task_from_settings(read_json(settings)["task"])  # not predict.directory's reader, which loads torch
    with open(file, encoding="utf-8", newline="\n") as handle:  # texts may hold other line ends
        lines = [json.loads(line) for line in handle]
    return task, [line["row"] for line in lines], [line["answer"] for line in lines]


def evidence(
    task: Task, rows: Sequence[dict[str, Any]], metric: str
) -> tuple[np.ndarray, Callable[[Sequence[dict[str, Any]]], np.ndarray], Metric] | None:
    """Gold (N, …), how answers become an array (N, …), and the metric of both; None where it has no such form."""
    if isinstance(task, SentenceTask):
        gold = np.array([task.gold(row, f"row {number}") for number, row in enumerate(rows, 1)])
        if task.kind == "score":
            return gold, lambda said: np.array([one["score"] for one in said]), lambda g, s: score_metrics(g, s)[metric]
        return (
            gold,
            lambda said: np.array([task.labels.number(one["label"]) for one in said]),
            lambda g, s: class_metrics(g, s)[metric],
        )
    if isinstance(task, LabelsTask):
        gold = np.array([task.gold(row, f"row {number}") for number, row in enumerate(rows, 1)])
        names = task.labels.names

        def given(said: Sequence[dict[str, Any]]) -> np.ndarray:
            return np.array([[name in one["labels"] for name in names] for one in said])

        return gold, given, lambda g, s: several_metrics(g, s)[metric]
    if isinstance(task, TagTask) and metric == "f1":
        golds = [set(spans_of(task.gold(row, "row"))) for row in rows]
        counts = np.array([[len(spans)] for spans in golds])

        def spans(said: Sequence[dict[str, Any]]) -> np.ndarray:
            read = [set(spans_of(one["tags"])) for one in said]
            return np.array([[len(ours & gold), len(ours)] for ours, gold in zip(read, golds, strict=True)])

        return counts, spans, lambda g, s: 2 * float(s[:, 0].sum()) / max(float(s[:, 1].sum() + g.sum()), 1)
    if isinstance(task, FrameTask) and metric == "frame_accuracy":
        frames = [(task.gold(row, "row"), task.slots.gold(row, "row")) for row in rows]

        def whole(said: Sequence[dict[str, Any]]) -> np.ndarray:
            told = [(task.intents.number(one["label"]), one["tags"]) for one in said]
            return np.array([float(ours == gold) for ours, gold in zip(told, frames, strict=True)])

        return np.zeros(len(rows)), whole, lambda _, s: float(s.mean())
    if isinstance(task, TagTask) and metric == "accuracy":
        wanted_tags = [task.gold(row, "row") for row in rows]
        words = np.array([[len(tags)] for tags in wanted_tags])

        def right_words(said: Sequence[dict[str, Any]]) -> np.ndarray:
            pairs = zip((one["tags"] for one in said), wanted_tags, strict=True)
            return np.array([[sum(map(str.__eq__, tags, gold))] for tags, gold in pairs])

        return words, right_words, lambda g, s: float(s.sum()) / max(float(g.sum()), 1)
    if isinstance(task, SpanTask) and metric in ("f1", "exact_match"):
        wanted = [[text for text, _ in row["answers"]] for row in rows]
        place = 0 if metric == "exact_match" else 1

        def right(said: Sequence[dict[str, Any]]) -> np.ndarray:
            pairs = zip(said, wanted, strict=True)
            return np.array([RULES[task.rule](one["answer"], gold)[place] for one, gold in pairs])

        return np.zeros(len(rows)), right, lambda _, s: float(s.mean())
    return None
