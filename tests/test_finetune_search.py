"""A search of settings: it goes on after a kill to the same trials, prunes, and opens the test file once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bertworks.base.errors import BertworksError
from bertworks.base.recipe import load
from bertworks.cli.main import main
from bertworks.finetune import run as run_module
from bertworks.finetune import search as search_module
from bertworks.finetune.outcome import FinetuneResult
from bertworks.finetune.pruning import Pruned
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.run import finetune
from bertworks.finetune.search import search
from bertworks.finetune.search_space import SPACES, Range, Space, from_file, read_space
from bertworks.finetune.state import save
from bertworks.finetune.trials import PARTS, STARTUP, WARMUP, Trials
from bertworks.predict.directory import load_model
from bertworks.predict.evaluate import evaluate_table
from bertworks.read.tables import read_table
from finetune_support import model_folder, toy_recipe, toy_rows, write_rows

SPACE = Space("toy", "tpe", {"train.lr": Range(1e-4, 2e-2, log=True), "train.batch_size": (4, 8)})
GRID = Space("grid", "grid", {"train.lr": (1e-3, 2e-2), "train.batch_size": (4, 8)})


class Cut(BaseException):
    """A kill."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    model_folder(folder / "start", dropout=0.0)
    write_rows(folder / "train.csv", toy_rows(60))
    write_rows(folder / "test.csv", toy_rows(30, seed=9))
    return folder


def recipe_of(place: Path, **keys: object) -> FinetuneRecipe:
    given = {"train__lr": None, "train__batch_size": None, "train__steps": 6, "data__dev_share": 0.4, **keys}
    return toy_recipe(place / "start", place / "train.csv", **given)


@pytest.fixture(scope="module")
def done(place: Path) -> FinetuneResult:
    """One search, looked at by many tests."""
    recipe = recipe_of(place, data__test=str(place / "test.csv"), train__checkpoint_every=2)
    return search(recipe, place / "done", trials=3, space=SPACE)


def trials_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.items() if name != "seconds"} for one in content["trials"]]


def test_the_best_trial_by_dev_is_kept_and_alone_sees_the_test_file(done: FinetuneResult, place: Path) -> None:
    content = done.content
    values = [one["value"] for one in content["trials"]]
    assert len({one["params"]["train.lr"] for one in content["trials"]}) == 3
    assert content["best_trial"] == values.index(max(values))
    best = done.run / f"trial-{content['best_trial']:03d}"
    assert (done.run / "best" / "model.safetensors").read_bytes() == (best / "best" / "model.safetensors").read_bytes()
    for number in range(3):
        folder = done.run / f"trial-{number:03d}"
        assert set(json.loads((folder / "result.json").read_text())["metrics"]) == {"dev"}
        assert 'test = "none"' in (folder / "recipe.toml").read_text()
    scored = evaluate_table(load_model(done.run), read_table(place / "test.csv"))
    assert content["metrics"]["test"] == scored.metrics
    assert len((done.run / "predictions-test.jsonl").read_text().splitlines()) == 30


def test_best_toml_repeats_the_best_trial(done: FinetuneResult, tmp_path: Path) -> None:
    again = finetune(load(FinetuneRecipe, done.run / "best.toml"), tmp_path / "again")
    assert again.metrics == done.metrics


