"""Scorers of answers: the official scripts' own results on published and made-up predictions, and single cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from bertworks.tasks.answer_metrics import Right, best_threshold, cmrc, official_best, squad


def unpacked(path: Path) -> Any:
    return json.loads(zstandard.open(path, "rt", encoding="utf-8").read())


def golds(path: Path) -> dict[str, list[str]]:
    articles = unpacked(path)["data"]
    questions = [question for one in articles for paragraph in one["paragraphs"] for question in paragraph["qas"]]
    return {question["id"]: [answer["text"] for answer in question["answers"]] for question in questions}


def test_squad_1_equals_the_official_script(shared_data: Path) -> None:
    labelled = shared_data / "labelled"
    known = unpacked(labelled / "scorers" / "known_answers.json.zst")["squad_v1"]
    assert len(known) == 6
    for one in known:
        said = unpacked(labelled / "scorers" / f"{one['predictions']}.zst")
        wanted = golds(labelled / f"{one['dataset']}.zst")
        right = [squad(said[name], gold) if name in said else Right(0, 0) for name, gold in wanted.items()]
        assert 100 * sum(one.exact for one in right) / len(right) == pytest.approx(one["result"]["exact_match"])
        assert 100 * sum(one.f1 for one in right) / len(right) == pytest.approx(one["result"]["f1"])


def test_squad_2_equals_the_official_script(shared_data: Path) -> None:
    labelled = shared_data / "labelled"
    known = unpacked(labelled / "scorers" / "known_answers.json.zst")["squad_v2"]
    assert len(known) >= 3
    for one in known:
        said = unpacked(labelled / "scorers" / f"{one['predictions']}.zst")
        wanted = golds(labelled / f"{one['dataset']}.zst")
        null = (
            unpacked(labelled / "scorers" / f"{one['na_prob']}.zst") if one.get("na_prob") else dict.fromkeys(said, 0.0)
        )
        bound = one.get("na_prob_thresh", 1.0)
        has = [bool(gold) for gold in wanted.values()]
        raw = [squad(said[name], gold) for name, gold in wanted.items()]
        right = [
            Right(float(not there), float(not there)) if null[name] > bound else one
            for name, there, one in zip(wanted, has, raw, strict=True)
        ]
        result = one["result"]
        assert 100 * sum(one.exact for one in right) / len(right) == pytest.approx(result["exact"])
        assert 100 * sum(one.f1 for one in right) / len(right) == pytest.approx(result["f1"])
        if "best_f1" in result:
            texts, scores = [said[name] for name in wanted], [null[name] for name in wanted]
            for name, values in (("exact", [one.exact for one in raw]), ("f1", [one.f1 for one in raw])):
                found = official_best(values, has, texts, scores)
                assert 100 * found.score == pytest.approx(result[f"best_{name}"])
                assert found.threshold == pytest.approx(result[f"best_{name}_thresh"])


@pytest.mark.parametrize(
    ("gold", "said", "exact", "f1"),
    [
        ("U.S.", "US", 1, 1), ("New York City", "york new", 0, 0.8), ("10-12", "10 12", 0, 0), ("1,000", "1000", 1, 1),
        ("“word”", "word", 0, 0), ("café", "cafe", 0, 0), ("in the 10th century", "10th century", 0, 0.8),
        ("a", "the", 1, 1),
        ("A A A B", "A B B", 0, 2 / 3), ("北京", "北京市", 0, 0), ("", "", 1, 1), ("", "x", 0, 0),
    ],
)  # fmt: skip
def test_single_answers_of_squad(gold: str, said: str, exact: float, f1: float) -> None:
    assert squad(said, [gold] if gold else []) == pytest.approx((exact, f1))


@pytest.mark.parametrize(
    ("gold", "said", "exact", "f1"),
    [
        ("北京大学", "北京", 0, 2 / 3), ("《红楼梦》", "红楼梦", 1, 1), ("在北京大学读书", "北京读书", 0, 0.3636),
        ("U.S.", "US", 0, 0), ("NBA球队", "nba 球队", 0, 1),
    ],
)  # fmt: skip
def test_single_answers_of_cmrc(gold: str, said: str, exact: float, f1: float) -> None:
    assert cmrc(said, [gold]) == pytest.approx((exact, f1), abs=1e-4)


def test_a_threshold_never_splits_a_tie() -> None:
    """The official one takes the first of two questions with one null score, which no threshold can do."""
    assert official_best([1, 0], [True, False], ["x", "y"], [0.5, 0.5]) == (1.0, 0.5)
    assert best_threshold([1, 0], [True, False], ["x", "y"], [0.5, 0.5]).score == 0.5
    for null in ([-3.0, -2.0], [2.0, 3.0]):
        found = best_threshold([1, 0], [True, False], ["x", "y"], null)
        assert found == (1.0, null[0])
    everything_empty = best_threshold([0, 0], [False, False], ["x", "y"], [-5.0, 4.0])
    assert everything_empty.score == 1.0
    assert everything_empty.threshold < -5
    scores, has = [1, 1, 0, 0, 2 / 3], [True, True, False, False, True]  # anchors of the survey: q1 q2 q3 q4 q5
    found = best_threshold(scores, has, ["x", "x", "x", "", "x"], [0.10, 0.55, 0.60, 0.90, 0.30])
    assert found == (pytest.approx((1 + 1 + 2 / 3 + 2) / 5), 0.55)
