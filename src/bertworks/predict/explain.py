"""What of an answer is explained, task by task, and its explanation token by token.

Letters: A places on the path, P tokens read, C outputs.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from bertworks.base.errors import BertworksError
from bertworks.predict.attributions import Answered, Explanation, Question, integrated_gradients
from bertworks.tasks.answering import SpanAnswer, SpanTask, SpanWindow
from bertworks.tasks.intent_slots import FrameAnswer, FrameTask
from bertworks.tasks.schemes import OUTSIDE
from bertworks.tasks.sentence import Answer as SentenceAnswer
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsAnswer, LabelsTask
from bertworks.tasks.tag_windows import TagWindow
from bertworks.tasks.tagging import TagAnswer, TagTask
from bertworks.tasks.task import Answer, Row, Task, Window

if TYPE_CHECKING:
    from bertworks.text.tokenizer import Tokenizer

Focus = str | int | None
"""What to explain: a label; of tags the number of a word; None = the answer, of tags its surest word inside a span."""


def explain_rows(
    model: nn.Module,
    task: Task,
    tokenizer: Tokenizer,
    rows: Sequence[Row],
    answers: Sequence[Answer],
    *,
    max_length: int,
    which: Sequence[int] | None = None,
    focus: Sequence[Focus] | None = None,
    seconds: float = math.inf,
) -> list[Explanation | None]:
    """Explain the answers that `task.decode` gave for these rows; None for those that `seconds` left no time for.

    which  numbers of the rows to explain, None = all; the others are there for tasks that read them as context
    focus  of each of them what to explain, see Focus
    Raises BertworksError for a task whose answers cannot be explained.
    """
    check_explainable(task)
    chosen = range(len(rows)) if which is None else which
    windows = windows_of(task, tokenizer, rows, chosen, max_length)
    about = focus if focus is not None else [None] * len(chosen)
    questions = [question_of(task, rows[i], windows[i], answers[i], one) for i, one in zip(chosen, about, strict=True)]
    is_wide = next(model.parameters()).dtype in (torch.float32, torch.float64)
    exact = model if is_wide else copy.deepcopy(model).float()
    return integrated_gradients(exact, tokenizer, questions, seconds=seconds)


def windows_of(
    task: Task, tokenizer: Tokenizer, rows: Sequence[Row], chosen: Sequence[int], max_length: int
) -> dict[int, list[Window]]:
    """The windows of chosen rows by their numbers; rows of the same documents are encoded beside them."""
    documents = {rows[i].get("document") for i in chosen} - {None}
    beside = [i for i, row in enumerate(rows) if row.get("document") in documents] if documents else []
    encoded = sorted({*chosen, *beside})
    found: dict[int, list[Window]] = {i: [] for i in encoded}
    for window in task.windows([rows[i] for i in encoded], tokenizer, max_length):
        found[encoded[window.row]].append(window)
    return found


def is_explained(task: Task) -> bool:
    """Whether answers of this task have an explanation here."""
    return isinstance(task, SentenceTask | LabelsTask | TagTask | FrameTask | SpanTask)


def check_explainable(task: Task) -> None:
    """Raise BertworksError for a task whose answers have no explanation here."""
    if not is_explained(task):
        raise BertworksError(
            f"answers of task {task.name} are not explained", "classify, labels, score, tag, intent-slots and qa are"
        )


def check_focus(task: Task, focus: Focus, answer: Answer) -> None:
    """Raise BertworksError for a label that the model does not have, or a word that the row does not have."""
    if focus is None:
        return
    if isinstance(task, TagTask) or (isinstance(task, FrameTask) and isinstance(focus, int)):
        words = len((answer.slots if isinstance(answer, FrameAnswer) else cast("TagAnswer", answer)).words)
        if not isinstance(focus, int) or not 0 <= focus < words:
            raise BertworksError(f"`{focus}` is no word of the row", f"its words are numbered 0 to {words - 1}")
    elif isinstance(task, LabelsTask | FrameTask) or (isinstance(task, SentenceTask) and task.kind == "classify"):
        task.labels.gold(str(focus), "of")
    else:
        raise BertworksError(f"an answer of task {task.name} has no labels to choose from", "leave `of` out")


def question_of(task: Task, row: Row, windows: Sequence[Window], answer: Answer, focus: Focus) -> Question:
    """What is asked of the gradients for one row."""
    if isinstance(task, TagTask):
        return tag_question(task, windows, cast("TagAnswer", answer), focus)
    if isinstance(task, FrameTask):
        return frame_question(task, windows, cast("FrameAnswer", answer), focus)
    if isinstance(task, SpanTask):
        return span_question(row, windows, cast("SpanAnswer", answer))
    if isinstance(task, LabelsTask):
        scores = cast("LabelsAnswer", answer).scores
        name = str(focus) if focus is not None else max(scores, key=scores.__getitem__)
        number = task.labels.number(name)
        return Question(windows, lambda outputs: outputs.mean(1)[:, number], f"log odds of `{name}`")
    assert isinstance(task, SentenceTask)
    if task.kind == "score":
        center, scale = task.center, task.scale
        return Question(windows, lambda outputs: center + scale * outputs.mean(1)[:, 0], "score")
    label = str(focus if focus is not None else cast("SentenceAnswer", answer).label)
    number = task.labels.number(label)
    return Question(windows, lambda outputs: log_odds(outputs.mean(1), number), f"log odds of `{label}`")


def log_odds(logits: Tensor, number: int) -> Tensor:
    """log p / (1 - p) of a class after softmax, which does not flatten where the model is sure: (A, C) -> (A,)."""
    others = torch.cat([logits[:, :number], logits[:, number + 1 :]], -1)
    return logits[:, number] - torch.logsumexp(others, -1)


def tag_question(task: TagTask, windows: Sequence[Window], answer: TagAnswer, focus: Focus) -> Question:
    """The tag of one word by its own outputs: the one asked for, or that of the surest word that is not outside."""
    read = np.concatenate([cast("TagWindow", window).words_read for window in windows])
    inside = [number for number in read.tolist() if answer.tags[number] != OUTSIDE] or read.tolist()
    surest = max(inside, key=lambda number: answer.scores[number], default=None)
    word = surest if focus is None else int(focus)
    if word is None or word not in read:  # no words at all, or one behind the cut of `truncate`
        return Question(windows, lambda outputs: 0 * outputs.sum((1, 2)), "nothing: the word was not read")
    place, tag = int(np.flatnonzero(read == word)[0]), answer.tags[word]
    number = task.labels.number(tag)
    return Question(
        windows, lambda outputs: log_odds(outputs[:, place], number), f"log odds of `{tag}` at `{answer.words[word]}`"
    )


def frame_question(task: FrameTask, windows: Sequence[Window], answer: FrameAnswer, focus: Focus) -> Question:
    """The class, which each window tells at its first token read, or the tag of the word that was asked for."""
    classes = len(task.intents.names)
    counts = np.array([len(window.places) for window in windows])
    firsts = np.cumsum(counts) - counts
    if isinstance(focus, int):
        others = np.delete(np.arange(counts.sum()), firsts)
        asked = tag_question(task.slots, windows, answer.slots, focus)
        return Question(windows, lambda outputs: asked.answer(outputs[:, others, classes:]), asked.of)
    label = focus or answer.label
    number = task.intents.number(label)
    return Question(
        windows, lambda outputs: log_odds(outputs[:, firsts, :classes].mean(1), number), f"log odds of `{label}`"
    )


def span_question(row: Row, windows: Sequence[Window], answer: SpanAnswer) -> Question:
    """The answer's first and last token against all others of its window; no answer is [CLS] of the first one."""
    for window in windows:
        span = cast("SpanWindow", window)
        first = np.flatnonzero((span.offsets[:, 0] == answer.start) & span.owned)
        last = np.flatnonzero(span.offsets[:, 1] == answer.end)
        if len(first) and len(last):
            start, end = span.begin + int(first[0]), span.begin + int(last[-1])
            return Question([window], span_answer(start, end), f"log probability of `{answer.answer}`")
    return Question([windows[0]], span_answer(0, 0), "log probability of no answer")


def span_answer(start: int, end: int) -> Answered:
    """log p(start) + log p(end), each over the tokens of the window."""

    def told(outputs: Tensor) -> Tensor:
        log_probs = torch.log_softmax(outputs, 1)
        return log_probs[:, start, 0] + log_probs[:, end, 1]

    return told
