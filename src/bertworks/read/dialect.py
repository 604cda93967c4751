"""Text → records of a delimited file: which delimiter, whether quotes quote, whether the first line names the columns.

Content decides, then the extension. Three ways to read quotes are tried: as RFC 4180 (`""` inside), with backslashes
(`\\"` inside), and as plain characters. A way that gives every line the same number of fields wins.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from bertworks.base.errors import BertworksError
from bertworks.read import glue
from bertworks.read.fields import DELIMITERS, Parsed, fault, looks_quoted, parse_plain, parse_quoted
from bertworks.read.roles import holds_classes, known_names

SAMPLE_CHARS = 1 << 18
SAMPLE_RECORDS = 500
LABEL_SPACE_TEXT = re.compile(r"(__label__\S+|-?\d{1,3}) \S")
MARKED_TEXT = re.compile(r"__label__\S+ \S")
SURE_NAMES = ("text", "sentence")  # of a single column: no text consists of one of these words alone
NAME_CHARS, NAME_WORDS = 64, 5  # a column's name is no longer


@dataclass(frozen=True)
class Records:
    """A file as rows of cells.

    header   names, "1", "2" … where the file has none
    values   rows of len(header) cells; None = absent
    numbers  line, item or row of each, counted from 1
    unit     what `numbers` count: "line", "item" or "row"
    format   for humans: "csv, commas, quoted"
    columns  role -> name, known from the format itself
    """

    header: list[str]
    values: list[list[object]]
    numbers: list[int]
    unit: str
    format: str
    has_header: bool = True
    columns: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)


def read_delimited(path: str, text: str, *, asked: Collection[str] = (), labelled: bool = True) -> Records:
    """Read a CSV, a TSV, a GLUE file, lines of label and text, or lines of text.

    asked     column names that the user wrote: a first line that holds one is a header
    labelled  False: the rows may be plain text, so that a number at the beginning of a line is part of it
    Raises BertworksError where lines differ in their number of fields or a quote is not closed, naming the line.
    """
    text = text.removeprefix("\ufeff")
    if "\n" not in text:
        text = text.replace("\r", "\n")  # line ends of old Macs
    tabbed = parse_plain(_head(text), "\t")
    entry = glue.known(tabbed.records[:SAMPLE_RECORDS])
    if entry is not None:
        return _glue(path, text, entry)
    is_text = not labelled and _is_text(path, text, asked)
    delimiter = None if is_text else choose_delimiter(path, text, asked)
    if delimiter is None:
        return _lines(text, asked, labelled=labelled, is_text=is_text)
    parsed, quotes = _parse(path, text, delimiter)
    if not parsed.records:
        raise BertworksError(f"{path}: holds no rows, only blank lines", "there must be text in it")
    dropped = {"blank line": _blank_lines(parsed)} if _blank_lines(parsed) else {}
    has_header = is_header(parsed.records, asked)
    header = parsed.records[0] if has_header else [str(i + 1) for i in range(len(parsed.records[0]))]
    start = int(has_header)
    return Records(
        [name.strip() for name in header],
        [list(record) for record in parsed.records[start:]],
        parsed.lines[start:],
        "line",
        f"{DELIMITERS[delimiter]} between fields, quotes {quotes}, {'a' if has_header else 'no'} header",
        has_header,
        dropped=dropped,
    )


def _is_text(path: str, text: str, asked: Collection[str]) -> bool:
    """Whether a first line that is a column's name is more likely the first of some texts."""
    first, _, rest = text.partition("\n")
    name = first.strip()
    is_table = bool({suffix.lower() for suffix in PurePath(path).suffixes} & {".csv", ".tsv", ".tab"})
    is_header = name in asked or (bool(rest.strip()) and (is_table or name.lower() in SURE_NAMES))
    return "\t" not in name and known_names([name]) > 0 and not is_header


def choose_delimiter(path: str, text: str, asked: Collection[str] = ()) -> str | None:
    """The delimiter, or None where every line is one field."""
    head = _head(text)
    ways = {
        delimiter: (parse_plain(head, delimiter), parse_quoted(head, delimiter, cut=len(head) < len(text)))
        for delimiter in DELIMITERS
    }
    suffixes = {suffix.lower() for suffix in PurePath(path).suffixes}
    by_suffix = "\t" if {".tsv", ".tab"} & suffixes else "," if ".csv" in suffixes else None
    tables = [delimiter for delimiter, pair in ways.items() if any(parsed.is_table() for parsed in pair)]
    names = {delimiter: max(_names(parsed, asked) for parsed in pair) for delimiter, pair in ways.items()}
    named = [
        delimiter
        for delimiter, there in names.items()
        if there and (there > 1 or delimiter in tables or delimiter == by_suffix)
    ]
    if named:
        return max(named, key=lambda delimiter: (names[delimiter], delimiter in tables))
    if known_names([_first_line(head)]) and "\t" not in tables:
        return "," if ways[","][1].is_table(1) else None  # one column with a header
    if by_suffix in tables or (by_suffix and _width(ways[by_suffix][1]) > 1):
        return by_suffix
    if "\t" in tables:
        return "\t"
    if by_suffix == ",":  # only then are semicolons and bars more than punctuation
        return next(iter(tables), "," if ways[","][1].is_table(1) else None)
    return None


