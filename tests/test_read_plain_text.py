"""Plain text to be answered: a line is a text, whatever it begins with, unless the first one is surely a header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertworks.read.tables import Table, parse_table, read_table


def unlabelled(text: str, name: str = "in.txt", **options: Any) -> Table:
    return parse_table(text.encode(), name, labelled=False, **options)


def texts(table: Table) -> list[str]:
    return [row["text"] for row in table.rows]


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize(
    "lines",
    [
        ["2 cards were stolen yesterday"],
        ["2 cards were stolen yesterday", "3 more today", "0 are left"],
        ["-1 is no number of cards", "007 came"],
        ["2 cards, and one more", "1 card; none"],
    ],
)
def test_a_number_at_the_beginning_belongs_to_the_text(tmp_path: Path, lines: list[str], end: str) -> None:
    (tmp_path / "in.txt").write_bytes(((end or "\n").join(lines) + end).encode())
    found = read_table(tmp_path / "in.txt", labelled=False)
    assert found.rows == [{"text": line} for line in lines]
    assert found.line_numbers == list(range(1, len(lines) + 1))
    assert found.columns == {"text": "1"}


def test_where_labels_are_wanted_a_number_is_one() -> None:
    table = parse_table(b"2 cards were stolen\n0 are left\n", "in.txt")
    assert table.rows == [{"text": "cards were stolen", "label": "2"}, {"text": "are left", "label": "0"}]


@pytest.mark.parametrize("word", ["Title", "content", "text", "text a"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
@pytest.mark.parametrize("name", ["in.txt", "in.csv", "in"])
def test_a_single_line_is_a_text_though_it_could_name_a_column(word: str, end: str, name: str) -> None:
    assert [text for text in texts(unlabelled(word + end, name)) if text] == [word]


def test_titles_of_plain_text_are_texts() -> None:
    lines = ["Title", "A night, at sea", "On land, a day"]
    assert texts(unlabelled("\n".join(lines) + "\n")) == lines
    assert texts(unlabelled("content\nfirst\nsecond\n")) == ["content", "first", "second"]


@pytest.mark.parametrize("name", ["in.txt", "in.csv", "in"])
@pytest.mark.parametrize("header", ["text", "sentence", "Text"])
def test_a_sure_name_over_lines_is_a_header(header: str, name: str) -> None:
    found = unlabelled(f"{header}\nfirst\nsecond\n", name)
    assert texts(found) == ["first", "second"]
    assert found.columns == {"text": header}
    assert found.line_numbers == [2, 3]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.CSV", "a.tsv"])
def test_a_table_of_one_column_has_a_header(name: str) -> None:
    found = unlabelled("review\ngood film\nbad one\n", name)
    assert texts(found) == ["good film", "bad one"]
    assert found.columns == {"text": "review"}
    assert texts(unlabelled('review\n"good, long film"\nbad one\n', "a.csv")) == ["good, long film", "bad one"]


def test_a_table_of_one_column_has_a_header_though_its_texts_hold_commas() -> None:
    found = unlabelled("review\ngood, long film\nbad, short one\n", "a.csv")
    assert texts(found) == ["good, long film", "bad, short one"]
    assert found.columns == {"text": "review"}


def test_a_column_that_the_user_names_is_a_header() -> None:
    found = unlabelled("title\nfirst\nsecond\n", columns={"text": "title"})
    assert texts(found) == ["first", "second"]


@pytest.mark.parametrize("header", ["label\ttext", "sentence\tid", "review\tid", "id\ttext"])
@pytest.mark.parametrize("name", ["in.txt", "in.tsv", "in"])
def test_columns_between_tabs_stay_columns(header: str, name: str) -> None:
    found = unlabelled(f"{header}\none\ttwo\nthree\tfour\n", name)
    assert found.header == header.split("\t")
    assert found.line_numbers == [2, 3]
    first = header.split("\t")[0] in ("sentence", "review")
    assert texts(found) == (["one", "three"] if first else ["two", "four"])


def test_marked_labels_are_labels() -> None:
    found = unlabelled("__label__pos good film\n__label__neg bad one\n")
    assert found.rows == [{"text": "good film", "label": "pos"}, {"text": "bad one", "label": "neg"}]
    assert unlabelled("__label__pos good film\n").rows == [{"text": "good film", "label": "pos"}]
    mixed = unlabelled("__label__pos good film\nbad one\n")
    assert texts(mixed) == ["__label__pos good film", "bad one"]
