"""Any file gives rows or one sentence with its name; no other error, and no row lost without being counted."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table, parse_table, read_table
from bertworks.tasks.infer import infer_task
from bertworks.tasks.lint.report import lint
from bertworks.text.tokenizer import Tokenizer

NAMES = ("f.csv", "f.tsv", "f.json", "f.jsonl", "f.conll", "f.txt", "f", "f.iob", "f.parquet")
PIECES = (
    "text", "label", "score", "tokens", "tags", "question", "context", "answers", "sentence1", "sentence2",
    "spans", "id", ",", "\t", ";", "|", "\n", "\r\n", "\r", "\n\n", '"', '""', "'", "\\", '\\"', " ", "\u2028",
    "\x85", "\x00", "\ufeff", "a film", "B-PER", "I-PER", "O", "E-LOC", "-DOCSTART- -X- O O", "# text = x",
    "#\thttp://x", "#begin document (x); part 000", "#end document", "1", "0", "-1", "-", "nan", "inf",
    "-Infinity", "1e400", "NaN", "null", "true", "__label__x", "我", "{", "}", "[", "]", ":",
    '{"text": "a", "label": "b"}', '{"data": [', '{"paragraphs": [', '"qas": [', '"answer_start": 7',
    '{"text": ["a"], "label": [1]}', '[{"text": "a", "label": 1}]', "(PERSON", "*)", "\ud800",
)  # fmt: skip
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=5) | st.sampled_from(PIECES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(PIECES[:12]), inner, max_size=4),
    max_leaves=12,
)
TOKENIZER = Tokenizer.load("bertworks-mini")
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check_sentence(error: BertworksError, *beginnings: str) -> None:
    """One line that begins with the file's name, or another word."""
    assert error.message.startswith(beginnings), error.message
    assert "\n" not in error.message.strip(), error.message


def survives(raw: bytes, name: str) -> Table | None:
    """The rows, or None where one sentence says why not; with and without labels, and through the checks."""
    found = None
    for labelled in (False, True):
        try:
            found = parse_table(raw, name, labelled=labelled)
        except BertworksError as error:
            check_sentence(error, name)
            found = None
            continue
        assert found.rows
        assert len(found.line_numbers) == len(found.rows)
    if found is None:
        return None
    try:
        task = infer_task(found).task
        assert {window.row for window in task.windows(found.rows, TOKENIZER, 32)} == set(range(len(found.rows)))
    except BertworksError as error:
        check_sentence(error, name, "row ")
    json.dumps(lint({"train": found}).to_json())
    return found


@QUICK
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.sampled_from(NAMES))
def test_pieces_of_every_form_in_any_order(pieces: list[str], name: str) -> None:
    survives("".join(pieces).encode("utf-8", "surrogatepass"), name)


@QUICK
@given(st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5), max_size=8), st.sampled_from(NAMES))
def test_lines_of_ragged_columns(rows: list[list[str]], name: str) -> None:
    for delimiter in (",", "\t", " "):
        survives("\n".join(delimiter.join(row) for row in rows).encode("utf-8", "replace"), name)


@QUICK
@example([[[], [None]]], 0, False)
@example([{"score": None, "text": None}], 0, False)
@given(st.lists(JSON_VALUES, min_size=1, max_size=5), st.integers(0, 400), st.booleans())
def test_json_of_any_shape_whole_and_truncated(values: list[object], cut: int, as_lines: bool) -> None:
    text = "\n".join(map(json.dumps, values)) if as_lines else json.dumps(values)
    survives(text.encode(), "f.jsonl")
    survives(text[: len(text) - cut].encode(), "f.json")


@QUICK
@given(
    st.lists(st.dictionaries(st.sampled_from(("context", "qas", "paragraphs", "title")), JSON_VALUES), max_size=3),
    st.lists(
        st.fixed_dictionaries({"question": JSON_VALUES, "answers": JSON_VALUES}, optional={"id": JSON_VALUES}),
        max_size=3,
    ),
)
def test_questions_of_any_shape(articles: list[dict[str, object]], questions: list[dict[str, object]]) -> None:
    survives(json.dumps({"data": articles}).encode(), "f.json")
    paragraph = {"context": "a text", "qas": questions}
    survives(json.dumps({"data": [{"paragraphs": [paragraph]}, *articles]}).encode(), "f.json")


