"""One text, read as delimited fields in one way: records, the line each begins at, and what is wrong with it."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from bertworks.base.errors import BertworksError

LONE_RETURN = re.compile(r"\r(?!\n)")
DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}


@dataclass(frozen=True)
class Parsed:
    """One way of reading a text: records, the line each begins at, and the first thing wrong."""

    records: list[list[str]]
    lines: list[int]
    fault: tuple[int, str] | None = None  # line, what

    def ragged(self) -> int | None:
        """Index of the first record with another number of fields than the first; None where all agree."""
        width = len(self.records[0]) if self.records else 0
        return next((i for i, record in enumerate(self.records) if len(record) != width), None)

    def is_table(self, width: int = 2) -> bool:
        """At least `width` fields, the same number everywhere, nothing wrong."""
        there = bool(self.records) and len(self.records[0]) >= width
        return there and self.fault is None and self.ragged() is None


def parse_plain(text: str, delimiter: str) -> Parsed:
    """Fields between delimiters, quotes as plain characters; blank lines are left out."""
    records, numbers = [], []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if line.strip(" "):
            records.append(line.split(delimiter))
            numbers.append(number)
    return Parsed(records, numbers)


def parse_quoted(text: str, delimiter: str, *, backslash: bool = False, cut: bool = False) -> Parsed:
    """Fields between delimiters, a field in double quotes may hold delimiters and line ends; see the module's head.

    cut  the text is the beginning of a longer one: a quote still open at its end is no fault
    """
    lone = LONE_RETURN.search(text) is not None
    stand_in = next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in text) if lone else ""
    if lone:  # pandas writes it without quotes, the library would end the line there
        text = LONE_RETURN.sub(stand_in, text)
    records: list[list[str]] = []
    numbers: list[int] = []
    limit = csv.field_size_limit(2**31 - 1)  # the library's own limit is 128 KiB a field
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        escapechar="\\" if backslash else None,
        strict=True,
    )
    line = 1
    try:
        for record in reader:
            if record:
                records.append([cell.replace(stand_in, "\r") for cell in record] if lone else record)
                numbers.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        open_quote = "unexpected end" in str(error)
        if open_quote and cut:
            return Parsed(records, numbers)
        what = "a quote that is never closed" if open_quote else "text after a closing quote"
        return Parsed(records, numbers, (line if open_quote else reader.line_num, what))
    finally:
        csv.field_size_limit(limit)
    return Parsed(records, numbers)


def looks_quoted(plain: Parsed) -> bool:
    """Whether quotes in a file with tabs are a writer's, not the text's.

    A writer quotes every text, or only what needs it: a field that holds a quote (then doubled).
    """
    starts = [cell for record in plain.records for cell in record if cell.startswith('"')]
    if not starts or not all(len(cell) > 1 and cell.endswith('"') for cell in starts):
        return False
    inner = [cell[1:-1] for cell in starts]
    if any(cell.replace('""', "").count('"') for cell in inner):
        return False
    return len(starts) >= 0.9 * len(plain.records) or all('""' in cell for cell in inner)


def fault(path: str, parsed: Parsed, delimiter: str) -> BertworksError:
    """The error for the first thing wrong with one way of reading."""
    sign = {"\t": "a tab", ",": "a comma", ";": "a semicolon", "|": "a bar"}[delimiter]
    rule = f"a field that holds {sign}, a quote or a line end stands in double quotes, quotes in it are doubled"
    if parsed.fault is not None:
        return BertworksError(f"{path}:{parsed.fault[0]}: {parsed.fault[1]}", rule)
    at = parsed.ragged() or 0
    width, there = len(parsed.records[0]), len(parsed.records[at])
    return BertworksError(
        f"{path}:{parsed.lines[at]}: {there} field{'s' * (there != 1)} between {DELIMITERS[delimiter]}, "
        f"the first line has {width}",
        rule,
    )
