"""Files → documents, one after another, in an order that depends on nothing but the names.

The kind of a file is told by what is in it, then by its name: Parquet, JSON lines, WikiExtractor output, CSV or TSV
(by name only: any text may hold commas), plain text. Nothing is left out silently: see `ReadReport`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from bertworks.base.errors import BertworksError
from bertworks.read._blocks import read_lines, read_plain, read_wiki
from bertworks.read._columns import read_jsonl, read_parquet
from bertworks.read._delimited import read_delimited_documents
from bertworks.read.encoding import BOM, refuse_utf16
from bertworks.read.open import SourceFile, find_files, open_file

MAX_DOCUMENT_BYTES = 1 << 26  # 64 MiB, twelve times the Bible: what is longer lacks its document borders

_WIKI = re.compile(rb"\s*<doc [^>\n]*>")
_JSON_OBJECT = re.compile(rb'\s*\{\s*("|\}\s*$)')
_JSON_ARRAY = re.compile(rb'\s*\[\s*["{\[]')


class Document(NamedTuple):
    """One text and where it began: `file:line` (for Parquet the row)."""

    text: str
    source: str


@dataclass(frozen=True)
class Reading:
    """How files become documents.

    documents  in plain text: "blocks" between blank lines, whole "files", or "lines"
    column     of JSON lines, CSV, TSV and Parquet; None = `text`, or the only column that holds text
    bad_bytes  what is not UTF-8: "error", or "drop" the bytes
    bad_lines  lines that are not JSON, or not the CSV they should be: "error", or "drop" them
    """

    documents: Literal["blocks", "files", "lines"] = "blocks"
    column: str | None = None
    bad_bytes: Literal["error", "drop"] = "error"
    bad_lines: Literal["error", "drop"] = "error"


@dataclass
class ReadReport:
    """What was understood and what was left out, filled while documents are read.

    documents   documents handed out
    dropped     reason → count; the reason names the unit ("document without text", "byte that is not UTF-8")
    files       path → how it was read ("JSON lines, column `text`, zstd")
    bytes_read  bytes of the files on disk, in all finished files and the current one
    """

    documents: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    files: dict[Path, str] = field(default_factory=dict)
    bytes_read: int = 0

    def drop(self, reason: str, n: int = 1) -> None:
        """Count `n` things left out for `reason`; 0 is not an entry."""
        if n:
            self.dropped[reason] = self.dropped.get(reason, 0) + n


def read_documents(
    paths: Iterable[str | os.PathLike[str]], how: Reading | None = None, report: ReadReport | None = None
) -> Iterator[Document]:
    """Documents of files and of all files under folders; at most one document and a buffer are in memory.

    Empty documents are dropped and counted. Every other text comes out as it stands in the file: in JSON, CSV and
    Parquet to the letter, in plain text with "\\n" line ends and without white space around it.
    Raises BertworksError, with file, line and byte where there is one, for what cannot be read.
    """
    how, report = how or Reading(), ReadReport() if report is None else report
    files, left_out = find_files(paths)
    for reason, count in left_out.items():
        report.drop(reason, count)
    finished_bytes = 0
    for path in files:
        with open_file(path) as source:
            for text, line in _read_file(source, how, report):
                report.bytes_read = finished_bytes + source.position()
                if not text or text.isspace():
                    report.drop("document without text")
                    continue
                report.documents += 1
                yield Document(text, f"{path}:{line}")
            finished_bytes += source.position()
            report.bytes_read = finished_bytes


def _read_file(source: SourceFile, how: Reading, report: ReadReport) -> Iterator[tuple[str, int]]:
    """Texts of one file, each with the line or row at which it begins."""
    kind = _kind(source)
    packed = f", {source.packed}" if source.packed else ""
    limit = MAX_DOCUMENT_BYTES

    def understood(column: str = "") -> None:
        report.files[source.path] = kind + (f", column `{column}`" if column else "") + packed

    if kind == "Parquet":
        return read_parquet(source, how.column, understood, report.drop)
    source.skip_bom()
    drop_bad = how.bad_bytes == "drop", how.bad_lines == "drop"
    if kind == "JSON lines":
        return read_jsonl(source, how.column, understood, report.drop, drop_bad=drop_bad, limit=limit)
    if kind in ("CSV", "TSV"):
        return read_delimited_documents(source, how.column, understood, report.drop, drop_bad=drop_bad)
    understood()
    if kind == "WikiExtractor":
        return read_wiki(source, report.drop, drop_bytes=drop_bad[0], limit=limit)
    if how.documents == "lines":
        return read_lines(source, report.drop, drop_bytes=drop_bad[0], limit=limit)
    whole = how.documents == "files"
    return read_plain(source, report.drop, whole=whole, drop_bytes=drop_bad[0], limit=limit)


def _kind(source: SourceFile) -> str:
    """What is in a file: "Parquet", "JSON lines", "WikiExtractor", "CSV", "TSV" or "text"."""
    head = source.peek()
    if head.startswith(b"PAR1"):
        return "Parquet"
    refuse_utf16(head, source.path)
    head = head.removeprefix(BOM)
    endings = {suffix.lower() for suffix in source.path.suffixes[-2:]}
    if _WIKI.match(head):
        return "WikiExtractor"
    if endings & {".jsonl", ".ndjson", ".json"} or _JSON_OBJECT.match(head):
        if _JSON_ARRAY.match(head):
            raise BertworksError(
                f"{source.path}: a JSON array, one object a line was expected",
                "turn it into lines: `jq -c '.[]' old.json > new.jsonl`",
            )
        if endings & {".jsonl", ".ndjson", ".json"} or _is_object(head):
            return "JSON lines"
    if ".csv" in endings:
        return "CSV"
    return "TSV" if endings & {".tsv", ".tab"} else "text"


def _is_object(head: bytes) -> bool:
    """Whether the first line is a JSON object, as far as the peek reaches."""
    line, end, _ = head.lstrip().partition(b"\n")
    if not end and len(head) >= 1 << 18:
        return True  # the line is longer than what was peeked at
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
