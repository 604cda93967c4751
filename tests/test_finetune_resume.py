"""A run that was cut short goes on to the numbers of the run that was not."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from bertworks.base.errors import BertworksError
from bertworks.base.recipe import to_toml
from bertworks.engine.checkpoint import checkpoints, load_checkpoint
from bertworks.finetune import evaluate as evaluate_module
from bertworks.finetune import network as network_module
from bertworks.finetune import outcome as outcome_module
from bertworks.finetune import run as run_module
from bertworks.finetune.batches import MicroBatch
from bertworks.finetune.evaluate import mean_loss
from bertworks.finetune.objective import Objective
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.run import finetune
from bertworks.finetune.state import save
from bertworks.predict.directory import load_model
from bertworks.tasks.task import Task, Window
from finetune_support import model_folder, toy_recipe, toy_rows, write_rows

SECONDS = ("seconds", "tokens_per_second")


class Cut(Exception):
    """The machine stopped."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    model_folder(folder / "start")
    write_rows(folder / "train.csv", toy_rows(100))
    return folder


def recipe_of(place: Path, **keys: object) -> FinetuneRecipe:
    keys = {"train__steps": 40, "train__evaluations": 2, "train__checkpoint_every": 7} | keys
    return toy_recipe(place / "start", place / "train.csv", **keys)


