"""Context of the document: what a row's window reads around it, and that nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest

from bertworks.base.errors import BertworksError
from bertworks.finetune.data import prepare
from bertworks.finetune.recipe import DataRecipe
from bertworks.predict.run import chunks
from bertworks.read.tables import parse_table
from bertworks.tasks.infer import TagWishes, tag_task
from bertworks.tasks.split import BY_CLASS, BY_ROW, are_documents_whole, split_rows
from bertworks.tasks.tag_windows import TagWindow
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.task import coverage
from bertworks.text.tokenizer import Tokenizer

LETTERS = "abcdefgh"
FILE = "-DOCSTART- O\n\na B-X\nb O\n\nc O\nd O\ne O\n\nf O\n\n-DOCSTART- O\n\ng O\n\nh B-X\n"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]))
    return Tokenizer.load(path)


def read(tokenizer: Tokenizer, context: int, max_length: int = 32) -> tuple[list[str], list[TagWindow]]:
    table = parse_table(FILE.encode(), "x.conll")
    task = tag_task(table, wishes=TagWishes(context=context))
    assert task.context == context
    windows = [window for window in task.windows(table.rows, tokenizer, max_length) if isinstance(window, TagWindow)]
    assert len(windows) == 5
    texts = ["".join(tokenizer.tokens[i] for i in window.input_ids[1:-1]) for window in windows]
    for window, row in zip(windows, table.rows, strict=True):
        heard = [tokenizer.tokens[i] for i in window.input_ids[window.places]]
        assert heard == row["tokens"], "the head reads the row's own words and no others"
    assert coverage(windows).seen == coverage(windows).words == 8
    return texts, windows


def test_a_window_reads_its_document_and_no_other(tokenizer: Tokenizer) -> None:
    assert read(tokenizer, 0)[0] == ["ab", "cde", "f", "g", "h"]
    assert read(tokenizer, 2)[0] == ["abcd", "abcdef", "def", "gh", "gh"]
    texts, windows = read(tokenizer, 64)
    assert texts == ["abcdef", "abcdef", "abcdef", "gh", "gh"]
    assert windows[1].places.tolist() == [3, 4, 5]


def test_context_takes_no_more_than_the_window_holds(tokenizer: Tokenizer) -> None:
    texts, windows = read(tokenizer, 64, max_length=8)
    assert texts == ["abcdef", "abcdef", "abcdef", "gh", "gh"]
    assert max(len(window.input_ids) for window in windows) <= 8
    table = parse_table(("-DOCSTART- O\n\n" + "a O\n" * 5 + "\nb B-X\n\n" + "c O\n" * 5).encode(), "x.conll")
    task = tag_task(table, wishes=TagWishes(context=5))
    middle = task.windows(table.rows, tokenizer, 9)[1]
    assert "".join(tokenizer.tokens[i] for i in middle.input_ids[1:-1]) == "aaabccc"


def test_rows_without_a_document_stand_alone(tokenizer: Tokenizer) -> None:
    table = parse_table(b"a B-X\nb O\n\nc O\n", "x.conll")
    with pytest.raises(BertworksError, match="nothing says which rows are of one document"):
        tag_task(table, wishes=TagWishes(context=4))
    task = tag_task(parse_table(FILE.encode(), "x.conll"), wishes=TagWishes(context=4))
    assert isinstance(task, TagTask)
    windows = task.windows(table.rows, tokenizer, 32)
    assert [len(window.input_ids) for window in windows] == [4, 3]


def test_context_needs_documents_in_one_piece_on_both_sides_of_a_split() -> None:
    file = "".join(f"-DOCSTART- O\n\n{LETTERS[i]} B-X\nb O\n\nc O\n\nd O\n\n" for i in range(4))
    table = parse_table(file.encode(), "x.conll")
    with pytest.raises(BertworksError, match="rows taken out one by one would tear the context"):
        prepare(DataRecipe(train="x.conll", context=8), table, {})
    assert prepare(DataRecipe(train="x.conll", context=8, dev_share=0.0), table, {}).task.settings()["context"] == 8
    torn = [f'{{"tokens": ["a", "b"], "tags": ["O", "B-X"], "document": "{name}"}}' for name in "aab"]
    asked = {"document": "document"}
    whole = parse_table("\n".join(torn).encode(), "x.jsonl", columns=asked)
    assert isinstance(tag_task(whole, wishes=TagWishes(context=8)), TagTask)
    scattered = parse_table("\n".join([*torn, torn[0]]).encode(), "x.jsonl", columns=asked)
    with pytest.raises(BertworksError, match=r"x.jsonl:4: document `a` goes on after another one"):
        tag_task(scattered, wishes=TagWishes(context=8))


def test_documents_stay_whole() -> None:
    rows = [{"tokens": [f"w{i}"], "document": str(i // 5)} for i in range(100)]
    kept, held_out = split_rows(rows, by="row by row", share=0.1, seed=1)
    assert len(held_out) == 10
    assert not {rows[i]["document"] for i in kept} & {rows[i]["document"] for i in held_out}
    few = [{"tokens": [f"w{i}"], "document": str(i // 20)} for i in range(100)]
    _, some = split_rows(few, by="row by row", share=0.1, seed=1)
    assert len(some) == 10, "five documents are too few to hold one out"
    by_class = [{**row, "label": str(i % 2)} for i, row in enumerate(rows)]
    assert not are_documents_whole(by_class, BY_CLASS), "what else parts the rows goes first"
    assert not are_documents_whole([{**row, "document": None} for row in rows], BY_ROW)
    parts = list(chunks(rows, 12))
    assert [len(part) for part in parts] == [15, 15, 15, 15, 15, 15, 10]
    assert [row for part in parts for row in part] == rows
    assert [len(part) for part in chunks([{"document": "x"}] * 30, 10)] == [20, 10]
    assert np.sum([len(part) for part in chunks([{"text": "x"}] * 25, 10)]) == 25
