"""A file of rows → a file of answers, in order, whole or not at all; one larger than memory goes through in pieces."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from bertworks.base.errors import BertworksError
from bertworks.base.files import plain, whole_file
from bertworks.base.progress import Progress
from bertworks.predict.attributions import Explanation
from bertworks.predict.directory import ModelDirectory
from bertworks.predict.evaluate import check_shape, for_rows
from bertworks.predict.explain import check_explainable, explain_rows
from bertworks.predict.run import added, chunks, predict_rows
from bertworks.read.open import open_file
from bertworks.read.tables import Table, parse_table
from bertworks.tasks.task import Answer, Coverage, Row

PIECE_BYTES = 32 << 20  # read at a time
EXPLAINED_ROWS = 64  # at a time: answers come out while the file is read
HEAD_BYTES = 64 << 10  # of the file's beginning, put before every piece: each is then understood alike
log = logging.getLogger(__name__)

OUTPUTS = (".jsonl", ".csv", ".tsv", ".conll", ".npz")
WHOLE = (b"PAR1", b"\xff\xfe", b"\xfe\xff", b"[")  # Parquet, UTF-16 and one JSON list are read in one piece


@dataclass(frozen=True)
class Answered:
    """One row of the file, what the model says about it, and why where that was asked for."""

    line: int
    row: Mapping[str, Any]
    answer: Answer
    attributions: Explanation | None = None

    def to_json(self) -> dict[str, Any]:
        """The line of `predict --json` (docs/formats.md)."""
        told = self.answer.to_json()
        return told if self.attributions is None else {**told, "attributions": self.attributions.to_json()}


class FilePredictions:
    """Answers to the rows of a file, made as they are asked for; `coverage` and `dropped` grow with them.

    dropped  reason -> rows left out
    explain  whether each answer comes with its tokens' shares, which takes some dozen times as long
    Raises BertworksError where answers of the model's task are not explained.
    """

    def __init__(
        self,
        opened: ModelDirectory,
        path: str,
        columns: Mapping[str, str] | None = None,
        encoding: str = "utf-8",
        *,
        explain: bool = False,
    ) -> None:
        if explain:
            check_explainable(opened.task)
        self.opened, self.path, self.columns, self.encoding = opened, path, columns, encoding
        self.explain = explain
        self.coverage = Coverage(0, 0, 0, 0)
        self.first: Table | None = None
        self.dropped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Answered]:
        with Progress(None, "rows", "predict") as progress:
            for table in read_in_pieces(self.path, self.columns, self.encoding):
                self.dropped.update(table.dropped)
                if self.first is None:
                    self.first = table
                    for line in table.lines():
                        log.info("%s", line)
                    self.opened = for_rows(self.opened, table)
                    check_shape(self.opened, table)
                o = self.opened
                found = predict_rows(
                    o.model, o.task, o.tokenizer, table.rows, max_length=o.max_length, progress=progress
                )
                self.coverage = added(self.coverage, found.coverage)
                done = 0
                for rows in chunks(table.rows, EXPLAINED_ROWS):
                    part = slice(done, done + len(rows))
                    answers = found.answers[part]
                    reasons = self._explained(rows, answers)
                    for one in zip(table.line_numbers[part], rows, answers, reasons, strict=True):
                        yield Answered(*one)
                    done += len(rows)

    def _explained(self, rows: Sequence[Row], answers: Sequence[Answer]) -> Sequence[Explanation | None]:
        if not self.explain:
            return [None] * len(rows)
        o = self.opened
        return explain_rows(o.model, o.task, o.tokenizer, rows, answers, max_length=o.max_length)


def read_in_pieces(
    path: str, columns: Mapping[str, str] | None = None, encoding: str = "utf-8", *, piece_bytes: int = PIECE_BYTES
) -> Iterator[Table]:
    """The rows of a file, with or without labels, in tables of at most about `piece_bytes` of text.

    Raises BertworksError, with the line, for a file that cannot be read as rows.
    """
    parse = partial(parse_table, path=path, columns=columns, labelled=False, encoding=encoding)
    with open_file(path) as source:
        begin = source.handle.read(piece_bytes)
        rest = source.handle.read(1)
        if not rest or begin.startswith(WHOLE) or b"\n" not in begin or _is_one_object(begin):
            yield parse(begin + rest + source.handle.read())
            return
        yield from _pieces(source.handle, begin + rest, parse, piece_bytes)


def _is_one_object(begin: bytes) -> bool:
    """Whether a file of JSON is one object over many lines, not one a line."""
    first = begin.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].strip()
    if not first.startswith(b"{"):
        return False
    try:
        json.loads(first)
    except ValueError:
        return not first.endswith(b"}")  # a spoilt line of many is told with its number
    return False


def _pieces(handle: IO[bytes], begin: bytes, parse: Callable[[bytes], Table], piece_bytes: int) -> Iterator[Table]:
    found = _head(begin, parse)
    if found is None:
        yield parse(begin + handle.read())
        return
    head, known = found
    waiting, lines_before, is_first = begin, 0, True
    while waiting:
        more = handle.read(piece_bytes)
        piece, waiting = cut_at_record(waiting) if more else (waiting, b"")
        if more:
            piece, blank = without_blank_end(piece)
            waiting = blank + waiting
        waiting += more
        if not piece:
            continue
        shift = lines_before - head.count(b"\n")
        try:
            table = parse(piece) if is_first else _without_head(parse(head + piece), known, shift)
        except BertworksError as error:
            if not is_first:
                error.message = _moved(error.message, shift)
            raise
        if is_first or table.rows or table.dropped:
            yield table
        lines_before += piece.count(b"\n")
        is_first = False


def without_blank_end(piece: bytes) -> tuple[bytes, bytes]:
    """The piece up to its last line with something in it, and the blank lines behind, which belong to what follows."""
    body = piece.rstrip(b"\r\n")
    end = piece.find(b"\n", len(body)) + 1
    return (piece[:end], piece[end:]) if body and end else (b"", piece)


def _moved(message: str, shift: int) -> str:
    """A message on a line of a piece, with the line's number in the whole file."""
    return re.sub(r"^(.*?:)(\d+)(: )", lambda found: f"{found[1]}{int(found[2]) + shift}{found[3]}", message, count=1)