def test_a_search_cut_short_goes_on_to_the_same_trials(
    done: FinetuneResult, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(place, data__test=str(place / "test.csv"), train__checkpoint_every=2)
    saves, begun = [], []

    def fourth_save_stops(*given: Any) -> None:
        saves.append(1)
        if len(saves) == 4:  # each trial saves at 2 and 4: this is the second trial's second
            raise Cut
        save(*given)

    def counted(*given: Any, **more: Any) -> Any:
        begun.append(given[1].name)
        return finetune(*given, **more)

    monkeypatch.setattr(search_module, "finetune", counted)
    monkeypatch.setattr(run_module, "save", fourth_save_stops)
    with pytest.raises(Cut):
        search(recipe, tmp_path / "run", trials=3, space=SPACE)
    monkeypatch.setattr(run_module, "save", save)
    found = search(recipe, tmp_path / "run", trials=3, space=SPACE).content
    assert begun == ["trial-000", "trial-001", "trial-001", "trial-002"], "a finished trial is not run again"
    assert trials_of(found) == trials_of(done.content)
    assert found["metrics"] == done.content["metrics"]


def test_a_trial_that_ended_before_the_study_knew_is_not_run_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(place, train__steps=2)

    def stop(*given: Any, **more: Any) -> None:
        raise Cut

    with monkeypatch.context() as patched, pytest.raises(Cut):
        patched.setattr(Trials, "complete", stop)
        search(recipe, tmp_path / "run", trials=1, space=SPACE)
    assert (tmp_path / "run" / "trial-000" / "result.json").exists()
    monkeypatch.setattr(search_module, "finetune", stop)
    found = search(recipe, tmp_path / "run", trials=1, space=SPACE)
    assert [one["state"] for one in found.content["trials"]] == ["complete"]
    with pytest.raises(BertworksError, match=r"this run is finished"):
        search(recipe, tmp_path / "run", trials=1, space=SPACE)
    with pytest.raises(Cut):  # more trials than were made: it goes on
        search(recipe, tmp_path / "run", trials=2, space=SPACE)
    with pytest.raises(BertworksError, match=r"begun with another recipe; `search.sampler`"):
        search(recipe, tmp_path / "run", trials=2, space=GRID)


def test_no_trial_is_begun_when_the_time_is_over(place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = recipe_of(place, train__steps=2)
    with caplog.at_level("WARNING"):
        found = search(recipe, tmp_path / "run", trials=2, space=SPACE, timeout_minutes=1e-6)
    assert len(found.content["trials"]) == 1
    assert "minutes are over after 1 of 2 trials" in caplog.text
    assert len(search(recipe, tmp_path / "run", trials=2, space=SPACE).content["trials"]) == 2, "it goes on"


def test_a_grid_is_tried_once_each_and_ends(tmp_path: Path) -> None:
    def tried(cut_at: int, name: str) -> list[tuple[float, int]]:
        points = []
        for first, last in ((0, cut_at), (cut_at, 4)):
            study = Trials(tmp_path / name, GRID, 3)
            for number in range(first, last):
                params = study.begin(number)
                points.append((params["train.lr"], params["train.batch_size"]))
                study.complete(number, result(number / 10))
            study.close()
        return points

    points = tried(4, "whole.db")
    assert sorted(points) == [(1e-3, 4), (1e-3, 8), (2e-2, 4), (2e-2, 8)]
    assert points == tried(2, "cut.db")
    assert SPACES["paper"].size == 18


def result(value: float) -> dict[str, Any]:
    return {"mean": {"dev": {"accuracy": value}}, "metric": "accuracy", "seconds": 1.0, "best_step": 1}


def test_the_median_rule_compares_equal_shares_of_runs_of_different_length(tmp_path: Path) -> None:
    study = Trials(tmp_path / "study.db", SPACE, 0)
    for number in range(STARTUP):
        study.begin(number)
        report = study.report_of(number)
        steps = 40 + 20 * number
        for step in range(5, steps + 1, 5):
            report(step, steps, number / 10 + step / steps / 100)
        study.complete(number, result(number / 10))
    study.begin(STARTUP)
    report = study.report_of(STARTUP)
    report(100 * WARMUP // PARTS - 10, 100, 0.0)
    with pytest.raises(Pruned):  # the median is 0.2
        report(100 * WARMUP // PARTS, 100, 0.1)
    study.end(STARTUP, "pruned", "")
    study.begin(STARTUP + 1)
    good = study.report_of(STARTUP + 1)
    for step in range(10, 101, 30):
        good(step, 100, 0.3)
    study.close()
    told = Trials(tmp_path / "study.db", SPACE, 0)
    assert [one["state"] for one in told.told()] == ["complete"] * STARTUP + ["pruned", "running"]
    assert told.told()[STARTUP]["value"] == 0.1
    told.close()


def test_a_pruned_trial_leaves_no_folder(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report_of, calls = Trials.report_of, []

    def second_is_pruned(self: Trials, number: int) -> Any:
        report = report_of(self, number)

        def now(step: int, steps: int, value: float) -> None:
            calls.append((number, step, steps))
            report(step, steps, value)
            if number == 1:
                raise Pruned

        return now

    monkeypatch.setattr(Trials, "report_of", second_is_pruned)
    found = search(recipe_of(place, train__evaluations=3), tmp_path / "run", trials=2, space=SPACE)
    assert [one["state"] for one in found.content["trials"]] == ["complete", "pruned"]
    assert (tmp_path / "run" / "trial-000").is_dir()
    assert not (tmp_path / "run" / "trial-001").exists()
    assert max(step for number, step, _ in calls if number == 1) < 6, "it ended early"
    assert any(step == steps for number, step, steps in calls if number == 0)


def test_spaces_are_read_and_checked(place: Path, tmp_path: Path) -> None:
    recipe = recipe_of(place)

    def space(text: str) -> Space:
        (tmp_path / "space.toml").write_text(text)
        return read_space(str(tmp_path / "space.toml"), recipe)

    found = space('[train]\nlr = {low = 1e-5, high = 1e-3, log = true}\n[model]\npooling = ["cls", "mean"]\n')
    assert found.tried == {"train.lr": Range(1e-5, 1e-3, log=True), "model.pooling": ("cls", "mean")}
    for text, message in (
        ("[train]\nlearning = [1]\n", r"unknown key `train.learning`"),
        ("[train]\nseed = [1, 2]\n", r"`train.seed` is no setting to search for"),
        ("[train]\nlr = [-1.0]\n", r"must be above 0|above 0"),
        ("[train]\nlr = {low = 2, high = 1}\n", r"is no range from low to high"),
        ('sampler = "grid"\n[train]\nlr = {low = 1e-5, high = 1e-3}\n', r"a grid has lists"),
        ("[train]\nlr = 3e-5\n", r"neither a list nor a range"),
        ("lr = [3e-5]\n", r"`lr` is in no section"),
        ("", r"names no setting"),
        ("[train\n", r"not TOML"),
    ):
        with pytest.raises(BertworksError, match=message):
            space(text)
    with pytest.raises(BertworksError, match=r"no such space of settings"):
        from_file(tmp_path / "none.toml")
    with pytest.raises(BertworksError, match=r"chooses by dev, and there is none"):
        search(recipe_of(place, data__dev_share=0.0), tmp_path / "run", trials=1, space=SPACE)
    assert not (tmp_path / "run").exists()


def test_the_command_prints_trials_the_best_first(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.toml").write_text('sampler = "grid"\n[train]\nlr = [1e-6, 2e-2]\n')
    words = ["search", "--model", str(place / "start"), "--train", str(place / "train.csv"), "--steps", "20"]
    more = ["--out", str(tmp_path / "run"), "--trials", "9", "--space", str(tmp_path / "space.toml"), "--threads", "1"]
    assert main([*words, *more, "--test", str(place / "test.csv"), "--quiet"]) == 0
    shown = capsys.readouterr().out.splitlines()
    content = json.loads((tmp_path / "run" / "result.json").read_text())
    assert len(content["trials"]) == 2, "the grid has two points"
    assert shown[2].split()[0] == str(content["best_trial"])
    assert any("test, opened once, by the best trial" in line for line in shown)


def test_without_optuna_one_sentence_says_what_to_install(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "bertworks.finetune.trials")
    monkeypatch.setitem(sys.modules, "optuna", None)
    words = ["search", "--model", str(place / "start"), "--train", str(place / "train.csv")]
    assert main([*words, "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert 'pip install "bertworks[hpo]"' in told
    assert not (tmp_path / "run").exists()
