"""Questions on texts in the nested form of SQuAD (also CMRC, XQuAD, DRCD and what annotation tools export) → records.

`{"data": [{"paragraphs": [{"context", "qas": [QUESTION, …]}, …]}, …]}`, a question being `{"id", "question",
"answers": [{"text", "answer_start"}], "is_impossible"}`; `paragraphs` may be left out, and `data` be the file itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bertworks.base.errors import BertworksError
from bertworks.read.dialect import Records

HEADER = ["id", "question", "context", "answers"]


class Gold(NamedTuple):
    """An answer as given: its text, and the code point of the context where it begins, -1 where that is not said."""

    text: str
    start: int


def is_squad(rows: Sequence[Any]) -> bool:
    """Whether a list of objects is one of articles or paragraphs."""
    return bool(rows) and isinstance(rows[0], dict) and bool({"paragraphs", "qas"} & rows[0].keys())


def squad_records(path: str, articles: Sequence[Any]) -> Records:
    """One record a question, `numbers` counting them from 1.

    Raises BertworksError, with the question's id, where something is missing or of another kind.
    """
    values: list[list[object]] = []
    for number, article in enumerate(articles, 1):
        where = f"{path}: article {number}"
        for paragraph in _list(
            article.get("paragraphs", [article]) if isinstance(article, dict) else None, where, "paragraphs"
        ):
            context = _text(paragraph, "context", where)
            for question in _list(paragraph.get("qas"), where, "qas"):
                values.append(_row(question, context, where))
    form = "JSON, questions on texts as in SQuAD"
    return Records(list(HEADER), values, list(range(1, len(values) + 1)), "question", form)


def answers_of(value: Any) -> list[Gold] | None:
    """Answers in a cell: a list of objects, lists side by side, a text, or nothing; None for something else."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [Gold(value, -1)]
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        texts = value["text"]
        starts = value.get("answer_start") or [-1] * len(texts)
        value = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=False)]
    if not isinstance(value, list):
        return None
    found = []
    for one in value:
        if isinstance(one, str):
            found.append(Gold(one, -1))
        elif isinstance(one, dict) and isinstance(one.get("text"), str):
            start = one.get("answer_start", one.get("start", -1))
            found.append(Gold(one["text"], start if type(start) is int else -1))
        else:
            return None
    return found


def placed(answers: Sequence[Gold], context: str) -> tuple[list[Gold], int, int]:
    """Answers with the places that can be told, how many of these were found, and how many have no place.

    An answer without a place gets the one where its text stands, if it stands there once only.
    """
    out: list[Gold] = []
    found = lost = 0
    for text, start in answers:
        if start < 0 and text.strip() and context.count(text) == 1:
            start = context.index(text)
            found += 1
        lost += start < 0
        out.append(Gold(text, start))
    return out, found, lost


def _row(question: Any, context: str, where: str) -> list[object]:
    name = str(question.get("id", "")) if isinstance(question, dict) else ""
    where = f"{where}, question `{name}`"
    text = _text(question, "question", where)
    answers = question.get("answers")
    if answers_of(answers) is None:
        raise BertworksError(
            f"{where}: `answers` is no list of answers", 'they look like {"text": "…", "answer_start": 7}'
        )
    return [name, text, context, [] if question.get("is_impossible") else answers]


def _list(value: Any, where: str, name: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BertworksError(f"{where}: no list `{name}`", "is the file whole, and in SQuAD's form?")
    return value


def _text(holder: Any, name: str, where: str) -> str:
    value = holder.get(name) if isinstance(holder, dict) else None
    value = holder.get("context_text") if value is None and name == "context" and isinstance(holder, dict) else value
    if not isinstance(value, str):
        raise BertworksError(f"{where}: no text `{name}`", "is the file whole, and in SQuAD's form?")
    return value
