"""JSON lines, JSON lists and Parquet → records; the columns are the keys of all objects, in order of appearance."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.base.files import json_fault
from bertworks.read import choices
from bertworks.read.dialect import Records
from bertworks.read.squad import is_squad, squad_records


def looks_like_json(text: str) -> bool:
    """Whether a text begins as JSON objects or a JSON list do, and not as a sentence in brackets does."""
    start = text[:4096].lstrip()
    if start[:1] == "{":
        return start[1:].lstrip()[:1] in ('"', "}")
    return start[:1] == "[" and start[1:].lstrip()[:1] in ("{", "[", '"', "]")


def read_json(path: str, text: str) -> Records:
    """Rows from one object a line, from a list of objects, or from one object of equally long lists.

    Raises BertworksError where it is not JSON (with the line), is not rows, or is a SQuAD file.
    """
    text = text.removeprefix("\ufeff")
    lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    if text.lstrip()[:1] == "{" and (len(lines) == 1 or _is_json(lines[0][1])):
        if len(lines) > 1:
            return _records([(number, _line(path, number, line)) for number, line in lines], "line", "JSON lines")
        value = _whole(path, text)
        single = _unwrap(path, value) if choices.questions_of(value) == [value] else None
        return _records([(1, value)], "line", "JSON lines") if single is None else _items(path, single)
    whole = _whole(path, text)
    if choices.questions_of(whole) != [whole]:
        return _records([(1, whole)], "item", "JSON")
    rows = _unwrap(path, whole)
    if rows is None:
        raise BertworksError(f"{path}: one JSON object, not a table of rows", "give one object a line, or a list")
    return _items(path, rows)


def read_parquet(path: str, raw: bytes) -> Records:
    """Rows of a Parquet file. Raises BertworksError where it is damaged."""
    import pyarrow as pa  # 60 ms, for these files only
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(raw))
    except (pa.ArrowException, OSError) as error:
        raise BertworksError(
            f"{path}: a damaged Parquet file ({str(error).splitlines()[0]})", "fetch or write the file again"
        ) from error
    cells = [column.to_pylist() for column in table.columns]
    values = [list(row) for row in zip(*cells, strict=True)]
    names = [str(name) for name in table.column_names]
    return Records(names, values, list(range(1, len(values) + 1)), "row", "Parquet")


def _items(path: str, rows: Sequence[Any]) -> Records:
    if is_squad(rows):
        return squad_records(path, rows)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) and choices.questions_of(row) == [row]:
            raise BertworksError(
                f"{path}: item {number} of the list is {_kind(row)}, an object was expected",
                'rows look like {"text": "…", "label": "…"}',
            )
    return _records(list(enumerate(rows, 1)), "item", "a JSON list")


def _records(found: Sequence[tuple[int, Any]], unit: str, form: str) -> Records:
    rows: Sequence[tuple[int, Mapping[str, Any]]] = choices.flat(found)
    if rows != found:
        form += ", questions with options"
    header = list(dict.fromkeys(key for _, row in rows for key in row))
    values = [[row.get(name) for name in header] for _, row in rows]
    return Records(header, values, [number for number, _ in rows], unit, form)


def _line(path: str, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BertworksError(f"{path}:{number}: not JSON, {_reason(error)}", "each line holds one object") from error
    if not isinstance(value, dict):
        raise BertworksError(f"{path}:{number}: {_kind(value)}, an object was expected", "each line holds one object")
    return value


def _whole(path: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BertworksError(
            f"{path}{line}: not JSON, {_reason(error)}", "the file may be cut off; one object a line is read too"
        ) from error


def _unwrap(path: str, value: Any) -> list[Any] | None:
    """The rows of a list, of {"data": [...]}, or of an object of equally long lists; None for one plain object."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        raise BertworksError(f"{path}: {_kind(value)}, not a table of rows", "give one object a line, or a list")
    inner = value.get("data")
    if isinstance(inner, list) and inner and isinstance(inner[0], dict):
        return inner
    lists = list(value.values())
    if lists and all(isinstance(column, list) and len(column) == len(lists[0]) for column in lists):
        return [dict(zip(value, cells, strict=True)) for cells in zip(*lists, strict=True)]
    return None


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return line.strip().startswith('{"') and line.strip().endswith(
            "}"
        )  # a spoilt line, not a pretty-printed object
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{json_fault(error)} at column {error.colno}"
    return "nested too deeply"


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null", dict: "an object"}
    return names.get(type(value), "a number")
