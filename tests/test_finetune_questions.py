"""Questions end to end: a run learns, stores its threshold, answers files; transformers opens its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bertworks as bw
from bertworks.base.files import read_json
from bertworks.cli.main import main
from bertworks.finetune.outcome import FinetuneResult
from bertworks.finetune.run import finetune
from bertworks.tasks.answering import SpanAnswer
from finetune_support import FILLERS, KINDS, model_folder, toy_recipe


def write_questions(path: Path, number: int, *, seed: int = 0, unanswerable: bool = True) -> Path:
    """Which animal, colour or metal does the text name? Some texts name none of the kind that is asked for."""
    draw = np.random.default_rng(seed)
    paragraphs: list[dict[str, Any]] = []
    asked_for = {"animal": "we saw a cat ?", "colour": "it red ?", "metal": "some iron ?"}
    for i in range(number):
        kind = list(KINDS)[i % 3]
        has = not unanswerable or i % 4 != 3
        words = draw.choice(FILLERS[:12], int(draw.integers(4, 9))).tolist()
        told = str(draw.choice(KINDS[kind if has else list(KINDS)[(i + 1) % 3]]))
        words.insert(int(draw.integers(0, len(words))), told)
        context = " ".join(words)
        answers = [{"text": told, "answer_start": f" {context} ".index(f" {told} ")}] if has else []
        question = {"id": str(i), "question": asked_for[kind], "answers": answers, "is_impossible": not has}
        paragraphs.append({"context": f"{context} {i % 7}", "qas": [question]})
    path.write_text(json.dumps({"version": "2", "data": [{"title": "t", "paragraphs": paragraphs}]}))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    model_folder(folder / "start", dropout=0.0)
    write_questions(folder / "train.json", 240)
    write_questions(folder / "test.json", 60, seed=5)
    return folder


@pytest.fixture(scope="module")
def done(place: Path) -> FinetuneResult:
    keys = {"train__steps": 200, "data__test": str(place / "test.json"), "train__evaluations": 2, "train__lr": 5e-3}
    return finetune(toy_recipe(place / "start", place / "train.json", **keys), place / "run")


def test_it_learns_and_stores_its_threshold(done: FinetuneResult) -> None:
    figures = done.metrics["test"]
    assert set(figures) == {"f1", "exact_match", "f1_answered", "no_answer", "best_f1", "f1_by_order"}
    assert figures["f1_answered"] > 0.5
    assert figures["f1"] > 0.6
    stored = read_json(done.run / "best" / "bertworks.json")["task"]
    assert stored["task"] == "qa"
    assert stored["threshold"] not in (None, 0.0)
    assert done.content["metrics"]["dev"]["f1"] == pytest.approx(done.content["metrics"]["dev"]["best_f1"])
    assert "pipeline_tag: question-answering" in (done.run / "best" / "README.md").read_text()


def test_questions_and_files_are_answered(
    done: FinetuneResult, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = bw.load(done.run)
    assert model.task == "qa"
    context = "the old we saw gold now ."
    answer = model.predict([{"question": "some iron ?", "context": context}])[0]
    assert isinstance(answer, SpanAnswer)
    assert answer.best in context
    assert answer.answer in ("", context[answer.start or 0 : answer.end or 0])
    assert main(["predict", str(done.run), str(place / "test.json"), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["id"] for line in lines] == [str(i) for i in range(60)]
    assert main(["evaluate", str(done.run), "--data", str(place / "test.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == pytest.approx(done.metrics["test"])
    (tmp_path / "texts.csv").write_text("text,label\na,b\n")
    assert main(["predict", str(done.run), str(tmp_path / "texts.csv")]) == 2
    assert "no column for the question" in capsys.readouterr().err


def test_transformers_opens_it(done: FinetuneResult, tmp_path: Path) -> None:
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    theirs = AutoModelForQuestionAnswering.from_pretrained(done.run / "best").eval()
    tokenizer = AutoTokenizer.from_pretrained(done.run / "best")
    inputs = tokenizer("some iron ?", "the old we saw gold now .", return_tensors="pt")
    with torch.no_grad():
        told = theirs(**inputs)
    ours = bw.load(done.run)._answering
    window = ours.task.windows(
        [{"question": "some iron ?", "context": "the old we saw gold now ."}], ours.tokenizer, ours.max_length
    )[0]
    assert window.input_ids.tolist() == inputs["input_ids"][0].tolist()
    assert window.token_type_ids.tolist() == inputs["token_type_ids"][0].tolist()
    from bertworks.predict.run import window_logits

    logits = torch.from_numpy(window_logits(ours.model, [window])[0])
    torch.testing.assert_close(logits, torch.stack([told.start_logits[0], told.end_logits[0]], 1), atol=1e-5, rtol=0)
    theirs.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    assert bw.load(tmp_path / "other").task == "qa"


def test_a_model_that_always_answers(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_questions(tmp_path / "answered.json", 60, unanswerable=False)
    result = finetune(toy_recipe(place / "start", rows, train__steps=4), tmp_path / "run")
    assert set(result.metrics["dev"]) == {"f1", "exact_match"}
    assert read_json(tmp_path / "run" / "best" / "bertworks.json")["task"]["threshold"] is None
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(place / "test.json")]) == 2
    assert "has no answer, the model was trained to answer every question" in capsys.readouterr().err
