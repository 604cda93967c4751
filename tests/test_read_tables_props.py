"""Whatever stands in the cells, a file written by the standard library is read back, from each of its rows."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.read.fields import parse_plain, parse_quoted
from bertworks.read.tables import parse_table

NASTY = st.sampled_from(
    [",", '"', '""', "\n", "\r\n", "\t", ";", "|", "\\", "'", " ", "\u2028", "\x0b", "é", "汉", "😀", "-"]
)
TEXT = st.lists(
    st.one_of(NASTY, st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5)), max_size=6
)
CELL = TEXT.map("".join)
LABELS = st.sampled_from(["yes", "no", "may be, or not", 'a "quoted" one'])
ROWS = st.lists(st.tuples(CELL, LABELS), min_size=1, max_size=12)


@given(ROWS, st.sampled_from([",", ";", "|"]), st.booleans(), st.sampled_from(["\n", "\r\n"]), st.booleans())
@example([('"', "yes"), ("a\n\nb", "no")], ",", True, "\r\n", True)
@settings(max_examples=150, deadline=None)
def test_csv_round_trip(rows: list[tuple[str, str]], delimiter: str, bom: bool, end: str, quote_all: bool) -> None:
    handle = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(handle, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["text", "label"])
    writer.writerows(rows)
    written = (b"\xef\xbb\xbf" if bom else b"") + handle.getvalue().encode()
    read = parse_table(written, "a.csv", labelled=False)
    assert [(row["text"], row["label"]) for row in read.rows] == rows


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_json_round_trip(rows: list[tuple[str, str]]) -> None:
    objects = [{"text": text, "label": label} for text, label in rows]
    for written in ("\n".join(json.dumps(row, ensure_ascii=False) for row in objects), json.dumps(objects)):
        read = parse_table(written.encode(), "a.json", labelled=False)
        assert [(row["text"], row["label"]) for row in read.rows] == rows


@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r"), min_size=1), min_size=2, max_size=2)
    )
)
@settings(max_examples=200, deadline=None)
def test_plain_fields_keep_every_character(records: list[list[str]]) -> None:
    assume(all("\t".join(record).strip(" ") for record in records))
    assert parse_plain("\n".join("\t".join(record) for record in records), "\t").records == records


FRAGMENTS = st.sampled_from(
    [
        *(bytes((byte,)) for byte in b',\t"\n\ra1-{}[]\xff'),
        *(b"text", b"label", b"score", b"0.5", b"nan", b'"label": ', b"\xef\xbb\xbf", b"PAR1"),
        *(b'{"text": "a", "label": 1}\n', b"text,label\n", b"a,1\nb,0\n"),
    ]
)


@given(
    st.one_of(st.binary(max_size=200), st.lists(FRAGMENTS, max_size=25).map(b"".join)),
    st.sampled_from(["a.csv", "a.tsv", "a.json", "a.txt", "a.parquet", "a"]),
    st.booleans(),
)
@example(b"PAR1", "a.parquet", True)
@example(b'{"text": 1e999, "label": {}}', "a.json", True)
@example(b"[[", "a.json", False)
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_read_or_refused_in_a_sentence(raw: bytes, name: str, labelled: bool) -> None:
    try:
        read = parse_table(raw, name, labelled=labelled)
    except BertworksError as error:
        refused.append(error.message)
    else:
        kept.append(len(read.rows))
        assert len(read.rows) == len(read.line_numbers) > 0
        assert read.lines()


kept: list[int] = []
refused: list[str] = []


def test_the_bytes_were_both_read_and_refused() -> None:
    assert sum(count > 1 for count in kept) > 20
    assert len(refused) > 20
    assert all(message and "\n" not in message for message in refused)


@given(st.text(alphabet='ab,"\n\t;', max_size=60), st.booleans())
@settings(max_examples=500, deadline=None)
def test_lines_of_quoted_records_ascend(text: str, backslash: bool) -> None:
    parsed = parse_quoted(text, ",", backslash=backslash)
    assert len(parsed.lines) == len(parsed.records)
    assert all(earlier < later for earlier, later in zip(parsed.lines, parsed.lines[1:], strict=False))
    assert not parsed.lines or 1 <= parsed.lines[0] <= parsed.lines[-1] <= text.count("\n") + 1
