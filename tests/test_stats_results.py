"""result.json → metrics by seed; two runs compared on the seeds both have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertworks.base.errors import BertworksError
from bertworks.stats.results import compare_results, read_result


def write(folder: Path, accuracies: dict[int, float], **more: Any) -> Path:
    folder.mkdir()
    seeds = [
        {"seed": seed, "metrics": {"dev": {"accuracy": value, "mcc": value / 2}}} for seed, value in accuracies.items()
    ]
    (folder / "result.json").write_text(json.dumps({"task": "classify", "seeds": seeds, **more}))
    return folder


def test_a_run_is_read_by_folder_or_file(tmp_path: Path) -> None:
    run = write(tmp_path / "a", {0: 0.7, 1: 0.75, 2: 0.74})
    for path in (run, run / "result.json"):
        result = read_result(path)
        assert result.task == "classify"
        assert result.values("dev", "accuracy") == {0: 0.7, 1: 0.75, 2: 0.74}
        assert result.summary("dev")["mcc"].mean == pytest.approx(0.365)


def test_runs_are_compared_seed_by_seed(tmp_path: Path) -> None:
    a = read_result(write(tmp_path / "a", {0: 0.70, 1: 0.75, 2: 0.74}))
    b = read_result(write(tmp_path / "b", {2: 0.70, 1: 0.70, 5: 0.99}))
    found = compare_results(a, b, split="dev", metric="accuracy")
    assert (found.numbers, found.left_out) == ((1, 2), (0, 5))
    assert found.difference.differences == pytest.approx((0.05, 0.04))
    assert (found.a.mean, found.b.mean) == (pytest.approx(0.745), pytest.approx(0.7))


def test_runs_without_a_common_seed(tmp_path: Path) -> None:
    a, b = (read_result(write(tmp_path / name, {seed: 0.5})) for name, seed in (("a", 0), ("b", 1)))
    with pytest.raises(BertworksError, match=r"have no seed in common \(0 and 1\)"):
        compare_results(a, b, split="dev", metric="accuracy")


def test_names_that_are_not_there(tmp_path: Path) -> None:
    result = read_result(write(tmp_path / "a", {0: 0.5}))
    with pytest.raises(BertworksError, match="no metric `accuracy_` of `dev`") as caught:
        result.values("dev", "accuracy_")
    assert caught.value.hint == "did you mean `accuracy`?"
    with pytest.raises(BertworksError, match="no metrics of `test`"):
        result.values("test", "accuracy")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([], "not an object"),
        ({}, "`seeds` is no list"),
        ({"seeds": []}, "`seeds` is no list"),
        ({"seeds": [{"metrics": {}}]}, "has no `seed`"),
        ({"seeds": [{"seed": 0}]}, "seed 0 has no `metrics`"),
        ({"seeds": [{"seed": 0, "metrics": {"dev": {"accuracy": "high"}}}]}, "'high', not a number"),
        ({"seeds": [{"seed": 0, "metrics": {"dev": {"accuracy": float("nan")}}}]}, "nan, not a number"),
        ({"seeds": [{"seed": 0, "metrics": {}}, {"seed": 0, "metrics": {}}]}, "seed 0 is there twice"),
    ],
)
def test_files_of_another_shape(tmp_path: Path, content: Any, what: str) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BertworksError, match=what):
        read_result(path)


def test_a_run_that_did_not_end(tmp_path: Path) -> None:
    with pytest.raises(BertworksError, match="no such file") as caught:
        read_result(tmp_path)
    assert "unfinished" in caught.value.hint
