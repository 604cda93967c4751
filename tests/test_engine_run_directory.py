"""A run's folder: begun, gone on with, finished, and refused with a sentence."""

import json
import math
import os
from pathlib import Path

import pytest
import torch

from bertworks.base import files
from bertworks.base.errors import BertworksError
from bertworks.engine.checkpoint import save_checkpoint
from bertworks.engine.curves import draw_curves
from bertworks.engine.run_directory import RunDirectory, read_metrics
from faults import CountedFault

RECIPE = "[train]\nlr = 0.001\nsteps = 10\n\n[machine]\nthreads = 2\n"


def test_begin_go_on_finish(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    run = RunDirectory.open(out, RECIPE)
    assert (out / "recipe.toml").read_text() == RECIPE
    assert json.loads((out / "environment.json").read_text())["torch"] == torch.__version__
    assert run.latest() is None
    assert not run.is_finished
    with pytest.raises(BertworksError, match="another process is training there"):
        RunDirectory.open(out, RECIPE)
    with pytest.raises(BertworksError, match="another process is training there"):
        RunDirectory.open(out, RECIPE, overwrite=True)
    run.close()
    again = RunDirectory.open(out, RECIPE)
    assert again.path == out
    again.finish({"steps": 10})
    assert again.is_finished
    again.close()
    with pytest.raises(BertworksError, match="this run is finished") as caught:
        RunDirectory.open(out, RECIPE)
    assert "--overwrite" in caught.value.hint
    fresh = RunDirectory.open(out, RECIPE, overwrite=True)
    assert not fresh.is_finished
    assert sorted(os.listdir(out)) == ["environment.json", "recipe.toml"]


def test_another_recipe_is_refused_by_its_keys_and_another_machine_is_not(tmp_path: Path) -> None:
    RunDirectory.open(tmp_path / "run", RECIPE).close()
    RunDirectory.open(tmp_path / "run", RECIPE.replace("threads = 2", "threads = 1")).close()
    other = RECIPE.replace("0.001", "0.002").replace("steps = 10", "tokens = 10")
    with pytest.raises(BertworksError, match=r"another recipe; `train.lr`, `train.steps`, `train.tokens` differ"):
        RunDirectory.open(tmp_path / "run", other)
    assert (tmp_path / "run" / "recipe.toml").read_text() == RECIPE


def test_a_folder_with_something_else_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    with pytest.raises(BertworksError, match="exists already"):
        RunDirectory.open(tmp_path / "run", RECIPE)
    assert os.listdir(tmp_path / "run") == ["thesis.tex"]
    RunDirectory.open(tmp_path / "begun", RECIPE).close()
    with pytest.raises(BertworksError, match="exists already"):
        RunDirectory.open(tmp_path / "begun", RECIPE, resume=False)
    with pytest.raises(BertworksError, match=r"holds `thesis.tex` and none of recipe.toml, so it is no old output"):
        RunDirectory.open(tmp_path / "run", RECIPE, overwrite=True)
    (tmp_path / "begun" / "train.csv").touch()
    with pytest.raises(BertworksError, match=r"holds .*train.csv, which is to be read"):
        RunDirectory.open(tmp_path / "begun", RECIPE, overwrite=True, reads=[tmp_path / "begun" / "train.csv"])
    assert os.listdir(tmp_path / "run") == ["thesis.tex"]


def test_a_death_while_the_folder_is_begun_does_not_block_it(tmp_path: Path) -> None:
    """At every write, fsync and rename of the opening a process dies; the same call then begins or goes on."""
    at, code = 0, 9
    while code == 9:
        at += 1
        out = tmp_path / f"run{at}"
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                CountedFault(patch, at, lambda: os._exit(9))
                RunDirectory.open(out, RECIPE)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        RunDirectory.open(out, RECIPE).close()
        assert sorted(os.listdir(out)) == ["environment.json", "recipe.toml"], at
    assert at > 6, "two files were written, made durable and renamed"


def test_what_killed_saves_left_is_cleared_on_going_on(tmp_path: Path) -> None:
    run = RunDirectory.open(tmp_path / "run", RECIPE)
    save_checkpoint(run.path, 3, {"a": torch.ones(1)}, {"b": torch.ones(1)}, {})
    dead = os.fork()
    if dead == 0:
        (run.path / "checkpoints" / files.path_beside(run.path / "checkpoints" / "2").name).mkdir()
        os._exit(0)
    os.waitpid(dead, 0)
    assert len(os.listdir(run.path / "checkpoints")) == 2
    run.close()
    latest = RunDirectory.open(run.path, RECIPE).latest()
    assert latest is not None
    assert latest.state["step"] == 3
    assert os.listdir(run.path / "checkpoints") == ["3"]


def test_metrics_are_recorded_and_rewound(tmp_path: Path) -> None:
    run = RunDirectory.open(tmp_path / "run", RECIPE)
    run.rewind(0)
    for step in (2, 4, 6):
        run.record({"step": step, "loss": 1 / step})
    run.record({"step": 6, "split": "heldout", "loss": math.inf, "path": Path("x")})
    with (run.path / "metrics.jsonl").open("a") as handle:
        handle.write('{"step": 8, "lo')  # a line that a kill cut
    assert [line["step"] for line in run.metrics()] == [2, 4, 6, 6]
    assert run.metrics()[-1] == {"step": 6, "split": "heldout", "loss": None, "path": "x"}, "JSON has no infinity"
    run.rewind(4)
    run.record({"step": 5, "loss": 0.0})
    assert [line["step"] for line in run.metrics()] == [2, 4, 5]
    assert run.metrics()[0]["loss"] == 0.5
    run.rewind(0)
    assert list(read_metrics(run.path / "metrics.jsonl")) == []


def test_curves_are_a_picture_with_or_without_points(tmp_path: Path) -> None:
    lines = [{"step": 1, "mlm_loss": 5.0}, {"step": 2, "mlm_loss": None}]
    lines.append({"step": 2, "split": "heldout", "mlm_loss": 4})
    draw_curves(lines, tmp_path / "a.png", names=["mlm_loss", "nsp_loss"], title="t", floor=4.5)
    draw_curves([], tmp_path / "b.png", names=["mlm_loss"], title="t")
    for name in "ab":
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
