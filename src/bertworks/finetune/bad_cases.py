"""bad_cases.jsonl: the rows that a model gets wrong, the worst first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from bertworks.base.files import plain, whole_file
from bertworks.tasks.answer_metrics import RULES
from bertworks.tasks.answering import SpanAnswer, SpanTask
from bertworks.tasks.intent_slots import FrameAnswer, FrameTask
from bertworks.tasks.schemes import Span, spans_of
from bertworks.tasks.sentence import Answer as SentenceAnswer
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsAnswer, LabelsTask
from bertworks.tasks.tagging import TagAnswer, TagTask
from bertworks.tasks.task import Answer, Row, Task

_SCORES = 5  # classes named for each row, the likeliest ones
PER_ROW = ("accuracy", "exact_match", "f1")  # metrics that mean something of one row
GOLD_ROLES = ("label", "label_text", "score", "answers", "tags")


@dataclass(frozen=True)
class BadCase:
    """A row whose answer is wrong.

    row     its number in the split, from 0
    gold    what it should be, as JSON
    said    what is wrong in the answer, in short
    score   how bad: confidence in what is wrong; of a score the distance
    focus   what to explain, see predict/explain.py
    measured  what `score` is
    """

    row: int
    gold: Any
    said: Any
    score: float
    focus: str | int | None = None
    measured: str = "confidence"


def bad_cases(task: Task, answers: Sequence[Answer], rows: Sequence[Row]) -> list[BadCase]:
    """All wrong rows, the worst first: most confidence in what is wrong; of questions the lowest F1 goes before that.

    Of scores there is no right or wrong: all rows that are off, the farthest first.
    """
    found = [
        case
        for number, (row, answer) in enumerate(zip(rows, answers, strict=True))
        if (case := case_of(task, number, row, answer)) is not None
    ]
    if isinstance(task, SpanTask):
        return sorted(found, key=lambda case: (f1_of(task, answers[case.row], rows[case.row]), -case.score))
    return sorted(found, key=lambda case: -case.score)


def case_of(task: Task, number: int, row: Row, answer: Answer) -> BadCase | None:
    """None where the answer is right."""
    where = f"row {number + 1}"
    if isinstance(task, SentenceTask):
        given = cast("SentenceAnswer", answer)
        if task.kind == "score":
            gold = float(task.gold(row, where))
            off = abs(given.score - gold)
            return BadCase(number, gold, given.score, off, measured="off by") if off else None
        name = task.labels.names[int(task.gold(row, where))]
        return None if given.label == name else BadCase(number, name, given.label, given.score, given.label)
    if isinstance(task, LabelsTask):
        return labels_case(task, number, row, cast("LabelsAnswer", answer))
    if isinstance(task, TagTask):
        return tags_case(task, number, row, cast("TagAnswer", answer))
    if isinstance(task, FrameTask):
        return frame_case(task, number, row, cast("FrameAnswer", answer))
    if isinstance(task, SpanTask):
        span = cast("SpanAnswer", answer)
        texts = [text for text, _ in row.get("answers") or ()]
        return None if f1_of(task, answer, row) == 1 else BadCase(number, texts, span.answer, span.score)
    return case_by_score(task, number, row, answer)


def case_by_score(task: Task, number: int, row: Row, answer: Answer) -> BadCase | None:
    """Of a task that is not known here: wrong where its metric of this row alone is under 1."""
    metric = task.metrics[0]
    if metric not in PER_ROW or task.score([answer], [row])[metric] == 1:
        return None
    told = answer.to_json()
    gold = next((row[role] for role in GOLD_ROLES if role in row), None)
    scores = told.get("scores")
    sure = max(scores, default=0.0) if isinstance(scores, list) else told.get("score")
    return BadCase(number, gold, told, float(sure or 0.0))


def labels_case(task: LabelsTask, number: int, row: Row, answer: LabelsAnswer) -> BadCase | None:
    """As sure as the label that is most surely wrong: one too many, or one left out."""
    gold = [task.labels.names[i] for i in np.flatnonzero(task.gold(row, f"row {number + 1}")).tolist()]
    wrong = {name: answer.scores[name] for name in answer.labels if name not in gold}
    wrong |= {name: 1 - answer.scores[name] for name in gold if name not in answer.labels}
    if not wrong:
        return None
    worst = max(wrong, key=wrong.__getitem__)
    return BadCase(number, gold, answer.labels, wrong[worst], worst)


def tags_case(task: TagTask, number: int, row: Row, answer: TagAnswer) -> BadCase | None:
    """Wrong where a span is missed, made up or cut, of plain tags where one is wrong; as sure as its surest word."""
    gold = task.gold(row, f"row {number + 1}")
    is_plain = task.scheme == "plain"
    differ = [i for i, (ours, theirs) in enumerate(zip(answer.tags, gold, strict=True)) if ours != theirs]
    if not differ or (not is_plain and spans_of(gold) == answer.spans):
        return None
    worst = max(differ, key=lambda i: answer.scores[i])
    if is_plain:
        return BadCase(number, gold, answer.tags, answer.scores[worst], worst)
    wanted, said = ([marked(answer, span) for span in spans] for spans in (spans_of(gold), answer.spans))
    return BadCase(number, wanted, said, answer.scores[worst], worst)


def frame_case(task: FrameTask, number: int, row: Row, answer: FrameAnswer) -> BadCase | None:
    """Wrong where the class is, or a tag; the class goes before the tags, and is as sure as it is."""
    gold = task.slots.gold(row, f"row {number + 1}")
    label = str(row.get("label", row.get("label_text")))
    wanted, said = {"label": label, "tags": gold}, {"label": answer.label, "tags": answer.slots.tags}
    if task.intents.number(answer.label) != task.gold(row, f"row {number + 1}"):
        return BadCase(number, wanted, said, answer.score, answer.label)
    pairs = enumerate(zip(answer.slots.tags, gold, strict=True))
    differ = [i for i, (ours, theirs) in pairs if ours != theirs]
    if not differ:
        return None
    worst = max(differ, key=lambda i: answer.slots.scores[i])
    return BadCase(number, wanted, said, answer.slots.scores[worst], worst)


def marked(answer: TagAnswer, span: Span) -> dict[str, Any]:
    """A span as `predict --json` writes an entity, without a score."""
    start, end = answer.offsets[span.start][0], answer.offsets[span.end - 1][1]
    return {"start": start, "end": end, "label": span.type, "text": answer.text[start:end]}


def f1_of(task: SpanTask, answer: Answer, row: Row) -> float:
    """Of one question."""
    return RULES[task.rule](cast("SpanAnswer", answer).answer, [text for text, _ in row.get("answers") or ()]).f1


def write_bad_cases(
    path: Path, cases: Sequence[BadCase], answers: Sequence[Answer], rows: Sequence[Row], lines: Sequence[int]
) -> None:
    """One JSON object a case: `line` in its file, `gold`, `answer`, `score`, `row`."""
    with whole_file(path, text=True) as handle:
        for case in cases:
            told = {
                "line": lines[case.row],
                "gold": case.gold,
                "answer": short_answer(answers[case.row]),
                "score": round(case.score, 6),
                "row": dict(rows[case.row]),
            }
            handle.write(json.dumps(plain(told), ensure_ascii=False) + "\n")


def short_answer(answer: Answer, classes: int | None = _SCORES) -> dict[str, Any]:
    """The JSON of an answer, of many classes the likeliest `classes`; None = all."""
    told = answer.to_json()
    if isinstance(told.get("scores"), dict):
        best = sorted(told["scores"].items(), key=lambda item: -item[1])[:classes]
        told["scores"] = {label: round(score, 6) for label, score in best}
    return told
