"""CoNLL-2011 and 2012 (OntoNotes): eleven fixed columns and more behind → records of words and tags.

A document stands between `#begin document` and `#end document`. The columns are document, part, number of the word,
word, part of speech, parse, lemma, frame, sense, speaker, names; then one for each predicate of the sentence, so that
their number changes, and coreference (https://conll.cemantix.org/2012/data.html). Names are in brackets, `(PERSON`,
`*`, `*)`, and become BIO.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertworks.base.errors import BertworksError
from bertworks.read.dialect import Records

BEGIN, END = "#begin document", "#end document"
COLUMNS = ("document", "part", "number", "word", "pos", "parse", "lemma", "frame", "sense", "speaker", "names")
_BRACKET = re.compile(r"(\(([^()*]+))?\*?(\)?)")


def is_ontonotes(lines: Sequence[str]) -> bool:
    """Whether the first line that is not blank opens a document."""
    return next((line for line in lines if line.strip()), "").startswith(BEGIN)


def read_ontonotes(path: str, lines: Sequence[str]) -> Records:
    """One record a sentence; `numbers` are the lines of the first words.

    Raises BertworksError, with the line, for a line of fewer columns, or a name's bracket that does not fit.
    """
    values: list[list[object]] = []
    numbers: list[int] = []
    documents = 0
    rows: list[list[str]] = []
    for number, line in enumerate([*lines, ""], 1):
        documents += line.startswith(BEGIN)
        if line.startswith((BEGIN, END)) or not line.strip():
            if rows:
                columns = [list(column) for column in zip(*rows, strict=True)]
                columns[-1] = _bio(path, numbers[-1], columns[-1])
                values.append([str(documents - line.startswith(BEGIN)), *columns[1:]])
            rows = []
            continue
        cells = line.split()
        if len(cells) < len(COLUMNS):
            raise BertworksError(f"{path}:{number}: {len(cells)} columns, {len(COLUMNS)} were expected")
        if not rows:
            numbers.append(number)
        rows.append(cells[: len(COLUMNS)])
    wanted = {"tokens": "word", "tags": "names", "document": "document"}
    form = f"CoNLL-2012, a word a line, spaces between columns, {documents:,} documents"
    return Records(list(COLUMNS), values, numbers, "line", form, False, wanted)


def _bio(path: str, line: int, cells: Sequence[str]) -> list[str]:
    """`(PERSON`, `*`, `*)` as B-PERSON, I-PERSON, I-PERSON; the sentence begins at `line`."""
    tags: list[str] = []
    inside = ""
    for place, cell in enumerate(cells):
        found = None if cell == "" else _BRACKET.fullmatch("*" if cell == "-" else cell)
        kind = (found[2] or "") if found else ""
        closes = bool(found and found[3])
        if found is None or (kind and inside) or (closes and not kind and not inside):
            raise BertworksError(
                f"{path}:{line + place}: `{cell}` in the column of names", "names look like `(PERSON*`, `*`, `*)`"
            )
        inside = kind or inside
        tags.append(f"{'B' if kind else 'I'}-{inside}" if inside else "O")
        inside = "" if closes else inside
    return tags