def _width(parsed: Parsed) -> int:
    return len(parsed.records[0]) if parsed.records else 0


def _names(parsed: Parsed, asked: Collection[str]) -> int:
    """Known and asked names in the first of several fields."""
    if _width(parsed) < 2 or any(len(cell) > NAME_CHARS for cell in parsed.records[0]):
        return 0
    return known_names(parsed.records[0]) + sum(name.strip() in asked for name in parsed.records[0])


def is_header(records: Sequence[Sequence[str]], asked: Collection[str] = ()) -> bool:
    """Whether the first record names the columns.

    It does where it holds a name the user wrote, or a known name that its column does not repeat; also where every
    cell is short and another, and below one of them stand numbers, or a few classes that it is not one of.
    """
    first, rest = [cell.strip() for cell in records[0]], records[1:SAMPLE_RECORDS]
    if asked and all(name.isdigit() for name in asked):
        return all(name in first for name in asked)
    if any(name in asked for name in first):
        return True
    if any(len(cell) > NAME_CHARS for cell in first):
        return False
    columns = [[record[i].strip() for record in rest] for i in range(len(first))]
    below = list(zip(first, columns, strict=True))
    if any(known_names([cell]) and cell not in column for cell, column in below):
        return True
    if len(set(first)) < len(first) or not all(first) or any(_is_number(cell) for cell in first) or not rest:
        return False
    if any(len(cell.split()) > NAME_WORDS for cell in first):
        return False
    return any(
        all(_is_number(cell) for cell in column if cell)
        or (holds_classes(column) and 3 * len(set(column)) <= len(column) and name not in column)
        for name, column in below
    )


def _parse(path: str, text: str, delimiter: str) -> tuple[Parsed, str]:
    """The whole text, by the first way that gives a table; the error is the one of the likeliest way."""
    quoted = parse_quoted(text, delimiter)
    if delimiter == "\t":
        plain = parse_plain(text, delimiter)
        if plain.is_table() and not (quoted.is_table() and looks_quoted(plain)):
            return plain, "as plain characters"
    if quoted.is_table(1):
        return quoted, "as in RFC 4180"
    backslash = parse_quoted(text, delimiter, backslash=True)
    if backslash.is_table():
        return backslash, "with backslashes"
    plain = parse_plain(text, delimiter)
    if plain.is_table() and not any(
        len(cell) > 1 and cell[0] == cell[-1] == '"' for row in plain.records for cell in row
    ):
        return plain, "as plain characters"
    likely = quoted if delimiter != "\t" or quoted.fault is None else plain
    raise fault(path, likely, delimiter)


def _glue(path: str, text: str, entry: glue.Known) -> Records:
    parsed = parse_plain(text, "\t")
    has_header = not entry.names
    header = [cell.strip() for cell in parsed.records[0]] if has_header else list(entry.names)
    values: list[list[object]] = []
    numbers: list[int] = []
    short = 0
    for record, number in zip(parsed.records[int(has_header) :], parsed.lines[int(has_header) :], strict=True):
        if len(record) != len(header) and entry.short == "drop":
            short += 1
            continue
        values.append([*record[: len(header)], *[""] * (len(header) - len(record))])
        numbers.append(number)
    dropped = {"another number of fields": short} if short else {}
    form = f"{entry.name}, tabs between fields, quotes as plain characters, {'a' if has_header else 'no'} header"
    return Records(header, values, numbers, "line", form, True, dict(entry.columns), dropped)


def _lines(text: str, asked: Collection[str], *, labelled: bool, is_text: bool) -> Records:
    """One field a line: lines of label and text where all begin with one, else text; a blank line is an empty text."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    there = [line for line in lines if line.strip()]
    marked = LABEL_SPACE_TEXT if labelled else MARKED_TEXT
    if there and all(marked.match(line) for line in there):
        numbers = [i for i, line in enumerate(lines, 1) if line.strip()]
        parts = [line.partition(" ") for line in there]
        values: list[list[object]] = [[label.removeprefix("__label__"), rest.strip()] for label, _, rest in parts]
        return Records(["label", "text"], values, numbers, "line", "a label, a space and the text in each line")
    name = lines[0].strip() if there else ""
    has_header = bool(there) and (known_names([name]) > 0 or name in asked) and not is_text
    start = int(has_header)
    return Records(
        [lines[0].strip() if has_header else "1"],
        [[line] for line in lines[start:]],
        list(range(start + 1, len(lines) + 1)),
        "line",
        f"one text in each line, {'a' if has_header else 'no'} header",
        has_header,
    )


def _blank_lines(parsed: Parsed) -> int:
    """Blank lines before the last record; exact where no record spans lines, else 0."""
    gaps = parsed.lines[-1] - len(parsed.records) if parsed.lines else 0
    spans = any("\n" in cell for record in parsed.records for cell in record)
    return 0 if spans else gaps


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].strip()


def _head(text: str) -> str:
    """The first whole lines, enough to judge by."""
    if len(text) <= SAMPLE_CHARS:
        return text
    end = text.rfind("\n", 0, SAMPLE_CHARS)
    end = end if end >= 0 else text.find("\n")
    return text if end < 0 else text[: end + 1]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
