"""Held-out rows: by content, class by class, equal texts on one side, few moved by new rows."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.tasks.split import BY_CLASS, BY_SCORE, content_key, plain, split_rows


def rows_of(counts: dict[str, int]) -> list[dict[str, Any]]:
    return [{"text": f"{label} number {i}", "label": label} for label, count in counts.items() for i in range(count)]


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_each_class_gives_its_share(share: float) -> None:
    counts = {"a": 400, "b": 100, "c": 37, "d": 3, "e": 1}
    rows = rows_of(counts)
    train, dev = split_rows(rows, by=BY_CLASS, share=share, seed=0)
    held = Counter(rows[i]["label"] for i in dev)
    assert len(dev) == round(share * len(rows))
    for label, count in counts.items():
        assert abs(held[label] - share * count) <= 1
        assert held[label] < count
    assert sorted([*train, *dev]) == list(range(len(rows)))


def test_ten_of_each_of_many_classes() -> None:
    rows = rows_of({f"c{i}": 10 for i in range(77)})
    _, dev = split_rows(rows, by=BY_CLASS, share=0.1, seed=0)
    assert Counter(rows[i]["label"] for i in dev) == {f"c{i}": 1 for i in range(77)}


def test_order_does_not_matter_and_the_seed_does() -> None:
    rows = rows_of({"a": 150, "b": 50})
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    texts = {seed: {rows[i]["text"] for i in split_rows(rows, by=BY_CLASS, share=0.2, seed=seed)[1]} for seed in (0, 1)}
    again = {shuffled[i]["text"] for i in split_rows(shuffled, by=BY_CLASS, share=0.2, seed=0)[1]}
    assert again == texts[0]
    assert 0 < len(texts[0] & texts[1]) < 20  # about 40 · 0.2 by chance


def test_new_rows_move_few() -> None:
    rows = rows_of({"a": 500, "b": 500})
    before = {rows[i]["text"] for i in split_rows(rows, by=BY_CLASS, share=0.1, seed=0)[1]}
    more = rows + rows_of({"c": 50})
    after = {more[i]["text"] for i in split_rows(more, by=BY_CLASS, share=0.1, seed=0)[1]}
    assert len(before - after) <= 2


TEXTS = st.sampled_from(
    ["Hello, World!", "hello world", "HELLO  WORLD?", "bye", "Bye.", "ｂｙｅ", "other", "你好", "你好!"]
)
LABELLED = st.lists(st.tuples(TEXTS, st.sampled_from("xyz")), min_size=8, max_size=60)


@given(LABELLED, st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_equal_texts_stay_together_and_no_class_is_in_dev_alone(labelled: list[tuple[str, str]], seed: int) -> None:
    rows = [{"text": text, "label": label} for text, label in labelled]
    try:
        train, dev = split_rows(rows, by=BY_CLASS, share=0.3, seed=seed)
    except BertworksError as error:
        outcomes.append(error.message)
        return
    outcomes.append("split")
    assert len(dev) > 0
    assert {content_key(rows[i]) for i in train}.isdisjoint(content_key(rows[i]) for i in dev)
    assert {rows[i]["label"] for i in dev} <= {rows[i]["label"] for i in train}


outcomes: list[str] = []


def test_the_rows_above_were_split_at_times() -> None:
    assert outcomes.count("split") > 30
    assert all(outcome == "split" or "can be held out" in outcome for outcome in outcomes)


def test_scores_are_spread_by_tenths() -> None:
    rng = np.random.default_rng(0)
    rows = [{"sentence1": f"a{i}", "sentence2": f"b{i}", "score": float(rng.normal())} for i in range(500)]
    _, dev = split_rows(rows, by=BY_SCORE, share=0.1, seed=0)
    values = np.array([row["score"] for row in rows])
    tenth = np.searchsorted(np.quantile(values, np.linspace(0, 1, 11)[1:-1]), values[dev], side="right")
    assert Counter(tenth.tolist()) == dict.fromkeys(range(10), 5)
    whole = [{"text": f"a{i}", "label": str(i % 7)} for i in range(70)]
    assert len(split_rows(whole, by=BY_SCORE, share=0.1, seed=0)[1]) == 7


def test_pairs_are_one_text_only_when_both_are() -> None:
    assert content_key({"sentence1": "A.", "sentence2": "b"}) == content_key({"sentence1": "a", "sentence2": "B!"})
    assert content_key({"sentence1": "ab", "sentence2": "c"}) != content_key({"sentence1": "a", "sentence2": "bc"})
    assert plain("?!") == "?!"


def test_too_few_rows() -> None:
    with pytest.raises(BertworksError, match="3 rows are too few"):
        split_rows(rows_of({"a": 2, "b": 1}), by=BY_CLASS, share=0.1, seed=0)
    with pytest.raises(BertworksError, match="no row of 9 can be held out"):
        split_rows(rows_of(dict.fromkeys("abcdefghi", 1)), by=BY_CLASS, share=0.1, seed=0)
