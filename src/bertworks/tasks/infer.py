"""A table → the task it is for, with the reason; what cannot be told from the rows is asked, never guessed."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.read.roles import plain_name
from bertworks.read.tables import Table
from bertworks.tasks.answering import SpanTask
from bertworks.tasks.choice import ChoiceTask, numbering_of
from bertworks.tasks.embedding import EmbedTask, score_of
from bertworks.tasks.intent_slots import FrameTask
from bertworks.tasks.known import FROM_SETTINGS
from bertworks.tasks.labels import Labels, canonical, is_number, is_whole
from bertworks.tasks.matches import is_of_matches
from bertworks.tasks.reranking import RerankTask
from bertworks.tasks.schemes import rewritten, scheme_of
from bertworks.tasks.sentence import Kind, SentenceTask
from bertworks.tasks.several import LabelsTask, names_of
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.task import Row, Task
from bertworks.tasks.words import split_text, unit_of

CLASS_NAMES = frozenset(
    ("class", "category", "intent", "topic", "emotion", "polarity", "is duplicate", "entailment judgment")
)
MANY_CLASSES = 12  # so many whole numbers in a row from 0 or 1 are classes: usual scales have at most 11 steps, 0 to 10
MANY_SCORES = 100  # so many distinct whole numbers, and few rows each, are measurements
LOOKED_AT = 200  # texts whose characters tell the language
CJK = re.compile(r"[\u4e00-\u9fff]")
FEW_LABELS = 3  # so few distinct numbers in a column of labels may be classes
FEW_ROWS = 20  # below, the share of distinct labels says nothing
OTHER_FORMS = {
    "choices": "multiple choice without a label",
    "answers": "answers without a question and a text",
    "tags": "tags without words",
}


@dataclass(frozen=True)
class TagWishes:
    """What a recipe says of tags.

    scheme   to learn and answer in; None = as written, but IOB1 as BIO
    decoder  of `tagging.DECODERS`
    context  tokens of the document on each side
    """

    scheme: str | None = None
    decoder: str = "viterbi"
    context: int = 0


@dataclass(frozen=True)
class Inferred:
    """A task and why it is this one."""

    task: Task
    because: str


def infer_task(
    table: Table,
    asked: str | None = None,
    *,
    truncation: str = "windows",
    tags: TagWishes = TagWishes(),
) -> Inferred:
    """The task of a training table.

    asked       of `--task`; None = told by columns and labels
    truncation  see `SentenceTask`
    Raises BertworksError where both a class and a score are possible, and where a class cannot be learnt.
    """
    if asked is not None and asked not in FROM_SETTINGS:
        raise BertworksError(
            f"task `{asked}` is unknown", did_you_mean(asked, FROM_SETTINGS) or f"tasks: {', '.join(FROM_SETTINGS)}"
        )
    has_tags = {"tokens", "tags"} <= table.columns.keys() or {"text", "spans"} <= table.columns.keys()
    if asked == "intent-slots" or (asked is None and has_tags and "label" in table.columns):
        because = "as asked" if asked else f"words, tags, and a class in `{table.columns['label']}`"
        return Inferred(frame_task(table, truncation, tags), because)
    if asked == "tag" or (asked is None and {"tokens", "tags"} <= table.columns.keys()):
        because = "as asked" if asked else f"`{table.columns['tokens']}` holds words and `{table.columns['tags']}` tags"
        return Inferred(tag_task(table, truncation, tags), because)
    if asked is None and {"text", "spans"} <= table.columns.keys():
        return Inferred(tag_task(table, truncation, tags), f"`{table.columns['spans']}` marks stretches of the text")
    if asked == "qa" or (asked is None and {"question", "context", "answers"} <= table.columns.keys()):
        return Inferred(span_task(table), "as asked" if asked else "questions, texts and answers")
    if asked == "choice" or (asked is None and {"choices", "label"} <= table.columns.keys()):
        because = "as asked" if asked else f"`{table.columns['choices']}` holds options"
        return Inferred(choice_task(table, truncation), because)
    if asked == "embed" or (asked is None and "negative" in table.columns):
        return Inferred(embed_task(table, truncation), "as asked" if asked else "texts with a match and one apart")
    if asked == "rerank":
        return Inferred(rerank_task(table, truncation), "as asked")
    if "text" not in table.columns and not table.is_pair:
        raise BertworksError(
            f"{table.path}: no column for one text or a pair of texts",
            "name it: `--columns text=…` or `--columns sentence1=…,sentence2=…`",
        )
    if asked == "labels" or (asked is None and _are_lists(table)):
        column = table.columns.get("label", "")
        return Inferred(labels_task(table, truncation), "as asked" if asked else f"`{column}` holds lists of labels")
    if asked is None:
        kind, because = _kind(table)
    else:
        kind, because = cast("Kind", asked), "as asked"
    task = _classes(table, truncation, asked) if kind == "classify" else _scores(table, truncation)
    return Inferred(task, because)


def tag_task(table: Table, truncation: str = "windows", wishes: TagWishes = TagWishes()) -> TagTask:
    """The tags of a training table: their scheme, and what a word is.

    Raises BertworksError for rows without tags, or with more or fewer of them than words, for one tag only, and for
    context where nothing says which rows are of one document.
    """
    if wishes.context and "document" not in table.columns:
        raise BertworksError(
            f"{table.path}: nothing says which rows are of one document, none can give the others context",
            "CoNLL files part documents by `-DOCSTART-` lines; in a table name a column, `--columns document=…`",
        )
    if wishes.context:
        check_documents(table)
    if not {"tags", "spans"} & table.columns.keys():
        raise BertworksError(f"{table.path}: no column for the tags", "name it: `--columns tags=…`")
    unit = unit_of([_words(row) for row in table.rows])
    as_written = TagTask(Labels(), "bio" if "spans" in table.columns else "plain", unit, written="plain")
    sequences = [as_written.gold(row, table.where(index)) for index, row in enumerate(table.rows)]
    written = scheme_of(sequences)
    asked = wishes.scheme
    if asked is not None and "plain" in (asked, written) and asked != written:
        raise BertworksError(f"{table.path}: its tags mark no spans", f"they cannot be written as {asked.upper()}")
    scheme = asked or ("bio" if written == "iob1" else written)
    if scheme != written:
        sequences = [rewritten(tags, scheme) for tags in sequences]
    labels = Labels.of([tag for tags in sequences for tag in tags])
    if len(labels.names) < 2:
        raise BertworksError(f"{table.path}: one tag only, `{', '.join(labels.names)}`", "there is nothing to learn")
    task = TagTask(labels, scheme, unit, wishes.decoder, truncation, written, wishes.context)
    return task.recounted(table.rows)


def check_documents(table: Table) -> None:
    """Raise BertworksError, with the line, where the rows of a document do not stand together."""
    closed: set[object] = set()
    before: object = None
    for index, row in enumerate(table.rows):
        document = row.get("document")
        if document != before and document is not None and document in closed:
            raise BertworksError(
                f"{table.where(index)}: document `{document}` goes on after another one",
                "rows of a document must stand together, in order: sort the file",
            )
        closed.add(before)
        before = document


def frame_task(table: Table, truncation: str = "windows", wishes: TagWishes = TagWishes()) -> FrameTask:
    """The classes and tags of a training table. Raises BertworksError as `tag_task`, and for rows of one class only."""
    slots = tag_task(table, truncation, wishes)
    intents = Labels.of(_labels(table))
    if len(intents.names) < 2:
        raise BertworksError(
            f"{table.path}: one class only, `{intents.names[0]}`", "learn the tags alone: `--task tag`"
        )
    return FrameTask(intents, slots)


def _are_lists(table: Table) -> bool:
    """Whether a label column holds lists of names."""
    cells = [row.get("label") for row in table.rows] if "label" in table.columns else []
    return any(isinstance(cell, list) for cell in cells)


def labels_task(table: Table, truncation: str = "windows") -> LabelsTask:
    """The labels of a training table, of which a row has any number.

    Raises BertworksError for rows whose labels are not names, and where there are fewer than two labels.
    """
    if "label" not in table.columns:
        raise BertworksError(f"{table.path}: no column for the labels", "name it: `--columns label=…`")
    names = [name for index, row in enumerate(table.rows) for name in names_of(row, table.where(index))]
    labels = Labels.of(names)
    if len(labels.names) < 2:
        raise BertworksError(f"{table.path}: fewer than two labels in all rows", "is another column the label?")
    return LabelsTask(table.is_pair, labels, (0.5,) * len(labels.names), truncation)


def span_task(table: Table) -> SpanTask:
    """Questions on texts: whether some have no answer, and by which rule answers are compared.

    Raises BertworksError for rows without a question, a text or answers, and where no question has an answer.
    """
    task = SpanTask(0.0)
    task.check(table)
    has_answer = [bool(row["answers"]) for row in table.rows]
    if not any(has_answer):
        raise BertworksError(f"{table.path}: no question has an answer", "there is nothing to learn")
    sample = "".join(row["context"] for row in table.rows[:LOOKED_AT])
    rule = "cmrc" if 2 * len(CJK.findall(sample)) > len(sample) else "squad"
    return SpanTask(None if all(has_answer) else 0.0, rule)


def choice_task(table: Table, truncation: str = "windows") -> ChoiceTask:
    """Options to choose from: how the labels name the right one.

    Raises BertworksError for rows without a text, two options, or a label among them.
    """
    ChoiceTask().check(dataclasses.replace(table, rows=[]))
    if "label" not in table.columns:
        raise BertworksError(f"{table.path}: no column for the right option", "name it: `--columns label=…`")
    return ChoiceTask(numbering_of(table), truncation)


def embed_task(table: Table, truncation: str = "windows") -> EmbedTask:
    """Pairs to learn vectors from: with scores, or with matches, in which case labels say which pairs match.

    Raises BertworksError for rows that are no pairs, and for labels that are neither scores nor say what matches.
    """
    if not table.is_pair:
        raise BertworksError(
            f"{table.path}: vectors are learnt from pairs of texts", "name them: `--columns sentence1=…,sentence2=…`"
        )
    gold = {"score", "label", "label_text"} & table.columns.keys()
    if "negative" in table.columns or not gold or ("score" not in gold and is_of_matches(table)):
        return EmbedTask("rank", "rank", truncation=truncation)
    role = "score" if "score" in gold else "label"
    values = [str(row.get(role)) for row in table.rows]
    if not all(map(is_number, values)) or (role == "label" and len(set(values)) <= FEW_LABELS):
        column, shown = table.columns.get(role, "…"), ", ".join(sorted(set(values))[:6])
        raise BertworksError(
            f"{table.path}: labels in `{column}` do not say which pairs match ({shown})",
            "matches are `entailment` or `1`; where they are scores say so: `--columns score=…`",
        )
    return EmbedTask("score", "score", *range_of(table), truncation=truncation)


def rerank_task(table: Table, truncation: str = "windows") -> RerankTask:
    """Queries with passages: the range of their scores. Raises BertworksError for rows without them."""
    RerankTask().check(dataclasses.replace(table, rows=[]))
    if not table.is_pair:
        raise BertworksError(f"{table.path}: has lists of passages", "training wants one passage a row, with its score")
    return RerankTask(*range_of(table), truncation)


def range_of(table: Table) -> tuple[float, float]:
    """Least and greatest gold score, 0 and 1 where all lie between. Raises BertworksError where all are equal."""
    scores = [score_of(row, table.where(index)) for index, row in enumerate(table.rows)]
    low, high = min(scores), max(scores)
    if low == high:
        raise BertworksError(f"{table.path}: one score only, {low:g}, in all {len(scores):,} rows", "nothing to learn")
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def _words(row: Row) -> Sequence[str]:
    """The words of a row, or of its text what stands between spaces, a Chinese character being a word."""
    tokens, text = row.get("tokens"), row.get("text")
    if isinstance(tokens, (list, tuple)):
        return [token for token in tokens if isinstance(token, str)]
    return [text[start:end] for start, end in split_text(text, "word")] if isinstance(text, str) else []


def _kind(table: Table) -> tuple[Kind, str]:
    for role, form in OTHER_FORMS.items():
        if role in table.columns:
            raise BertworksError(
                f"{table.path}: column `{table.columns[role]}` looks like {form}, not a class or a score",
                "`--task classify` or `--task score` reads it so all the same",
            )
    if "score" in table.columns and "label" in table.columns:
        label, score = table.columns["label"], table.columns["score"]
        raise BertworksError(
            f"{table.path}: `{label}` holds classes and `{score}` scores: which is to be learnt?",
            "say `--task classify` or `--task score`",
        )
    if "score" in table.columns:
        return "score", f"column `{table.columns['score']}` is named like a score"
    column = table.columns["label" if "label" in table.columns else "label_text"]
    labels = _labels(table)
    values = Counter(map(canonical, labels))
    if not all(map(is_number, values)):
        return "classify", f"`{column}` holds names"
    if "label_text" in table.columns:
        return "classify", f"`{table.columns['label_text']}` names the labels"
    return _kind_of_numbers(table.path, column, values)


def _kind_of_numbers(path: str, column: str, values: Counter[str]) -> tuple[Kind, str]:
    if len(values) <= 2:
        return "classify", f"`{column}` holds two numbers"
    if not all(map(is_whole, values)):
        return "score", f"`{column}` holds numbers with fractions"
    if any(value.lstrip("+-").startswith("0") and len(value.lstrip("+-")) > 1 for value in values):
        return "classify", f"`{column}` holds codes with leading zeros"
    if plain_name(column) in CLASS_NAMES:
        return "classify", f"column `{column}` is named like classes"
    whole = sorted(map(int, values))
    rows = sum(values.values())
    in_a_row = whole[0] in (0, 1) and whole[-1] - whole[0] == len(whole) - 1
    if in_a_row and len(whole) >= MANY_CLASSES and rows >= 2 * len(whole):
        return "classify", f"`{column}` holds all of {whole[0]} to {whole[-1]}, like numbered classes"
    if len(whole) > MANY_SCORES and len(whole) > rows / 3:
        return "score", f"`{column}` holds {len(whole):,} distinct numbers in {rows:,} rows"
    shown = ", ".join(map(str, whole[:6])) + (" …" if len(whole) > 6 else "")
    raise BertworksError(
        f"{path}: the labels in `{column}` are whole numbers ({shown}): classes or a score?",
        "say `--task classify` or `--task score`",
    )


def _classes(table: Table, truncation: str, asked: str | None) -> SentenceTask:
    labels = _labels(table)
    both = "label" in table.columns and "label_text" in table.columns
    readable = [row["label_text"] or "" for row in table.rows] if both else None
    found = Labels.of(labels, readable)
    column = table.columns.get("label") or table.columns["label_text"]
    if len(found.names) < 2:
        left_out = table.dropped.get("no label", 0)
        others = f" with one; {left_out:,} more have no label there" if left_out else ""
        told = f"one label only, `{found.names[0]}`, in all {len(labels):,} rows of column `{column}`{others}"
        raise BertworksError(
            f"{table.path}: {told}",
            "a classifier needs two classes or more; is another column the label? `--columns label=…`",
        )
    if asked is None and len(labels) >= FEW_ROWS and len(found.names) > len(labels) / 2:
        raise BertworksError(
            f"{table.path}: column `{column}` has {len(found.names):,} distinct labels in {len(labels):,} rows",
            "a class needs several rows; name another column, `--columns label=…`, or insist with `--task classify`",
        )
    return SentenceTask("classify", table.is_pair, found, truncation)


def _labels(table: Table) -> list[str]:
    """The label of every row, as text."""
    role = next((role for role in ("label", "label_text") if role in table.columns), None)
    if role is None:
        column = table.columns.get("score", "…")
        raise BertworksError(f"{table.path}: no column for the label", f"name it: `--columns label={column}`")
    out = []
    for index, row in enumerate(table.rows):
        label = row.get(role)
        if not isinstance(label, str):
            found = "no label" if label is None else f"the label is not one class but {label!r:.60}"
            raise BertworksError(f"{table.where(index)}: {found}", "one class a row is needed")
        out.append(label)
    return out


def _scores(table: Table, truncation: str) -> SentenceTask:
    values = _numbers(table)
    spread = float(np.std(values))
    if spread == 0:
        raise BertworksError(
            f"{table.path}: one score only, {values[0]:g}, in all {len(values):,} rows", "there is nothing to learn"
        )
    return SentenceTask("score", table.is_pair, Labels(), truncation, float(np.mean(values)), spread)


def _numbers(table: Table) -> Sequence[float]:
    unscaled = SentenceTask("score", table.is_pair)
    if "score" not in table.columns and "label" not in table.columns:
        raise BertworksError(f"{table.path}: no column for the score", "name it: `--columns score=…`")
    return [float(unscaled.gold(row, table.where(index))) for index, row in enumerate(table.rows)]
