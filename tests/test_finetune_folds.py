"""A study over folds: every row is dev once, its answers stand in file order, and it goes on after a kill."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.base.recipe import RecipeError
from bertworks.cli.main import main
from bertworks.finetune import run as run_module
from bertworks.finetune.compare import compare_runs
from bertworks.finetune.outcome import FinetuneResult
from bertworks.finetune.run import finetune
from bertworks.finetune.state import save
from bertworks.predict.directory import load_model
from bertworks.predict.run import predict_rows
from bertworks.tasks.split import BY_CLASS, BY_ROW, content_key, fold_rows
from finetune_support import KINDS, model_folder, toy_recipe, toy_rows, write_rows

FOLDS = 3
ROWS = 60


class Cut(BaseException):
    """A kill."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folds")
    model_folder(folder / "start", dropout=0.0)
    write_rows(folder / "train.csv", toy_rows(ROWS))
    return folder


def settings_of(**more: object) -> dict[str, Any]:
    return {"train__folds": FOLDS, "train__steps": 8, "train__checkpoint_every": 3, **more}


@pytest.fixture(scope="module")
def done(place: Path) -> FinetuneResult:
    """One study, looked at by many tests."""
    return finetune(toy_recipe(place / "start", place / "train.csv", **settings_of()), place / "run")


def answers(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("xyz")), min_size=12, max_size=80),
    st.integers(2, 5),
    st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_folds_keep_equal_texts_together_and_are_even(drawn: list[tuple[str, str]], folds: int, seed: int) -> None:
    rows = [{"text": f"{text} {i % 7}", "label": label} for i, (text, label) in enumerate(drawn)]
    fold = fold_rows(rows, by=BY_CLASS, folds=folds, seed=seed)
    assert set(fold.tolist()) <= set(range(folds))
    of_text: dict[str, set[int]] = {}
    for row, one in zip(rows, fold.tolist(), strict=True):
        of_text.setdefault(content_key(row), set()).add(one)
    assert all(len(found) == 1 for found in of_text.values())
    largest = max(Counter(map(content_key, rows)).values())
    sizes = np.bincount(fold, minlength=folds)
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 3 * largest + 1  # of each of three classes at most the largest group apart
    back = fold_rows(rows[::-1], by=BY_CLASS, folds=folds, seed=seed)
    if len(set(map(content_key, rows))) == len(rows):
        assert back[::-1].tolist() == fold.tolist(), "the order of the rows does not matter"


def test_different_texts_give_each_fold_its_share_of_every_class() -> None:
    rows = [{"text": f"{kind} {i}", "label": kind} for kind, n in (("a", 50), ("b", 23), ("c", 5)) for i in range(n)]
    fold = fold_rows(rows, by=BY_CLASS, folds=5, seed=0)
    for kind, number in (("a", 50), ("b", 23), ("c", 5)):
        counts = np.bincount([f for f, row in zip(fold, rows, strict=True) if row["label"] == kind], minlength=5)
        assert counts.max() - counts.min() <= (number % 5 > 0), kind
    assert np.ptp(np.bincount(fold)) <= 1


def test_documents_stay_whole_and_too_few_texts_are_refused() -> None:
    rows = [{"tokens": [f"{i}"], "tags": ["O"], "document": f"d{i // 4}"} for i in range(48)]
    fold = fold_rows(rows, by=BY_ROW, folds=4, seed=0)
    assert all(len(set(fold[i : i + 4].tolist())) == 1 for i in range(0, 48, 4))
    assert np.bincount(fold).tolist() == [12] * 4
    by_row = fold_rows([{**row, "document": ""} for row in rows], by=BY_ROW, folds=4, seed=0)
    assert any(len(set(by_row[i : i + 4].tolist())) > 1 for i in range(0, 48, 4))
    with pytest.raises(BertworksError, match=r"9 rows with 2 different texts make no 3 folds"):
        fold_rows([{"text": "ab"[i % 2], "label": "x"} for i in range(9)], by=BY_CLASS, folds=3, seed=0)


def test_every_row_is_answered_once_by_a_model_that_has_not_seen_it(done: FinetuneResult, place: Path) -> None:
    lines = answers(done.run / "predictions-folds.jsonl")
    assert [line["line"] for line in lines] == list(range(2, ROWS + 2)), "file order"
    of_folds = [answers(done.run / f"fold-{fold}" / "predictions-dev.jsonl") for fold in range(FOLDS)]
    said = {line["line"]: line["answer"]["label"] for fold in of_folds for line in fold}
    assert sum(map(len, of_folds)) == len(said) == ROWS
    assert said == {line["line"]: line["answer"]["label"] for line in lines}
    assert all(set(line["answer"]["scores"]) == set(KINDS) for line in lines)
    right = np.mean([line["answer"]["label"] == line["row"]["label"] for line in lines])
    assert done.content["out_of_fold"]["metrics"]["accuracy"] == pytest.approx(right)
    opened = load_model(done.run / "fold-1" / "best")
    rows = [line["row"] for line in of_folds[1]]
    again = predict_rows(opened.model, opened.task, opened.tokenizer, rows, max_length=opened.max_length).answers
    whole = {line["line"]: line["answer"]["scores"] for line in lines}
    for line, answer in zip(of_folds[1], again, strict=True):
        assert whole[line["line"]] == pytest.approx(answer.to_json()["scores"], abs=2e-6)


