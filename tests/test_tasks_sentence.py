"""One text or a pair: encoding, targets, losses, answers, metrics, and what is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from bertworks.base.errors import BertworksError
from bertworks.model.config import BertConfig
from bertworks.model.layout import pad_rows
from bertworks.read.tables import parse_table
from bertworks.tasks.infer import infer_task
from bertworks.tasks.known import task_from_settings
from bertworks.tasks.labels import Labels
from bertworks.tasks.sentence import Answer, SentenceTask
from bertworks.tasks.task import coverage
from bertworks.text.tokenizer import Tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """Every letter is a piece: a word of five letters is five tokens."""
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join([*SPECIALS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]) + "\n")
    return Tokenizer.load(path)


def classify(pair: bool = False, **options: Any) -> SentenceTask:
    return SentenceTask("classify", pair, Labels.of(["b", "a", "c", "a"]), **options)


def spelled(tokenizer: Tokenizer, ids: np.ndarray) -> list[str]:
    return [tokenizer.tokens[token] for token in ids]


def test_one_text(tokenizer: Tokenizer) -> None:
    (window,) = classify().windows([{"text": "ab c", "label": "c"}], tokenizer, 16)
    assert spelled(tokenizer, window.input_ids) == ["[CLS]", "a", "##b", "c", "[SEP]"]
    assert window.input_ids.dtype == np.int32
    assert window.token_type_ids.tolist() == [0, 0, 0, 0, 0]
    assert (window.row, window.target, window.weight, window.covered, window.words) == (0, 2, 1.0, 2, 2)


def test_a_pair_and_a_pair_without_a_second_text(tokenizer: Tokenizer) -> None:
    rows = [{"sentence1": "ab", "sentence2": "c d", "label": "a"}, {"sentence1": "x", "sentence2": " ", "label": "b"}]
    both, single = classify(pair=True).windows(rows, tokenizer, 16)
    assert spelled(tokenizer, both.input_ids) == ["[CLS]", "a", "##b", "[SEP]", "c", "d", "[SEP]"]
    assert both.token_type_ids.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert spelled(tokenizer, single.input_ids) == ["[CLS]", "x", "[SEP]"]
    assert single.token_type_ids.tolist() == [0, 0, 0]


def test_an_empty_text_is_two_tokens(tokenizer: Tokenizer) -> None:
    (window,) = classify().windows([{"text": ""}], tokenizer, 16)
    assert spelled(tokenizer, window.input_ids) == ["[CLS]", "[SEP]"]
    assert window.target is None
    assert coverage([window]).share == 1.0


def test_special_words_in_a_text_are_text(tokenizer: Tokenizer) -> None:
    (window,) = classify().windows([{"text": "a [SEP] b"}], tokenizer, 32)
    assert (window.input_ids == tokenizer.sep_token_id).sum() == 1


def test_a_long_document_is_read_whole(tokenizer: Tokenizer) -> None:
    text = " ".join(LETTERS[i % 26] * (i % 4 + 1) for i in range(5000))
    rows = [{"text": "short", "label": "a"}, {"text": text, "label": "b"}]
    windows = classify().windows(rows, tokenizer, 128)
    assert len(windows) > 100
    assert max(len(window.input_ids) for window in windows) <= 128
    assert [window.row for window in windows] == sorted(window.row for window in windows)
    seen = coverage(windows)
    assert (seen.seen, seen.words, seen.rows, seen.long_rows, seen.share) == (5001, 5001, 2, 1, 1.0)
    assert classify().loss_count(windows) == pytest.approx(2)
    long = [window for window in windows if window.row == 1]
    pieces = tokenizer.encode([text])[0]
    reached = 0
    for window in long:  # each is a stretch of the text that begins in what was read and goes on from there
        body = window.input_ids[1:-1]
        places = np.flatnonzero((np.lib.stride_tricks.sliding_window_view(pieces, len(body)) == body).all(-1))
        reached = min(int(place) for place in places if place <= reached < place + len(body)) + len(body)
    assert reached == len(pieces)
    assert {window.target for window in long} == {1}


@pytest.mark.parametrize(("truncation", "share"), [("truncate", 0.5), ("head+tail", 0.5), ("windows", 1.0)])
def test_coverage_tells_what_was_cut(tokenizer: Tokenizer, truncation: str, share: float) -> None:
    rows = [{"text": " ".join(["a"] * 60), "label": "a"}]
    windows = classify(truncation=truncation).windows(rows, tokenizer, 32)
    assert coverage(windows).share == share
    assert len(windows) == (1 if share < 1 else 3)


def test_a_pair_is_cut_as_bert_does(tokenizer: Tokenizer) -> None:
    rows = [{"sentence1": "a " * 9, "sentence2": "b " * 12, "label": "a"}]
    (window,) = classify(pair=True, truncation="truncate").windows(rows, tokenizer, 15)
    assert spelled(tokenizer, window.input_ids) == ["[CLS]", *"aaaaaa", "[SEP]", *"bbbbbb", "[SEP]"]
    (odd,) = classify(pair=True, truncation="truncate").windows(rows, tokenizer, 14)
    assert "".join(spelled(tokenizer, odd.input_ids)) == "[CLS]aaaaaa[SEP]bbbbb[SEP]"


def test_the_short_side_stands_in_every_window(tokenizer: Tokenizer) -> None:
    rows = [{"sentence1": "q q", "sentence2": " ".join(LETTERS) * 3, "label": "a"}]
    windows = classify(pair=True).windows(rows, tokenizer, 24)
    assert len(windows) > 3
    for window in windows:
        assert spelled(tokenizer, window.input_ids)[1:4] == ["q", "q", "[SEP]"]
    assert coverage(windows).share == 1.0


def test_rows_that_do_not_fit_the_task(tokenizer: Tokenizer) -> None:
    with pytest.raises(BertworksError, match=r"row 2 has no `text`, only `sentence1`"):
        classify().windows([{"text": "a"}, {"sentence1": "b"}], tokenizer, 16)
    with pytest.raises(BertworksError, match=r"max_length 5 leaves no room"):
        classify().windows([{"text": "a"}], tokenizer, 5)
    with pytest.raises(BertworksError, match=r"truncation `windos` is unknown") as caught:
        classify(truncation="windos")
    assert caught.value.hint == "did you mean `windows`?"


def test_loss_is_a_sum_in_which_each_row_counts_once(tokenizer: Tokenizer) -> None:
    task = classify()
    rows = [{"text": "a " * 50, "label": "b"}, {"text": "a", "label": "c"}]
    windows = task.windows(rows, tokenizer, 16)
    assert len(windows) == 5
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    targets, weights = task.targets(windows), task.weights(windows)
    assert targets.tolist() == [1, 1, 1, 1, 2]
    each = functional.cross_entropy(logits, targets, reduction="none")
    expected = each[:4].mean() + each[4]
    assert task.loss_sum(logits, targets, weights).item() == pytest.approx(expected.item(), rel=1e-6)
    assert task.loss_count(windows) == pytest.approx(2)
    assert not np.isclose(each[:4].mean(), each[0])  # the windows differ, so a wrong weight would show


def test_scores_are_scaled_for_the_loss_and_back_for_the_answer(tokenizer: Tokenizer) -> None:
    table = parse_table(b"text,score\na,1.0\nb,2.0\nc,4.5\n", "t.csv")
    task = infer_task(table).task
    assert (task.center, task.scale) == (pytest.approx(2.5), pytest.approx(np.std([1, 2, 4.5])))
    windows = task.windows(table.rows, tokenizer, 16)
    targets = task.targets(windows)
    assert targets.mean().item() == pytest.approx(0, abs=1e-6)
    assert targets.std(unbiased=False).item() == pytest.approx(1, rel=1e-6)
    answers = task.decode(table.rows, windows, targets[:, None].numpy())
    assert [answer.score for answer in answers] == pytest.approx([1.0, 2.0, 4.5], rel=1e-6)
    assert answers[0].to_json() == {"score": answers[0].score}
    assert task.score(answers, table.rows) == pytest.approx({"pearson": 1.0, "spearman": 1.0})
    logits = torch.zeros(3, 1)
    assert task.loss_sum(logits, targets, task.weights(windows)).item() == pytest.approx(3.0, rel=1e-5)
    assert task.folded().decode(table.rows, windows, targets[:, None].numpy())[0].score == targets[0].item()


def test_answers_average_the_windows_and_add_up_to_one(tokenizer: Tokenizer) -> None:
    task = classify()
    rows = [{"text": "a"}, {"text": "a " * 50}, {"text": "b"}]
    windows = task.windows(rows, tokenizer, 16)
    assert [window.row for window in windows] == [0, 1, 1, 1, 1, 2]
    logits = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    answers = task.decode(rows, windows, list(logits))
    expected = torch.softmax(torch.tensor(logits[1:5]).double().mean(0), -1).numpy()
    assert list(answers[1].scores or {}) == ["a", "b", "c"]
    assert list((answers[1].scores or {}).values()) == pytest.approx(expected.tolist())
    for answer in answers:
        assert answer.scores is not None
        assert sum(answer.scores.values()) == pytest.approx(1)
        assert answer.label == max(answer.scores, key=lambda name: (answer.scores or {})[name])
        assert answer.to_json() == {"label": answer.label, "score": answer.score, "scores": answer.scores}
    assert answers == task.decode(rows, windows, logits)


def test_extreme_logits_stay_finite(tokenizer: Tokenizer) -> None:
    task = classify()
    windows = task.windows([{"text": "a"}], tokenizer, 16)
    (answer,) = task.decode([{"text": "a"}], windows, np.array([[1e4, -1e4, 0]], np.float32))
    assert answer == Answer("a", 1.0, {"a": 1.0, "b": 0.0, "c": 0.0})


def test_metrics_and_gold(tokenizer: Tokenizer) -> None:
    task = classify()
    rows = [{"text": "x", "label": label} for label in "abca"]
    answers = [Answer(label, 1.0, {}) for label in "abaa"]
    assert task.score(answers, rows) == pytest.approx(
        {"accuracy": 0.75, "f1_macro": 0.6, "f1_micro": 0.75, "mcc": 0.64549722}
    )
    with pytest.raises(BertworksError, match="row 2: no label"):
        task.score(answers[:2], [rows[0], {"text": "x"}])


def test_a_label_of_dev_alone_is_refused_with_its_line() -> None:
    train = parse_table(b"text,label\na,negative\nb,neutral\nc,positive\n", "train.csv")
    dev = parse_table(b"text,label\na,negative\nb,nuetral\n", "dev.csv")
    with pytest.raises(BertworksError) as caught:
        infer_task(train).task.check(dev)
    assert caught.value.message == (
        "dev.csv:3: label `nuetral` is not among the 3 of training: negative, neutral, positive"
    )
    assert caught.value.hint == "did you mean `neutral`?"


def test_a_table_of_another_shape_is_refused() -> None:
    pair = parse_table(b"sentence1,sentence2,label\na,b,a\nc,d,b\n", "dev.csv")
    with pytest.raises(BertworksError, match=r"dev.csv: has a pair of texts a row, the model reads one text"):
        classify().check(pair)


def test_training_without_a_label_is_refused(tokenizer: Tokenizer) -> None:
    windows = classify().windows([{"text": "a", "label": "a"}, {"text": "b", "label": "zzz"}], tokenizer, 16)
    with pytest.raises(BertworksError, match="row 2 has no label that training knows"):
        classify().targets(windows)


def test_settings_round_trip(tmp_path: Path, tokenizer: Tokenizer) -> None:
    tasks = [
        classify(pair=True, truncation="head+tail"),
        SentenceTask("score", False, center=2.5, scale=0.125),
        SentenceTask("classify", False, Labels.of(["0", "1", "0"], ["no", "yes", "no"])),
    ]
    for task in tasks:
        stored = json.loads(json.dumps(task.settings()))
        again = task_from_settings(stored)
        assert again == task
        assert again.settings() == task.settings()
    with pytest.raises(BertworksError, match="trained for task `tagging`"):
        task_from_settings({"task": "tagging"})
    with pytest.raises(BertworksError, match="not whole"):
        task_from_settings({"task": "classify"})


def test_what_transformers_reads() -> None:
    keys = classify().config_keys()
    assert keys["id2label"] == {"0": "a", "1": "b", "2": "c"}
    assert keys["label2id"] == {"a": 0, "b": 1, "c": 2}
    score = SentenceTask("score", False).config_keys()
    assert (score["id2label"], score["problem_type"]) == ({"0": "score"}, "regression")


def test_the_head_has_one_output_a_class() -> None:
    config = BertConfig(vocab_size=23, hidden_size=6, num_attention_heads=3, intermediate_size=7, num_hidden_layers=1)
    rows = pad_rows([np.array([1, 2]), np.array([3])], None)
    model = classify().network.new(config, classify().num_outputs)
    assert model(rows).shape == (2, 3)
    assert model.classifier.weight.abs().max() > 0
    score = SentenceTask("score", False)
    assert score.network.new(config, score.num_outputs)(rows).shape == (2, 1)
