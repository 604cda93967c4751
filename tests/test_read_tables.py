"""Files as users have them → rows by role; every loss counted, every refusal one sentence with a place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table, parse_table, read_table


def table(text: str | bytes, name: str = "train.csv", **options: Any) -> Table:
    return parse_table(text if isinstance(text, bytes) else text.encode(), name, **options)


def refused(text: str | bytes, name: str = "train.csv", **options: Any) -> BertworksError:
    with pytest.raises(BertworksError) as caught:
        table(text, name, **options)
    return caught.value


def test_csv_with_bom_quotes_and_line_ends_inside_fields() -> None:
    read = table('\ufefftext,label\r\n"Hello, ""you""\r\nthere",greeting\r\nbye,parting\r\n')
    assert read.rows == [
        {"text": 'Hello, "you"\r\nthere', "label": "greeting"},
        {"text": "bye", "label": "parting"},
    ]
    assert read.line_numbers == [2, 4]
    assert read.where(1) == "train.csv:4"
    assert read.columns == {"text": "text", "label": "label"}


@pytest.mark.parametrize(("delimiter", "name"), [(",", "a.csv"), (";", "a.csv"), ("|", "a.csv"), ("\t", "a.tsv")])
def test_the_delimiter_is_found(delimiter: str, name: str) -> None:
    read = table(f"text{delimiter}label\nyes{delimiter}1\nno{delimiter}0\n", name)
    assert [row["text"] for row in read.rows] == ["yes", "no"]


def test_content_goes_before_the_extension() -> None:
    assert table("text\tlabel\na, b\t1\nc, d\t0\n", "wrong.csv").rows[0] == {"text": "a, b", "label": "1"}
    assert table('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n', "wrong.csv").format == "JSON lines"


def test_a_row_with_another_number_of_fields_is_refused_with_its_line() -> None:
    error = refused("text,label\ngood,1\nbad, really,0\n")
    assert error.message == "train.csv:3: 3 fields between commas, the first line has 2"
    assert "double quotes" in error.hint


def test_a_quote_never_closed_is_refused_where_it_opens() -> None:
    error = refused('text,label\n"so, good",1\n"bad,0\nmore,1\n')
    assert error.message == "train.csv:3: a quote that is never closed"
    lone = table('text,label\ngood,1\n"bad,0\nmore,1\n')
    assert lone.rows[1]["text"] == '"bad'
    assert "quotes as plain characters" in lone.format


def test_quotes_with_backslashes_are_read() -> None:
    assert table('text,label\n"he said \\"hi, you\\"",1\n"b",0\n').rows[0]["text"] == 'he said "hi, you"'


def test_quotes_in_a_tsv_are_text_unless_a_writer_put_them() -> None:
    plain = table('text\tlabel\n"The witness" left\t1\n5" disk\t0\n', "a.tsv")
    assert [row["text"] for row in plain.rows] == ['"The witness" left', '5" disk']
    written = table('text\tlabel\n"say ""hi"""\t1\nplain\t0\n', "a.tsv")
    assert [row["text"] for row in written.rows] == ['say "hi"', "plain"]
    unbalanced = table('text\tlabel\n"only opened\t1\nb\t0\n', "a.tsv")
    assert unbalanced.rows[0]["text"] == '"only opened'


def test_words_that_other_readers_take_for_nothing_stay_words() -> None:
    read = table("text,label\nnull,NA\nNone,nan\nN/A,NA\n")
    assert [(row["text"], row["label"]) for row in read.rows] == [("null", "NA"), ("None", "nan"), ("N/A", "NA")]


def test_dropped_rows_are_counted_by_reason() -> None:
    lines = ["sentence1,sentence2,gold_label", "a,b,entailment", "c,d,-", "e,f,", "", *["g,h,neutral"] * 40]
    read = table("\n".join(lines))
    assert read.dropped == {"blank line": 1, "label `-`, no gold label": 1, "no label": 1}
    assert len(read.rows) == 41
    assert read.line_numbers[:2] == [2, 6]
    printed = "\n".join(read.lines())
    assert "dropped, label `-`, no gold label: 1" in printed
    assert "sentence1 <- column `sentence1`" in printed


def test_minus_is_a_label_beside_plus_and_minus_one_beside_one() -> None:
    assert not table("text,label\na,+\nb,-\n").dropped
    assert not table("text,label\n" + "a,+\n" * 40 + "b,-\n").dropped
    assert not table("text,label\na,1\nb,-1\nc,0\n").dropped
    rows = "".join(f"t{i},{i % 3}\n" for i in range(60))
    assert table(f"text,label\n{rows}x,-1\n").dropped == {"label `-1`, no gold label": 1}
    assert "no row is left" in refused("text,label\na,-1\nb,-1\n").message


