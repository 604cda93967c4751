"""finetune, evaluate, predict and fill as typed: results on standard output, everything else on standard error."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from bertworks.cli.main import main
from conftest import Run
from finetune_support import model_folder, toy_rows, write_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A start, rows, and a run made by the command."""
    folder = tmp_path_factory.mktemp("commands")
    model_folder(folder / "start")
    write_rows(folder / "train.csv", toy_rows(60))
    write_rows(folder / "test.csv", toy_rows(30, seed=5))
    words = "finetune --model start --train train.csv --steps 20 --lr 5e-3 --batch-size 8 --threads 1 --out run --quiet"
    code = main([str(folder / word) if (folder / word).exists() or word == "run" else word for word in words.split()])
    assert code == 0
    return folder


def test_finetune_prints_a_table_and_what_to_try_next(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = place / "other"
    assert main(["finetune", "--model", str(place / "start"), "--train", str(place / "train.csv"), "--steps", "2",
                 "--test", str(place / "test.csv"), "--out", str(out)]) == 0  # fmt: skip
    printed = capsys.readouterr()
    for told in (
        "accuracy",
        "dev, most frequent label",
        "test, TF-IDF + logistic regression",
        f"bertworks predict {out}",
    ):
        assert told in printed.out
    for told in ("task: classify", "text <- column `text`", "2 updates"):
        assert told in printed.err
        assert told not in printed.out


def test_a_dry_run_prints_the_resolved_recipe_and_the_plan(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["finetune", "--model", str(place / "start"), "--train", str(place / "train.csv"), "--dry-run"]
    assert main([*words, "--train.warmup", "0.3"]) == 0
    printed = capsys.readouterr().out
    assert "warmup = 0.3  # changed" in printed
    assert "lr = 0.0002" in printed, "what was left open is chosen"
    assert "batch_size = 16" in printed
    assert "54 train, 6 dev" in printed
    assert "time: about" in printed


def test_evaluate(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(place / "run"), "--data", str(place / "test.csv"), "--threads", "1"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"metrics", "rows", "coverage"}
    assert told["rows"] == 30
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert f"{told['metrics']['accuracy']:.4f}" in printed
    assert "30 rows, 100.0% of the words read" in printed


def test_predict_to_standard_output(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(place / "run"), str(place / "test.csv"), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [set(answer) for answer in answers] == [{"label", "score", "scores"}] * 30
    assert main(["predict", str(place / "run"), str(place / "test.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [answer["label"] for answer in answers]


def test_predict_to_a_file_that_must_not_be_there(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", str(place / "run"), str(place / "test.csv"), "--out", str(tmp_path / "a.csv")]
    assert main(words) == 0
    assert capsys.readouterr().out == ""
    with (tmp_path / "a.csv").open(newline="") as handle:
        assert [row["text"] for row in csv.DictReader(handle)] == [row["text"] for row in toy_rows(30, seed=5)]
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="standard input is read as /dev/stdin")
def test_predict_reads_lines_of_standard_input(place: Path, command: Run) -> None:
    ran = command("predict", place / "run", "--json", "--threads", 1, stdin="the red cat\nwe saw gold, now\n")
    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == 2


def test_fill(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fill", str(place / "start"), "the [MASK] saw a [MASK]", "--top", "2"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["mask"] for one in told] == [0, 1]
    assert all(len(one["predictions"]) == 2 for one in told)
    assert main(words) == 0
    printed = capsys.readouterr().out
    for expected in ("mask", "probability", "each by itself", "one by one"):
        assert expected in printed
    assert main(["fill", str(place / "start"), "the [MASK] saw"]) == 0
    assert "one by one" not in capsys.readouterr().out, "one mask has one way"


BAD = {
    "no out": (["finetune", "--model", "start", "--train", "train.csv"], "--out is missing"),
    "no train": (["finetune", "--model", "start", "--out", "x"], "no rows to train on"),
    "unknown flag": (["finetune", "--trian", "train.csv", "--out", "x"], "unknown flag `--trian`"),
    "wrong value": (["finetune", "--lr", "fast", "--train", "train.csv", "--out", "x"], "train.lr"),
    "no model": (["predict", "nowhere", "test.csv"], "nowhere: no such model"),
    "not fine-tuned": (["predict", "start", "test.csv"], "has no classifier"),
    "no such rows": (["predict", "run", "nothing.csv"], "nothing.csv"),
    "unknown label": (["evaluate", "run", "--data", "odd.csv"], "label `fish` is not among the 3 of training"),
    "wrong form": (["predict", "run", "test.csv", "--out", "a.xlsx"], "not written as `.xlsx`"),
    "no mask": (["fill", "start", "the cat"], "no `[MASK]` in the text"),
    "no head": (["fill", "run", "the [MASK]"], "has no masked-token head"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_words_are_told_in_one_sentence(
    place: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(place / "odd.csv", [{"text": "the cat", "label": "fish"}])
    before = sorted(path.name for path in place.iterdir())
    monkeypatch.chdir(place)
    words, message = BAD[name]
    assert main([*words, "--quiet"]) == 2
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert sorted(path.name for path in place.iterdir()) == before
