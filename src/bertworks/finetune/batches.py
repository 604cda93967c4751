"""Windows of one update as packed rows: groups of like length, split into micro-batches.

Which windows a step sees, and how they lie, is a pure function of the recipe, the seed and the step; so a resumed run
needs no more than the step to go on.

Letters: W windows of one update, R rows of a micro-batch, L row length.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bertworks.base.randomness import generator
from bertworks.model.layout import Rows, first_fit, lay
from bertworks.tasks.task import Task, Window

_SHORTEST_ROW = 64  # tokens; shorter rows leave matrix products too small and fill badly


@dataclass(frozen=True)
class MicroBatch:
    """What goes through the model at once.

    rows                        packed, all of one length
    targets, weights            of the tokens read in its windows, as the task's loss takes them
    count                       rows, where a row's windows may lie in several micro-batches and add up
    group                       number of the length group within the update
    first_row, first_read       rows and tokens read of that group that came before: the places of dropout
    tokens                      without padding
    """

    rows: Rows
    targets: Tensor
    weights: Tensor
    count: float
    group: int
    first_row: int
    first_read: int
    tokens: int

    def to(self, device: torch.device) -> MicroBatch:
        """The same micro-batch on another device."""
        if device.type == "cpu":
            return self
        moved = {name: getattr(self, name).to(device) for name in ("rows", "targets", "weights")}
        return dataclasses.replace(self, **moved)


class TrainingBatches:
    """All updates of a run, made on demand.

    windows        of all training rows, grouped by row, ids already those of the table in training
    batch_size     rows an update; the last one of an epoch may be smaller
    train_windows  of one row in one update; of a longer row other ones are drawn every epoch
    """

    def __init__(
        self,
        windows: Sequence[Sequence[Window]],
        task: Task,
        *,
        batch_size: int,
        seed: int,
        micro_batch_tokens: int,
        train_windows: int,
    ) -> None:
        self._windows, self._task, self._seed = windows, task, seed
        self._batch_size, self._micro_batch_tokens, self._train_windows = batch_size, micro_batch_tokens, train_windows
        self.steps_per_epoch = -(-len(windows) // batch_size)
        self._order = np.empty(0, np.int64)
        self._order_epoch = -1

    def rows_of(self, step: int) -> np.ndarray:
        """Indices of the rows that update `step` (from 0) sees; each epoch is another permutation of all rows."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._order_epoch:
            self._order = generator("finetune order", self._seed, epoch).permutation(len(self._windows))
            self._order_epoch = epoch
        return self._order[index * self._batch_size : (index + 1) * self._batch_size]

    def windows_of(self, step: int) -> list[Window]:
        """The windows of an update; of a row with too many, some, with weights that still add up to the row's 1."""
        chosen: list[Window] = []
        for row in self.rows_of(step).tolist():
            windows = self._windows[row]
            if len(windows) > self._train_windows:
                epoch = step // self.steps_per_epoch
                drawn = generator("finetune windows", self._seed, epoch, row).choice(
                    len(windows), self._train_windows, replace=False
                )
                share = sum(window.weight for window in windows) / self._train_windows
                windows = [dataclasses.replace(windows[i], weight=share) for i in sorted(drawn.tolist())]
            chosen.extend(windows)
        return chosen

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """Update `step` (from 0), ready for the model."""
        windows = self.windows_of(step)
        lengths = np.fromiter((len(window.input_ids) for window in windows), np.int64, len(windows))
        made: list[MicroBatch] = []
        for group, (members, row_length) in enumerate(length_groups(lengths)):
            made.extend(self._packed([windows[i] for i in members.tolist()], lengths[members], row_length, group))
        return made

    def _packed(self, windows: list[Window], lengths: np.ndarray, row_length: int, group: int) -> list[MicroBatch]:
        row_of, start_of, n_rows = first_fit(lengths, row_length)
        order = np.lexsort((start_of, row_of))  # as they stand, so that a sequence has one number however rows are cut
        row_of, start_of, lengths = row_of[order], start_of[order], lengths[order]
        windows = [windows[i] for i in order.tolist()]
        rows_each = max(1, self._micro_batch_tokens // row_length)
        made: list[MicroBatch] = []
        seen = 0
        for first in range(0, n_rows, rows_each):
            last = min(n_rows, first + rows_each)
            members = np.flatnonzero((row_of >= first) & (row_of < last))
            part = [windows[i] for i in members.tolist()]
            rows = lay(
                [window.input_ids for window in part],
                [window.token_type_ids for window in part],
                lengths[members],
                (row_of[members] - first) * row_length + start_of[members],
                last - first,
                row_length,
                len(part) > last - first,
            ).reading([window.places for window in part])
            task = self._task
            targets, weights, count = task.targets(part), task.weights(part), task.loss_count(part)
            made.append(MicroBatch(rows, targets, weights, count, group, first, seen, int(lengths[members].sum())))
            seen += len(rows.read_index)
        return made


def length_groups(lengths: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Windows that share rows: (indices, row length) of each group, short rows first.

    A short text in a long row pays for attention over the whole row, so rows are 64, 128, 256, … long; the longest
    group's rows are as long as its longest window. A group too small to fill a row joins the next longer one.
    """
    longest = int(lengths.max())
    groups: list[tuple[np.ndarray, int]] = []
    waiting = np.empty(0, np.int64)
    bound, below = _SHORTEST_ROW, 0
    while below < longest:
        fitting = np.concatenate([waiting, np.flatnonzero((lengths > below) & (lengths <= bound))])
        if bound >= longest or lengths[fitting].sum() >= bound:
            groups.append((np.sort(fitting), bound))
            waiting = np.empty(0, np.int64)
        else:
            waiting = fitting
        below, bound = bound, bound * 2
    members, bound = groups[-1]
    groups[-1] = (members, min(bound, max(longest, min(_SHORTEST_ROW, bound))))
    return [(members, bound) for members, bound in groups if len(members)]
