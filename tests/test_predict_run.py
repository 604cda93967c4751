"""Answers come in the order of the rows, and no row's answer depends on the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.model.bert import BertForSentence
from bertworks.model.layout import pad_rows
from bertworks.model.pretrained import load_for_task
from bertworks.predict.batches import length_batches, padded_length
from bertworks.predict.run import predict_rows, window_logits
from bertworks.tasks.labels import Labels
from bertworks.tasks.sentence import SentenceTask
from bertworks.text.tokenizer import Tokenizer
from finetune_support import model_folder, toy_rows

TASK = SentenceTask("classify", False, Labels(("one", "two", "three", "four", "five")))
Setting = tuple[torch.nn.Module, Tokenizer, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """A random classifier and rows of many lengths, some longer than a window."""
    start = model_folder(tmp_path_factory.mktemp("predict") / "start")
    model, _, _ = load_for_task(start, BertForSentence, 5, torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.classifier.weight.mul_(20)
    return model.eval(), Tokenizer.load(start), toy_rows(83, longest=70)


def scores_of(setting: Setting, rows: list[dict[str, Any]], **settings: int) -> np.ndarray:
    model, tokenizer, _ = setting
    found = predict_rows(model, TASK, tokenizer, rows, max_length=40, **settings)
    return np.array([list(answer.to_json()["scores"].values()) for answer in found.answers])


def test_a_row_alone_is_answered_as_among_others(setting: Setting) -> None:
    rows = setting[2]
    together = scores_of(setting, rows)
    assert np.ptp(together, axis=0).max() > 0.5, "answers must differ, or order shows nothing"
    alone = np.concatenate([scores_of(setting, [row]) for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("budget", [1, 37, 100_000])
def test_batches_do_not_show_in_the_answers(setting: Setting, budget: int) -> None:
    np.testing.assert_allclose(
        scores_of(setting, setting[2], token_budget=budget), scores_of(setting, setting[2]), atol=1e-5
    )


def test_another_order_of_rows_gives_the_same_answers_in_that_order(setting: Setting) -> None:
    order = np.random.default_rng(0).permutation(len(setting[2]))
    shuffled = scores_of(setting, [setting[2][i] for i in order.tolist()])
    np.testing.assert_allclose(shuffled, scores_of(setting, setting[2])[order], atol=1e-5)


def test_the_slow_way_says_the_same(setting: Setting) -> None:
    model, tokenizer, rows = setting
    windows = TASK.windows(rows, tokenizer, 40)
    assert len(windows) > len(rows), "some rows must have several windows"
    fast = window_logits(model, windows)
    with torch.no_grad():
        slow = [model(pad_rows([window.input_ids], [window.token_type_ids]))[0].numpy() for window in windows]
    np.testing.assert_allclose(np.stack(fast), np.stack(slow), atol=1e-5)
    assert fast[0].dtype == np.float32


def test_no_rows_no_answers(setting: Setting) -> None:
    assert len(scores_of(setting, [])) == 0


def test_texts_of_nothing_and_of_specials_are_answered(setting: Setting) -> None:
    rows = [{"text": text} for text in ("", "   ", "[SEP]", "[MASK] [CLS]", "\u200b", "cat")]
    found = scores_of(setting, rows)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert abs(found[2] - found[0]).max() > 1e-3, "[SEP] in a text is text"


def test_coverage_counts_long_rows(setting: Setting) -> None:
    model, tokenizer, rows = setting
    found = predict_rows(model, TASK, tokenizer, rows, max_length=40)
    assert found.coverage.rows == len(rows)
    assert found.coverage.share == 1.0
    assert 0 < found.coverage.long_rows < len(rows)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 600), max_size=60), st.integers(1, 3000))
def test_batches_hold_every_window_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(length_batches(np.array(lengths, np.int64), token_budget=budget))
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        width = padded_length(max(lengths[i] for i in batch.tolist()))
        assert len(batch) == 1 or len(batch) * width <= budget


def test_padding_is_small_where_lengths_vary() -> None:
    lengths = np.random.default_rng(0).integers(3, 120, 2000)
    batches = length_batches(lengths)
    places = sum(len(batch) * padded_length(int(lengths[batch].max())) for batch in batches)
    assert places < 1.12 * lengths.sum()
    assert 1.9 * lengths.sum() < 2000 * 120, "padding all to the longest would cost far more"


def test_memory_is_freed_between_chunks(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    original: Callable[..., Any] = window_logits

    def counted(model: Any, windows: Any, **settings: Any) -> Any:
        seen.append(len(windows))
        return original(model, windows, **settings)

    monkeypatch.setattr("bertworks.predict.run.window_logits", counted)
    monkeypatch.setattr("bertworks.predict.run.CHUNK_ROWS", 20)
    scores = scores_of(setting, setting[2])
    assert len(seen) == 5
    monkeypatch.undo()
    np.testing.assert_allclose(scores, scores_of(setting, setting[2]), atol=1e-5)


def test_bfloat16_answers_are_near(setting: Setting, tmp_path: Path) -> None:
    start = model_folder(tmp_path / "start")
    model, _, _ = load_for_task(start, BertForSentence, 5, torch.Generator().manual_seed(1))
    rows = setting[2][:6]  # few: this machine may have no instructions for it
    wide = scores_of((model.eval(), setting[1], rows), rows)
    half = scores_of((model.to(torch.bfloat16).eval(), setting[1], rows), rows)
    assert np.abs(wide - half).max() > 0, "bfloat16 must round"
    np.testing.assert_allclose(half, wide, atol=0.05)