def test_result_json_is_over_folds(done: FinetuneResult) -> None:
    content = done.content
    values = [entry["metrics"]["dev"]["accuracy"] for entry in content["folds"]]
    assert [(entry["fold"], entry["seed"]) for entry in content["folds"]] == [(0, 0), (1, 0), (2, 0)]
    assert len(set(values)) > 1, "folds must differ, or the spread shows nothing"
    assert content["mean"]["dev"]["accuracy"] == pytest.approx(np.mean(values))
    assert content["sd"]["dev"]["accuracy"] == pytest.approx(np.std(values, ddof=1))
    assert [entry["metrics"] for entry in content["seeds"]] == [content["mean"]]
    assert content["rows"] == {"train": ROWS, "dev": ROWS, "test": 0, "dropped": {}}
    assert values[content["best_fold"]] == max(values)
    best = done.run / f"fold-{content['best_fold']}" / "best" / "model.safetensors"
    assert (done.run / "best" / "model.safetensors").read_bytes() == best.read_bytes()
    page = (done.run / "report.md").read_text()
    for told in ("3 folds", "All rows, out of fold", f"{content['out_of_fold']['metrics']['accuracy']:.4f}", "fold 2"):
        assert told in page, told


def test_one_fold_alone_is_that_fold_of_the_study(done: FinetuneResult, place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(place / "start", place / "train.csv", **settings_of(train__fold=2))
    alone = finetune(recipe, tmp_path / "alone")
    assert alone.metrics == done.content["folds"][2]["metrics"]


def test_a_study_cut_short_goes_on_with_the_fold_it_was_at(
    done: FinetuneResult, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = toy_recipe(place / "start", place / "train.csv", **settings_of())
    saves = []

    def fourth_save_stops(*given: Any) -> None:
        saves.append(1)
        if len(saves) == 4:  # each fold saves at 3 and 6: this is the second fold's second
            raise Cut
        save(*given)

    monkeypatch.setattr(run_module, "save", fourth_save_stops)
    with pytest.raises(Cut):
        finetune(recipe, tmp_path / "run")
    finished = [(tmp_path / "run" / f"fold-{fold}" / "result.json").exists() for fold in range(FOLDS)]
    assert finished == [True, False, False]
    monkeypatch.setattr(run_module, "save", save)
    found = finetune(recipe, tmp_path / "run").content
    assert found["folds"] == done.content["folds"]
    assert (tmp_path / "run" / "predictions-folds.jsonl").read_bytes() == (
        done.run / "predictions-folds.jsonl"
    ).read_bytes()


def test_runs_are_compared_by_fold(
    done: FinetuneResult, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = toy_recipe(place / "start", place / "train.csv", **settings_of(train__steps=1))
    other = finetune(recipe, tmp_path / "other")
    found = compare_runs(done.run, other.run)
    assert (found.over_runs.word, found.over_runs.numbers) == ("fold", (0, 1, 2))
    assert found.over_examples is not None
    pooled = [one.content["out_of_fold"]["metrics"]["accuracy"] for one in (done, other)]
    assert found.over_examples.difference == pytest.approx(pooled[0] - pooled[1]), "over all rows of train"
    assert main(["compare-runs", str(done.run), str(other.run)]) == 0
    assert "over rows, out of fold: difference" in capsys.readouterr().out
    content = json.loads((other.run / "result.json").read_text())
    (other.run / "result.json").write_text(json.dumps({**content, "data": "0"}))
    with pytest.raises(BertworksError, match=r"are not the same rows"):
        compare_runs(done.run, other.run)
    del content["folds"]
    (other.run / "result.json").write_text(json.dumps(content))
    with pytest.raises(BertworksError, match=r"over folds, .* over seeds"):
        compare_runs(done.run, other.run)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"data__dev": "dev.csv"}, r"`folds` 3 and a dev file are both given"),
        ({"train__seeds": 2}, r"`folds` 3 and `seeds` 2 are both given"),
        ({"train__fold": 3}, r"there is no fold 3 of 3"),
        ({"train__folds": None, "train__fold": 0}, r"`fold` is given without `folds`"),
    ],
)
def test_what_does_not_go_together_is_refused(place: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        toy_recipe(place / "start", place / "train.csv", **{**settings_of(), **keys})


def test_inspect_suspects_labels_by_the_answers_out_of_fold(
    done: FinetuneResult, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = answers(done.run / "predictions-folds.jsonl")
    for number, line in enumerate(lines):  # a model that is sure, and wrong on rows 5 and 41
        wrong = number in (5, 41)
        sure = 0.95 if number == 5 else 0.9
        others = [kind for kind in KINDS if kind != line["row"]["label"]]
        scores = {line["row"]["label"]: 1 - sure if wrong else 0.9, others[0]: sure if wrong else 0.1, others[1]: 0.0}
        line["answer"] = {"label": max(scores, key=lambda kind: scores[kind]), "score": 0.9, "scores": scores}
    (tmp_path / "predictions-folds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["inspect", str(place / "train.csv"), "--folds", str(tmp_path), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    (found,) = [one for one in findings if one["check"] == "suspicious_labels"]
    assert [one["rows"][0]["number"] for one in found["examples"]] == [7, 43], "line numbers, the surest first"
    assert f"the model of {tmp_path}" in found["what"]
    write_rows(tmp_path / "other.csv", toy_rows(ROWS, seed=4))
    assert main(["inspect", str(tmp_path / "other.csv"), "--folds", str(tmp_path)]) == 2
    assert "line 2 is another row" in capsys.readouterr().err
    assert main(["inspect", str(place / "train.csv"), "--folds", str(place)]) == 2
    assert "--train.folds 5" in capsys.readouterr().err
