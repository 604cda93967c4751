"""Files → rows of train, dev and test, and the task they are for; what was done is kept to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.finetune.recipe import DataRecipe
from bertworks.finetune.switches import TAGS
from bertworks.read.tables import Table, read_table
from bertworks.tasks.embedding import EmbedTask
from bertworks.tasks.infer import TagWishes, infer_task
from bertworks.tasks.lint.texts import repeats
from bertworks.tasks.matches import with_matches
from bertworks.tasks.split import LEAST_DOCUMENTS, are_documents_whole, content_key, fold_rows, split_rows
from bertworks.tasks.task import Row, Task


@dataclass(frozen=True)
class Data:
    """Everything a run learns from and is judged by.

    task, because  what the rows are for, and why this was understood
    tables         split name -> table as read (train, dev, test)
    train          rows to learn from
    dev            rows to choose by; none where the recipe wants none
    cut            how dev came to be, in a sentence
    lines          split name -> where each of its rows stands in its file
    overlap        split name -> its rows whose text stands in train too
    repeats        of the training file: rows that repeat an earlier text, and texts with several labels
    """

    task: Task
    because: str
    tables: dict[str, Table]
    train: Sequence[Row]
    dev: Sequence[Row]
    cut: str
    lines: dict[str, list[int]]
    overlap: dict[str, int] = field(default_factory=dict)
    repeats: tuple[int, int] = (0, 0)

    @property
    def test(self) -> Sequence[Row]:
        """Rows that are scored once, after training."""
        return self.tables["test"].rows if "test" in self.tables else []


def read_data(recipe: DataRecipe) -> Data:
    """Read the files, infer the task, hold out a dev set where none is given.

    Raises BertworksError for rows that cannot be learnt from, or a label that only dev or test has.
    """
    if not recipe.train:
        raise BertworksError("no rows to train on", "name a file: `--train F`")
    columns, encoding = recipe.columns, recipe.encoding
    lacks = recipe.task == "embed"  # pairs that all match need no label
    train = read_table(recipe.train, columns=columns, encoding=encoding, may_lack_gold=lacks)
    others = {
        name: read_table(path, columns=columns, encoding=encoding, may_lack_gold=lacks)
        for name, path in (("dev", recipe.dev), ("test", recipe.test))
        if path is not None
    }
    return prepare(recipe, train, others)


def prepare(recipe: DataRecipe, train: Table, others: dict[str, Table]) -> Data:
    """As `read_data`, from tables already in memory; `others` may hold "dev" and "test"."""
    wishes = TagWishes(recipe.scheme, recipe.decoder or "viterbi", recipe.context)
    inferred = infer_task(train, recipe.task, truncation=recipe.truncation, tags=wishes)
    task = inferred.task
    if isinstance(task, EmbedTask):
        task, train, others = with_matches(task, train, others)
    for table in others.values():
        task.check(table)
    tables = {"train": train, **others}
    lines = {name: list(table.line_numbers) for name, table in tables.items()}
    rows, dev = list(train.rows), list(others["dev"].rows) if "dev" in others else []
    if "dev" in others:
        cut = f"dev is {others['dev'].path}"
    elif recipe.dev_share == 0:
        cut = "no dev, as asked: the last model counts"
    else:
        check_whole(recipe, train, task)
        kept, held_out = split_rows(rows, by=task.stratified_by, share=recipe.dev_share, seed=recipe.split_seed)
        lines |= {"train": [lines["train"][i] for i in kept], "dev": [lines["train"][i] for i in held_out]}
        rows, dev = [train.rows[i] for i in kept], [train.rows[i] for i in held_out]
        task = task.recounted(rows)
        sides = "documents whole" if are_documents_whole(train.rows, task.stratified_by) else "equal texts on one side"
        how = f"{task.stratified_by}, {sides}, seed {recipe.split_seed}"
        cut = f"no dev file: {len(dev):,} of {len(train.rows):,} rows of train are held out, {how}"
    overlap = shared_texts(rows, {name: table.rows for name, table in others.items()})
    return Data(task, inferred.because, tables, rows, dev, cut, lines, overlap, repeats(train.rows))


def check_whole(recipe: DataRecipe, train: Table, task: Task) -> None:
    """Raise BertworksError where dev would be cut out of documents that training reads as context."""
    if recipe.context and task.name in TAGS and not are_documents_whole(train.rows, task.stratified_by):
        raise BertworksError(
            f"{train.path}: dev cannot be cut from train, rows taken out one by one would tear the context",
            f"give `--dev F`, or {LEAST_DOCUMENTS} documents, or none: `--data.dev_share 0`",
        )


def fold_of(data: Data, recipe: DataRecipe, *, folds: int, fold: int) -> Data:
    """The same rows with fold number `fold` of the training file as dev, and the other folds to learn from."""
    table, of_row = data.tables["train"], folds_of(data, recipe, folds)
    check_whole(recipe, table, data.task)
    sides = {"train": np.flatnonzero(of_row != fold), "dev": np.flatnonzero(of_row == fold)}
    train, dev = ([table.rows[i] for i in side] for side in sides.values())
    lines = {name: [table.line_numbers[i] for i in side] for name, side in sides.items()}
    task = data.task.recounted(train)
    is_whole = are_documents_whole(table.rows, data.task.stratified_by)
    kept = "documents whole" if is_whole else "equal texts in one fold"
    cut = f"fold {fold} of {folds}, counted from 0, is dev: {len(dev):,} of {len(table.rows):,} rows of train, "
    cut += f"{data.task.stratified_by}, {kept}, seed {recipe.split_seed}"
    unseen = sum(not count for count in task.labels.counts)
    if unseen:
        cut += f"; {unseen} classes stand in this fold alone and cannot be learnt for it"
    tests = {name: one.rows for name, one in data.tables.items() if name != "train"}
    overlap = shared_texts(train, tests)
    return replace(data, task=task, train=train, dev=dev, cut=cut, lines={**data.lines, **lines}, overlap=overlap)


def folds_of(data: Data, recipe: DataRecipe, folds: int) -> np.ndarray:
    """(N,) int64: the fold of each row of the training file."""
    rows = data.tables["train"].rows
    return fold_rows(rows, by=data.task.stratified_by, folds=folds, seed=recipe.split_seed)


def shared_texts(train: Sequence[Row], others: Mapping[str, Sequence[Row]]) -> dict[str, int]:
    """Rows of each split whose text, apart from case, spaces and punctuation, stands in train; only where there are."""
    known = {content_key(row) for row in train} if others else set()
    found = {name: sum(content_key(row) in known for row in rows) for name, rows in others.items()}
    return {name: number for name, number in found.items() if number}
