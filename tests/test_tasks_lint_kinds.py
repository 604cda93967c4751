"""Checks on tags, marked stretches, answers and near-duplicates."""

from __future__ import annotations

import json

import numpy as np

from bertworks.read.tables import parse_table
from bertworks.tasks.lint.finding import Finding
from bertworks.tasks.lint.near import jaccard, near_duplicates, token_set
from bertworks.tasks.lint.report import Report, lint


def read(rows: list[dict[str, object]]) -> Report:
    return lint({"train": parse_table("\n".join(map(json.dumps, rows)).encode(), "a.jsonl")})


def of(report: Report, check: str) -> Finding:
    (found,) = [finding for finding in report.findings if finding.check == check]
    return found


def places(finding: Finding) -> list[int]:
    return [example.places[0].row for example in finding.examples]


def test_tags() -> None:
    good = {"tokens": ["Ann", "Lee", "left", "Rome"], "tags": ["B-PER", "I-PER", "O", "B-LOC"]}
    report = read(
        [
            *({**good, "tokens": ["Ann", "Lee", str(at), "Rome"]} for at in range(12)),
            {"tokens": ["to", "Rome", "now"], "tags": ["O", "I-LOC", "O"]},
            {"tokens": ["Rome", "won", "again"], "tags": ["B-ORG", "O", "I-ORG"]},
        ]
    )
    steps = of(report, "illegal_steps")
    assert (steps.count, places(steps)) == (2, [12, 13])
    assert "written in BIO" in of(report, "scheme").what
    assert "LOC 13, PER 12, ORG 2" in of(report, "entities").what
    assert of(report, "rare_types").examples[0].told == "`ORG` 2"
    surfaces = of(report, "surfaces")
    assert (surfaces.examples[0].told, places(surfaces)) == ("`rome`: LOC 13, ORG 1", [13])
    assert report.labels["train"]["O"] == 15
    uneven = read([good, {"tokens": ["a", "b"], "tags": ["O"]}])
    assert (of(uneven, "uneven_tags").level, places(of(uneven, "uneven_tags"))) == ("error", [1])


def test_marked_stretches() -> None:
    report = read(
        [
            {"text": "Ann Lee left Rome", "label": [[0, 7, "PER"], [13, 17, "LOC"]]},
            {"text": "Ann Lee left Paris", "label": [[0, 5, "PER"]]},
            {"text": "Ann Lee left Oslo", "label": [[0, 8, "PER"]]},
            {"text": "Ann Lee left Lima", "label": [[13, 40, "LOC"]]},
            {"text": "Ann Lee left Bonn", "label": [[0, 7, "PER"], [4, 7, "PER"]]},
        ]
    )
    assert report.task == ""  # training would stop at the stretch outside its text
    assert places(of(report, "inside_words")) == [1]
    assert places(of(report, "spaces_at_edges")) == [2]
    assert places(of(report, "outside_text")) == [3]
    assert places(of(report, "overlapping_entities")) == [4]


def test_answers() -> None:
    def row(number: int, text: str, start: int) -> dict[str, object]:
        answers = [{"text": text, "answer_start": start}] if text else []
        return {
            "id": str(number),
            "question": f"who is number {number}",
            "context": "Ann Lee left Rome",
            "answers": answers,
        }

    report = read([row(0, "Ann", 0), row(1, "Rome", 3), row(2, "Oslo", 0), row(3, "", 0), row(0, "Lee", 4)])
    assert report.task == "qa"
    assert places(of(report, "misplaced_answers")) == [1]
    assert (
        "at 3 stands ` Lee`, not `Rome`".replace("` Lee`", "`Lee`") in of(report, "misplaced_answers").examples[0].told
    )
    assert places(of(report, "lost_answers")) == [2]
    assert "1 of 5 (20.0%)" in of(report, "unanswered").what
    assert of(report, "repeated_ids").examples[0].told == "id `0`"


def brute(rows: list[tuple[str, ...]]) -> set[int]:
    sets = [token_set(texts) for texts in rows]
    return {
        later
        for later in range(len(rows))
        for earlier in range(later)
        if len(sets[later]) >= 3 and len(sets[earlier]) >= 3 and jaccard(sets[earlier], sets[later]) >= 0.8
    }


def test_near_duplicates_are_those_of_all_pairs() -> None:
    draw = np.random.default_rng(0)
    rows: list[tuple[str, ...]] = []
    for at in range(300):
        words = [f"w{number}" for number in draw.integers(0, 400, draw.integers(2, 15))]
        if at % 3 == 2:  # an earlier row with a word more, or less
            words = rows[int(draw.integers(0, at))][0].split()
            words = words[1:] if at % 2 else [*words, "more"]
        rows.append((" ".join(words),))
    found = near_duplicates(rows)
    assert len(found) > 30
    assert {one.row for one in found} <= brute(rows)
    assert len(found) >= 0.97 * len(brute(rows))  # of a band's rows each meets the first one and the one before
    assert all(one.like < one.row and one.similarity >= 0.8 for one in found)
    assert near_duplicates(rows) == found


def test_of_a_pair_both_texts_are_alike() -> None:
    premise = "a man in a red coat walks along the quiet street in the rain with his dog"
    rows = [(premise, "a man walks his old dog"), (premise, "nobody is out today"), (premise, "a man walks his dog")]
    assert [(one.row, one.like) for one in near_duplicates(rows)] == [(2, 0)]
    chinese = [
        ("我想查询信用卡的账单日是哪一天",),
        ("我想查询信用卡的账单日是哪一天呢",),
        ("今天天气很好适合出门散步",),
    ]
    assert [one.row for one in near_duplicates(chinese)] == [1]