def test_for_prediction_every_row_is_kept() -> None:
    read = table("text,label\na,\n,x\n", labelled=False)
    assert read.rows == [{"text": "a"}, {"text": "", "label": "x"}]
    assert read.counted == {"an empty text": 1}
    assert table("one line\nanother, with a comma\n\nlast\n", "in.txt", labelled=False).rows == [
        {"text": "one line"},
        {"text": "another, with a comma"},
        {"text": ""},
        {"text": "last"},
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("sentence1", "sentence2"),
        ("premise", "hypothesis"),
        ("sentence_A", "sentence_B"),
        ("Question 1", "question-2"),
        ("text_a", "text_b"),
    ],
)
def test_a_pair_by_its_names(first: str, second: str) -> None:
    read = table(f"id,{first},{second},label\n7,left,right,1\n8,l,r,0\n")
    assert read.rows[0] == {"sentence1": "left", "sentence2": "right", "label": "1", "id": "7"}
    assert read.is_pair


def test_two_texts_without_names_are_never_a_pair() -> None:
    error = refused("What is a?\tWhy a?\t1\nWhat is b?\tWho is b?\t0\n", "a.tsv")
    assert "no column is known to hold the text" in error.message
    assert "`--columns sentence1=1,sentence2=2,label=3`" in error.hint
    read = table(
        "What is a?\tWhy a?\t1\nWhat is b?\tWho is b?\t0\n",
        "a.tsv",
        columns={"premise": "1", "hypothesis": "2", "label": "3"},
    )
    assert read.rows[0] == {"sentence1": "What is a?", "sentence2": "Why a?", "label": "1"}


def test_an_id_column_is_no_sentence() -> None:
    read = table("uid,sentence,label\nabc,Some words.,1\ndef,Others.,0\n")
    assert read.columns == {"text": "sentence", "label": "label", "id": "uid"}


def test_two_columns_without_a_header_where_one_holds_classes() -> None:
    rows = "".join(f"{'pos' if i % 2 else 'neg'}\tsome text number {i}\n" for i in range(20))
    read = table(rows, "a.tsv")
    assert read.columns == {"text": "2", "label": "1"}
    assert "few values" in read.because["label"]
    assert len(read.rows) == 20


def test_a_tiny_file_without_a_header_keeps_its_first_row() -> None:
    assert len(table("I like it\tpos\nbad\tneg\nfine\tpos\n", "a.tsv").rows) == 3
    assert len(table("pos\tI like it\nneg\tbad\npos\tfine\nneg\tno\n", "a.tsv").rows) == 4


def test_an_unknown_header_is_not_read_as_a_row() -> None:
    rows = "".join(f"some words number {i},{'pos' if i % 2 else 'neg'}\n" for i in range(20))
    error = refused(f"stuff,kind\n{rows}")
    assert "the columns are `stuff`, `kind`" in error.message
    assert "`--columns text=stuff,label=kind`" in error.hint


def test_columns_as_the_user_names_them() -> None:
    text = "title,body,cat\nT1,long text,a\nT2,other text,b\n"
    read = table(text, columns={"text": "body", "label": "cat"})
    assert read.rows[0] == {"text": "long text", "label": "a"}
    assert "not used: `title`" in "\n".join(read.lines())
    missing = refused(text, columns={"text": "boddy", "label": "cat"})
    assert missing.message == "train.csv: no column `boddy` for the text; the columns are `title`, `body`, `cat`"
    assert missing.hint == "did you mean `body`?"
    assert refused(text, columns={"texts": "body"}).hint.startswith("did you mean `text`")
    assert "one text of a pair" in refused(text, columns={"sentence1": "body"}).message


def test_columns_that_could_both_be_meant_are_asked_about() -> None:
    assert "may be in `review` and `comment`" in refused("review,comment,label\na,b,1\nc,d,0\n").message
    assert "a pair" in refused("text,sentence1,sentence2,label\na,b,c,1\nd,e,f,0\n").message


def test_json_lines_lists_and_columns() -> None:
    rows = [{"text": "a", "label": 1, "id": 5}, {"text": "b", "label": 0, "id": 6}]
    expected = [{"text": "a", "label": "1", "id": 5}, {"text": "b", "label": "0", "id": 6}]
    lines = "\n".join(map(json.dumps, rows))
    by_column = {"text": ["a", "b"], "label": [1, 0], "id": [5, 6]}
    for text in (
        lines,
        json.dumps(rows),
        json.dumps(rows, indent=2),
        json.dumps({"data": rows}),
        json.dumps(by_column),
    ):
        assert table(text, "a.json").rows == expected
    assert table(lines, "a.json").where(1) == "a.json:2"
    assert table(json.dumps(rows), "a.json").where(1) == "a.json: item 2"


