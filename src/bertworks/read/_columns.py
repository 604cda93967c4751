"""JSON lines and Parquet: documents in one column, row by row."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.read._blocks import Drop, decode_or_drop, is_blank
from bertworks.read.open import SourceFile

Understood = Callable[[str], None]
DropBad = tuple[bool, bool]  # drop, instead of an error: bytes that are not UTF-8, lines that are not rows
NO_TEXT = "document without text"
PARQUET_ROWS = 256  # rows decoded at once: a few MB of articles
HALF_CHARACTER = "half of a character (a lone surrogate)"


def read_jsonl(
    source: SourceFile,
    column: str | None,
    understood: Understood,
    drop: Drop,
    *,
    drop_bad: DropBad,
    limit: int,
) -> Iterator[tuple[str, int]]:
    """The text of every object, with its line."""
    drop_bytes, drop_lines = drop_bad
    chosen = ""
    offset = 0
    for line, raw in enumerate(iter(lambda: source.handle.readline(limit + 1), b""), 1):
        if len(raw) > limit:
            message = f"{source.path}:{line}: a line of more than {limit >> 20} MiB"
            raise BertworksError(message, "one JSON object a line was expected")
        at, offset = offset, offset + len(raw)
        if is_blank(raw):
            continue
        try:
            row = json.loads(decode_or_drop(raw, source, drop, drop_bytes, line=line, offset=at))
        except (ValueError, RecursionError) as error:
            if drop_lines:
                drop("line that is not JSON", 1)
                continue
            at_character = f" at character {error.pos + 1:,}" if isinstance(error, json.JSONDecodeError) else ""
            what = getattr(error, "msg", str(error))
            raise _bad_json(source, line, f"not JSON{at_character}, {_lower(what)}") from error
        if not isinstance(row, dict):
            if drop_lines:
                drop("line that is not JSON", 1)
                continue
            raise _bad_json(source, line, f"a JSON {_json_type(row)}, an object was expected")
        if not chosen:
            chosen = choose_column(source, column, list(row), [name for name in row if isinstance(row[name], str)])
            understood(chosen)
        text = row.get(chosen)
        if not isinstance(text, str):
            drop(NO_TEXT if text is None else "document whose text is not a string", 1)
            continue
        if b"\\u" in raw:
            text = _without_half_characters(text, source, line, drop, drop_bytes)
        yield text, line


def read_parquet(
    source: SourceFile, column: str | None, understood: Understood, drop: Drop
) -> Iterator[tuple[str, int]]:
    """The text of every row, with the row's number from 1."""
    import pyarrow as pa  # 80 ms, for this kind of file only
    import pyarrow.parquet as pq

    with tempfile.TemporaryFile() if source.packed else open(source.path, "rb") as file:
        if source.packed:  # Parquet is read from its end, so it has to be unpacked somewhere
            while chunk := source.handle.read(1 << 20):
                file.write(chunk)
            file.seek(0)
        try:
            table = pq.ParquetFile(file, buffer_size=1 << 20)
            schema = table.schema_arrow
            texts = [name for name in schema.names if _is_string(pa, schema.field(name).type)]
            chosen = choose_column(source, column, schema.names, texts)
            understood(chosen)
            row = 0
            for batch in table.iter_batches(PARQUET_ROWS, columns=[chosen], use_threads=False):
                for text in batch.column(0).to_pylist():
                    row += 1
                    if text is None:
                        drop(NO_TEXT, 1)
                    else:
                        yield text, row
        except (pa.ArrowInvalid, OSError) as error:
            what = re.split(r"[.\n]", str(error), maxsplit=1)[0]
            message = f"{source.path}: not a whole Parquet file, {_lower(what)}"
            raise BertworksError(message, "fetch or write the file again") from error


def choose_column(source: SourceFile, wanted: str | None, names: Sequence[str], texts: Sequence[str]) -> str:
    """The name of the column with the text: `wanted`, or `text`, or the only one of `texts`.

    Raises BertworksError that lists the columns.
    """
    there = ", ".join(f"`{name}`" for name in names) or "none"
    if wanted is not None:
        if wanted in names:
            return wanted
        hint = did_you_mean(wanted, names) or "name one of them with `--columns text=NAME`"
        raise BertworksError(f"{source.path}: no column `{wanted}` among: {there}", hint)
    for name in names:
        if name.strip().lower() == "text":
            return name
    if len(texts) == 1:
        return texts[0]
    raise BertworksError(f"{source.path}: no column `text` among: {there}", "name it with `--columns text=NAME`")


def _without_half_characters(text: str, source: SourceFile, line: int, drop: Drop, drop_bytes: bool) -> str:
    try:
        text.encode()
        return text
    except UnicodeEncodeError as error:
        if not drop_bytes:
            half = f"\\u{ord(text[error.start]):04x}"
            raise BertworksError(
                f"{source.path}:{line}: the text holds `{half}`, {HALF_CHARACTER}, at character {error.start + 1:,}",
                "write the whole pair, or drop such halves with `--bad-bytes drop` (drops are counted)",
            ) from error
        whole = text.encode("utf-8", "ignore").decode()
        drop(HALF_CHARACTER, len(text) - len(whole))
        return whole


def _bad_json(source: SourceFile, line: int, what: str) -> BertworksError:
    hint = "one JSON object a line was expected; drop such lines with `--bad-lines drop` (drops are counted)"
    return BertworksError(f"{source.path}:{line}: {what}", hint)


def _json_type(value: object) -> str:
    names: dict[type[Any], str] = {list: "array", str: "string", bool: "truth value", type(None): "null"}
    return names.get(type(value), "number")


def _is_string(pa: Any, kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
