"""Which task a table is for: told where it is plain, asked where it is not."""

from __future__ import annotations

import pytest

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table, parse_table
from bertworks.tasks.infer import Inferred, infer_task
from bertworks.tasks.labels import Labels, canonical


def table(labels: list[str], column: str = "label") -> Table:
    rows = "".join(f"text {i},{label}\n" for i, label in enumerate(labels))
    return parse_table(f"text,{column}\n{rows}".encode(), "train.csv")


def inferred(labels: list[str], column: str = "label", asked: str | None = None) -> Inferred:
    return infer_task(table(labels, column), asked)


def refused(labels: list[str], column: str = "label", asked: str | None = None) -> BertworksError:
    with pytest.raises(BertworksError) as caught:
        inferred(labels, column, asked)
    return caught.value


@pytest.mark.parametrize(
    ("labels", "column", "kind"),
    [
        (["pos", "neg"] * 5, "label", "classify"),
        (["0", "1"] * 5, "label", "classify"),
        (["-1", "1"] * 5, "label", "classify"),
        (["1", "2", "x"] * 5, "label", "classify"),
        (["0", "1", "2"] * 5, "category", "classify"),
        (["001", "002", "010"] * 5, "label", "classify"),
        ([str(i % 40) for i in range(200)], "label", "classify"),
        ([str(i % 77 + 1) for i in range(200)], "label", "classify"),
        (["0.5", "1.0", "3.25"] * 5, "label", "score"),
        (["1", "2", "3"] * 5, "score", "score"),
        ([str(i * i * 7 % 4001) for i in range(300)], "label", "score"),
    ],
)
def test_plain_cases(labels: list[str], column: str, kind: str) -> None:
    found = inferred(labels, column)
    assert found.task.kind == kind
    assert column in found.because


@pytest.mark.parametrize(
    "labels",
    [
        ["1", "2", "3", "4", "5"] * 4,
        ["0", "1", "2"] * 5,
        ["-1", "0", "1"] * 5,
        ["1.0", "2.0", "3.0"] * 5,
        [str(i) for i in range(11)] * 3,
    ],
)
def test_whole_numbers_are_asked_about(labels: list[str]) -> None:
    error = refused(labels)
    assert "classes or a score?" in error.message
    assert error.hint == "say `--task classify` or `--task score`"
    assert inferred(labels, asked="classify").task.kind == "classify"
    assert inferred(labels, asked="score").task.kind == "score"
    assert inferred(labels, asked="score").because == "as asked"


def test_label_and_score_together_are_asked_about() -> None:
    both = parse_table(b"text,label,score\na,x,1.5\nb,y,2.5\nc,x,1\n", "t.csv")
    with pytest.raises(BertworksError, match="`label` holds classes and `score` scores"):
        infer_task(both)
    assert infer_task(both, "classify").task.labels.names == ("x", "y")
    assert infer_task(both, "score").task.center == pytest.approx(5 / 3)


def test_one_class_only() -> None:
    error = refused(["pos"] * 1000)
    assert error.message == "train.csv: one label only, `pos`, in all 1,000 rows of column `label`"
    assert "`--columns label=…`" in error.hint
    assert "one score only" in refused(["3.5"] * 3, "score").message


def test_a_column_of_ids_is_no_label() -> None:
    labels = [f"u{i}" for i in range(100)]
    assert "100 distinct labels in 100 rows" in refused(labels).message
    assert inferred(labels, asked="classify").task.num_outputs == 100


def test_other_words_for_a_task() -> None:
    assert refused(["a", "b"], asked="clasify").hint == "did you mean `classify`?"
    assert refused(["high", "low"], asked="score").message == "train.csv:2: `high` is not a score"
    assert "no column for the label" in refused(["1.5", "2"], "score", asked="classify").message


def test_other_forms_are_not_taken_for_sentences() -> None:
    choice = b'{"text": "a", "choices": ["x", "y"], "score": 0}\n{"text": "b", "choices": ["x", "y"], "score": 1}\n'
    with pytest.raises(BertworksError, match="looks like multiple choice without a label"):
        infer_task(parse_table(choice, "t.jsonl"))
    several = b'{"text": "a", "label": ["x", "y"]}\n{"text": "b", "label": ["x"]}\n'
    with pytest.raises(BertworksError, match=r"t.jsonl:1: the label is not one class but \['x', 'y'\]"):
        infer_task(parse_table(several, "t.jsonl"), "classify")


def test_labels_stand_in_a_fixed_order() -> None:
    assert Labels.of(["b", "a", "B", "b"]).names == ("B", "a", "b")
    assert Labels.of(["10", "9", "-1"]).names == ("-1", "9", "10")
    assert Labels.of(["10", "9", "x"]).names == ("10", "9", "x")
    assert Labels.of(["b", "a", "b"]).counts == (1, 2)


def test_labels_with_readable_names() -> None:
    labels = Labels.of(["1", "0", "1"], ["news", "sport", "news"])
    assert labels.names == ("sport", "news")
    assert [labels.number(written) for written in ("0", "1", "sport", "news", "1.0", "2")] == [0, 1, 0, 1, 1, -1]
    assert Labels.of(["1", "0", "1"], ["news", "sport", "sport"]).names == ("0", "1")  # not one name each


def test_one_point_nought_is_one() -> None:
    assert [canonical(label) for label in ("1.0", "1.", "1.5", "v1.0", "-2.000")] == ["1", "1", "1.5", "v1.0", "-2"]
    assert Labels.of(["1.0", "0.0"]).number("1") == 1


def test_what_is_said_of_many_classes() -> None:
    labels = Labels.of([f"c{i:02}" for i in range(40) for _ in range(i + 1)])
    (line,) = labels.lines()
    assert line.startswith("labels: c39 40, c38 39")
    assert "28 more, 1 to 28 rows each" in line
    assert "28 more" in labels.listed()
