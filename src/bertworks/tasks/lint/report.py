"""All checks on the rows of a data set, in one report: `lint`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table
from bertworks.tasks.embedding import EmbedTask
from bertworks.tasks.infer import infer_task
from bertworks.tasks.lint.answers import check_answers
from bertworks.tasks.lint.finding import LEVELS, Finding
from bertworks.tasks.lint.labels import check_labels, label_counts
from bertworks.tasks.lint.scores import check_scores
from bertworks.tasks.lint.suspicious import Judgement, check_given_labels
from bertworks.tasks.lint.tags import check_tags, tag_counts
from bertworks.tasks.lint.texts import check_texts, check_windows
from bertworks.tasks.matches import with_matches
from bertworks.tasks.task import Task

if TYPE_CHECKING:
    from bertworks.text.tokenizer import Tokenizer

SHOWN_EXAMPLES = 5
SHOWN_LABELS = 20
DROPPED_SHARE = 0.1  # so many rows left out are more than a few


@dataclass(frozen=True)
class Report:
    """What is known of a data set before training.

    tables    split name -> rows as read; the first is train
    task      as inferred or asked; "" where the rows do not tell it
    because   why this one
    labels    split name -> label or tag -> how often
    findings  errors first, then warnings, then what is good to know
    """

    tables: dict[str, Table]
    task: str
    because: str
    labels: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Level -> findings."""
        found = Counter(finding.level for finding in self.findings)
        return {level: found[level] for level in LEVELS}

    def to_json(self) -> dict[str, Any]:
        """See docs/formats.md."""
        return {
            "task": self.task,
            "because": self.because,
            "files": {
                name: {
                    "path": table.path,
                    "rows": len(table.rows),
                    "unit": table.unit,
                    "dropped": table.dropped,
                    "kept": table.counted,
                    "labels": self.labels[name],
                }
                for name, table in self.tables.items()
            },
            "counts": self.counts,
            "findings": [finding.to_json(self.tables) for finding in self.findings],
        }

    def lines(self) -> list[str]:
        """For a human."""
        out = [line for table in self.tables.values() for line in table.lines()]
        out.append(f"task: {self.task} ({self.because})" if self.task else "task: not told by the rows")
        for name, counts in self.labels.items():
            if counts:
                listed = ", ".join(f"{label} {count:,}" for label, count in list(counts.items())[:SHOWN_LABELS])
                more = f", … ({len(counts) - SHOWN_LABELS} more)" if len(counts) > SHOWN_LABELS else ""
                out.append(f"{name} labels: {listed}{more}")
        for finding in self.findings:
            out.extend(finding.lines(self.tables, SHOWN_EXAMPLES))
        found = self.counts
        return [*out, f"{found['error']:,} errors, {found['warning']:,} warnings, {found['info']:,} facts"]


def lint(
    tables: Mapping[str, Table],
    *,
    task: str | None = None,
    tokenizer: Tokenizer | None = None,
    window: int = 512,
    judgement: Judgement | None = None,
) -> Report:
    """Check the rows of a data set.

    tables     split name -> table; the first is what would be trained on
    task       of `--task`; None = as told by the rows
    tokenizer  of the model, for lengths in tokens; None = words only
    window     tokens the model reads at once
    judgement  of the first table's rows, by a model that has not seen them; None = one of word counts is trained
    """
    inferred, because, problems = _infer(tables, task)
    kind = inferred.name if inferred is not None else _kind(next(iter(tables.values())))
    found = [*problems, *_all(tables, kind, judgement)]
    if inferred is not None and not any(finding.check == "unseen_labels" for finding in found):
        found.extend(_unfit(tables, inferred))
    if tokenizer is not None:
        for name, table in tables.items():
            found.extend(check_windows(name, table, tokenizer, window))
    ordered = tuple(sorted(found, key=lambda finding: LEVELS.index(finding.level)))
    count = tag_counts if kind == "tag" else label_counts
    labels = {name: {} if kind in ("qa", "score") else count(table) for name, table in tables.items()}
    return Report(dict(tables), inferred.name if inferred else "", because, labels, ordered)


def _infer(tables: Mapping[str, Table], asked: str | None) -> tuple[Task | None, str, list[Finding]]:
    try:
        inferred = infer_task(next(iter(tables.values())), asked)
    except BertworksError as error:
        return None, "", [Finding("error", "task", error.message, error.hint)]
    return inferred.task, inferred.because, []


def _kind(table: Table) -> str:
    """The checks that fit, where the task is not told."""
    there = table.columns.keys()
    if {"tags", "spans"} & there:
        return "tag"
    if "answers" in there:
        return "qa"
    return "score" if "score" in there and not {"label", "label_text"} & there else "classify"


def _all(tables: Mapping[str, Table], kind: str, judgement: Judgement | None) -> Iterator[Finding]:
    for name, table in tables.items():
        yield from _dropped(name, table)
    yield from check_texts(tables)
    if kind in ("classify", "labels", "intent-slots"):
        yield from check_labels(tables)
    if kind in ("classify", "intent-slots"):
        name, table = next(iter(tables.items()))
        yield from check_given_labels(name, table, judgement)
    for name, table in tables.items():
        if kind in ("tag", "intent-slots"):
            yield from check_tags(name, table)
        elif kind == "qa" and {"context", "answers"} <= table.columns.keys():
            yield from check_answers(name, table)
        elif kind == "score":
            yield from check_scores(name, table)


def _dropped(name: str, table: Table) -> Iterator[Finding]:
    number = sum(table.dropped.values())
    if number:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in table.dropped.items())
        level = "warning" if number > DROPPED_SHARE * (number + len(table.rows)) else "info"
        told = f"{name}: {number:,} rows are left out: {reasons}"
        yield Finding("warning" if level == "warning" else "info", "dropped", told, "", number)


def _unfit(tables: Mapping[str, Table], task: Task) -> Iterator[Finding]:
    """Why `finetune` would refuse dev or test."""
    train, *others = tables
    for name in others:
        try:
            if isinstance(task, EmbedTask):
                with_matches(task, tables[train], {name: tables[name]})
            task.check(tables[name])
        except BertworksError as error:
            yield Finding("error", "unfit", f"{name}: {error.message}", error.hint)
