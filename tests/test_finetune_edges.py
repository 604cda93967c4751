"""What a new user stumbled over: each with the sentence, or the answer, that should have come."""

from __future__ import annotations

import csv
import json
import traceback
from pathlib import Path

import pytest

import bertworks as bw
from bertworks.base.errors import BertworksError
from bertworks.base.recipe import load
from bertworks.cli.main import main
from bertworks.finetune.data import read_data
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.report_cases import shown
from bertworks.finetune.run import finetune
from bertworks.finetune.setup import prepare_run
from finetune_support import model_folder, toy_recipe, toy_rows, write_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edges")
    model_folder(folder / "start", dropout=0.0)
    rows = toy_rows(60)
    write_rows(folder / "train.csv", rows)
    write_rows(folder / "other.csv", toy_rows(30, seed=9))
    lists = [{"text": row["text"], "labels": [row["label"]]} for row in rows]
    (folder / "lists.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lists))
    for name, file, keys in (("run", "train.csv", {}), ("lists", "lists.jsonl", {}),
                             ("else", "train.csv", {"data__dev": str(folder / "other.csv")})):  # fmt: skip
        finetune(toy_recipe(folder / "start", folder / file, train__steps=4, **keys), folder / name)
    return folder


def test_answers_do_not_need_labels_that_training_knows(place: Path, tmp_path: Path) -> None:
    rows = [{"text": "we saw the cat", "labels": ["bird"]}, {"text": "red", "labels": ["colour"]}]
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "a.jsonl"
    assert main(["predict", str(place / "lists"), str(tmp_path / "new.jsonl"), "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 2


def test_an_answer_never_replaces_what_was_asked(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_rows(tmp_path / "own.csv", toy_rows(5))
    before = file.read_bytes()
    assert main(["predict", str(place / "run"), str(file), "--out", str(file), "--overwrite"]) == 2
    assert "which is to be read" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["predict", "RUN", "own.csv", "--out", "a.npz"],
            "holds vectors of texts, the model's task is classify",
        ),
        (["predict", "RUN", "own.csv", "--out", "a.conll"], "a .conll file holds tags"),
        (["predict", "RUN", "where is my card?"], "a text itself goes in by"),
        (["finetune", "train.csv", "--out", "r"], "rows, where a recipe was expected"),
        (["finetune", "--train", "own.csv", "--model", "bert-base-uncased", "--out", "r"], "nothing is downloaded"),
    ],
)
def test_sentences(
    words: list[str], told: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_rows(tmp_path / "own.csv", toy_rows(20))
    monkeypatch.chdir(tmp_path)
    assert main([str(place / "run") if word == "RUN" else word for word in words]) == 2
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["own.csv"]


def test_runs_judged_on_other_rows_are_told_apart(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare-runs", str(place / "run"), str(place / "else"), "--split", "dev"]) == 0
    out = capsys.readouterr().out
    assert "judged on other dev rows" in out
    assert "over rows" not in out
    assert " -" in out.splitlines()[2], "one seed has no spread"
    assert main(["compare-runs", str(place / "run"), str(place / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows_differ"] is False


def test_unknown_tokens_are_told(place: Path, tmp_path: Path) -> None:
    with (tmp_path / "zh.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["text", "label"])
        writer.writerows([[f"房间很{'大' if i % 2 else '小'}{i}", str(i % 2)] for i in range(40)])
    recipe = toy_recipe(place / "start", tmp_path / "zh.csv")
    contract = prepare_run(recipe, read_data(recipe.data)).contract
    assert contract.unknown > 0.5
    assert any(line.startswith("unknown: ") and "are [UNK]" in line for line in contract.lines())
    mine = toy_recipe(place / "start", place / "train.csv")
    assert prepare_run(mine, read_data(mine.data)).contract.unknown < 0.2


def test_the_estimator_checks_its_settings(place: Path) -> None:
    with pytest.raises(BertworksError, match=r"train\.epochs.*above 0"):
        bw.TextClassifier(place / "start", epochs=0).fit(["a", "b"] * 10, ["x", "y"] * 10)


def test_lists_of_numbers_are_shown() -> None:
    assert shown({"choice": 1, "scores": [0.25, 0.75]}) == "choice: 1; scores: 0.2500 0.7500"


def test_a_traceback_has_the_hint_and_other_programs_names_are_known(tmp_path: Path) -> None:
    error = BertworksError("it broke", "mend it")
    assert "hint: mend it" in "".join(traceback.format_exception(error))
    assert str(error) == "it broke"
    (tmp_path / "r.toml").write_text("[train]\nlearning_rate = 1e-4\n")
    with pytest.raises(BertworksError) as raised:
        load(FinetuneRecipe, tmp_path / "r.toml")
    assert "did you mean `lr`?" in f"{raised.value.message} {raised.value.hint}"
