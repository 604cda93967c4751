"""Questions: windows and owners as in run_squad.py, transformers' model and loss, the best stretch by brute force."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.model.bert import BertForSpan
from bertworks.model.config import BertConfig
from bertworks.model.layout import pad_rows
from bertworks.model.pretrained import save_pretrained
from bertworks.read.tables import parse_table
from bertworks.tasks import strides
from bertworks.tasks.answering import SpanAnswer, SpanTask, SpanWindow
from bertworks.tasks.infer import infer_task
from bertworks.tasks.known import task_from_settings
from bertworks.tasks.strides import owners, stretches
from bertworks.tasks.task import Row, coverage
from bertworks.text.tokenizer import Tokenizer
from finetune_support import vocabulary

WORDS = ["cats", "reddish", "the", "gold", "un", "zinc", ".", "we"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(vocabulary(tmp_path_factory.mktemp("qa") / "vocab"), lowercase=True)


def rows_of(number: int, longest: int, *, seed: int = 0) -> list[Row]:
    """Questions on texts; every third has no answer."""
    draw = np.random.default_rng(seed)
    rows: list[Row] = []
    for i in range(number):
        words = draw.choice(WORDS, int(draw.integers(3, longest))).tolist()
        context = "  ".join(words)
        place = int(draw.integers(0, len(words) - 2))
        text = "  ".join(words[place : place + 2])
        start = len("  ".join(words[:place])) + (2 if place else 0)
        answers = [] if i % 3 == 2 else [(text, start)]
        rows.append({"id": str(i), "question": "we saw gold ?", "context": context, "answers": answers})
    return rows


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(20, 300))
def test_parts_and_owners_are_the_originals(tokens: int, room: int) -> None:
    """A transcription of the loops in run_squad.py (eedf571), `doc_spans` and `_check_is_max_context`."""
    spans, start = [], 0
    while start < tokens:
        length = min(tokens - start, room)
        spans.append((start, start + length))
        if start + length == tokens:
            break
        start += min(length, strides.STRIDE)
    assert stretches(tokens, room) == spans
    owner = owners(tokens, spans)
    for position in range(0, tokens, 7):
        best, found = None, None
        for index, (left, right) in enumerate(spans):
            if not left <= position < right:
                continue
            score = min(position - left, right - 1 - position) + 0.01 * (right - left)
            if best is None or score > best:
                best, found = score, index
        assert owner[position] == found


def test_windows_hold_question_and_text(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strides, "STRIDE", 8)
    rows = rows_of(12, 70)
    task = SpanTask(0.0)
    windows = task.windows(rows, tokenizer, 32)
    assert len(windows) > 20
    assert coverage(windows).share == 1.0
    with_answer = set()
    for window in windows:
        assert isinstance(window, SpanWindow)
        row = rows[window.row]
        assert len(window.input_ids) <= 32
        assert window.input_ids[0] == tokenizer.cls_token_id
        assert (window.token_type_ids[window.begin :] == 1).all()
        assert not window.token_type_ids[: window.begin].any()
        pieces = tokenizer.encode([row["context"][start:end] for start, end in window.offsets.tolist()])
        assert len(window.offsets) == len(window.input_ids) - window.begin - 1 == len(pieces)
        if window.start:
            with_answer.add(window.row)
            start, end = window.offsets[window.start - window.begin, 0], window.offsets[window.end - window.begin, 1]
            assert row["context"][start:end] == row["answers"][0][0]
    assert with_answer == {i for i, row in enumerate(rows) if row["answers"]}
    with pytest.raises(BertworksError, match="leaves no room for text"):
        task.windows(rows, tokenizer, 19)
    with pytest.raises(BertworksError, match="row 1 has no `context`, only `question`"):
        task.windows([{"question": "x"}], tokenizer, 64)


def test_loss_is_transformers_mean_over_windows(tokenizer: Tokenizer, tmp_path: Path) -> None:
    config = BertConfig(tokenizer.vocab_size, 24, 2, 3, 52, max_position_embeddings=64, initializer_range=0.5)
    model = BertForSpan.new(config, 2, torch.Generator().manual_seed(3)).eval()
    task = SpanTask(0.0)
    save_pretrained(model, tmp_path / "m", settings=task.config_keys())
    theirs = transformers.AutoModelForQuestionAnswering.from_pretrained(tmp_path / "m").eval()
    losses = []
    windows = task.windows(rows_of(9, 30), tokenizer, 64)
    for window in windows:  # one by one: transformers takes padding for places where an answer may begin
        assert isinstance(window, SpanWindow)
        told = theirs(
            input_ids=torch.from_numpy(window.input_ids)[None].long(),
            token_type_ids=torch.from_numpy(window.token_type_ids)[None].long(),
            start_positions=torch.tensor([window.start]), end_positions=torch.tensor([window.end]),
        )  # fmt: skip
        losses.append(float(told.loss.detach()))
    with torch.no_grad():
        types = [window.token_type_ids for window in windows]
        batch = pad_rows([window.input_ids for window in windows], types).reading([window.places for window in windows])
        logits = model(batch)
    total = task.loss_sum(logits, task.targets(windows), task.weights(windows))
    assert task.loss_count(windows) == len(windows) == 9
    assert float(total) / 9 == pytest.approx(np.mean(losses), abs=1e-5)
    assert np.std(losses) > 0.1


def test_the_best_stretch_by_brute_force(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strides, "STRIDE", 8)
    rows = rows_of(6, 60, seed=4)
    task = SpanTask(None, most_tokens=4, n_best=64)
    windows = task.windows(rows, tokenizer, 32)
    draw = np.random.default_rng(5)
    logits = [draw.normal(size=(len(window.input_ids), 2)).astype(np.float32) for window in windows]
    answers = task.decode(rows, windows, logits)
    for number, answer in enumerate(answers):
        found = []
        for window, output in zip(windows, logits, strict=True):
            assert isinstance(window, SpanWindow)
            if window.row != number:
                continue
            for start, end in itertools.product(range(len(window.offsets)), repeat=2):
                if window.owned[start] and start <= end < start + 4:
                    score = output[window.begin + start, 0] + output[window.begin + end, 1]
                    found.append((float(score), window.offsets[start, 0], window.offsets[end, 1]))
        best = max(found)
        assert (answer.start, answer.end) == best[1:]
        assert answer.answer == rows[number]["context"][best[1] : best[2]]
        assert 0 < answer.score < 1


def test_no_answer_is_a_threshold_on_the_smallest_null_score(tokenizer: Tokenizer) -> None:
    rows = rows_of(30, 20, seed=6)
    task = SpanTask(0.0)
    windows = task.windows(rows, tokenizer, 64)
    draw = np.random.default_rng(7)
    logits = []
    for window in windows:
        assert isinstance(window, SpanWindow)
        output = draw.normal(size=(len(window.input_ids), 2)).astype(np.float32)
        output[window.start, 0] += 3
        output[window.end, 1] += 3
        output[0] += 2  # all too ready to say that there is none
        logits.append(output)
    answers = task.decode(rows, windows, logits)
    before = task.score(answers, rows)
    tuned = task.tuned(answers, rows)
    after = tuned.score(tuned.decode(rows, windows, logits), rows)
    assert tuned.threshold != 0.0
    assert before["f1"] < after["f1"] == pytest.approx(before["best_f1"])
    assert list(after) == list(task.metrics)
    assert task_from_settings(tuned.settings()) == tuned
    none = [answer for answer in answers if not answer.answer]
    assert none
    assert all(answer.start is None and answer.best for answer in none)
    assert set(none[0].to_json()) == {"id", "answer", "start", "end", "score", "null_score"}
    assert isinstance(answers[0], SpanAnswer)


def test_the_order_of_start_and_end_is_a_rule_of_its_own(tokenizer: Tokenizer) -> None:
    rows, task = rows_of(40, 20, seed=8), SpanTask(0.0)
    windows = task.windows(rows, tokenizer, 64)
    draw = np.random.default_rng(9)
    logits = [draw.normal(size=(len(window.input_ids), 2)).astype(np.float32) for window in windows]
    answers, said = task.decode(rows, windows, logits), []
    for number, answer in enumerate(answers):
        of_row = [(output, window) for output, window in zip(logits, windows, strict=True) if window.row == number]
        output, window = max(of_row, key=lambda pair: float(pair[0].max(0).sum()))
        start, end = (int(place) for place in output.argmax(0))
        assert isinstance(window, SpanWindow)
        assert answer.is_ordered == (start <= end and start >= window.begin and end < len(window.input_ids) - 1)
        said.append(replace(answer, answer=answer.best if answer.is_ordered else ""))
    assert 5 < sum(answer.is_ordered for answer in answers) < 35
    assert task.score(answers, rows)["f1_by_order"] == task.score(said, rows)["f1"]
    assert task.score(answers, rows)["f1_by_order"] != task.score(answers, rows)["f1"]


def test_the_task_is_told_from_the_file() -> None:
    def file(answers: object, **more: object) -> bytes:
        asked = {"id": "a", "question": "who?", "answers": answers, **more}
        return json.dumps({"data": [{"paragraphs": [{"context": "Ann came.", "qas": [asked]}]}]}).encode()

    gold = {"text": "Ann", "answer_start": 0}
    table = parse_table(file([gold]), "s.json")
    assert table.rows == [{"id": "a", "question": "who?", "context": "Ann came.", "answers": [("Ann", 0)]}]
    assert infer_task(table).task == SpanTask()
    both = parse_table(
        file([gold])[:-4] + b', {"context": "x", "qas": [{"question": "y?", "answers": []}]}]}]}', "s.json"
    )
    assert infer_task(both).task == SpanTask(0.0)
    assert parse_table(file([gold], is_impossible=True), "s.json").rows[0]["answers"] == []
    off = parse_table(file([{"text": "Bob", "answer_start": 0}]), "s.json")
    assert off.counted == {"an answer whose text does not stand at its place": 1}
    flat = b'{"question": "q", "context": "Ann came.", "answers": {"text": ["Ann"], "answer_start": [0]}}\n'
    assert parse_table(flat, "s.jsonl").rows[0]["answers"] == [("Ann", 0)]
    chinese = json.dumps(
        [
            {
                "context": "我们来了",
                "qas": [{"id": "1", "question": "谁", "answers": [{"text": "我们", "answer_start": 0}]}],
            }
        ]
    )
    assert infer_task(parse_table(chinese.encode(), "c.json")).task == SpanTask(None, "cmrc")
    for content, told in (
        (b'{"data": [{"paragraphs": [{"qas": []}]}]}', r"article 1: no text `context`"),
        (b'{"data": [{"paragraphs": [{"context": "x", "qas": [{"id": "7"}]}]}]}', "question `7`: no text `question`"),
        (file("x")[:-1], "not JSON"),
        (file([3]), "question `a`: `answers` is no list of answers"),
    ):
        with pytest.raises(BertworksError, match=told):
            parse_table(content, "s.json")
    with pytest.raises(BertworksError, match="no question has an answer"):
        infer_task(parse_table(file([], is_impossible=True), "s.json"))
