"""Intent and slots: losses as torch has them, a run that learns both, scores by hand, a class training never saw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import bertworks as bw
from bertworks.base.errors import BertworksError
from bertworks.cli.main import main
from bertworks.finetune.run import finetune
from bertworks.read.tables import parse_table
from bertworks.tasks.infer import TagWishes, infer_task
from bertworks.tasks.intent_slots import FrameAnswer, FrameTask
from bertworks.tasks.known import task_from_settings
from bertworks.tasks.tagging import TagAnswer
from bertworks.text.tokenizer import Tokenizer
from finetune_support import KINDS, model_folder, toy_recipe, toy_rows, vocabulary


def frames(number: int, seed: int = 0) -> list[dict[str, object]]:
    """The kind of thing a text speaks of as its class, the thing itself as a slot."""
    rows = []
    for one in toy_rows(number, seed=seed):
        tokens = one["text"].split()
        tags = ["B-thing" if any(token in kind for kind in KINDS.values()) else "O" for token in tokens]
        rows.append({"tokens": tokens, "tags": tags, "intent": one["label"]})
    return rows


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def told(rows: list[dict[str, object]]) -> FrameTask:
    found = infer_task(parse_table("".join(json.dumps(row) + "\n" for row in rows).encode(), "x.jsonl"))
    assert found.because == "words, tags, and a class in `intent`"
    assert isinstance(found.task, FrameTask)
    return found.task


def test_loss_is_that_of_both_heads(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(vocabulary(tmp_path / "v"), lowercase=True)
    task, rows = told(frames(30)), frames(3, seed=4)
    assert task_from_settings(task.settings()) == task
    table = parse_table("".join(json.dumps(row) + "\n" for row in rows).encode(), "x.jsonl")
    windows = task.windows(table.rows, tokenizer, 40)
    assert task.loss_count(windows) == 3
    read = sum(len(window.places) for window in windows)
    assert read == 3 + sum(len(row["tokens"]) for row in table.rows)
    assert all(window.places[0] == 0 for window in windows)
    logits = torch.randn(read, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    wanted, at = torch.zeros(()), 0
    for row in table.rows:
        intent = torch.tensor(task.intents.names.index(row["label"]))
        tags = torch.tensor([task.slots.labels.names.index(tag) for tag in row["tags"]])
        wanted = wanted + functional.cross_entropy(logits[at, :3], intent)
        wanted = wanted + functional.cross_entropy(logits[at + 1 : at + 1 + len(tags), 3:], tags)
        at += 1 + len(tags)
    found = task.loss_sum(logits, task.targets(windows), task.weights(windows))
    torch.testing.assert_close(found, wanted)
    assert float(found.detach()) > 1


def test_a_run_learns_both_and_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = model_folder(tmp_path / "start", dropout=0.0)
    train, test = write(tmp_path / "train.jsonl", frames(120)), write(tmp_path / "test.jsonl", frames(40, seed=5))
    keys = {"train__steps": 90, "data__test": str(test), "train__evaluations": 1}
    done = finetune(toy_recipe(start, train, **keys), tmp_path / "run")
    figures = done.metrics["test"]
    assert list(figures) == ["frame_accuracy", "f1", "precision", "recall", "f1_exact", "accuracy"]
    assert figures["frame_accuracy"] > 0.7
    assert figures["frame_accuracy"] > done.content["floors"]["word"]["test"]["frame_accuracy"] > 0
    answer = bw.load(done.run).predict(["we saw the cat"])[0]
    assert isinstance(answer, FrameAnswer)
    said = answer.to_json()
    assert list(said) == ["label", "score", "scores", "tokens", "tags", "entities"]
    assert said["label"] == "animal"
    assert said["entities"][0]["text"] == "cat"
    assert main(["predict", str(done.run), str(test), "--out", str(tmp_path / "a.csv")]) == 0
    header = (tmp_path / "a.csv").read_text().splitlines()[0]
    assert header == "intent,tokens,tags,prediction,probability,predicted_tags,entities"
    assert main(["evaluate", str(done.run), "--data", str(test), "--json"]) == 0
    again = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert again == pytest.approx(figures)
    unseen = [{**frames(1)[0], "intent": "never"}, *frames(39, seed=5)]
    assert main(["evaluate", str(done.run), "--data", str(write(tmp_path / "u.jsonl", unseen)), "--json"]) == 0
    less = json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]
    assert less["accuracy"] <= 39 / 40


def test_scores_by_hand() -> None:
    task = told(frames(30))
    rows = [{"tokens": ["a", "cat"], "tags": ["O", "B-thing"], "label": "animal"}] * 4

    def said(label: str, *tags: str) -> FrameAnswer:
        return FrameAnswer(label, 1.0, {}, TagAnswer(["a", "cat"], [(0, 1), (2, 5)], "a cat", list(tags), [1.0, 1.0]))

    answers = [said("animal", "O", "B-thing"), said("metal", "O", "B-thing"), said("animal", "O", "O"),
               said("metal", "O", "O")]  # fmt: skip
    found = task.score(answers, rows)
    assert found["frame_accuracy"] == 0.25
    assert found["accuracy"] == 0.5
    assert (found["precision"], found["recall"]) == (1.0, 0.5)
    assert np.unique(task.confused(answers, rows)[0]).tolist() == ["animal"]


def test_what_cannot_be() -> None:
    rows = [{**row, "intent": "one"} for row in frames(20)]
    with pytest.raises(BertworksError, match="one class only, `one`"):
        told(rows)
    table = parse_table("".join(json.dumps(row) + "\n" for row in frames(20)).encode(), "x.jsonl")
    with pytest.raises(BertworksError, match="decoder `crf` is of tags alone"):
        infer_task(table, tags=TagWishes(decoder="crf"))
    assert infer_task(table, "tag").task.name == "tag"
