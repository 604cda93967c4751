"""CSV and TSV as documents: one column, record by record, however long the file.

How the file is written is told from its first lines (`dialect.py`); the rest is read the same way.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bertworks.base.errors import BertworksError
from bertworks.read._blocks import Drop, decode_or_drop, is_blank
from bertworks.read._columns import DropBad, Understood, choose_column
from bertworks.read.dialect import choose_delimiter, is_header
from bertworks.read.encoding import BOM
from bertworks.read.fields import looks_quoted, parse_plain, parse_quoted
from bertworks.read.open import PEEK_BYTES, SourceFile

RULE = "a field that holds the delimiter, a quote or a line end stands in double quotes, quotes in it are doubled"


@dataclass(frozen=True)
class _Writing:
    """How a delimited file is written: `quotes` is "doubled", "backslash" or "plain"; None = a field a line."""

    delimiter: str | None
    quotes: str
    has_header: bool
    width: int


def read_delimited_documents(
    source: SourceFile, column: str | None, understood: Understood, drop: Drop, *, drop_bad: DropBad
) -> Iterator[tuple[str, int]]:
    """The text of every record after the header, with its first line; quoted fields may hold line ends."""
    drop_bytes, drop_lines = drop_bad
    writing = _writing(source, column)
    records = _records(source, writing, drop, drop_bytes)
    names = [str(number + 1) for number in range(writing.width)]
    if writing.has_header:
        names = [name.strip() for name in next(records)[1]]
    chosen = names.index(choose_column(source, column, names, names))
    understood(names[chosen])
    for line, record in records:
        if len(record) == len(names):
            yield record[chosen], line
        elif drop_lines:
            drop("line with another number of columns", 1)
        else:
            raise BertworksError(
                f"{source.path}:{line}: {len(record)} columns, {len(names)} were expected",
                f"{RULE}; or drop such lines with `--bad-lines drop`",
            )


def _writing(source: SourceFile, column: str | None) -> _Writing:
    raw = source.peek()
    is_cut = len(raw) >= PEEK_BYTES - len(BOM)
    if is_cut and b"\n" in raw:
        raw = raw[: raw.rindex(b"\n") + 1]
    head = raw.decode("utf-8", "replace")
    asked = () if column is None else (column,)
    delimiter = choose_delimiter(str(source.path), head, asked)
    if delimiter is None:
        lines = parse_plain(head, "\0")
        return _Writing(None, "plain", bool(lines.records) and is_header(lines.records, asked), 1)
    plain, quoted = parse_plain(head, delimiter), parse_quoted(head, delimiter, cut=is_cut)
    if delimiter == "\t" and plain.is_table() and not (quoted.is_table() and looks_quoted(plain)):
        quotes, parsed = "plain", plain
    elif quoted.is_table(1):
        quotes, parsed = "doubled", quoted
    else:
        backslash = parse_quoted(head, delimiter, backslash=True, cut=is_cut)
        quotes, parsed = ("backslash", backslash) if backslash.is_table() else ("doubled", quoted)
    width = len(parsed.records[0]) if parsed.records else 0
    even = [record for record in parsed.records if len(record) == width]
    return _Writing(delimiter, quotes, bool(even) and is_header(even, asked), width)


def _records(source: SourceFile, writing: _Writing, drop: Drop, drop_bytes: bool) -> Iterator[tuple[int, list[str]]]:
    """Records with the line each begins at, blank lines left out."""
    if writing.quotes == "plain":
        for line, text in enumerate(_lines(source, drop, drop_bytes), 1):
            if not is_blank(text.encode()):
                text = text.rstrip("\r\n")
                yield line, text.split(writing.delimiter) if writing.delimiter else [text]
        return
    csv.field_size_limit(sys.maxsize)  # of the whole process, and nobody wants the 128 KiB it starts with
    reader = csv.reader(
        _lines(source, drop, drop_bytes),
        delimiter=writing.delimiter or ",",
        doublequote=writing.quotes == "doubled",
        escapechar="\\" if writing.quotes == "backslash" else None,
        strict=True,
    )
    line = 1
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise BertworksError(f"{source.path}:{line}: {_fault(error)}", RULE) from error
        if record is None:
            return
        if record:
            yield line, record
        line = reader.line_num + 1


def _fault(error: csv.Error) -> str:
    what = str(error)
    if "unexpected end" in what:
        return "a quote that is never closed"
    return "text after a closing quote" if "expected after" in what else what


def _lines(source: SourceFile, drop: Drop, drop_bytes: bool) -> Iterator[str]:
    offset = 0
    for line, raw in enumerate(source.handle, 1):
        text = decode_or_drop(raw, source, drop, drop_bytes, line=line, offset=offset)
        offset += len(raw)
        yield text