FORMS = (
    ("text", "label"), ("sentence1", "sentence2", "label"), ("text", "score"), ("tokens", "tags"), ("text", "spans"),
    ("text", "label_text", "label"), ("id", "question", "context", "answers"), ("tokens", "spans"), ("text", "tags"),
)  # fmt: skip
TEXTS = ("a film", "", "我们 很好", "x" * 3000, " ", "\u2028", "a \x00 b", "\ud83d\ude00", "nan", 7)
CELLS: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("text", "sentence1", "sentence2", "question", "context"), TEXTS),
    "label": ("a", "b", "A ", "1", "0", "-", 2.0, True, ["a"], [], "a|b", ["a", None], [[0, 1, "X"]]),
    "label_text": ("x", "y", ""),
    "score": (1, 2.5, "3", "nan", float("nan"), None, -1),
    "tokens": (["a", "b"], ["我"], [], ["a", ""], "a b", ["1", 2]),
    "tags": (["O", "B-X"], ["I-X"], [], ["O", "O"], ["B", "I"], ["NN", "VB"], "O O", ["O", None]),
    "spans": ([], [[0, 1, "X"]], [{"start": 0, "end": 2, "label": "Y"}], [[0, 99, "X"]], [[2, 1, "X"]], None),
    "answers": ([], ["a"], [{"text": "a", "answer_start": 0}], {"text": ["a"], "answer_start": [0]}, "a", None,
                [{"text": "", "answer_start": 0}], [{"text": "zz", "answer_start": 5}],
                [{"text": "a", "answer_start": 10**12}]),
    "id": (1, "x", None),
}  # fmt: skip
ODD = (None, float("inf"), {}, [None], 10**30, "\ud800", {"a": 1}, [[]], False)


@st.composite
def forms(draw: st.DrawFn) -> list[dict[str, object]]:
    """Rows of one form; in some of them a cell of another kind."""
    roles = draw(st.sampled_from(FORMS))
    few = {role: draw(st.lists(st.sampled_from(CELLS[role]), min_size=1, max_size=4)) for role in roles}
    rows = [{role: draw(st.sampled_from(few[role])) for role in roles} for _ in range(draw(st.integers(1, 12)))]
    if draw(st.booleans()):
        draw(st.sampled_from(rows))[draw(st.sampled_from(roles))] = draw(st.sampled_from(ODD))
    return rows


@QUICK
@given(forms())
def test_rows_of_every_form(rows: list[dict[str, object]]) -> None:
    survives("\n".join(map(json.dumps, rows)).encode(), "f.jsonl")
    survives(json.dumps(rows).encode(), "f.json")
    for name, delimiter in (("f.csv", ","), ("f.tsv", "\t")):
        out = io.StringIO()
        writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
        survives(out.getvalue().encode("utf-8", "replace"), name)


def test_the_fuzz_reaches_rows() -> None:
    good = [{"text": f"text {at}", "label": "ab"[at % 2]} for at in range(8)]
    assert survives("\n".join(map(json.dumps, good)).encode(), "f.jsonl") is not None


@QUICK
@given(st.binary(max_size=200), st.sampled_from(NAMES))
def test_any_bytes(raw: bytes, name: str) -> None:
    survives(raw, name)
    survives(b"PAR1" + raw, name)
    survives(b"text,label\n" + raw, name)


ROWS = [{"text": f"text {at}", "label": "ab"[at % 2]} for at in range(40)]


@given(st.lists(st.sampled_from(["a", "b", "", None, "-", 1, 2.5, True, float("nan")]), min_size=4, max_size=30))
@settings(max_examples=100, deadline=None)
def test_every_row_is_kept_or_counted(labels: list[object]) -> None:
    lines = [json.dumps({"text": f"text {at}", "label": label}) for at, label in enumerate(labels)]
    try:
        table = parse_table("\n".join(lines).encode(), "f.jsonl")
    except BertworksError as error:
        check_sentence(error, "f.jsonl: no row is left")
        return
    assert len(table.rows) + sum(table.dropped.values()) == len(labels)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_cut_packed_files(tmp_path: Path, pack: object, share: float) -> None:
    assert callable(pack)
    raw: bytes = pack("\n".join(map(json.dumps, ROWS)).encode())
    path = tmp_path / "f.jsonl.x"
    path.write_bytes(raw)
    assert len(read_table(path).rows) == 40
    path.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(
        BertworksError, match=r"f\.jsonl\.x: (the (gzip|zstd) data (end too early|are damaged)|is empty)"
    ):
        read_table(path)


