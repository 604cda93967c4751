"""After training: the best model judged as it was saved, and everything a run leaves to look at."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertworks.base.files import plain, remove, whole_file
from bertworks.engine.run_directory import RunDirectory
from bertworks.finetune.bad_cases import bad_cases, short_answer, write_bad_cases
from bertworks.finetune.calibration import Calibration, calibrated, ece_before
from bertworks.finetune.card import write_card
from bertworks.finetune.collapse import restarts
from bertworks.finetune.floors import floors
from bertworks.finetune.parts import parts
from bertworks.finetune.pictures import draw_confusion, draw_curves
from bertworks.finetune.report import WORST, Looked, page_of, write_page
from bertworks.finetune.setup import Prepared
from bertworks.finetune.state import State
from bertworks.predict.attributions import Explanation
from bertworks.predict.directory import load_model, read_settings, write_settings
from bertworks.predict.explain import explain_rows, is_explained
from bertworks.predict.run import Predictions, added, predict_rows
from bertworks.tasks.task import Answer, Row, Task

log = logging.getLogger(__name__)

LEAST_SECONDS, MOST_SHARE = 5.0, 0.05  # for explanations: so long, or this share of what training took


@dataclass(frozen=True)
class FinetuneResult:
    """How a call of `finetune` ended.

    content  of result.json; empty where `stopped` names the signal that cut the run short
    """

    run: Path
    content: dict[str, Any]
    stopped: str | None = None

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """split -> metric -> value, of the best model; the mean over seeds in a study."""
        found: dict[str, dict[str, float]] = self.content.get("metrics", {})
        return found


def finish(
    run: RunDirectory, prepared: Prepared, state: State, *, seed: int, collapsed: str | None = None
) -> dict[str, Any]:
    """Judge the best model (the last one without dev), write files and pictures, then result.json: the run is over.

    seed       that was asked for; after a restart the run has another one
    collapsed  why the run counts as one that learnt nothing, see collapse.py

    What is only to look at may fail and is said; a kill before result.json leaves an unfinished run, which goes on.
    """
    if collapsed is not None:
        log.warning("the run collapsed: %s; its figures say nothing of what the data can teach", collapsed)
    data = prepared.data
    directory = run.path / ("best" if state.best_step else "last")
    calibration = calibrated(directory, prepared) if prepared.recipe.train.calibrate else None
    task = tuned(directory, prepared)
    judged = {name: judge(directory, prepared, rows) for name, rows in (("dev", data.dev), ("test", data.test)) if rows}
    metrics = {name: task.score(found.answers, rows_of(prepared, name)) for name, found in judged.items()}
    for name, found in judged.items():
        rows, path = rows_of(prepared, name), run.path / f"predictions-{name}.jsonl"
        write_predictions(path, rows, data.lines[name], found.answers)
        log.info("%s: %s", name, ", ".join(f"{metric} {value:.4f}" for metric, value in metrics[name].items()))
    result = content(prepared, state, metrics, judged)
    begun = {"restarts": restarts(run), "collapsed": collapsed}
    result |= {**begun, "seeds": [{**entry, "seed": seed, **begun} for entry in result["seeds"]]}
    result |= told_of_parts(task, prepared, metrics, judged, calibration)
    look(run, prepared, state, judged, task, result)
    write_card(directory, prepared, result)
    run.finish(result)
    remove(run.path / "checkpoints")
    return result


def tuned(directory: Path, prepared: Prepared) -> Task:
    """The task with what dev says is best, stored with the model."""
    data = prepared.data
    if not data.dev or not data.task.has_threshold:
        return data.task
    task = data.task.tuned(judge(directory, prepared, data.dev).answers, data.dev)
    assert prepared.recipe.data.max_length is not None
    calibration = read_settings(directory).get("calibration")
    length, shape = prepared.recipe.data.max_length, prepared.start.shape
    write_settings(directory, task.folded(), length, shape, calibration=calibration)
    log.info("%s", task.describe()[0])
    return task


def judge(directory: Path, prepared: Prepared, rows: Sequence[Row]) -> Predictions:
    """Answers of the saved model, read back as anyone would."""
    opened = load_model(directory)
    model = opened.model.to(prepared.machine.device, prepared.machine.dtype)
    return predict_rows(model, opened.task, opened.tokenizer, rows, max_length=opened.max_length)


def rows_of(prepared: Prepared, split: str) -> Sequence[Row]:
    """Rows of dev or test."""
    return prepared.data.dev if split == "dev" else prepared.data.test


def content(
    prepared: Prepared, state: State, metrics: dict[str, dict[str, float]], judged: dict[str, Predictions]
) -> dict[str, Any]:
    """What stands in result.json."""
    data, seed = prepared.data, prepared.recipe.train.seed
    read = prepared.contract.read
    for found in judged.values():
        read = added(read, found.coverage)
    return {
        "task": data.task.name,
        "data": prepared.fingerprint,
        "metric": prepared.metric,
        "metrics": metrics,
        "seeds": [{"seed": seed, "metrics": metrics, "best_step": state.best_step or state.step}],
        "mean": metrics,
        "sd": {},
        "rows": {
            "train": len(data.train),
            "dev": len(data.dev),
            "test": len(data.test),
            "dropped": dict(sum((Counter(table.dropped) for table in data.tables.values()), Counter[str]())),
        },
        "coverage": read.share,
        "floors": floors(data),
        "best_step": state.best_step or state.step,
        "steps": state.step,
        "seconds": round(state.seconds, 1),
        "contract": prepared.contract.to_json(),
        "command": " ".join(sys.argv),
    }


def told_of_parts(
    task: Task,
    prepared: Prepared,
    metrics: dict[str, dict[str, float]],
    judged: dict[str, Predictions],
    calibration: Calibration | None,
) -> dict[str, Any]:
    """What result.json says beside the metrics, each split -> value: interval, ece, by_class, by_kind, confidence."""
    found: dict[str, Any] = {}
    for split, predictions in judged.items():
        rows, value = rows_of(prepared, split), metrics[split][prepared.metric]
        told = parts(task, predictions.answers, rows, prepared.metric, value)
        if calibration is not None:
            told["ece_before"] = ece_before(task, predictions.answers, rows, calibration.temperature)
        for name, one in told.items():
            found.setdefault(name, {})[split] = one
    return found if calibration is None else {**found, "calibration": dataclasses.asdict(calibration)}


def write_predictions(
    path: Path, rows: Sequence[Row], lines: Sequence[int], answers: Sequence[Answer], *, classes: int | None = 5
) -> None:
    """One JSON object a row: its line, what was read, and the answer with its likeliest classes; None = all."""
    with whole_file(path, text=True) as handle:
        for row, line, answer in zip(rows, lines, answers, strict=True):
            told = {"line": line, "row": dict(row), "answer": short_answer(answer, classes)}
            handle.write(json.dumps(plain(told), ensure_ascii=False) + "\n")


def look(
    run: RunDirectory,
    prepared: Prepared,
    state: State,
    judged: dict[str, Predictions],
    task: Task,
    result: dict[str, Any],
) -> None:
    """Pictures, bad cases and the report; none of them is worth losing a run for."""
    try:
        draw(run, prepared, state, judged)
        looked = looked_at(run, prepared, judged, task, result)
        write_page(run.path, page_of(run.path, prepared, result, run.metrics(), looked))
    except Exception as error:  # of a drawing or a page, whatever it is: the figures are there
        log.warning("the report is not whole, %s: %s; every figure is in result.json", type(error).__name__, error)
        log.debug("what was not drawn", exc_info=True)


def looked_at(
    run: RunDirectory, prepared: Prepared, judged: dict[str, Predictions], task: Task, result: dict[str, Any]
) -> Looked:
    """The last split judged: its wrong rows, written to bad_cases.jsonl, and why the worst were answered so."""
    data = prepared.data
    split = "test" if "test" in judged else "dev"
    if split not in judged:
        return Looked(split, [], [], ("", []), [], [])
    rows, answers = rows_of(prepared, split), judged[split].answers
    table = data.tables[split if split in data.tables else "train"]
    where = (table.path, data.lines[split])
    cases = bad_cases(task, answers, rows)
    write_bad_cases(run.path / "bad_cases.jsonl", cases, answers, rows, where[1])
    worst = cases[:WORST]
    explanations: list[Explanation | None] = [None] * len(worst)
    if worst and is_explained(task):
        opened = load_model(run.path / ("best" if (run.path / "best").is_dir() else "last"))
        explanations = explain_rows(
            opened.model.to(prepared.machine.device),
            opened.task,
            opened.tokenizer,
            rows,
            answers,
            max_length=opened.max_length,
            which=[case.row for case in worst],
            focus=[case.focus for case in worst],
            seconds=max(LEAST_SECONDS, MOST_SHARE * result["seconds"]),
        )
    return Looked(split, rows, answers, where, cases, explanations, table.unit)


def draw(run: RunDirectory, prepared: Prepared, state: State, judged: dict[str, Predictions]) -> None:
    """curves.png, and confusion.png of the last split judged where the task has classes."""
    draw_curves(run.metrics(), prepared.metric, state.best_step or state.step, run.path / "curves.png")
    if not judged:
        return
    name = "test" if "test" in judged else "dev"
    rows = rows_of(prepared, name)
    gold, predicted = prepared.data.task.confused(judged[name].answers, rows)
    if gold:
        there = {*gold, *predicted}
        known = [label for label in prepared.data.task.labels.names if label in there]
        labels = [*known, *sorted(there - set(known))]
        draw_confusion(gold, predicted, labels, f"{name}, {len(rows):,} rows", run.path / "confusion.png")
