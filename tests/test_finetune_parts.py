"""Figures by class equal scikit-learn's and seqeval's; every kind of answer has its wrong rows, the worst first."""

from __future__ import annotations

import numpy as np
import pytest

from bertworks.finetune.bad_cases import bad_cases
from bertworks.finetune.parts import by_class, by_kind, confidences, interval, parts
from bertworks.tasks.answering import SpanAnswer, SpanTask
from bertworks.tasks.labels import Labels
from bertworks.tasks.schemes import spans_of
from bertworks.tasks.sentence import Answer, SentenceTask
from bertworks.tasks.several import LabelsAnswer, LabelsTask
from bertworks.tasks.tagging import TagAnswer, TagTask

NAMES = ("a", "b", "c", "never")
RANDOM = np.random.default_rng(11)


def test_classes_are_scikit_learns() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    task = SentenceTask("classify", False, Labels(NAMES, {}, (1, 1, 1, 1)))
    gold, said = RANDOM.integers(0, 3, 97), RANDOM.integers(0, 3, 97)
    rows = [{"text": "x", "label": NAMES[i]} for i in gold]
    answers = [Answer(NAMES[i], 0.3 + 0.2 * i) for i in said]
    found = by_class(task, answers, rows)
    assert list(found) == ["a", "b", "c"], "a class that is nowhere has no line"
    theirs = precision_recall_fscore_support(gold, said)
    for i, name in enumerate(found):
        assert list(found[name].values()) == pytest.approx([side[i] for side in theirs])
    cases = bad_cases(task, answers, rows)
    assert {case.row for case in cases} == set(np.flatnonzero(gold != said).tolist())
    assert [case.score for case in cases] == sorted((case.score for case in cases), reverse=True)
    probs = confidences(task, answers, rows)
    assert probs is not None
    np.testing.assert_array_equal(probs[1], gold == said)
    told = interval(task, answers, rows, "f1_macro", task.score(answers, rows)["f1_macro"])
    assert told is not None
    assert told["low"] < task.score(answers, rows)["f1_macro"] < told["high"]
    assert told["by"] == "bootstrap over rows"


def test_spans_are_seqevals() -> None:
    from seqeval.metrics import classification_report

    tags = ("O", "B-x", "I-x", "B-y", "I-y")
    task = TagTask(Labels(tags, {}, (1,) * 5))
    gold = [[tags[i] for i in RANDOM.integers(0, 5, 9)] for _ in range(40)]
    said = [[tag if RANDOM.random() < 0.7 else "O" for tag in row] for row in gold]
    words = [f"w{i}" for i in range(9)]
    offsets = [(3 * i, 3 * i + 2) for i in range(9)]
    rows = [{"tokens": words, "tags": row} for row in gold]
    answers = [
        TagAnswer(words, offsets, " ".join(words), row, RANDOM.random(9).tolist(), spans_of(row)) for row in said
    ]
    theirs = classification_report(gold, said, output_dict=True)
    found = by_class(task, answers, rows)
    assert set(found) == {"x", "y"}
    for name, told in found.items():
        other = theirs[name]
        wanted = [other["precision"], other["recall"], other["f1-score"], other["support"]]
        assert list(told.values()) == pytest.approx(wanted)
    cases = bad_cases(task, answers, rows)
    assert {case.row for case in cases} == {i for i in range(40) if spans_of(gold[i]) != spans_of(said[i])}
    for case in cases:
        assert isinstance(case.focus, int)
        assert gold[case.row][case.focus] != said[case.row][case.focus]
        assert case.score == answers[case.row].scores[case.focus]
    assert parts(task, answers, rows, "f1", 0.5)["interval"]["by"] == "bootstrap over rows"
    plain = TagTask(Labels(("N", "V"), {}, (1, 1)), "plain", written="plain")
    answer = TagAnswer(["a", "b"], [(0, 1), (2, 3)], "a b", ["N", "V"], [0.9, 0.6])
    (case,) = bad_cases(plain, [answer], [{"tokens": ["a", "b"], "tags": ["N", "N"]}])
    assert (case.focus, case.score) == (1, 0.6)
    assert interval(plain, [answer], [{"tokens": ["a", "b"], "tags": ["N", "N"]}], "accuracy", 0.5) is not None


def test_labels_are_scikit_learns_with_their_thresholds() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    task = LabelsTask(False, Labels(NAMES[:3], {}, (1, 1, 1)), (0.5, 0.2, 0.7))
    gold, probs = RANDOM.random((50, 3)) < 0.5, RANDOM.random((50, 3))
    golds = [[name for name, is_there in zip(NAMES, row, strict=False) if is_there] for row in gold]
    rows = [{"text": "x", "label": names} for names in golds]
    said = probs >= np.array(task.thresholds)
    answers = [
        LabelsAnswer([n for n, s in zip(NAMES, row, strict=False) if s], dict(zip(NAMES, p.tolist(), strict=False)))
        for row, p in zip(said, probs, strict=True)
    ]
    theirs = precision_recall_fscore_support(gold, said)
    for i, (name, told) in enumerate(by_class(task, answers, rows).items()):
        assert list(told.values()) == pytest.approx([*(side[i] for side in theirs), task.thresholds[i]]), name
    cases = bad_cases(task, answers, rows)
    assert {case.row for case in cases} == set(np.flatnonzero((gold != said).any(1)).tolist())
    for case in cases:
        at = case.row
        surely = np.where(said[at], probs[at], 1 - probs[at])
        assert case.score == pytest.approx(surely[said[at] != gold[at]].max())


def test_questions_by_kind_and_the_worst_first() -> None:
    task = SpanTask(0.0)
    golds = [["one word"], [], ["cat"], ["a very long answer of many words here"], ["red iron"]]
    saids = ["one", "something", "cat", "other", "blue tin"]
    scores = [0.9, 0.8, 0.7, 0.2, 0.6]
    rows = [{"question": "q", "context": "c", "answers": [(text, 0) for text in gold]} for gold in golds]
    answers = [SpanAnswer("", said, 0, 1, score, 0.0, said) for said, score in zip(saids, scores, strict=True)]
    kinds = by_kind(task, answers, rows)
    assert kinds["without an answer"] == {"rows": 1, "f1": 0.0, "exact_match": 0.0}
    assert kinds["with an answer"]["rows"] == 4
    assert kinds["answer of 1 word"] == {"rows": 1, "f1": 1.0, "exact_match": 1.0}
    assert kinds["answer of 7 words and more"]["rows"] == 1
    assert [case.row for case in bad_cases(task, answers, rows)] == [1, 4, 3, 0], "F1 of 0 first, the surest of them"


def test_scores_have_distances_and_no_classes() -> None:
    task = SentenceTask("score", False)
    rows = [{"text": "x", "score": value} for value in (1.0, 2.0, 3.0)]
    answers = [Answer(None, value) for value in (1.5, 2.0, 1.0)]
    cases = bad_cases(task, answers, rows)
    assert [(case.row, case.score, case.measured) for case in cases] == [(2, 2.0, "off by"), (0, 0.5, "off by")]
    told = parts(task, answers * 9, rows * 9, "pearson", 0.1)
    assert set(told) == {"interval"}
