"""A fine-tuning run leaves what it promises, and says what it did."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.finetune.outcome import FinetuneResult
from bertworks.finetune.run import finetune
from bertworks.predict.directory import load_model
from bertworks.predict.evaluate import evaluate_table
from bertworks.predict.run import predict_rows
from bertworks.read.tables import read_table
from finetune_support import KINDS, model_folder, toy_recipe, toy_rows, write_rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a start, rows and a test file."""
    folder = tmp_path_factory.mktemp("finetune")
    model_folder(folder / "start")
    write_rows(folder / "train.csv", toy_rows(120))
    write_rows(folder / "test.csv", toy_rows(45, seed=9))
    return folder


@pytest.fixture(scope="module")
def done(place: Path) -> FinetuneResult:
    """One run, looked at by many tests."""
    recipe = toy_recipe(
        place / "start", place / "train.csv", data__test=str(place / "test.csv"), train__steps=120, train__evaluations=2
    )
    return finetune(recipe, place / "run")


def metrics_lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_it_learns(done: FinetuneResult) -> None:
    assert done.metrics["test"]["accuracy"] > 0.9, "the telling words were all seen"
    training = [line["loss"] for line in metrics_lines(done.run) if "split" not in line]
    assert training[0] > 1.0 > 0.3 > training[-1]


def test_shuffled_labels_teach_nothing(place: Path, tmp_path: Path) -> None:
    rows = toy_rows(120)
    order = np.random.default_rng(0).permutation(120)
    shuffled = [{**row, "label": rows[i]["label"]} for row, i in zip(rows, order.tolist(), strict=True)]
    recipe = toy_recipe(
        place / "start",
        write_rows(tmp_path / "train.csv", shuffled),
        data__test=str(place / "test.csv"),
        train__steps=120,
    )
    assert finetune(recipe, tmp_path / "run").metrics["test"]["accuracy"] < 0.6


def test_the_folder_holds_what_is_promised(done: FinetuneResult) -> None:
    names = {path.name for path in done.run.iterdir()}
    promised = "recipe.toml metrics.jsonl log.txt curves.png confusion.png environment.json result.json best last"
    looked_at = "report.html report.md bad_cases.jsonl predictions-dev.jsonl predictions-test.jsonl"
    assert names == {*promised.split(), *looked_at.split()}
    model_files = {path.name for path in (done.run / "best").iterdir()}
    assert {
        "model.safetensors",
        "config.json",
        "bertworks.json",
        "vocab.txt",
        "tokenizer.json",
        "README.md",
    } <= model_files
    for picture in ("curves.png", "confusion.png"):
        assert (done.run / picture).read_bytes().startswith(b"\x89PNG")


def test_result_json_has_the_promised_shape(done: FinetuneResult) -> None:
    result = json.loads((done.run / "result.json").read_text())
    for key in (
        "task",
        "metrics",
        "seeds",
        "mean",
        "sd",
        "rows",
        "coverage",
        "seconds",
        "command",
        "contract",
        "floors",
    ):
        assert key in result, key
    assert result["task"] == "classify"
    assert set(result["metrics"]) == {"dev", "test"}
    assert set(result["metrics"]["dev"]) == {"accuracy", "f1_macro", "f1_micro", "mcc"}
    assert [entry["seed"] for entry in result["seeds"]] == [0]
    assert result["rows"]["train"] + result["rows"]["dev"] == 120
    assert result["rows"]["test"] == 45
    assert result["coverage"] == 1.0
    assert set(result["floors"]) == {"majority", "tfidf"}
    assert result["floors"]["tfidf"]["test"]["accuracy"] > result["floors"]["majority"]["test"]["accuracy"]


def test_metrics_lines_have_the_promised_keys(done: FinetuneResult) -> None:
    lines = metrics_lines(done.run)
    training = [line for line in lines if "split" not in line]
    dev = [line for line in lines if line.get("split") == "dev"]
    keys = ["step", "tokens", "epoch", "loss", "lr", "grad_norm", "tokens_per_second", "seconds"]
    assert all(list(line) == keys for line in training)
    assert [line["step"] for line in training] == list(range(10, 121, 10))
    assert len(dev) >= 4
    assert all(line["step"] and line["accuracy"] <= 1 for line in dev)


def test_the_best_evaluation_is_the_one_saved(done: FinetuneResult) -> None:
    dev = [line for line in metrics_lines(done.run) if line.get("split") == "dev"]
    best = max(dev, key=lambda line: (line["accuracy"], -line["loss"]))
    assert done.content["best_step"] == best["step"]
    assert done.metrics["dev"]["accuracy"] == best["accuracy"]


