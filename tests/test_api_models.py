"""`import bertworks as bw`: load, predict, encode, fill, finetune."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

import bertworks as bw
from bertworks.base.errors import BertworksError
from conftest import Run
from finetune_support import KINDS, model_folder, toy_rows, write_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    model_folder(folder / "start")
    write_rows(folder / "train.csv", toy_rows(90))
    write_rows(folder / "test.csv", toy_rows(30, seed=5))
    bw.finetune(
        model=folder / "start",
        train=folder / "train.csv",
        out=folder / "run",
        steps=110,
        lr=1e-2,
        batch_size=8,
        threads=1,
        task="classify",
    )
    return folder


def test_a_run_answers_texts(place: Path) -> None:
    model = bw.load(place / "run")
    assert model.task == "classify"
    assert model.labels == sorted(KINDS)
    rows = toy_rows(20, seed=7)
    answers = model.predict([row["text"] for row in rows])
    assert np.mean([answer.label == row["label"] for answer, row in zip(answers, rows, strict=True)]) > 0.8
    assert answers[0].scores is not None
    assert sum(answers[0].scores.values()) == pytest.approx(1)
    assert answers[0].score == max(answers[0].scores.values())
    assert model.predict([{"text": rows[0]["text"]}])[0].score == pytest.approx(answers[0].score, abs=1e-5)


def test_a_start_encodes_and_fills_but_does_not_answer(place: Path) -> None:
    model = bw.load(place / "start")
    assert model.task is None
    vectors = model.encode(["the cat", "a dog saw it"])
    assert vectors.shape == (2, 24)
    assert vectors.dtype == np.float32
    assert [states.shape for states in model.encode(["the cat"], layers="all", unit="piece")] == [(3, 4, 24)]
    assert len(model.fill("the [MASK] saw [MASK]", top=3).predictions) == 2
    with pytest.raises(BertworksError, match="has no classifier"):
        model.predict(["the cat"])


def test_a_fine_tuned_model_does_not_fill(place: Path) -> None:
    with pytest.raises(BertworksError, match="has no masked-token head"):
        bw.load(place / "run").fill("the [MASK]")


def test_rows_of_another_form_are_refused(place: Path) -> None:
    model = bw.load(place / "run")
    assert model.predict([]) == []
    with pytest.raises(BertworksError, match="one text was given where a list"):
        model.predict("the cat")  # type: ignore[arg-type]
    with pytest.raises(BertworksError, match="one text was given where a list"):
        model.encode("the cat")
    with pytest.raises(BertworksError, match="row 2: 3 is not a text"):
        model.predict(["the cat", 3])  # type: ignore[list-item]
    with pytest.raises(BertworksError, match="row 2: one text among pairs"):
        model.predict([("a", "b"), "the cat"])
    with pytest.raises(BertworksError, match="a pair of texts a row, the model reads one text"):
        model.predict([("a", "b")])


def test_names_that_are_not_there(place: Path) -> None:
    with pytest.raises(BertworksError, match="no such model"):
        bw.load("nowhere")
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = bw.nothing_of_the_kind


def test_finetune_is_the_command(place: Path, tmp_path: Path, command: Run) -> None:
    result = bw.finetune(
        model=place / "start",
        train=place / "train.csv",
        test=place / "test.csv",
        out=tmp_path / "api",
        steps=6,
        lr=1e-3,
        seed=3,
        threads=1,
        columns={"text": "text"},
    )
    ran = command(
        "finetune", "--model", place / "start", "--train", place / "train.csv", "--test", place / "test.csv",
        "--steps", 6, "--lr", "1e-3", "--seed", 3, "--threads", 1, "--columns", "text=text",
        "--out", tmp_path / "cli", "--json",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    printed = json.loads(ran.stdout)
    assert printed["metrics"] == result.metrics
    weights = [(tmp_path / name / "last" / "model.safetensors").read_bytes() for name in ("api", "cli")]
    assert weights[0] == weights[1]
    assert "task: classify" in ran.stderr
    assert ran.stdout.count("\n") == 1, "standard output holds the JSON and nothing else"


def test_finetune_takes_a_recipe_and_keywords_go_over_it(place: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[train]\nsteps = 4\nlr = 1e-3\nwarmup = 0.5\n")
    result = bw.finetune(
        model=place / "start", train=place / "train.csv", out=tmp_path / "run", recipe=recipe, steps=3, threads=1
    )
    assert result.content["steps"] == 3
    kept = (tmp_path / "run" / "recipe.toml").read_text()
    assert "warmup = 0.5" in kept
    assert 'dtype = "auto"' in kept, "as the command"


def test_answers_are_plain_values(place: Path) -> None:
    answers = bw.load(place / "run").predict(["the cat", "gold"])
    assert pickle.loads(pickle.dumps(answers)) == answers
    assert json.loads(json.dumps([answer.to_json() for answer in answers]))[0]["label"] == answers[0].label
