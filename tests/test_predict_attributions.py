"""Integrated gradients: they add up, equal a transcription of the paper's sum, and point at the telling word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

import bertworks as bw
from bertworks.base.errors import BertworksError
from bertworks.cli.main import main
from bertworks.finetune.run import finetune
from bertworks.model.bert import BertForSentence, BertForSpan, BertForTokens
from bertworks.model.config import BertConfig
from bertworks.predict import attributions
from bertworks.predict.attributions import TOLERANCE, Question, integrated_gradients
from bertworks.predict.directory import ModelDirectory, load_model
from bertworks.predict.explain import explain_rows
from bertworks.predict.run import predict_rows
from bertworks.tasks.answering import SpanTask
from bertworks.tasks.intent_slots import FrameAnswer, FrameTask
from bertworks.tasks.labels import Labels
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsTask
from bertworks.tasks.tagging import TagAnswer, TagTask
from bertworks.tasks.task import Row, Task
from bertworks.text.tokenizer import Tokenizer
from finetune_support import KINDS, model_folder, toy_recipe, toy_rows, vocabulary, write_rows

NAMES = Labels(tuple(KINDS), {}, (1, 1, 1))
TEXT = "the old cat saw some red iron , there ! " * 3
TASKS: dict[str, tuple[Task, Row]] = {
    "classify": (SentenceTask("classify", False, NAMES), {"text": TEXT}),
    "pair": (SentenceTask("classify", True, NAMES), {"sentence1": TEXT, "sentence2": "we saw it now"}),
    "score": (SentenceTask("score", False, center=2.0, scale=3.0), {"text": TEXT}),
    "labels": (LabelsTask(False, NAMES, (0.5, 0.5, 0.5)), {"text": TEXT}),
    "tag": (TagTask(Labels(("O", "B-x", "I-x"), {}, (1, 1, 1))), {"text": TEXT}),
    "intent-slots": (FrameTask(NAMES, TagTask(Labels(("O", "B-x"), {}, (1, 1)))), {"text": TEXT}),
    "qa": (SpanTask(0.0), {"question": "the old ?", "context": TEXT}),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(vocabulary(tmp_path_factory.mktemp("vocab")), lowercase=True)


def model_of(task: Task, tokenizer: Tokenizer) -> BertForSentence | BertForTokens | BertForSpan:
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=15,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=22,
        max_position_embeddings=29,
        initializer_range=0.3,
    )
    return task.network.new(config, task.num_outputs, torch.Generator().manual_seed(3)).double().eval()


@pytest.mark.parametrize("name", TASKS)
def test_they_add_up(tokenizer: Tokenizer, name: str) -> None:
    task, row = TASKS[name]
    model = model_of(task, tokenizer)
    rows = [row, {**row, **{role: "a cat now" for role in ("text", "sentence1", "context") if role in row}}]
    answers = predict_rows(model, task, tokenizer, rows, max_length=29).answers
    windows = task.windows(rows, tokenizer, 29)
    assert len(windows) > 2, "one row is longer than the model"
    found = explain_rows(model, task, tokenizer, rows, answers, max_length=29)
    for one in found:
        assert one is not None
        change = one.value - one.baseline
        assert abs(change) > 1e-3, "something was to be explained"
        assert abs(sum(one.values) - change) <= TOLERANCE * max(abs(change), 0.1)
        assert one.is_complete
        assert len(one.tokens) == len(one.values)
        specials = [value for token, value in zip(one.tokens, one.values, strict=True) if token in ("[CLS]", "[SEP]")]
        assert specials
        assert set(specials) == {0.0}
        assert sum(value != 0 for value in one.values) >= len(one.values) / 2


def test_context_is_that_of_the_answer(tokenizer: Tokenizer) -> None:
    task = TagTask(Labels(("O", "B-x", "I-x"), {}, (1, 1, 1)), context=9)
    model = model_of(task, tokenizer)
    texts = ["the old cat", "we saw it", "some red iron", "there now"]
    rows = [{"text": text, "document": i // 3} for i, text in enumerate(texts)]
    answers = predict_rows(model, task, tokenizer, rows, max_length=29).answers
    (found,) = explain_rows(model, task, tokenizer, rows, answers, max_length=29, which=[1], focus=[2])
    (alone,) = explain_rows(model, task, tokenizer, rows[1:2], answers[1:2], max_length=29, focus=[2])
    assert found is not None
    assert alone is not None
    probability = cast("TagAnswer", answers[1]).scores[2]
    assert found.value == pytest.approx(np.log(probability / (1 - probability)), abs=1e-5)
    assert len(found.tokens) > len(alone.tokens), "its neighbours are read"


def test_a_tag_of_intent_and_slots_can_be_asked_for(tokenizer: Tokenizer) -> None:
    task, row = TASKS["intent-slots"]
    model = model_of(task, tokenizer)
    answers = predict_rows(model, task, tokenizer, [row, row], max_length=29).answers
    answer = cast("FrameAnswer", answers[1])
    last = len(answer.slots.words) - 1
    found = explain_rows(model, task, tokenizer, [row, row], answers, max_length=29, focus=[None, last])
    values = [one.value for one in found if one is not None]
    for value, probability in zip(values, (answer.score, answer.slots.scores[last]), strict=True):
        assert value == pytest.approx(np.log(probability / (1 - probability)), abs=1e-5)


def test_it_explains_what_was_answered(tokenizer: Tokenizer) -> None:
    for name in ("classify", "score", "labels"):
        task, row = TASKS[name]
        model = model_of(task, tokenizer)
        answer = predict_rows(model, task, tokenizer, [row], max_length=29).answers[0]
        (found,) = explain_rows(model, task, tokenizer, [row], [answer], max_length=29)
        assert found is not None
        told = answer.to_json()
        odds = told["score"] if name != "labels" else max(told["scores"].values())
        expected = odds if name == "score" else np.log(odds / (1 - odds))
        assert found.value == pytest.approx(expected, abs=1e-5)  # answers are of float32 logits


def test_finer_and_finer_sums_close_the_gap(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributions, "FIRST_STEPS", 1)
    task, row = TASKS["classify"]
    model = model_of(task, tokenizer)
    windows = task.windows([row], tokenizer, 29)
    question = Question(windows, lambda outputs: outputs.mean(1)[:, 1], "a logit")
    gaps = {}
    for tolerance in (1.0, 1e-3, 1e-7):
        (found,) = integrated_gradients(model, tokenizer, [question], tolerance=tolerance)
        assert found is not None
        assert found.gap <= tolerance
        gaps[tolerance] = found.steps
    assert gaps[1.0] == 1 < gaps[1e-3] < gaps[1e-7], "the doubling doubles"
    assert integrated_gradients(model, tokenizer, [question], seconds=-1.0) == [None]


def transcribed(model: BertForSentence, ids: np.ndarray, mask: int, kept: list[int], number: int, m: int) -> np.ndarray:
    """Sundararajan et al. 2017, eq. 3, through the network's own parts, the ends of the sum by half.

    (x - x') · 1/m · Σ_k ∂F(x' + k/m (x - x')) / ∂x
    """
    embeddings = model.encoder.embeddings
    words = embeddings.word[torch.from_numpy(ids).long()].detach()
    start = torch.stack(
        [
            word if token in kept else embeddings.word[mask].detach()
            for token, word in zip(ids.tolist(), words, strict=True)
        ]
    )
    share = torch.arange(m + 1, dtype=torch.float64)[:, None, None] / m
    here = (start + share * (words - start)).requires_grad_()  # all m + 1 places, a row each
    assert embeddings.norm is not None
    hidden = embeddings.norm(here + embeddings.position[: len(ids)] + embeddings.token_type[0])
    for layer in model.encoder.layers:
        hidden = layer(hidden, None, None)
    logits = model.classifier(model.pooler(hidden[:, 0]))[:, number]
    (gradients,) = torch.autograd.grad(logits.sum(), here)
    gradients[[0, m]] /= 2
    shares: np.ndarray = ((words - start) * gradients.sum(0) / m).sum(-1).numpy()
    return shares


def test_it_is_the_papers_sum(tokenizer: Tokenizer) -> None:
    task, _ = TASKS["classify"]
    model = model_of(task, tokenizer)
    assert isinstance(model, BertForSentence)
    windows = task.windows([{"text": "the old cat saw it"}], tokenizer, 29)
    question = Question(windows, lambda outputs: outputs.mean(1)[:, 2], "a logit")
    (found,) = integrated_gradients(model, tokenizer, [question], tolerance=1e-8)
    assert found is not None
    kept = [tokenizer.cls_token_id, tokenizer.sep_token_id]
    theirs = transcribed(model, windows[0].input_ids, tokenizer.mask_token_id, kept, 2, 2000)
    assert np.abs(theirs).max() > 0.01
    np.testing.assert_allclose(found.values, theirs, atol=2e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    model_folder(folder / "start")
    write_rows(folder / "train.csv", toy_rows(120))
    return finetune(toy_recipe(folder / "start", folder / "train.csv", train__steps=100), folder / "run").run


def test_the_telling_word_tells(run: Path) -> None:
    model = bw.load(run)
    hits = 0
    for row in toy_rows(12, seed=8):
        found = model.explain(row["text"])
        answer = model.predict([row["text"]])[0]
        assert found.of == f"log odds of `{answer.label}`"  # type: ignore[attr-defined]
        telling = [i for i, token in enumerate(found.tokens) if token in KINDS[row["label"]]]
        hits += int(np.argmax(found.values)) in telling
    assert hits >= 9


def test_another_label_can_be_asked_for(run: Path) -> None:
    model = bw.load(run)
    said = model.explain("the cat", of="animal")
    other = model.explain("the cat", of="metal")
    assert said.value > 0 > other.value
    with pytest.raises(BertworksError, match=r"label `mineral` is not among the 3"):
        model.explain("the cat", of="mineral")


def test_predict_explains_on_request(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_rows(tmp_path / "rows.csv", [{"text": row["text"]} for row in toy_rows(5)])
    assert main(["predict", str(run), str(file), "--json", "--explain"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 5
    for line in lines:
        told = line["attributions"]
        assert set(told) == {"of", "tokens", "values", "value", "baseline", "gap", "steps"}
        assert sum(told["values"]) == pytest.approx(told["value"] - told["baseline"], abs=0.02)
    assert main(["predict", str(run), str(file), "--out", "a.jsonl", "--explain"]) == 0
    assert json.loads(Path("a.jsonl").read_text().splitlines()[0]) == lines[0]
    capsys.readouterr()
    assert main(["predict", str(run), str(file), "--explain"]) == 2
    assert "--explain writes JSON" in capsys.readouterr().err
    assert main(["predict", str(run), str(file), "--json"]) == 0
    assert "attributions" not in capsys.readouterr().out


def test_half_precision_is_explained_in_float32(run: Path) -> None:
    opened: ModelDirectory = load_model(run)
    row = {"text": "the cat"}
    answers = predict_rows(opened.model, opened.task, opened.tokenizer, [row], max_length=20).answers
    exact = explain_rows(opened.model, opened.task, opened.tokenizer, [row], answers, max_length=20)[0]
    opened.model.bfloat16()
    rough = explain_rows(opened.model, opened.task, opened.tokenizer, [row], answers, max_length=20)[0]
    assert exact is not None
    assert rough is not None
    assert rough.is_complete
    assert rough.values == pytest.approx(exact.values, abs=0.1)
    assert next(opened.model.parameters()).dtype is torch.bfloat16
