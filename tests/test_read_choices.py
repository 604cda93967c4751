"""Questions with options in the forms of SWAG, CODAH, DREAM, RACE and plain tables: every option and label there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table, parse_table, read_table
from bertworks.tasks.choice import ChoiceTask
from bertworks.tasks.infer import infer_task

SWAG = """,video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label
0,v_1,34,"They walk. A line","They walk, slowly.",A line,gold,"passes by, down.",has heard them.,arrives.,turns.,2
1,v_2,35,"He sits. He","He sits.",He,gold,"stands.",falls.,runs.,sleeps.,0
"""
DREAM = [
    [["M: Tea?", "W: Yes."], [{"question": "What?", "choice": ["Tea.", "Milk."], "answer": "Milk."}], "1-2"],
    [
        ["M: Where?"],
        [
            {"question": "Who asks?", "choice": ["M", "W", "N"], "answer": "M"},
            {"question": "When?", "choice": ["now", "then", "never"], "answer": "never"},
        ],
        "1-3",
    ],
]
RACE = {
    "id": "high1.txt",
    "article": "A long text.",
    "questions": ["It is _ .", "Who?"],
    "options": [["a", "b"], ["c", "d"]],
    "answers": ["B", "A"],
}


def parsed(content: object, name: str = "rows.json", **more: Any) -> Table:
    text = content if isinstance(content, str) else json.dumps(content)
    return parse_table(text.encode(), name, **more)


def test_swag_joins_its_four_columns_and_keeps_both_parts_of_the_text() -> None:
    table = parsed(SWAG, "swag.csv")
    assert table.rows[0]["choices"] == ["passes by, down.", "has heard them.", "arrives.", "turns."]
    assert [row["label"] for row in table.rows] == ["2", "0"]
    assert (table.rows[0]["context"], table.rows[0]["question"]) == ("They walk, slowly.", "A line")
    assert table.columns["choices"] == "ending0 … ending3"
    assert not table.is_pair


def test_codah_is_known_by_its_columns() -> None:
    lines = ["o\tI am\tone.\ttwo.\tthree.\tfour.\t3", '\tHe said "\ta\tb\tc\td\t0', "q\tShe\te\tf\tg\th\t1"]
    table = parsed("\n".join(lines) + "\n", "full_data.tsv")
    assert table.format.startswith("CODAH")
    assert [row["question"] for row in table.rows] == ["I am", 'He said "', "She"]
    assert table.rows[1]["choices"] == ["a", "b", "c", "d"]
    assert [row["label"] for row in table.rows] == ["3", "0", "1"]


def test_dream_gives_a_row_a_question() -> None:
    table = parsed(DREAM)
    assert [row["id"] for row in table.rows] == ["1-2-1", "1-3-1", "1-3-2"]
    assert [row["label"] for row in table.rows] == ["Milk.", "M", "never"]
    assert table.rows[0]["context"] == "M: Tea?\nW: Yes."
    assert [len(row["choices"]) for row in table.rows] == [2, 3, 3]
    assert table.where(2) == "rows.json: item 2"


@pytest.mark.parametrize("content", [RACE, [RACE], "\n".join(json.dumps(RACE) for _ in range(1))])
def test_race_is_read_as_one_file_a_list_or_lines(content: object) -> None:
    rows = parsed(content).rows
    assert [row["question"] for row in rows] == ["It is _ .", "Who?"]
    assert [row["label"] for row in rows] == ["B", "A"]
    assert {row["context"] for row in rows} == {"A long text."}
    assert rows[1]["choices"] == ["c", "d"]


@pytest.mark.parametrize(
    ("header", "cells", "options"),
    [
        ("question,choice0,choice1,label", "Q?,x,y,1", ["x", "y"]),
        ("question,option_a,option_b,option_c,answer", "Q?,x,y,,A", ["x", "y"]),
        ("question,A,B,C,D,correct", "Q?,x,y,z,w,D", ["x", "y", "z", "w"]),
        ("context,choices,label", 'Q?,"[""x"", ""y""]",0', ["x", "y"]),
    ],
)
def test_generic_tables_may_have_fewer_options_in_some_rows(header: str, cells: str, options: list[str]) -> None:
    table = parsed(f"{header}\n{cells}\n", "rows.csv")
    assert table.rows[0]["choices"] == options
    assert "label" in table.rows[0]


def test_a_blank_option_before_others_keeps_its_place() -> None:
    table = parsed("question,A,B,C,D,answer\nQ?,x,,y,z,C\nR?,x,y,z,w,A\n", "rows.csv")
    assert table.rows[0]["choices"] == ["x", "", "y", "z"]
    assert table.counted == {"an empty option": 1}
    task = infer_task(table).task
    assert isinstance(task, ChoiceTask)
    assert [row["choices"][task.gold(row, "")] for row in table.rows] == ["y", "x"]


def test_columns_with_a_role_are_no_options() -> None:
    text = "id,answer1,answer2,label\n1,a text,b,p\n2,another,c,q\n"
    assert parsed(text, "rows.csv").columns["choices"] == "answer1 … answer2"
    table = parsed(text, "rows.csv", columns={"text": "answer1", "label": "label"})
    assert table.rows[1] == {"id": "2", "text": "another", "label": "q"}


def test_a_text_with_columns_of_options_can_be_classified() -> None:
    rows = "".join(f"word {n},r{n},s{n},{n % 2}\n" for n in range(6))
    table = parsed("text,option1,option2,label\n" + rows, "rows.csv")
    assert infer_task(table, "classify").task.name == "classify"


def test_hugging_faces_form_of_options_is_a_list() -> None:
    row = {"question": "Q?", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}
    assert parsed(json.dumps(row) + "\n" + json.dumps(row), "arc.jsonl").rows[1]["choices"] == ["x", "y"]


def test_columns_that_only_look_alike_are_left_alone() -> None:
    table = parsed("text,option2,label\nhello there,3,pos\ngood bye,4,neg\n", "rows.csv")
    assert "choices" not in table.columns
    assert parsed("text,choice1,choice3,label\na b,x,y,0\nc d,z,w,1\n", "gap.csv").columns.keys() == {"text", "label"}


def test_options_that_are_no_list_are_told_with_their_line() -> None:
    lines = [{"question": "a", "choices": ["x", "y"], "label": 0}, {"question": "b", "choices": 7, "label": 0}]
    content = "\n".join(map(json.dumps, lines))
    with pytest.raises(BertworksError, match=r"rows\.jsonl:2: column `choices` holds 7, no list of options"):
        parsed(content, "rows.jsonl", columns={"choices": "choices", "label": "label"})


def test_the_published_files(shared_data: Path) -> None:
    codah = read_table(shared_data / "labelled/codah/full_data.tsv.zst")
    dream = read_table(shared_data / "labelled/dream/dev.json.zst")
    assert (len(codah.rows), len(dream.rows)) == (2776, 2040)
    assert all(row["label"] in row["choices"] for row in dream.rows)
    assert {len(row["choices"]) for row in codah.rows} == {4}
