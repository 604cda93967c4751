"""Tagging end to end: a run learns, its model answers texts and files, a foreign model too, transformers opens it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import bertworks as bw
from bertworks.cli.main import main
from bertworks.finetune.outcome import FinetuneResult
from bertworks.finetune.run import finetune
from bertworks.model.bert import BertForTokens
from bertworks.tasks.tagging import TagAnswer
from finetune_support import KINDS, model_folder, toy_recipe, toy_rows, write_tags


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tags")
    model_folder(folder / "start", dropout=0.0)
    write_tags(folder / "train.conll", toy_rows(120))
    write_tags(folder / "test.conll", toy_rows(40, seed=5))
    return folder


@pytest.fixture(scope="module")
def done(place: Path) -> FinetuneResult:
    keys = {"train__steps": 90, "data__test": str(place / "test.conll"), "train__evaluations": 2}
    return finetune(toy_recipe(place / "start", place / "train.conll", **keys), place / "run")


def test_it_learns_and_says_so(done: FinetuneResult) -> None:
    figures = done.metrics["test"]
    assert set(figures) == {"f1", "precision", "recall", "f1_exact", "accuracy"}
    assert figures["f1"] > 0.8
    assert figures["f1"] > done.content["floors"]["word"]["test"]["f1"]
    assert done.content["task"] == "tag"
    assert done.content["contract"]["labels"]["B-animal"] > 10
    assert (done.run / "confusion.png").stat().st_size > 5_000
    lines = [json.loads(line) for line in (done.run / "predictions-test.jsonl").read_text().splitlines()]
    assert len(lines) == 40
    assert {"tokens", "tags", "entities"} == set(lines[0]["answer"])
    card = (done.run / "best" / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card
    assert "each word's most frequent tag" in card
    assert "Types: `animal`, `colour`, `metal`." in card


def test_texts_words_and_files_are_answered(
    done: FinetuneResult, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = bw.load(done.run)
    assert model.task == "tag"
    assert "I-metal" in model.labels
    answer, words = model.predict(["we saw the cat, now"])[0], model.predict([{"tokens": ["the", "cat"]}])[0]
    assert isinstance(answer, TagAnswer)
    assert answer.words == ["we", "saw", "the", "cat", ",", "now"]
    assert ("animal", "the cat") in {(one["label"], one["text"]) for one in answer.to_json()["entities"]}
    assert isinstance(words, TagAnswer)
    assert words.tags[1].endswith("animal")
    for name in ("a.conll", "a.csv", "a.jsonl"):
        assert main(["predict", str(done.run), str(place / "test.conll"), "--out", str(tmp_path / name)]) == 0
    told = (tmp_path / "a.conll").read_text().split("\n\n")
    gold = (place / "test.conll").read_text().rstrip("\n").split("\n\n")
    assert [[line.split("\t")[0] for line in one.split("\n")] for one in told if one] == [
        [line.split("\t")[0] for line in one.split("\n")] for one in gold
    ]
    with (tmp_path / "a.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == 40
    assert sum(any(word in row["entities"] for kind in KINDS.values() for word in kind) for row in rows) > 30
    assert main(["evaluate", str(done.run), "--data", str(tmp_path / "a.conll"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["metrics"]["f1"] == 1.0, "one decoder"


def test_others_open_it_and_it_opens_others(done: FinetuneResult, tmp_path: Path) -> None:
    import transformers

    pipe = transformers.pipeline("token-classification", model=str(done.run / "best"), device="cpu")
    theirs = {(one["word"], one["entity"]) for one in pipe("we saw the cat")}
    assert any(tag.endswith("animal") for _, tag in theirs)
    other = tmp_path / "other"
    pipe.model.save_pretrained(other)
    pipe.tokenizer.save_pretrained(other)
    model = bw.load(other)
    assert model.task == "tag"
    ours = bw.load(done.run).predict(["we saw the cat"])[0]
    foreign = model.predict(["we saw the cat"])[0]
    assert isinstance(ours, TagAnswer)
    assert isinstance(foreign, TagAnswer)
    assert foreign.tags == ours.tags
    assert foreign.scores == pytest.approx(ours.scores, abs=1e-5)
    assert isinstance(model._answering.model, BertForTokens)


def test_what_does_not_fit_is_told(
    done: FinetuneResult, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "texts.csv").write_text("text,label\na,b\n")
    (tmp_path / "ragged.jsonl").write_text('{"tokens": ["a", "b"], "tags": ["O"]}\n')
    for file, told in (("texts.csv", "no column for the tags"), ("ragged.jsonl", "ragged.jsonl:1: 2 words and 1 tags")):
        assert main(["evaluate", str(done.run), "--data", str(tmp_path / file)]) == 2
        assert told in capsys.readouterr().err
    words = [
        "finetune",
        "--model",
        str(place / "start"),
        "--train",
        str(place / "train.conll"),
        "--out",
        str(tmp_path / "r"),
    ]
    assert main([*words, "--data.truncation", "head+tail"]) == 2
    assert "truncation `head+tail` is unknown" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