def test_json_that_is_not_rows() -> None:
    good = '{"text": "a", "label": "x"}\n'
    assert refused(good + '{"text": "b", "label"\n' + good, "a.jsonl").message.startswith("a.jsonl:2: not JSON")
    assert "a list, an object was expected" in refused(good + "[1]\n", "a.jsonl").message
    assert refused('[{"text": "a", "label": "x"}, {"text"', "a.json").message.startswith("a.json:1: not JSON")
    assert "no rows" in refused(json.dumps({"data": [{"paragraphs": []}]}), "a.json").message
    assert "holds a list" in refused('{"text": ["a"], "label": "x"}\n{"text": ["b"], "label": "y"}', "a.jsonl").message


def test_a_half_character_in_json_is_replaced_and_counted() -> None:
    read = table('{"text": "\\ud83d!", "label": "x"}\n{"text": "b", "label": "y"}\n', "a.jsonl")
    assert read.rows[0]["text"] == "\ufffd!"
    assert read.counted == {"half of a character, now U+FFFD": 1}


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"body": ["a", "b", None, "d"], "label": pa.array([1, 0, 1, None], pa.int64())}),
        tmp_path / "a.parquet",
    )
    read = read_table(tmp_path / "a.parquet")
    assert read.rows == [{"text": "a", "label": "1"}, {"text": "b", "label": "0"}]
    assert read.dropped == {"no text": 1, "no label": 1}
    cut = (tmp_path / "a.parquet").read_bytes()[:-20]
    assert "damaged Parquet" in refused(cut, "a.parquet").message


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gz", "zst"])
def test_packed_files(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "a.csv.packed"
    path.write_bytes(pack(b"text,label\na,1\nb,0\n"))
    assert len(read_table(path).rows) == 2


def test_encodings() -> None:
    text = "text,label\ncafé,1\nthé,0\n"
    error = refused(text.encode("latin-1"))
    assert error.message == "train.csv:2: not UTF-8, byte 0xe9 at offset 3 of the line, 14 of the file"
    assert "LATIN1" in error.hint
    assert table(text.encode("latin-1"), encoding="latin-1").rows[0]["text"] == "café"
    assert table(text.encode("utf-16")).rows[1]["text"] == "thé"
    assert "is not an encoding" in refused(text, encoding="klingon").message


def test_scores_are_numbers() -> None:
    read = table("text_a,text_b,score\na,b,3.5\nc,d,\ne,f,nan\ng,h,1e-2\n")
    assert [row["score"] for row in read.rows] == [3.5, 0.01]
    assert read.dropped == {"no score": 2}
    error = refused("text,score\na,3.5\nb,high\n")
    assert error.message == "train.csv:3: score `high` in column `score` is not a number"
    assert "infinite" in refused("text,score\na,3.5\nb,inf\n").message


@pytest.mark.parametrize(("text", "what"), [("", "blank"), ("\n\n", "blank"), ("text,label\n", "no rows")])
def test_a_file_without_rows(text: str, what: str) -> None:
    assert what in refused(text).message


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"PK\x03\x04" + bytes(range(256)))
    with pytest.raises(BertworksError, match="not text"):
        read_table(tmp_path / "a.csv")
    with pytest.raises(BertworksError, match="no such file"):
        read_table(tmp_path / "b.csv")


def test_forty_classes_and_three_rows() -> None:
    rows = "".join(f"text number {i}\tclass_{i % 40}\n" for i in range(400))
    read = table(f"text\tlabel\n{rows}", "a.tsv")
    assert len({row["label"] for row in read.rows}) == 40
    assert len(table("text,label\na,x\nb,y\nc,x\n").rows) == 3


def test_one_enormous_row() -> None:
    read = table("text,label\n" + "word " * 2_000_000 + ",1\nb,0\n")
    assert len(read.rows[0]["text"]) == 10_000_000
    assert len(read.lines()) == 5


def test_label_and_text_with_a_space_between() -> None:
    read = table("1 a fine film\n0 dull\n1 good , indeed\n", "sst.txt")
    assert read.rows[2] == {"text": "good , indeed", "label": "1"}
    assert table("__label__a b c\n__label__d e\n", "f.txt").rows[0] == {"text": "b c", "label": "a"}


def test_a_column_with_a_header_alone() -> None:
    read = table('text\n"Hello, world"\nbye\n', labelled=False)
    assert [row["text"] for row in read.rows] == ["Hello, world", "bye"]
    raw = table("text\nHello, world, again\nbye\n", labelled=False)
    assert [row["text"] for row in raw.rows] == ["Hello, world, again", "bye"]


def test_the_index_column_of_other_programs() -> None:
    assert table(",text,label\n0,a,x\n1,b,y\n").rows == [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
