"""Texts in memory → a table of rows, as if they had been read from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table


def table_of(rows: Sequence[str | tuple[str, str] | Mapping[str, Any]], name: str = "the rows given") -> Table:
    """Texts, pairs of texts or dicts by role as a table, all rows of one form.

    Raises BertworksError for anything else, naming the row.
    """
    if isinstance(rows, str):
        raise BertworksError("one text was given where a list of texts is wanted", "write [text]")
    made = [row_of(row, number) for number, row in enumerate(rows, 1)]
    roles = list(made[0]) if made else ["text"]
    for number, row in enumerate(made, 1):
        if ("sentence1" in row) != ("sentence1" in roles):
            raise BertworksError(f"row {number}: one text among pairs, or a pair among texts", "give rows of one form")
    columns = {role: role for role in roles}
    return Table(name, made, columns, roles, {}, "rows in memory", list(range(1, len(made) + 1)), "row")


def row_of(row: object, number: int) -> dict[str, Any]:
    """One row by role."""
    if isinstance(row, str):
        return {"text": row}
    if isinstance(row, Mapping):
        return dict(row)
    if isinstance(row, (tuple, list)) and len(row) == 2 and all(isinstance(text, str) for text in row):
        return {"sentence1": row[0], "sentence2": row[1]}
    raise BertworksError(f"row {number}: {row!r:.60} is not a text", "give a text, a pair of texts, or a dict by role")