def numbers_of(run: Path) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, bytes]]:
    """Everything a run says, without what the clock says, and the weights."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    result = json.loads((run / "result.json").read_text())
    for told in (*lines, result):
        for name in SECONDS:
            told.pop(name, None)
    result.pop("contract")
    result.pop("command")
    weights = {name: (run / name / "model.safetensors").read_bytes() for name in ("best", "last")}
    return lines, result, weights


@pytest.fixture(scope="module")
def unbroken(place: Path) -> Path:
    return finetune(recipe_of(place), place / "unbroken").run


@pytest.mark.parametrize("saves", [1, 2, 4])
def test_a_run_cut_after_a_checkpoint_ends_with_equal_numbers(
    place: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    done = []

    def save_then_stop(*given: Any) -> None:
        if len(done) == saves:
            raise Cut  # some updates after the last checkpoint, before the next
        save(*given)
        done.append(1)

    monkeypatch.setattr(run_module, "save", save_then_stop)
    with pytest.raises(Cut):
        finetune(recipe_of(place), tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()
    assert sorted(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir())[-1] == 7 * saves
    monkeypatch.setattr(run_module, "save", save)
    finetune(recipe_of(place), tmp_path / "run")
    assert numbers_of(tmp_path / "run") == numbers_of(unbroken)


def test_a_run_cut_before_its_first_checkpoint_begins_again(
    place: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: Any) -> None:
        raise Cut

    monkeypatch.setattr(run_module, "save", stop)
    with pytest.raises(Cut):
        finetune(recipe_of(place), tmp_path / "run")
    monkeypatch.setattr(run_module, "save", save)
    finetune(recipe_of(place), tmp_path / "run")
    assert numbers_of(tmp_path / "run") == numbers_of(unbroken)


def test_equal_numbers_are_not_all_numbers(place: Path, unbroken: Path, tmp_path: Path) -> None:
    other = finetune(recipe_of(place, train__seed=1), tmp_path / "run").run
    assert numbers_of(other)[0] != numbers_of(unbroken)[0]
    assert numbers_of(other)[2] != numbers_of(unbroken)[2]


def test_changed_rows_and_changed_recipes_are_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "train.csv", toy_rows(100))
    recipe = toy_recipe(place / "start", rows, train__checkpoint_every=5)
    cut_after_first_save(monkeypatch, recipe, tmp_path / "run")
    write_rows(rows, toy_rows(100, seed=3))
    with pytest.raises(BertworksError, match="the data changed since this run began"):
        finetune(recipe, tmp_path / "run")
    write_rows(rows, toy_rows(100))
    other = toy_recipe(place / "start", rows, train__checkpoint_every=5, train__weight_decay=0.5)
    with pytest.raises(BertworksError, match=r"another recipe; `train.weight_decay` differ"):
        finetune(other, tmp_path / "run")
    with pytest.raises(BertworksError, match="exists already"):
        finetune(recipe, tmp_path / "run", resume=False)
    machine = toy_recipe(place / "start", rows, train__checkpoint_every=5, machine__micro_tokens=100)
    assert finetune(machine, tmp_path / "run").content["steps"] == 24, "the machine may be another one"


def cut_after_first_save(monkeypatch: pytest.MonkeyPatch, recipe: FinetuneRecipe, out: Path) -> None:
    def save_and_stop(*given: Any) -> None:
        save(*given)
        raise Cut

    monkeypatch.setattr(run_module, "save", save_and_stop)
    with pytest.raises(Cut):
        finetune(recipe, out)
    monkeypatch.setattr(run_module, "save", save)


def child(recipe: FinetuneRecipe, out: Path) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    path = out.with_suffix(".toml")
    path.write_text(to_toml(recipe), encoding="utf-8")
    words = [sys.executable, "-m", "bertworks", "finetune", str(path), "--out", str(out)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})


def wait_for(condition: Any, process: subprocess.Popen[str], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < end, "the child did not get there"
        time.sleep(0.002)
    assert process.poll() is None, "the child was done before it could be stopped"


@pytest.mark.slow  # three processes that load torch
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_goes_on_to_the_same_numbers(place: Path, tmp_path: Path, how: signal.Signals) -> None:
    recipe = recipe_of(place, train__steps=160)
    expected = numbers_of(finetune(recipe, tmp_path / "unbroken").run)
    out = tmp_path / "run"
    with child(recipe, out) as process:
        wait_for(lambda: (out / "checkpoints" / "14").is_dir(), process)
        process.send_signal(how)
        _, told = process.communicate(timeout=60)
    assert process.returncode == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    if how == signal.SIGTERM:
        assert "stopped by SIGTERM" in told
        assert "the same command goes on from there" in told
    assert not (out / "result.json").exists()
    with child(recipe, out) as process:
        printed, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "going on from update" in told
    assert "accuracy" in printed
    assert numbers_of(out) == expected


def test_an_unfinished_study_goes_on_with_the_seed_it_was_at(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = toy_recipe(
        place / "start", place / "train.csv", train__steps=10, train__seeds=2, train__checkpoint_every=4
    )
    expected = finetune(recipe, tmp_path / "unbroken").content
    saves = []

    def third_save_stops(*given: Any) -> None:
        saves.append(1)
        if len(saves) == 4:  # in the second seed: the first one saves at 4 and 8
            raise Cut
        save(*given)

    monkeypatch.setattr(run_module, "save", third_save_stops)
    with pytest.raises(Cut):
        finetune(recipe, tmp_path / "run")
    assert (tmp_path / "run" / "seed-0" / "result.json").exists()
    monkeypatch.setattr(run_module, "save", save)
    with caplog.at_level(logging.INFO, "bertworks"):
        found = finetune(recipe, tmp_path / "run").content
    assert "going on from update 4" in caplog.text
    assert found["seeds"] == expected["seeds"]
    assert found["mean"] == expected["mean"]


def test_an_unfinished_study_does_not_mix_seeds_of_two_sets_of_rows(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(tmp_path / "train.csv", toy_rows(60))
    recipe = toy_recipe(place / "start", rows, train__steps=4, train__seeds=2)
    real, done = run_module.train_step, []

    def sixth_update_stops(*given: Any, **settings: Any) -> Any:
        done.append(1)
        if len(done) == 6:  # the second one of the second seed, which has no checkpoint yet
            raise Cut
        return real(*given, **settings)

    monkeypatch.setattr(run_module, "train_step", sixth_update_stops)
    with pytest.raises(Cut):
        finetune(recipe, tmp_path / "run")
    assert [(tmp_path / "run" / f"seed-{seed}" / "result.json").exists() for seed in (0, 1)] == [True, False]
    write_rows(rows, toy_rows(60, seed=3))
    with pytest.raises(BertworksError, match="seed-0: the data changed since this seed was trained") as refused:
        finetune(recipe, tmp_path / "run")
    assert "restore the data" in refused.value.hint
    assert not (tmp_path / "run" / "result.json").exists()
    write_rows(rows, toy_rows(60))
    assert [entry["seed"] for entry in finetune(recipe, tmp_path / "run").content["seeds"]] == [0, 1]
    assert len(done) == 6 + 4, "the first seed is not trained again"


def test_a_death_after_result_json_leaves_a_finished_run(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = toy_recipe(place / "start", place / "train.csv", train__steps=5, train__checkpoint_every=2)

    def die(path: Path) -> None:
        raise Cut

    monkeypatch.setattr(outcome_module, "remove", die)
    with pytest.raises(Cut):
        finetune(recipe, tmp_path / "run")
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["2", "4"], "it died before they were removed"
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == 5
    with pytest.raises(BertworksError, match="this run is finished"):
        finetune(recipe, tmp_path / "run")
    assert load_model(tmp_path / "run").path.name == "best"


class Poisoned(Objective):
    """Losses that are not a number at some updates."""

    updates: tuple[int, ...] = ()

    def __call__(self, batch: MicroBatch, scales: Mapping[str, float]) -> dict[str, Tensor]:
        found = super().__call__(batch, scales)
        return {name: loss * math.nan for name, loss in found.items()} if self.step in self.updates else found


def poison(monkeypatch: pytest.MonkeyPatch, *updates: int) -> None:
    monkeypatch.setattr(network_module, "Objective", Poisoned)
    monkeypatch.setattr(Poisoned, "updates", updates)


def saved_state(run: Path) -> dict[str, Any]:
    """What the newest checkpoint says of the run."""
    state: dict[str, Any] = load_checkpoint(checkpoints(run)[-1]).state["state"]
    return state


def training_lines(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "split" not in line]


def test_a_run_cut_after_an_update_was_left_out_ends_with_equal_numbers(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = toy_recipe(place / "start", place / "train.csv", train__steps=20, train__checkpoint_every=5)
    poison(monkeypatch, 3, 11)
    finetune(recipe, tmp_path / "unbroken")
    cut_after_first_save(monkeypatch, recipe, tmp_path / "run")
    state = saved_state(tmp_path / "run")
    assert state["step"] == 5
    assert state["bad_steps"] == 0
    assert [np.isfinite(pair).all() for pair in state["recent"]] == [True] * 4, "the fourth of five was left out"
    finetune(recipe, tmp_path / "run")
    assert numbers_of(tmp_path / "run") == numbers_of(tmp_path / "unbroken")
    assert json.loads((tmp_path / "run" / "bad-samples.json").read_text())["step"] == 11
    lines = training_lines(tmp_path / "run")
    assert [line["step"] for line in lines] == [10, 20]
    for line in lines:
        assert 0 < line["loss"] < 5
        assert 0 < line["grad_norm"] < 100


def test_updates_left_out_in_a_row_are_counted_over_a_resume(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = toy_recipe(
        place / "start", place / "train.csv", train__steps=9, train__checkpoint_every=5, train__log_every=1
    )
    poison(monkeypatch, 1, 3, 4, 5)
    cut_after_first_save(monkeypatch, recipe, tmp_path / "run")
    assert saved_state(tmp_path / "run")["bad_steps"] == 2
    lines = training_lines(tmp_path / "run")
    assert [line["loss"] is None for line in lines] == [False, True, False, True, True]
    assert [line["grad_norm"] is None for line in lines] == [False, True, False, True, True]
    with pytest.raises(BertworksError, match="3 updates in a row not finite, last at update 5") as stopped:
        finetune(recipe, tmp_path / "run")
    assert stopped.value.exit_code == 1
    poison(monkeypatch, 1, 3, 4)
    assert finetune(recipe, tmp_path / "run").content["steps"] == 9


def test_a_dev_loss_that_is_not_finite_is_saved_and_restored(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(task: Task, windows: Sequence[Window], logits: Sequence[np.ndarray]) -> float:
        return mean_loss(task, windows, [one * np.float32(math.nan) for one in logits])

    monkeypatch.setattr(evaluate_module, "mean_loss", spoilt)
    recipe = toy_recipe(
        place / "start", place / "train.csv", train__steps=9, train__evaluations=4, train__checkpoint_every=4
    )
    finetune(recipe, tmp_path / "unbroken")
    cut_after_first_save(monkeypatch, recipe, tmp_path / "run")
    state = saved_state(tmp_path / "run")
    assert state["best_step"] == 3, "it was judged before the checkpoint"
    assert state["best"][1] is None, "as JSON writes infinity"
    finetune(recipe, tmp_path / "run")
    assert numbers_of(tmp_path / "run") == numbers_of(tmp_path / "unbroken")
    lines, result, _ = numbers_of(tmp_path / "run")
    judged = [line for line in lines if line.get("split") == "dev"]
    assert [line["loss"] for line in judged] == [None, None, None]
    assert result["best_step"] == max(judged, key=lambda line: (line["accuracy"], -line["step"]))["step"]
