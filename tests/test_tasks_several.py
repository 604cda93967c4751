"""Several labels a row: scores as scikit-learn, the loss as transformers, thresholds by brute force, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st

import bertworks as bw
from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json
from bertworks.cli.main import main
from bertworks.finetune.run import finetune
from bertworks.read.tables import parse_table
from bertworks.tasks.infer import infer_task
from bertworks.tasks.known import task_from_settings
from bertworks.tasks.labels import Labels
from bertworks.tasks.metrics import several_metrics
from bertworks.tasks.several import LabelsAnswer, LabelsTask, best_threshold
from bertworks.tasks.task import Window
from finetune_support import FILLERS, KINDS, model_folder, toy_recipe

TASK = LabelsTask(False, Labels(("a", "b", "c")), (0.5, 0.5, 0.5))


def write_labels(path: Path, number: int, *, seed: int = 0) -> Path:
    """Which kinds of thing a text speaks of: none, one or two of three."""
    draw = np.random.default_rng(seed)
    lines = []
    for i in range(number):
        kinds = sorted(draw.choice(list(KINDS), int(draw.integers(0, 3)), replace=False).tolist())
        words = [*draw.choice(FILLERS, 5).tolist(), *(str(draw.choice(KINDS[kind])) for kind in kinds)]
        draw.shuffle(words)
        lines.append(json.dumps({"text": f"{' '.join(words)} {i % 7}", "labels": kinds}))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_scores_are_scikit_learns_and_those_of_the_survey() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        gold, said = draw.random((2, 30, 5)) < 0.3
        found = several_metrics(gold, said)
        for average in ("micro", "macro", "samples"):
            wanted = sklearn.metrics.f1_score(gold, said, average=average, zero_division=0)
            assert found[f"f1_{average}"] == pytest.approx(wanted)
        assert found["exact_match"] == pytest.approx(sklearn.metrics.accuracy_score(gold, said))
    gold = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]], bool)
    said = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    assert several_metrics(gold, said) == pytest.approx(
        {"f1_micro": 2 / 3, "f1_macro": 5 / 12, "f1_samples": 0.5, "exact_match": 0.25}
    )


def test_loss_is_transformers() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, gold = torch.randn(4, 3, generator=draw), torch.randint(0, 2, (4, 3), generator=draw)
    empty = np.empty(0, np.int32)
    windows = [Window(empty, empty, i, tuple(row), 1.0, 0, 0) for i, row in enumerate(gold.tolist())]
    ours = TASK.loss_sum(logits, TASK.targets(windows), TASK.weights(windows)) / TASK.loss_count(windows)
    torch.testing.assert_close(ours, torch.nn.BCEWithLogitsLoss()(logits, gold.float()))
    with pytest.raises(BertworksError, match="row 1 has no labels"):
        TASK.targets([Window(empty, empty, 0, None, 1.0, 0, 0)])


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=12))
def test_a_threshold_is_the_best_one(pairs: list[tuple[int, bool]]) -> None:
    probs, gold = np.array([value / 10 for value, _ in pairs]), np.array([is_there for _, is_there in pairs])

    def f1(threshold: float) -> float:
        return float(sklearn.metrics.f1_score(gold, probs >= threshold, zero_division=0))

    found = best_threshold(probs, gold)
    assert f1(found) == pytest.approx(max(f1(bound) for bound in (*np.unique(probs), 0.5, 1.1)))


def test_the_task_is_told_from_the_file() -> None:
    table = parse_table(b'{"text": "x", "labels": ["b", "a"]}\n{"text": "y", "labels": []}\n', "t.jsonl")
    found = infer_task(table)
    assert found.because == "`labels` holds lists of labels"
    assert isinstance(found.task, LabelsTask)
    assert found.task.labels.names == ("a", "b")
    assert found.task.gold(table.rows[1], "").tolist() == [False, False]
    assert task_from_settings(found.task.settings()) == found.task
    cells = parse_table(b"text,label\nx,a|b\ny,b; c\nz,c\n", "t.csv")
    asked = infer_task(cells, "labels").task
    assert asked.labels.names == ("a", "b", "c")
    assert asked.recounted(cells.rows).labels.counts == (1, 2, 2)
    with pytest.raises(BertworksError, match="label `d` is not among the 3"):
        asked.check(parse_table(b"text,label\nx,a|d\n", "t.csv"))
    with pytest.raises(BertworksError, match="fewer than two labels"):
        infer_task(parse_table(b"text,label\nx,a\n", "t.csv"), "labels")


def test_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = model_folder(tmp_path / "start", dropout=0.0)
    train, test = write_labels(tmp_path / "train.jsonl", 200), write_labels(tmp_path / "test.jsonl", 60, seed=3)
    done = finetune(toy_recipe(start, train, train__steps=150, data__test=str(test)), tmp_path / "run")
    assert done.metrics["test"]["f1_micro"] > 0.85
    stored = read_json(done.run / "best" / "bertworks.json")["task"]
    assert len(stored["thresholds"]) == 3
    model = bw.load(done.run)
    assert model.task == "labels"
    both, none = model.predict(["we saw the cat and some gold", "there it is now"])
    assert isinstance(both, LabelsAnswer)
    bounds = dict(zip(both.scores, stored["thresholds"], strict=True))
    assert both.labels == [name for name, score in both.scores.items() if score >= bounds[name]] != []
    assert list(both.scores) == ["animal", "colour", "metal"]
    assert isinstance(none, LabelsAnswer)
    assert none.labels == []
    assert main(["evaluate", str(done.run), "--data", str(test), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == pytest.approx(done.metrics["test"])
    assert main(["predict", str(done.run), str(test), "--out", str(tmp_path / "a.csv")]) == 0
    assert "animal|" in (tmp_path / "a.csv").read_text()

    import transformers

    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(done.run / "best")
    assert theirs.config.problem_type == "multi_label_classification"
    theirs.save_pretrained(tmp_path / "other")
    transformers.AutoTokenizer.from_pretrained(done.run / "best").save_pretrained(tmp_path / "other")
    foreign = bw.load(tmp_path / "other").predict(["we saw the cat and some gold"])[0]
    assert isinstance(foreign, LabelsAnswer)
    assert list(foreign.scores.values()) == pytest.approx(list(both.scores.values()), abs=1e-5)
