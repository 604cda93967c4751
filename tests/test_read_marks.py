"""Marked stretches of texts: the forms of annotation tools, their tags, and back to code points."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.read.marks import Mark, hold_marks, marks_of
from bertworks.read.tables import Table, parse_table
from bertworks.tasks.infer import infer_task
from bertworks.tasks.schemes import spans_of
from bertworks.tasks.tagging import TagTask

TEXT = "Ann Lee lives in Rome-Ostia."
MARKS = [Mark(0, 7, "PER"), Mark(17, 21, "LOC")]
FORMS = [
    [[17, 21, "LOC"], [0, 7, "PER"]],
    [{"start": 0, "end": 7, "label": "PER"}, {"start_offset": 17, "end_offset": 21, "type": "LOC"}],
    [{"start": 0, "end": 7, "labels": ["PER"], "text": "Ann Lee"}, {"begin": 17, "stop": 21, "entity": "LOC"}],
    {"PER": {"Ann Lee": [[0, 6]]}, "LOC": {"Rome": [[17, 20]]}},
]


def table_of(cells: list[object], column: str = "label") -> Table:
    lines = [json.dumps({"text": TEXT, column: cell}) for cell in cells]
    return parse_table("\n".join(lines).encode(), "t.jsonl")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(form: object) -> None:
    assert marks_of(form) == MARKS
    for column in ("label", "entities", "spans"):
        table = table_of([form, [], form], column)
        assert [row["spans"] for row in table.rows] == [MARKS, [], MARKS]
        task = infer_task(table).task
        assert isinstance(task, TagTask)
        assert task.unit == "word"
        tags = task.gold(table.rows[0], "")
        assert tags == ["B-PER", "I-PER", "O", "O", "B-LOC", "O"], "a stretch inside a word takes the whole word"
        assert task.gold(table.rows[1], "") == ["O"] * 6


@pytest.mark.parametrize(
    "cell", [["a", "b"], [[0, 1]], [[0, 1.5, "A"]], [[True, 2, "A"]], {"A": [[0, 1]]}, "x", 3, {"A": {"b": 1}}]
)
def test_what_marks_nothing(cell: object) -> None:
    assert marks_of(cell) is None
    assert not hold_marks([cell])
    assert not hold_marks([[[0, 1, "A"]], cell])
    assert not hold_marks([[], None])


def test_stretches_outside_the_text_are_told() -> None:
    task = infer_task(table_of([FORMS[0]])).task
    for bad in ([[0, 99, "PER"]], [[5, 5, "PER"]], [[-1, 3, "PER"]]):
        table = table_of([bad])
        with pytest.raises(BertworksError, match=r"t.jsonl:1: `PER` marks .* of 28 characters"):
            task.check(table)
    with pytest.raises(BertworksError, match=r"t.jsonl:1: column `spans` holds .*, no stretches of the text"):
        table_of(["x"], "spans")


@given(st.text(alphabet="ab 我们.", min_size=1, max_size=20), st.data())
def test_characters_keep_every_stretch(text: str, data: st.DataObject) -> None:
    task = TagTask(infer_task(table_of([FORMS[0]])).task.labels, unit="character")
    borders = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    marks = [Mark(a, b, "PER") for a, b in zip(borders[::2], borders[1::2], strict=False) if text[a:b].strip()]
    marks = [Mark(a + len(text[a:b]) - len(text[a:b].lstrip()), a + len(text[a:b].rstrip()), c) for a, b, c in marks]
    row = {"text": text, "spans": marks}
    _, offsets, _ = task.words(row, "")
    found = [Mark(offsets[s.start][0], offsets[s.end - 1][1], s.type) for s in spans_of(task.gold(row, ""))]
    assert found == marks
