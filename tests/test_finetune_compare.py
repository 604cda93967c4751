"""Two runs side by side: over seeds, over rows, for every task; what cannot be compared is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertworks.base.errors import BertworksError
from bertworks.cli.main import main
from bertworks.finetune.compare import compare_runs
from bertworks.stats.paired import paired_bootstrap
from bertworks.tasks.answering import SpanTask
from bertworks.tasks.labels import Labels
from bertworks.tasks.metrics import class_metrics
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.task import Task

ROWS = 200
CLASSES = SentenceTask("classify", False, Labels(("no", "yes")))
TAGS = TagTask(Labels(("B-A", "I-A", "O")))


def write_run(
    folder: Path, task: Task, rows: list[dict[str, Any]], answers: list[dict[str, Any]], figures: list[dict[str, float]]
) -> Path:
    """What a run or a study leaves, as far as it is compared."""
    seeds = [{"seed": seed, "metrics": {"dev": figure}, "best_step": 1} for seed, figure in enumerate(figures)]
    for place in [folder] if len(figures) == 1 else [folder / f"seed-{seed}" for seed in range(len(figures))]:
        (place / "best").mkdir(parents=True)
        stored = {"format": 1, "max_length": 8, "task": task.settings()}
        (place / "best" / "bertworks.json").write_text(json.dumps(stored))
        lines = [
            json.dumps({"line": 1, "row": row, "answer": one}, ensure_ascii=False)
            for row, one in zip(rows, answers, strict=True)
        ]
        (place / "predictions-dev.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "result.json").write_text(json.dumps({"task": task.name, "seeds": seeds}))
    return folder


def answers_of(
    task: Task, right: float, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, float]]:
    """Rows, and answers of which about a share is right."""
    draw = np.random.default_rng(seed)
    hits = draw.random(ROWS) < right
    if task is CLASSES:
        rows = [{"text": f"{i}\u2028\x85", "label": ("no", "yes")[i % 2]} for i in range(ROWS)]
        said = [{"label": ("no", "yes")[(i % 2) ^ (not hit)], "score": 0.9} for i, hit in enumerate(hits)]
        gold = np.arange(ROWS) % 2
        return rows, said, class_metrics(gold, gold ^ ~hits)
    if task is TAGS:
        rows = [{"tokens": ["a", "b"], "tags": ["B-A", "O"]} for _ in range(ROWS)]
        return rows, [{"tags": ["B-A", "O"] if hit else ["O", "B-A"]} for hit in hits], {"f1": float(hits.mean())}
    rows = [{"question": "q", "context": "x y", "answers": [["x", 0]]} for _ in range(ROWS)]
    said = [{"answer": "x" if hit else "y"} for hit in hits]
    return rows, said, {"f1": float(hits.mean()), "exact_match": float(hits.mean())}


@pytest.mark.parametrize("task", [CLASSES, TAGS, SpanTask()], ids=["classes", "tags", "questions"])
def test_over_rows_and_seeds(task: Task, tmp_path: Path) -> None:
    rows, good, figures = answers_of(task, 0.9, 1)
    _, bad, worse = answers_of(task, 0.7, 2)
    a = write_run(tmp_path / "a", task, rows, good, [figures, figures])
    b = write_run(tmp_path / "b", task, rows, bad, [worse, worse])
    found = compare_runs(a, b)
    name = next(iter(figures))
    assert found.over_runs.metric == name
    assert found.over_runs.difference.summary.mean == pytest.approx(figures[name] - worse[name])
    assert found.over_examples is not None
    assert found.over_examples.difference == pytest.approx(figures[name] - worse[name]), (
        "rows give the run's own figure"
    )
    assert found.over_examples.low > 0
    assert found.over_examples.p < 0.01
    same = compare_runs(a, a)
    assert same.over_examples is not None
    assert same.over_examples.difference == 0
    assert same.over_examples.p == 1


def test_over_rows_is_the_bootstrap_of_the_metric(tmp_path: Path) -> None:
    rows, good, figures = answers_of(CLASSES, 0.9, 1)
    _, bad, worse = answers_of(CLASSES, 0.7, 2)
    a, b = (
        write_run(tmp_path / "a", CLASSES, rows, good, [figures]),
        write_run(tmp_path / "b", CLASSES, rows, bad, [worse]),
    )
    found = compare_runs(a, b, metric="mcc").over_examples
    gold = np.arange(ROWS) % 2
    said = [np.array([one["label"] == "yes" for one in answers]).astype(int) for answers in (good, bad)]
    assert found == paired_bootstrap(gold, said[0], said[1], lambda g, s: class_metrics(g, s)["mcc"])


def test_what_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, good, figures = answers_of(CLASSES, 0.9, 1)
    a = write_run(tmp_path / "a", CLASSES, rows, good, [figures])
    other = write_run(tmp_path / "other", CLASSES, rows[::-1], good[::-1], [figures])
    assert compare_runs(a, other).over_examples is None
    tags = write_run(tmp_path / "tags", TAGS, *answers_of(TAGS, 0.9, 1)[:2], [{"f1": 1.0}])
    with pytest.raises(BertworksError, match=r"is of task classify, .* of tag"):
        compare_runs(a, tags)
    assert main(["compare-runs", str(a), str(tmp_path / "none")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert main(["compare-runs", str(a), str(other), "--metric", "f1_makro"]) == 2
    assert "f1_macro" in capsys.readouterr().err
    assert main(["compare-runs", str(a), str(a)]) == 0
    shown = capsys.readouterr().out
    assert "over rows, seed 0: difference +0.0000" in shown
    assert main(["compare-runs", str(a), str(a), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["over_rows"]["p"] == 1.0
