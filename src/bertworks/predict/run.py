"""Rows → answers: encode to windows, run them shortest pad first, decode, in the order of the rows.

Letters: W windows, C outputs of the head.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from bertworks.base.progress import Progress
from bertworks.model.layout import pad_rows
from bertworks.predict.batches import TOKEN_BUDGET, length_batches, padded_length
from bertworks.tasks.task import Answer, Coverage, Row, Task, Window, coverage

if TYPE_CHECKING:
    from bertworks.text.tokenizer import Tokenizer

CHUNK_ROWS = 4096  # encoded, sorted and answered at a time: enough to find neighbours in length, 20 MB of ids at most


@dataclass(frozen=True)
class Predictions:
    """Answers of some rows, in their order, and how much of their text was read."""

    answers: list[Answer]
    coverage: Coverage


def predict_rows(
    model: nn.Module,
    task: Task,
    tokenizer: Tokenizer,
    rows: Sequence[Row],
    *,
    max_length: int,
    token_budget: int = TOKEN_BUDGET,
    progress: Progress | None = None,
) -> Predictions:
    """Answer all rows; memory grows with the answers, not with the text.

    An answer never depends on the other rows, but for those of its document where the task reads context: padding is
    masked, and batches only change the order of the work.
    """
    answers: list[Answer] = []
    read = Coverage(0, 0, 0, 0)
    for chunk in chunks(rows, CHUNK_ROWS):
        windows = task.windows(chunk, tokenizer, max_length)
        logits = window_logits(model, windows, token_budget=token_budget)
        answers.extend(task.decode(chunk, windows, logits))
        read = added(read, coverage(windows))
        if progress is not None:
            progress.update(len(chunk))
    return Predictions(answers, read)


def window_logits(model: nn.Module, windows: Sequence[Window], *, token_budget: int = TOKEN_BUDGET) -> list[np.ndarray]:
    """The head's output of every window, in order: W arrays float32, (M, C), or (C,) where `read` is None.

    model  takes Rows, gives an output for each token read, sequence by sequence
    """
    device = next(model.parameters()).device
    found: list[np.ndarray] = [np.empty(0, np.float32)] * len(windows)
    lengths = np.fromiter((len(window.input_ids) for window in windows), np.int64, len(windows))
    with torch.inference_mode():
        for members in length_batches(lengths, token_budget=token_budget):
            part = [windows[i] for i in members.tolist()]
            rows = pad_rows(
                [window.input_ids for window in part],
                [window.token_type_ids for window in part],
                padded_length(int(lengths[members[0]])),
            ).reading([window.places for window in part])
            outputs = model(rows.to(device)).float().cpu().numpy()
            borders = np.cumsum([len(window.places) for window in part])[:-1]
            for i, output in zip(members.tolist(), np.split(outputs, borders), strict=True):
                found[i] = output[0] if windows[i].read is None else output
    return found


def chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Lists of `size` rows, the last one shorter; rows of one document stay together, up to twice as many."""
    chunk: list[Row] = []
    for row in rows:
        is_same = bool(chunk) and row.get("document") is not None and row["document"] == chunk[-1].get("document")
        if len(chunk) >= size and not (is_same and len(chunk) < 2 * size):
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def added(one: Coverage, other: Coverage) -> Coverage:
    """The coverage of two sets of rows together."""
    return Coverage(
        one.seen + other.seen, one.words + other.words, one.rows + other.rows, one.long_rows + other.long_rows
    )