def _head(begin: bytes, parse: Callable[[bytes], Table]) -> tuple[bytes, Table] | None:
    """The first records, enough to tell the file's form by, and what they are read as; None where one fills `begin`."""
    size = HEAD_BYTES
    while True:
        head, _ = without_blank_end(cut_at_record(begin[:size])[0])
        if head:
            with contextlib.suppress(BertworksError):
                return head, parse(head)
        if size >= len(begin):
            return None
        size *= 2


def _without_head(table: Table, head: Table, shift: int) -> Table:
    """The rows after the head's, their line numbers moved on by `shift`; what the head dropped is not told again."""
    seen = len(head.rows)
    numbers = [number + shift for number in table.line_numbers[seen:]]
    dropped = {reason: n - head.dropped.get(reason, 0) for reason, n in table.dropped.items()}
    there = {reason: n for reason, n in dropped.items() if n > 0}
    return Table(table.path, table.rows[seen:], table.columns, table.header, there, table.format, numbers, table.unit)


def cut_at_record(data: bytes) -> tuple[bytes, bytes]:
    """Split after the last line end that cannot lie inside quotes; (b"", data) where there is none.

    Where quotes are plain characters every line end will do, so one with an even number of them before it will too.
    """
    end = len(data)
    quotes = data.count(b'"')
    while True:
        at = data.rfind(b"\n", 0, end)
        if at < 0:
            return b"", data
        quotes -= data.count(b'"', at, end)
        if quotes % 2 == 0:
            return data[: at + 1], data[at + 1 :]
        end = at


def write_answers(predictions: FilePredictions, out: Path) -> int:
    """Write answers to `.jsonl`, `.csv`, `.tsv`, `.conll` or, vectors, `.npz`; returns their number."""
    form = output_form(out)
    if form == ".npz":
        return write_vectors(predictions, out)
    with whole_file(out, text=True) as handle:
        if form == ".jsonl":
            return write_json_lines(predictions, handle)
        if form == ".conll":
            return write_conll(predictions, handle)
        return write_delimited(predictions, handle, "," if form == ".csv" else "\t")


def output_form(out: Path) -> str:
    """The extension of a file of answers. Raises BertworksError for one that is not written."""
    if out.suffix not in OUTPUTS:
        raise BertworksError(f"{out}: answers are not written as `{out.suffix}`", f"end it in {', '.join(OUTPUTS)}")
    return out.suffix


def check_form(form: str, task: str) -> None:
    """Raise BertworksError, before any work, for a form that a task's answers do not have."""
    for only, tasks, holds in ((".npz", ("embed",), "vectors of texts"), (".conll", ("tag", "intent-slots"), "tags")):
        if form == only and task not in tasks:
            raise BertworksError(f"a {only} file holds {holds}, the model's task is {task}", "name a .jsonl or .csv")


def write_json_lines(predictions: FilePredictions, handle: IO[str]) -> int:
    """One answer a line, as `predict --json`."""
    count = 0
    for found in predictions:
        handle.write(json.dumps(plain(found.to_json()), ensure_ascii=False) + "\n")
        count += 1
    return count


def write_delimited(predictions: FilePredictions, handle: IO[str], delimiter: str) -> int:
    """What was read of each row, under its column names, then `prediction` and `probability` (a score: one column)."""
    writer = csv.writer(handle, delimiter=delimiter, lineterminator="\n")
    count, columns = 0, {}
    for count, found in enumerate(predictions, 1):
        said = found.answer.cells()
        if count == 1:
            columns = predictions.first.columns if predictions.first is not None else {}
            writer.writerow([*columns.values(), *said])
        writer.writerow([*(cell(found.row.get(role, "")) for role in columns), *said.values()])
    return count


def cell(value: object) -> object:
    """A list of words as a text with spaces, everything else as it is."""
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def write_vectors(predictions: FilePredictions, out: Path) -> int:
    """`vectors`, (n, E) float32, one a row. Raises BertworksError where answers are no vectors."""
    import numpy as np

    vectors = []
    for found in predictions:
        told = found.answer.to_json()
        if "vector" not in told:
            raise BertworksError("an .npz file holds vectors of texts, these answers are none", "name a .jsonl or .csv")
        vectors.append(np.array(told["vector"], np.float32))
    with whole_file(out) as handle:
        np.savez(handle, vectors=np.stack(vectors))
    return len(vectors)


def write_conll(predictions: FilePredictions, handle: IO[str]) -> int:
    """A word and its tag a line, a blank line after each row. Raises BertworksError where answers have no tags."""
    count = 0
    for found in predictions:
        count += 1
        told = found.answer.to_json()
        if "tags" not in told:
            raise BertworksError("a .conll file holds words with tags, this model gives none", "name a .jsonl or .csv")
        for word, tag in zip(told["tokens"], told["tags"], strict=True):
            handle.write(f"{word}\t{tag}\n")
        handle.write("\n")
    return count
