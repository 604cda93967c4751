"""What a study over folds says of its training rows: predictions-folds.jsonl → the probabilities of every row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table
from bertworks.tasks.labels import canonical
from bertworks.tasks.lint.finding import texts_of
from bertworks.tasks.lint.labels import labels_of
from bertworks.tasks.lint.suspicious import Judgement

FILE = "predictions-folds.jsonl"


def read_judgement(run: Path, table: Table) -> Judgement:
    """The out-of-fold probabilities of a run for the rows of a table, in its order.

    Raises BertworksError where the run has none, its rows are others, or its answers are not of one class each.
    """
    file = run / FILE
    if not file.is_file():
        hint = "`bertworks finetune … --train.folds 5 --out RUN` writes it when all folds are done"
        raise BertworksError(f"{file}: no such file", hint)
    with open(file, encoding="utf-8", newline="\n") as handle:  # texts may hold other line ends
        lines = [json.loads(line) for line in handle]
    if len(lines) != len(table.rows):
        raise _other(run, table, f"{len(lines):,} rows there, {len(table.rows):,} here")
    for number, line, row in zip(table.line_numbers, lines, table.rows, strict=True):
        if line["line"] != number or texts_of(line["row"]) != texts_of(row) or labels_of(line["row"]) != labels_of(row):
            raise _other(run, table, f"{table.unit} {number} is another row")
    first = lines[0]["answer"].get("scores") if lines else None
    if first is None or "label" not in lines[0]["answer"]:
        raise BertworksError(f"{run}: its answers are not one class a row", "`--folds` judges the labels of classes")
    classes = tuple(first)
    probs = np.array([[line["answer"]["scores"][name] for name in classes] for line in lines])
    return Judgement(probs, tuple(map(canonical, classes)), f"the model of {run}")


def _other(run: Path, table: Table, what: str) -> BertworksError:
    return BertworksError(
        f"{run}: was trained on other rows than {table.path}: {what}",
        "name the file that the folds were made of, with the same `--columns`",
    )
