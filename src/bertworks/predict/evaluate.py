"""A fine-tuned model against labelled rows: the same decoder as prediction, the metrics of its task."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from bertworks.base.progress import Progress
from bertworks.predict.directory import ModelDirectory
from bertworks.predict.run import predict_rows
from bertworks.read.tables import Table
from bertworks.tasks.embedding import EmbedTask, Kind
from bertworks.tasks.matches import as_matches
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsTask
from bertworks.tasks.task import Answer


@dataclass(frozen=True)
class Scored:
    """Metrics by name, each a fraction; the rows they are of; the share of their words that was read."""

    metrics: dict[str, float]
    rows: int
    coverage: float
    answers: Sequence[Answer]

    def to_json(self) -> dict[str, object]:
        """The value of `evaluate --json` (docs/formats.md)."""
        return {"metrics": self.metrics, "rows": self.rows, "coverage": self.coverage}


def for_rows(opened: ModelDirectory, table: Table) -> ModelDirectory:
    """The model as it reads this table: one from elsewhere takes a text or a pair, whichever the rows are."""
    if not opened.is_foreign:
        return opened
    if not isinstance(opened.task, SentenceTask | LabelsTask):
        return opened
    return dataclasses.replace(opened, task=dataclasses.replace(opened.task, pair=table.is_pair))


def check_shape(opened: ModelDirectory, table: Table) -> None:
    """Raise BertworksError where the rows are one text and the model wants a pair, or the other way round."""
    opened.task.check(Table(table.path, [], table.columns, table.header, {}, table.format, []))


def evaluate_table(opened: ModelDirectory, table: Table) -> Scored:
    """Answer the rows and score the answers.

    Raises BertworksError, with the line, for a table of another shape or a label the model does not know.
    """
    opened = for_rows(opened, table)
    if isinstance(opened.task, EmbedTask):
        judged: Kind = "score" if "score" in table.columns else opened.task.judged
        table = table if judged == "score" else as_matches(table)
        opened = dataclasses.replace(opened, task=dataclasses.replace(opened.task, judged=judged))
    opened.task.check(table)
    with Progress(len(table.rows), "rows", "evaluate") as progress:
        found = predict_rows(
            opened.model, opened.task, opened.tokenizer, table.rows, max_length=opened.max_length, progress=progress
        )
    metrics = opened.task.score(found.answers, table.rows)
    return Scored(metrics, len(table.rows), found.coverage.share, found.answers)