def test_evaluate_gives_the_figures_of_the_run(done: FinetuneResult, place: Path) -> None:
    scored = evaluate_table(load_model(done.run), read_table(place / "test.csv"))
    assert scored.metrics == done.metrics["test"]
    assert scored.to_json() == {"metrics": scored.metrics, "rows": 45, "coverage": 1.0}


def test_the_predictions_file_says_where_each_row_stands(done: FinetuneResult, place: Path) -> None:
    lines = [json.loads(line) for line in (done.run / "predictions-dev.jsonl").read_text().splitlines()]
    source = (place / "train.csv").read_text().splitlines()
    assert len(lines) == done.content["rows"]["dev"]
    for line in lines:
        assert line["row"]["text"] in source[line["line"] - 1]
        assert line["answer"]["label"] in KINDS
    right = np.mean([line["answer"]["label"] == line["row"]["label"] for line in lines])
    assert right == pytest.approx(done.metrics["dev"]["accuracy"])


@pytest.mark.parametrize("name", ["best", "last"])
def test_transformers_opens_the_model_with_equal_logits(done: FinetuneResult, name: str) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    texts = [str(row["text"]) for row in toy_rows(20, seed=4)]
    opened = load_model(done.run / name)
    found = predict_rows(opened.model, opened.task, opened.tokenizer, [{"text": text} for text in texts], max_length=40)
    model = AutoModelForSequenceClassification.from_pretrained(done.run / name).eval()
    tokenizer = AutoTokenizer.from_pretrained(done.run / name)
    with torch.no_grad():
        theirs = torch.softmax(model(**tokenizer(texts, padding=True, return_tensors="pt")).logits, -1).numpy()
    ours = np.array([list(answer.to_json()["scores"].values()) for answer in found.answers])
    assert np.ptp(ours[:, 0]) > 0.05, "equal answers everywhere would show nothing"
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    said = pipeline("text-classification", model=str(done.run / name), device="cpu")(texts)
    assert [one["label"] for one in said] == [answer.to_json()["label"] for answer in found.answers]


def test_the_card_tells_rows_figures_and_limits(done: FinetuneResult) -> None:
    card = (done.run / "best" / "README.md").read_text()
    for told in ("3 classes", "`animal`", f"{done.metrics['test']['accuracy']:.4f}", "TF-IDF", "seed 0", "held out"):
        assert told in card, told


def test_the_contract_is_told_before_training(done: FinetuneResult, place: Path) -> None:
    log = (done.run / "log.txt").read_text()
    for told in (
        "text <- column `text`",
        "task: classify, one text, 3 classes",
        "12 of 120 rows of train are held out",
        "windows of at most 40 tokens",
        "100.0% of the words are read",
        "120 updates of 8 rows",
        "time: about",
    ):
        assert told in log, told
    assert log.index("time: about") < log.index("update ")
    contract = done.content["contract"]
    assert contract["columns"] == {"text": "text", "label": "label"}
    assert sum(contract["labels"].values()) == 108


def test_a_finished_run_is_refused_and_overwrite_begins_anew(done: FinetuneResult, place: Path) -> None:
    recipe = toy_recipe(place / "start", place / "train.csv", train__steps=3)
    with pytest.raises(BertworksError, match="this run is finished"):
        finetune(recipe, done.run)
    assert (done.run / "result.json").exists()
    other = place / "other"
    assert finetune(recipe, other).content["steps"] == 3
    recipe = toy_recipe(place / "start", place / "train.csv", train__steps=4)
    assert finetune(recipe, other, overwrite=True).content["steps"] == 4


