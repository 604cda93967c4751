"""Multiple choice: how labels name options, what the windows read, the loss against a loop, rows of unlike size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table
from bertworks.tasks.choice import ChoiceTask, numbering_of, texts_of
from bertworks.tasks.infer import infer_task
from bertworks.tasks.task import Window, coverage, member_of
from bertworks.text.tokenizer import Tokenizer
from finetune_support import choice_rows, vocabulary

OPTIONS = ["tin", "gold", "iron"]


def table(rows: list[dict[str, Any]], choices: str = "choices") -> Table:
    columns = {role: role for role in rows[0]} | {"choices": choices}
    return Table("rows.csv", rows, columns, list(columns), {}, "", list(range(2, len(rows) + 2)))


def labelled(*labels: str, options: list[str] = OPTIONS) -> Table:
    return table([{"question": "what?", "choices": options, "label": label} for label in labels])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer.load(vocabulary(tmp_path_factory.mktemp("vocab")), lowercase=True)


@pytest.mark.parametrize(
    ("labels", "numbering"),
    [
        (["0", "2", "1"], "0"),
        (["1", "3"], "1"),
        (["1.0", "3.0"], "1"),
        (["A", "c"], "letter"),
        (["iron", "tin "], "text"),
    ],
)
def test_labels_are_understood_from_all_rows_together(labels: list[str], numbering: str) -> None:
    found = infer_task(labelled(*labels))
    assert found.task == ChoiceTask(numbering)
    assert "holds options" in found.because


def test_columns_numbered_from_one_settle_it() -> None:
    rows = [{"question": "what?", "choices": OPTIONS, "label": label} for label in ("1", "2")]
    assert numbering_of(table(rows, "option1 … option3")) == "1"
    assert numbering_of(table(rows, "ending0 … ending2")) == "0"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (labelled("0", "2", "7"), r"rows\.csv:4: label `7` names none of the 3 options"),
        (labelled("0", "1", options=["0", "1"]), r"the labels may be options, or numbers from 0"),
        (labelled("1", "2"), r"rows\.csv: the labels may be numbers from 0 or numbers from 1, all rows fit both"),
        (labelled("0", options=["one"]), r"rows\.csv:2: has 1 options"),
    ],
)
def test_labels_that_fit_no_option_are_refused(rows: Table, message: str) -> None:
    with pytest.raises(BertworksError, match=message):
        infer_task(rows, "choice")


def test_evaluation_keeps_trainings_numbering() -> None:
    with pytest.raises(BertworksError, match=r"rows\.csv:2: label `B` names none") as caught:
        ChoiceTask("1").check(labelled("B"))
    assert "numbers from 1" in caught.value.hint
    assert ChoiceTask("1").gold({"question": "", "choices": OPTIONS, "label": "1"}, "row 1") == 0


def test_what_stands_where() -> None:
    assert texts_of({"question": "he", "choices": OPTIONS}, "row 1") == ("he", OPTIONS)
    row = {"context": "a text", "question": "it is _ .", "choices": ["tin", "gold"]}
    assert texts_of(row, "row 1") == ("a text", ["it is tin .", "it is gold ."])
    assert texts_of({**row, "question": "what ?"}, "row 1")[1] == ["what ? tin", "what ? gold"]


@settings(deadline=None, max_examples=30)
@given(length=st.integers(0, 90), question=st.integers(0, 40), truncation=st.sampled_from(["windows", "truncate"]))
def test_only_the_text_is_cut(tokenizer: Tokenizer, length: int, question: int, truncation: str) -> None:
    row = {"context": "red cat " * length, "question": "now " * question, "choices": ["a tin", "the big old hen saw"]}
    windows = ChoiceTask("0", truncation).windows([row], tokenizer, 24)
    parts = len(windows) // 2
    assert [member_of(window) for window in windows] == [0] * parts + [1] * parts
    assert sum(window.weight for window in windows) == pytest.approx(1)
    for window in windows:
        assert len(window.input_ids) <= 24
        option = tokenizer.encode([row["choices"][member_of(window)]])[0]
        assert window.input_ids[-1 - len(option) : -1].tolist() == option.tolist()
    first, second = windows[:parts], windows[parts:]
    for one, other in zip(first, second, strict=True):
        a, b = (window.input_ids[window.token_type_ids == 0].tolist() for window in (one, other))
        assert a == b, "all options are read beside the same parts of the text"
    read = coverage(windows)
    fits = 2 * length + question + 5 + 3 <= 24
    assert read.words == 2 * length + 2 * question + 7
    assert (read.seen == read.words) or not fits
    if truncation == "windows" and question + 5 <= 24 - 3 - 8:
        assert read.share == 1


def test_the_loss_is_the_cross_entropy_of_each_row(tokenizer: Tokenizer) -> None:
    task = ChoiceTask()
    rows = [{**row, "label": str(row["label"])} for row in choice_rows(11, most=5, longest=24)]
    windows = task.windows(rows, tokenizer, 24)
    sizes = {len(row["choices"]) for row in rows}
    assert len(sizes) > 2, "rows must differ in their number of options"
    assert coverage(windows).long_rows, "some text must be longer than a window"
    logits = torch.randn(len(windows), 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = task.loss_sum(logits, task.targets(windows), task.weights(windows))
    assert task.loss_count(windows) == pytest.approx(len(rows))
    expected = 0.0
    for number, row in enumerate(rows):
        options = [
            np.mean(
                [float(value) for window, value in zip(windows, logits[:, 0], strict=True) if is_of(window, number, k)]
            )
            for k in range(len(row["choices"]))
        ]
        expected -= float(torch.log_softmax(torch.tensor(np.array(options)), 0)[int(row["label"])])
    assert float(found) == pytest.approx(expected, abs=1e-6)


def is_of(window: Window, row: int, member: int) -> bool:
    return window.row == row and member_of(window) == member


def test_answers_are_probabilities_of_each_rows_own_options(tokenizer: Tokenizer) -> None:
    rows = choice_rows(5, most=5)
    task = ChoiceTask()
    windows = task.windows(rows, tokenizer, 40)
    answers = task.decode(rows, windows, [np.array([float(member_of(window))], np.float32) for window in windows])
    for row, answer in zip(rows, answers, strict=True):
        assert answer.choice == len(row["choices"]) - 1
        assert sum(answer.to_json()["scores"]) == pytest.approx(1)
        assert len(answer.scores) == len(row["choices"])
        assert answer.cells()["option"] == row["choices"][-1]
    gold = [str(len(row["choices"]) - 1) if i else "0" for i, row in enumerate(rows)]
    assert task.score(answers, [{**row, "label": label} for row, label in zip(rows, gold, strict=True)]) == {
        "accuracy": 0.8
    }


def test_settings_come_back(tmp_path: Path) -> None:
    task = ChoiceTask("letter", "head+tail")
    assert ChoiceTask.from_settings(task.settings()) == task
    with pytest.raises(BertworksError, match=r"numbering `roman` is unknown"):
        ChoiceTask("roman")
