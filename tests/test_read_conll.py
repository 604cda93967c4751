"""CoNLL files: known by their look, the forms of the shared sets read, no other file taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table, parse_table, read_table

CONLL = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n\nRome NNP I-NP I-LOC\n. . O O\n\n"


def read(text: str, path: str = "x.txt", **keys: object) -> Table:
    return parse_table(text.encode(), path, **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_sentences_with_their_lines(ends: str) -> None:
    table = read(CONLL.replace("\n", ends))
    assert table.rows == [
        {"tokens": ["EU", "rejects"], "tags": ["I-ORG", "O"], "document": "1"},
        {"tokens": ["Rome", "."], "tags": ["I-LOC", "O"], "document": "1"},
    ]
    assert table.line_numbers == [3, 6]
    assert "spaces between 4 columns, 1 documents" in table.format
    assert table.columns == {"tokens": "1", "tags": "4", "document": "document"}
    other = read(CONLL.replace("\n", ends), columns={"tags": "2"})
    assert other.rows[0]["tags"] == ["NNP", "VBZ"]
    unlabelled = read("EU\nrejects\n\nRome\n", "x.conll", labelled=False)
    assert [row["tokens"] for row in unlabelled.rows] == [["EU", "rejects"], ["Rome"]]


def test_trees_leave_out_what_is_no_word() -> None:
    def line(number: str, form: str, tag: str) -> str:
        return "\t".join([number, form, form.lower(), tag, *["_"] * 6]) + "\n"

    text = (
        "# sent_id = 1\n# text = don't\n"
        + line("1-2", "don't", "_")
        + line("1", "do", "AUX")
        + line("2", "n't", "PART")
    )
    text += line("2.1", "E", "_") + "\n# sent_id = 2\n" + line("1", "#", "SYM") + line("2", "1", "NUM") + "\n"
    table = read(text)
    assert [row["tokens"] for row in table.rows] == [["do", "n't"], ["#", "1"]]
    assert [row["tags"] for row in table.rows] == [["AUX", "PART"], ["SYM", "NUM"]]
    assert table.dropped == {"words of several words, empty nodes": 2}
    assert table.format.startswith("CoNLL-U")
    assert read(text, columns={"tags": "form"}).rows[0]["tags"] == ["do", "n't"]


def test_a_word_like_a_comments_sign_stands_first() -> None:
    table = read("# a comment of five words\n# O\ncat B-a\n\n# id = 3\nis O\nB I-a\n\n")
    assert [row["tokens"] for row in table.rows] == [["#", "cat"], ["is", "B"]]
    assert not table.dropped


def test_characters_with_their_place_in_the_word() -> None:
    table = read("科0\tB-X\n学1\tI-X\n\n我0\tO\n是0\tO\n")
    assert [row["tokens"] for row in table.rows] == [["科", "学"], ["我", "是"]]
    assert "left out" in table.format
    assert read("科0\tB-X\n学\tI-X\n\n我0\tO\n").rows[0]["tokens"] == ["科0", "学"]


def test_a_ragged_line_is_told() -> None:
    with pytest.raises(BertworksError, match=r"x.conll:4: 3 columns, other lines have 2"):
        read("a B-X\nb O\n\nc O x\n", "x.conll")


@pytest.mark.parametrize(
    "text",
    [
        "text\tlabel\ngood\tpos\n\nbad\tneg\n",
        "good film\nbad film\n\ngood one\n",
        "1 good film\n0 bad film\n",
        "a sentence of words\tpos\nanother sentence\tneg\n\nthird one here\tpos\n",
        "text,label\na,b\n\nc,d\n",
    ],
)
def test_other_files_are_not_taken_for_it(text: str) -> None:
    assert "CoNLL" not in read(text, labelled=False).format


SETS = {
    "conll2003/eng.testa.zst": (3250, ["CRICKET", "-"], "O"),
    "conll2000/test.txt.zst": (2012, ["Rockwell", "International"], "B-NP"),
    "ncbi_disease/devel.tsv.zst": (923, ["BRCA1", "is"], "O"),
    "ud_english_ewt/en_ewt-ud-dev.conllu.zst": (2001, ["From", "the"], "ADP"),
    "resume_ner/dev.char.bmes.zst": (463, ["吴", "重"], "B-NAME"),
    "weibo_ner/weiboNER_2nd_conll.dev.zst": (270, ["口", "腔"], "O"),
}


@pytest.mark.parametrize("name", SETS)
def test_published_files(name: str, shared_data: Path) -> None:
    rows, words, tag = SETS[name]
    table = read_table(shared_data / "labelled" / name)
    assert len(table.rows) == rows
    assert table.rows[0]["tokens"][:2] == words
    assert table.rows[0]["tags"][0] == tag
    assert all(len(row["tokens"]) == len(row["tags"]) > 0 for row in table.rows)