def test_a_folder_with_something_else_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(BertworksError, match="exists already"):
        finetune(toy_recipe(place / "start", place / "train.csv"), tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"


def test_without_dev_the_last_weights_count(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(
        place / "start", place / "train.csv", data__dev_share=0.0, data__test=str(place / "test.csv"), train__steps=5
    )
    result = finetune(recipe, tmp_path / "run")
    assert set(result.metrics) == {"test"}
    assert result.content["rows"]["train"] == 120
    assert not (tmp_path / "run" / "best").exists()
    assert load_model(tmp_path / "run").path == tmp_path / "run" / "last"


def test_early_stopping_ends_the_run(place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = toy_recipe(
        place / "start", place / "train.csv", train__steps=400, train__lr=1e-9, train__evaluations=14, train__patience=3
    )
    with caplog.at_level(logging.INFO, "bertworks"):
        result = finetune(recipe, tmp_path / "run")
    assert result.content["steps"] < 400
    dev = [line for line in metrics_lines(tmp_path / "run") if line.get("split") == "dev"]
    assert len(dev) == dev.index(max(dev, key=lambda line: (line["accuracy"], -line["loss"]))) + 4


def test_a_study_gives_mean_spread_and_the_best_seed(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(
        place / "start",
        place / "train.csv",
        data__test=str(place / "test.csv"),
        train__steps=50,
        train__seeds=3,
        train__seed=5,
    )
    result = finetune(recipe, tmp_path / "study")
    entries = result.content["seeds"]
    assert [entry["seed"] for entry in entries] == [5, 6, 7]
    values = [entry["metrics"]["test"]["accuracy"] for entry in entries]
    assert len(set(values)) > 1, "seeds must differ, or the spread shows nothing"
    assert result.content["mean"]["test"]["accuracy"] == pytest.approx(np.mean(values))
    assert result.content["sd"]["test"]["accuracy"] == pytest.approx(np.std(values, ddof=1))
    best = tmp_path / "study" / f"seed-{result.content['best_seed']}" / "best" / "model.safetensors"
    assert (tmp_path / "study" / "best" / "model.safetensors").read_bytes() == best.read_bytes()
    alone = finetune(
        toy_recipe(
            place / "start", place / "train.csv", data__test=str(place / "test.csv"), train__steps=50, train__seed=6
        ),
        tmp_path / "alone",
    )
    assert alone.metrics == entries[1]["metrics"], "a seed of a study is the run of that seed"


def test_scores_come_back_on_their_own_scale(place: Path, tmp_path: Path) -> None:
    values = {"animal": 10.0, "colour": 20.0, "metal": 30.0}
    rows = [{"text": row["text"], "score": values[row["label"]]} for row in toy_rows(120)]
    recipe = toy_recipe(place / "start", write_rows(tmp_path / "train.csv", rows), train__steps=120)
    result = finetune(recipe, tmp_path / "run")
    assert result.metrics["dev"]["pearson"] > 0.8
    opened = load_model(result.run)
    assert opened.task.scale == 1.0, "the scale is folded into the classifier"
    answers = predict_rows(opened.model, opened.task, opened.tokenizer, rows, max_length=opened.max_length).answers
    predicted = np.array([answer.to_json()["score"] for answer in answers])
    assert abs(predicted.mean() - 20) < 4
    assert predicted.max() > 24
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(result.run / "best").eval()
    tokenizer = AutoTokenizer.from_pretrained(result.run / "best")
    with torch.no_grad():
        theirs = (
            model(**tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")).logits[:, 0].numpy()
        )
    np.testing.assert_allclose(predicted, theirs, rtol=1e-5, atol=1e-4)


def test_pairs_are_read_as_pairs(place: Path, tmp_path: Path) -> None:
    words = [row["text"] for row in toy_rows(160)]
    kinds = [row["label"] for row in toy_rows(160)]
    rows = [
        {"premise": words[i], "hypothesis": words[j], "label": "same" if kinds[i] == kinds[j] else "other"}
        for i, j in zip(range(0, 160, 2), np.random.default_rng(0).permutation(80) + 40, strict=True)
    ]
    result = finetune(
        toy_recipe(place / "start", write_rows(tmp_path / "train.csv", rows), train__steps=6), tmp_path / "run"
    )
    assert load_model(result.run).task.pair
    assert result.content["contract"]["columns"] == {
        "sentence1": "premise",
        "sentence2": "hypothesis",
        "label": "label",
    }


def test_long_texts_are_read_whole_in_training_and_after(place: Path, tmp_path: Path) -> None:
    rows = [{**row, "text": "the old " * 30 + row["text"] + " we saw it" * 9} for row in toy_rows(60)]
    recipe = toy_recipe(
        place / "start",
        write_rows(tmp_path / "train.csv", rows),
        data__max_length=20,
        train__steps=40,
        data__train_windows=3,
    )
    result = finetune(recipe, tmp_path / "run")
    assert result.content["coverage"] == 1.0
    assert result.content["contract"]["long_rows"] == result.content["rows"]["train"]
    cut = toy_recipe(
        place / "start", tmp_path / "train.csv", data__max_length=20, train__steps=4, data__truncation="truncate"
    )
    assert finetune(cut, tmp_path / "cut").content["coverage"] < 0.5


def test_a_saved_config_tells_the_dropout_of_the_training(place: Path, tmp_path: Path) -> None:
    def saved(run: Path, name: str) -> tuple[float, float]:
        config = json.loads((run / name / "config.json").read_text())
        return config["hidden_dropout_prob"], config["attention_probs_dropout_prob"]

    assert saved(place, "start") == (0.1, 0.1)
    other = toy_recipe(place / "start", place / "train.csv", train__steps=1, model__dropout=0.3)
    finetune(other, tmp_path / "other")
    assert saved(tmp_path / "other", "best") == saved(tmp_path / "other", "last") == (0.3, 0.3)
    finetune(toy_recipe(place / "start", place / "train.csv", train__steps=1), tmp_path / "same")
    assert saved(tmp_path / "same", "last") == (0.1, 0.1)
