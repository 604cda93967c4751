"""Runs that learn nothing: told from their evaluations, begun again, said; resumed in the attempt they were in."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest

from bertworks.finetune import run as run_module
from bertworks.finetune.collapse import RESTARTS_FILE, collapse
from bertworks.finetune.run import finetune
from bertworks.tasks.labels import Labels
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.task import Task
from finetune_support import model_folder, toy_recipe, toy_rows, write_rows

TASK = SentenceTask("classify", pair=False, labels=Labels(("a", "b"), {}, (75, 25)))
ENTROPY = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))


def line(loss: float | None, said: int, step: int = 200) -> dict[str, object]:
    return {"step": step, "split": "dev", "loss": loss, "labels_said": said}


def test_one_label_and_nothing_learnt_is_a_collapse() -> None:
    told = collapse([{"step": 1, "loss": 0.1}, line(ENTROPY, 1), line(None, 1)], TASK)
    assert told is not None
    assert f"{ENTROPY:.3f}" in told
    assert collapse([line(ENTROPY, 1), line(ENTROPY, 2)], TASK) is None, "once it told the classes apart"
    assert collapse([line(0.9 * ENTROPY, 1)], TASK) is None, "it knows more than how frequent they are"
    assert collapse([], TASK) is None
    assert collapse([line(ENTROPY, 1, step=60)], TASK) is None, "it has hardly begun"
    tags = Labels(("B-X", "O"), {}, (1, 3))
    kinds: tuple[Task, ...] = (TagTask(tags), TagTask(tags, decoder="crf"), SentenceTask("score", pair=False))
    assert [collapse([line(1.0, 1)], task) is None for task in kinds] == [False, True, True]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("collapse")
    model_folder(folder / "start")
    write_rows(folder / "train.csv", toy_rows(100))
    return folder


def test_a_run_begins_again_twice_and_says_so(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A rate far too high drives every row to one class."""
    keys = {"train__steps": 100, "train__evaluations": 1, "train__lr": 3.0, "train__warmup": 0.0}
    with caplog.at_level(logging.WARNING, "bertworks"):
        done = finetune(toy_recipe(place / "start", place / "train.csv", **keys), place / "high")
    assert [round(one["lr"], 3) for one in done.content["restarts"]] == [3.0, 1.5]
    assert len({one["seed"] for one in done.content["restarts"]}) == 2
    assert "one label" in done.content["collapsed"]
    assert sum("begins again" in message for message in caplog.messages) == 2
    assert any("say nothing of what the data can teach" in message for message in caplog.messages)
    alone = finetune(toy_recipe(place / "start", place / "train.csv", **keys, train__restarts=0), place / "alone")
    assert alone.content["restarts"] == []
    assert alone.content["collapsed"]


def test_a_restart_learns_and_a_kill_keeps_its_attempt(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"train__steps": 20, "train__evaluations": 1, "train__checkpoint_every": 6}
    recipe = toy_recipe(place / "start", place / "train.csv", **keys)
    first = finetune(recipe, place / "plain")
    assert (first.content["restarts"], first.content["collapsed"]) == ([], None)
    asked: list[int] = []

    def once(metrics: object, task: Task) -> str | None:
        asked.append(1)
        return "said by a test" if len(asked) == 1 else None

    monkeypatch.setattr(run_module, "collapse", once)
    again = finetune(recipe, place / "again")
    assert [one["why"] for one in again.content["restarts"]] == ["said by a test"]
    assert again.content["metrics"] != first.content["metrics"] or weights(again.run) != weights(first.run)
    steps = [json.loads(each)["step"] for each in (place / "again" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps), "only the last attempt is in the metrics"

    asked.clear()
    real = run_module.save

    def cut(*args: object) -> None:
        real(*args)  # type: ignore[arg-type]
        if (place / "cut" / RESTARTS_FILE).exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_module, "save", cut)
        finetune(recipe, place / "cut")
    resumed = finetune(recipe, place / "cut")
    assert resumed.content["metrics"] == again.content["metrics"]
    assert weights(resumed.run) == weights(again.run)


def test_a_study_keeps_the_seeds_that_were_asked_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def first_seed(metrics: object, task: Task) -> str | None:
        asked.append(1)
        return "said by a test" if len(asked) <= 2 else None

    monkeypatch.setattr(run_module, "collapse", first_seed)
    keys = {"train__steps": 8, "train__evaluations": 1, "train__seeds": 2, "train__restarts": 1}
    done = finetune(toy_recipe(place / "start", place / "train.csv", **keys), place / "study")
    assert [entry["seed"] for entry in done.content["seeds"]] == [0, 1]
    assert [len(entry["restarts"]) for entry in done.content["seeds"]] == [1, 0]
    assert done.content["collapsed"] == "1 of 2 seeds learnt nothing: 0"
    assert [one["seed"] for one in done.content["restarts"]] == [0]
    assert done.content["best_seed"] in (0, 1)
    assert (place / "study" / "best" / "config.json").is_file()


def weights(run: Path) -> bytes:
    return (run / "last" / "model.safetensors").read_bytes()