@pytest.mark.parametrize(
    ("raw", "rows"),
    [
        (b"\xef\xbb\xbftext,label\na film,x\nno film,y\n", 2),  # byte-order mark
        ("text,label\na film,x\nno film,y\n".encode("utf-16"), 2),
        (b"text,label\r\na film,x\r\nno film,y\r\n", 2),
        (b"text,label\ra film,x\rno film,y\r", 2),  # old Macs
        ("text\tlabel\na \u2028 film\tx\nno \x85 film\ty\n".encode(), 2),
        (b'text\tlabel\n"a" film\tx\nthe 7" disc\ty\n', 2),
        (b"text,label\n" + b'"' + b"long " * 2_000_000 + b'",x\nshort,y\n', 2),
        (b"text\tlabel\na \x00 film\tx\nno film\ty\n", 2),
    ],
    ids=["bom", "utf-16", "crlf", "cr", "u2028", "quotes", "ten megabytes", "nul"],
)
def test_odd_files_that_are_read(raw: bytes, rows: int) -> None:
    table = parse_table(raw, "f.tsv" if b"\t" in raw else "f.csv")
    assert len(table.rows) == rows
    assert [row["label"] for row in table.rows] == ["x", "y"]
    assert table.columns == {"text": "text", "label": "label"}


@pytest.mark.parametrize(
    ("raw", "name", "told"),
    [
        (b"text,label\n", "f.csv", r"f\.csv: no rows, only a header"),
        (b"text,text,label\na,b,c\nd,e,f\n", "f.csv", r"f\.csv: 2 columns are named `text`"),
        (b"text,label\na,b,c\n", "f.csv", r"f\.csv:2: 3 fields"),
        (b'{"text": "a", "label": "b"}\n{"text": "a", "lab', "f.jsonl", r"f\.jsonl:2: not JSON"),
        (b"text,score\na,1.0\nb,inf\nc,2\n", "f.csv", r"f\.csv:3: score `inf` in column `score` is infinite"),
        (b"a B-X\nb O\n\nc O O\n", "f.conll", r"f\.conll:4: 3 columns, other lines have 2"),
        (b"#begin document (a); part 000\na 0 0 x\n", "f", r"f:2: 4 columns, 11 were expected"),
        (b"", "f.csv", r"f\.csv: holds no rows"),
        (b"\xff\xfea", "f.csv", r"f\.csv:1: not utf-16"),
    ],
)
def test_odd_files_that_are_refused(raw: bytes, name: str, told: str) -> None:
    with pytest.raises(BertworksError, match=told):
        parse_table(raw, name)


def test_nan_scores_are_dropped_and_counted() -> None:
    table = parse_table(b"text,score\na,1.5\nb,nan\nc,2\nd,\n", "f.csv")
    assert (len(table.rows), table.dropped) == (2, {"no score": 2})


def test_answers_beside_their_place_are_counted() -> None:
    def question(number: int, text: str, start: int) -> dict[str, object]:
        return {"id": str(number), "question": "who?", "answers": [{"text": text, "answer_start": start}]}

    asked = [question(0, "Ann", 0), question(1, "Ann", 3), question(2, "Rome", -1), question(3, "Oslo", -1)]
    paragraph = {"context": "Ann went to Rome", "qas": asked}
    table = parse_table(json.dumps({"data": [{"paragraphs": [paragraph]}]}).encode(), "f.json")
    assert table.counted == {
        "an answer whose text does not stand at its place": 1,
        "an answer without a place, found by its text": 1,
        "an answer without a place, not learnt from": 1,
    }
    assert table.rows[2]["answers"] == [("Rome", 12)]
