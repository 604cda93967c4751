"""Results go to standard output, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from bertworks.base.files import plain


def print_json(result: object, *, indent: int | None = None) -> None:
    """One JSON value on a line of its own (or indented): numpy becomes plain, NaN null."""
    print(json.dumps(plain(result), ensure_ascii=False, allow_nan=False, indent=indent))


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns under a header: text to the left, numbers to the right."""
    lines = [list(row) for row in rows]
    cells = [[_cell(one) for one in row] for row in lines]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    is_right = [bool(lines) and all(isinstance(row[at], int | float) for row in lines) for at in range(len(header))]
    for row in [list(header), ["-" * width for width in widths], *cells]:
        aligned = [
            one.rjust(width) if right else one.ljust(width)
            for one, width, right in zip(row, widths, is_right, strict=True)
        ]
        print("  ".join(aligned).rstrip())


def _cell(one: object) -> str:
    if isinstance(one, float):
        return f"{one:.4g}"
    return f"{one:,}" if isinstance(one, int) and not isinstance(one, bool) else str(one)
