"""Questions with options (multiple choice) in the forms files have → records with one column of options.

Known are columns of options side by side (SWAG's `ending0` …, `option1` …, `A` to `D`), one column of lists, the nested
JSON of DREAM and C3 (`[[turns, [{"question", "choice", "answer"}], id], …]`), and RACE's (`{"article", "questions",
"options", "answers"}`).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from bertworks.read.dialect import Records
from bertworks.read.roles import plain_name

NUMBERED = re.compile(r"(choice|ending|option|answer) ?([0-9]{1,2}|[a-z])")
LETTERS = "abcdefghij"
LISTS = ("choices", "endings", "options", "candidates", "passages", "documents", "choice")  # names of a column of lists
GOLDS = ("label", "gold", "answer", "answer key", "answerkey", "correct", "correct answer", "correct option")
RACE = {"article", "questions", "options", "answers"}


def gathered(records: Records, asked: Mapping[str, str]) -> Records:
    """The records with their options in one column and the roles that follow; themselves where there are no options.

    asked  role -> column name, as the user wrote it: these columns are left to him
    """
    if "choices" in asked:
        return records
    taken = {plain_name(name) for name in asked.values()}
    names = ["" if name in taken else name for name in map(plain_name, records.header)]
    places = side_by_side(names)
    if places:
        records = joined(records, places)
    else:
        lists = [i for i, name in enumerate(names) if name in LISTS and hold_lists([row[i] for row in records.values])]
        if len(lists) != 1:
            return records
        records = dataclasses.replace(records, columns={**records.columns, "choices": records.header[lists[0]]})
    return dataclasses.replace(records, columns={**other_roles(records), **records.columns})


def side_by_side(names: Sequence[str]) -> list[int]:
    """Places of the columns of options, in order: at least two of one word, numbered or lettered without a gap."""
    found: dict[str, dict[str, int]] = {}
    for place, name in enumerate(names):
        match = NUMBERED.fullmatch(name)
        if match:
            found.setdefault(match[1], {})[match[2]] = place
        elif name in LETTERS and len(name) == 1 and "question" in names:
            found.setdefault("", {})[name] = place
    for marks in found.values():
        number = len(marks)
        for row in ([str(i) for i in range(number)], [str(i + 1) for i in range(number)], list(LETTERS[:number])):
            if number > 1 and row == sorted(marks, key=lambda mark: (len(mark), mark)):
                return [marks[mark] for mark in row]
    return []


def joined(records: Records, places: Sequence[int]) -> Records:
    """The columns at `places` as one of lists, behind the others.

    Blank cells at the end are no options; one before others is an empty option, so that the places are the columns'.
    """
    first, last = records.header[places[0]], records.header[places[-1]]
    others = [i for i in range(len(records.header)) if i not in places]
    header = [*(records.header[i] for i in others), f"{first} … {last}"]
    values: list[list[object]] = []
    for row in records.values:
        options = ["" if row[i] is None else str(row[i]) for i in places]
        while options and not options[-1].strip():
            options.pop()
        values.append([*(row[i] for i in others), options])
    return dataclasses.replace(
        records, header=header, values=values, columns={**records.columns, "choices": header[-1]}
    )


def other_roles(records: Records) -> dict[str, str]:
    """The gold column, and SWAG's two parts of the text, where the header names them."""
    names = [plain_name(name) for name in records.header]
    found = {}
    golds = [records.header[i] for i, name in enumerate(names) if name in GOLDS]
    if len(golds) == 1:
        found["label"] = golds[0]
    if {"sent1", "sent2", "startphrase"} <= set(names):
        found |= {"context": records.header[names.index("sent1")], "question": records.header[names.index("sent2")]}
    return found


def hold_lists(cells: Sequence[object]) -> bool:
    """Whether every cell with something in it is a list of options."""
    there = [cell for cell in cells if cell not in (None, "")]
    return bool(there) and all(choices_of(cell) for cell in there)


def choices_of(value: object) -> list[str] | None:
    """The options in a cell: a list of texts, the same as JSON in a text, or {"text": […]}; None for something else."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if isinstance(value, dict):
        value = value.get("text")
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, (str, int, float)) for one in value):
        return None
    return [str(one) for one in value]


def is_nested(rows: Sequence[Any]) -> bool:
    """Whether rows are DREAM's: [turns, [question, …], id]."""
    first = rows[0] if rows else None
    return isinstance(first, list) and len(first) >= 2 and isinstance(first[0], list) and isinstance(first[1], list)


def flat(rows: Sequence[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """One row a question of DREAM's and RACE's forms, each with its number; other rows as they are."""
    out: list[tuple[int, Any]] = []
    for number, row in rows:
        out.extend((number, one) for one in questions_of(row))
    return out


def questions_of(row: Any) -> list[Any]:
    """The questions of one text, keyed by role; [row] where it is no such text."""
    if is_nested([row]) and all(isinstance(one, dict) for one in row[1]):
        context = "\n".join(map(str, row[0]))
        name = str(row[2]) if len(row) > 2 else ""
        return [
            {"id": f"{name}-{i}" if name else str(i), "context": context, "question": one.get("question"),
             "choices": one.get("choice"), "label": one.get("answer")}
            for i, one in enumerate(row[1], 1)
        ]  # fmt: skip
    if isinstance(row, dict) and set(row) >= RACE and isinstance(row["questions"], list):
        columns = [row[name] for name in ("questions", "options", "answers")]
        if all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
            return [
                {"id": str(row.get("id", "")), "context": row["article"], "question": question, "choices": options,
                 "label": answer}
                for question, options, answer in zip(*columns, strict=True)
            ]  # fmt: skip
    return [row]
