"""One word a line with its columns, a blank line after each sentence: CoNLL files → records whose cells are lists.

Columns are separated by tabs, or by spaces; words come first, tags last, unless `--columns` says otherwise. CoNLL-U is
known by its ten columns: words are FORM, tags UPOS; lines of several words (`1-2`) and empty nodes (`1.1`) are dropped.
Where the first column counts the words of each sentence, as in GermEval 2014, the second one holds them. CoNLL-2012 is
read by `ontonotes.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.read.dialect import Records
from bertworks.read.ontonotes import is_ontonotes, read_ontonotes

SUFFIXES = frozenset((".conll", ".conllu", ".bio", ".iob", ".iob2", ".bioes", ".bmes"))
CONLL_U = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
BORDER = "-DOCSTART-"
NO_WORDS = "words of several words, empty nodes"  # of CoNLL-U
SAMPLE_LINES = 2000
MOST_TAGS = 0.2  # distinct tags a line, where they are not written with prefixes
_PREFIXED = re.compile(r"O|[BIOESLUMW]-.+|[BMES]")
_NUMBERED = re.compile(r".\d{1,2}", re.DOTALL)  # 科0, 学1: segmented Chinese
_PLACE = re.compile(r"(?<=.)\d{1,2}$", re.DOTALL)
_MOSTLY = 0.99  # of the words; some characters are damaged or two code points long
_WORD_CHARS = 100  # a longer first column is a text


def looks_like_conll(path: str, text: str) -> bool:
    """Whether lines are words with tags: by the name's ending, or by blank lines and as many short columns in each."""
    if is_ontonotes(text[: 1 << 12].removeprefix("\ufeff").split("\n")):
        return True
    head = text[: 1 << 18].split("\n")[:-1] or [text]
    usual = _usual(head)
    lines = [line for line in head if not _is_comment(line, usual)][:SAMPLE_LINES]
    words = [line for line in lines if line.strip() and not line.startswith(BORDER)]
    if words and SUFFIXES & {suffix.lower() for suffix in PurePath(path).suffixes}:
        return True
    rows = _split(words)
    if rows is None or len(rows) < 2:
        return False
    tags = Counter(row[-1] for row in rows)
    is_prefixed = len(tags) > 1 and all(_PREFIXED.fullmatch(tag) for tag in tags)
    has_blank = any(not line.strip() for line in lines[: len(lines) - 1])
    if not has_blank or any(" " in row[0].strip() or len(row[0]) > _WORD_CHARS for row in rows):
        return False
    return is_prefixed or len(rows[0]) == len(CONLL_U) or len(tags) <= MOST_TAGS * len(rows)


def read_conll(path: str, text: str) -> Records:
    """One record a sentence, each cell the list of a column; `numbers` are the lines of the first words.

    Where `-DOCSTART-` lines part documents, a last column `document` holds the number of each sentence's document.
    Raises BertworksError, with the line, where a line has another number of columns.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    if is_ontonotes(lines):
        return read_ontonotes(path, lines)
    usual = _usual(lines)
    words = [line for line in lines if line.strip() and not _is_comment(line, usual) and not line.startswith(BORDER)]
    if not words:
        raise BertworksError(f"{path}: holds no words, only comments", "one word and its columns a line")
    by_tab = all("\t" in line for line in words[:SAMPLE_LINES])
    width = Counter(len(_cells(line, by_tab=by_tab)) for line in words[:SAMPLE_LINES]).most_common(1)[0][0]
    is_tree = width == len(CONLL_U) and by_tab
    sentences: list[list[list[str]]] = []
    numbers: list[int] = []
    documents: list[str] = []
    borders = 0
    dropped: dict[str, int] = {}
    is_open = False
    for number, raw in enumerate(lines, 1):
        line = raw.removesuffix("\r")
        if not line.strip() or line.startswith(BORDER):
            borders += line.startswith(BORDER)
            is_open = False
            continue
        if not is_open and _is_comment(line, usual):
            continue
        cells = _cells(line, by_tab=by_tab)
        if len(cells) != width:
            told = f"{path}:{number}: {len(cells)} columns, other lines have {width}"
            raise BertworksError(told, "one word and its columns a line")
        if is_tree and not cells[0].isdigit():
            dropped[NO_WORDS] = dropped.get(NO_WORDS, 0) + 1
            continue
        if not is_open:
            sentences.append([])
            numbers.append(number)
            documents.append(str(borders))
            is_open = True
        sentences[-1].append(cells)
    header = list(CONLL_U) if is_tree else [str(i + 1) for i in range(width)]
    values: list[list[Any]] = [[list(column) for column in zip(*rows, strict=True)] for rows in sentences]
    first = int(width > 1 and not is_tree and _counts_words(values))
    columns = {"tokens": "form", "tags": "upos"} if is_tree else {"tokens": str(first + 1), "tags": str(width)}
    if width == first + 1:
        del columns["tags"]  # words alone, to be tagged
    between = "tabs" if by_tab else "spaces"
    form = f"CoNLL{'-U' * is_tree}, a word a line, {between} between {width} columns"
    form += ", the first one counts the words" * first
    if not first and _without_places(values):
        form += ", characters with their place in the word, which is left out"
    if borders:
        form += f", {borders:,} documents"
        header.append("document")
        columns["document"] = "document"
        values = [[*sentence, document] for sentence, document in zip(values, documents, strict=True)]
    return Records(header, values, numbers, "line", form, False, columns, dropped)


def _without_places(values: Sequence[list[Any]]) -> bool:
    """Take the place in the word from characters like 科0 and 学1, where nearly all are such; say whether."""
    firsts = [word for sentence in values for word in sentence[0]]
    if sum(_NUMBERED.fullmatch(word) is not None for word in firsts) < _MOSTLY * len(firsts):
        return False
    for sentence in values:
        sentence[0] = [_PLACE.sub("", word) for word in sentence[0]]
    return True


def _counts_words(values: Sequence[Sequence[Sequence[str]]]) -> bool:
    """Whether the first column holds 1, 2, 3 …, or 0, 1, 2 …, in every sentence, and one has several words."""
    for begin in (1, 0):
        if all(sentence[0] == [str(begin + at) for at in range(len(sentence[0]))] for sentence in values):
            return any(len(sentence[0]) > 1 for sentence in values)
    return False


def _split(lines: Sequence[str]) -> list[list[str]] | None:
    """The columns of lines that all have as many, two at least; None otherwise."""
    for by_tab in (True, False):
        rows = [_cells(line, by_tab=by_tab) for line in lines]
        if rows and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1:
            return rows
    return None


def _cells(line: str, *, by_tab: bool) -> list[str]:
    return line.removesuffix("\r").split("\t") if by_tab else line.split()


def _is_comment(line: str, usual: tuple[int, int]) -> bool:
    """`# text = …` of CoNLL-U, `#`, tab and source of GermEval; a word `#` has as many columns behind it as others."""
    tabs, columns = usual
    if line.startswith("#\t"):
        return tabs > 0 and line.count("\t") != tabs
    if not line.startswith("# "):
        return False
    return " = " in line or ("\t" not in line and (tabs > 0 or len(line.split()) != columns))


def _usual(lines: Sequence[str]) -> tuple[int, int]:
    """Tabs, and columns between spaces, in most of the first lines that hold a word."""
    words = [line for line in lines[:SAMPLE_LINES] if line.strip() and not line.startswith(("#", BORDER))]
    counts = (Counter(line.count("\t") for line in words), Counter(len(line.split()) for line in words))
    tabs, columns = (count.most_common(1)[0][0] if count else 0 for count in counts)
    return tabs, columns
