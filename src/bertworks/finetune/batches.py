"""Windows of one update as packed rows: groups of like length, split into micro-batches.

Which windows a step sees, and how they lie, is a pure function of the recipe, the seed and the step; so a resumed run
needs no more than the step to go on.

A bundle is what one micro-batch must hold together: a window by itself, or all windows of a row whose loss joins them.

Letters: W windows of one update, B bundles, R rows of a micro-batch, L row length.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from bertworks.base.randomness import generator
from bertworks.finetune.classes import Draws
from bertworks.finetune.epochs import Epochs
from bertworks.finetune.words import WordChanges, changes_of_update
from bertworks.model.layout import Rows, first_fit, lay
from bertworks.tasks.task import MemberWindow, Task, Window, member_of

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
    across                      the loss joins all micro-batches of the update
    """

    rows: Rows
    targets: Tensor
    weights: Tensor
    count: float
    group: int
    first_row: int
    first_read: int
    tokens: int
    across: bool = False

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
    train_windows  of one text in one update; of a longer one other windows are drawn every epoch
    epochs         where the batch grows; None = all of one size
    draws          how often an epoch draws each row; None = once
    words          changes of words; None = none
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
        epochs: Epochs | None = None,
        draws: Draws | None = None,
        words: WordChanges | None = None,
    ) -> None:
        self._windows, self._task, self._seed = windows, task, seed
        self._micro_batch_tokens, self._train_windows = micro_batch_tokens, train_windows
        self._epochs = epochs or Epochs(len(windows), batch_size)
        self._draws, self._words = draws, words
        self._order = np.empty(0, np.int64)
        self._order_epoch = -1

    @property
    def steps_per_epoch(self) -> int:
        """Updates in the first epoch."""
        return self._epochs.steps(0)

    def rows_of(self, step: int) -> np.ndarray:
        """Indices of the rows that update `step` (from 0) sees; each epoch is another permutation of what it draws."""
        epoch, index = self._epochs.at(step)
        if epoch != self._order_epoch:
            draw = generator("finetune order", self._seed, epoch)
            self._order = draw.permutation(len(self._windows)) if self._draws is None else self._draws.rows(draw)
            self._order_epoch = epoch
        size = self._epochs.size(epoch)
        return self._order[index * size : (index + 1) * size]

    def windows_of(self, step: int) -> list[Window]:
        """The windows of an update as the task reads them, some of their words changed."""
        if self._words is None:
            return [window for _, _, window in self.texts_of(step)]
        draw = changes_of_update(self._seed, step)
        return [self._words.changed(window, row, number, draw) for row, number, window in self.texts_of(step)]

    def texts_of(self, step: int) -> list[tuple[int, int, Window]]:
        """The windows of an update as they were written, with the numbers of their row, and among the row's windows.

        Of a text with too many windows, some, with weights that still add up to the row's 1.
        """
        epoch, _ = self._epochs.at(step)
        chosen: list[tuple[int, int, Window]] = []
        for row in self.rows_of(step).tolist():
            numbered = list(enumerate(self._windows[row]))
            for _, of_text in groupby(numbered, lambda one: member_of(one[1])):
                chosen.extend((row, *one) for one in self._drawn(list(of_text), epoch, row))
        return chosen

    def _drawn(self, numbered: list[tuple[int, Window]], epoch: int, row: int) -> list[tuple[int, Window]]:
        """At most `train_windows` of the windows of one text; the texts of a row that are as long get the same ones."""
        if len(numbered) <= self._train_windows:
            return numbered
        drawn = generator("finetune windows", self._seed, epoch, row).choice(
            len(numbered), self._train_windows, replace=False
        )
        share = sum(window.weight for _, window in numbered) / self._train_windows
        kept = [numbered[i] for i in sorted(drawn.tolist())]
        return [(number, dataclasses.replace(window, weight=share)) for number, window in kept]

    def micro_batches(self, step: int) -> list[MicroBatch]:
        """Update `step` (from 0), ready for the model."""
        task, seen = self._task, 0
        made: list[MicroBatch] = []
        for part in packed(self.windows_of(step), self._micro_batch_tokens):
            windows = part.windows
            seen = seen if made and made[-1].group == part.group else 0
            targets, weights, count = task.targets(windows), task.weights(windows), task.loss_count(windows)
            is_joined = isinstance(windows[0], MemberWindow) and windows[0].across
            made.append(
                MicroBatch(part.rows, targets, weights, count, part.group, part.first_row, seen, part.tokens, is_joined)
            )
            seen += len(part.rows.read_index)
        return made


@dataclass(frozen=True)
class Part:
    """Windows that go through the model at once, as they stand in its rows; see MicroBatch."""

    windows: list[Window]
    rows: Rows
    group: int
    first_row: int
    tokens: int


def packed(windows: Sequence[Window], micro_batch_tokens: int) -> Iterator[Part]:
    """The windows of an update in rows of their length group, cut into parts of so many places, or one row."""
    together = bundles(windows)
    longest = np.array([max(len(window.input_ids) for window in bundle) for bundle in together])
    for group, (members, row_length) in enumerate(length_groups(longest)):
        yield from packed_group([together[i] for i in members.tolist()], row_length, group, micro_batch_tokens)


def packed_group(together: list[list[Window]], row_length: int, group: int, micro_batch_tokens: int) -> Iterator[Part]:
    """The bundles of one length group."""
    row_of, start_of, borders = places(together, row_length)
    windows = [window for bundle in together for window in bundle]
    order = np.lexsort((start_of, row_of))  # as they stand, so that a sequence has one number however rows are cut
    row_of, start_of = row_of[order], start_of[order]
    windows = [windows[i] for i in order.tolist()]
    lengths = np.fromiter((len(window.input_ids) for window in windows), np.int64, len(windows))
    for first, last in cuts(borders, max(1, micro_batch_tokens // row_length)):
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
        yield Part(part, rows, group, first, int(lengths[members].sum()))


def bundles(windows: Sequence[Window]) -> list[list[Window]]:
    """The windows by what must stay together, in order."""
    if isinstance(windows[0], MemberWindow) and not windows[0].across:
        return [list(bundle) for _, bundle in groupby(windows, lambda window: window.row)]
    return [[window] for window in windows]


def places(together: Sequence[Sequence[Window]], row_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row and start of each window, in the order of the bundles, and the rows at which a micro-batch may begin or end.

    A bundle that fits into a row lies in it side by side, with other bundles; a larger one has rows of its own.
    """
    lengths = [np.array([len(window.input_ids) for window in bundle]) for bundle in together]
    totals = np.array([int(part.sum()) for part in lengths])
    is_small = totals <= row_length
    small_rows, small_starts, n_rows = first_fit(totals[is_small], row_length)
    row_of: list[np.ndarray] = []
    start_of: list[np.ndarray] = []
    borders = list(range(n_rows + 1))
    fitted = iter(zip(small_rows.tolist(), small_starts.tolist(), strict=True))
    for part, is_one_row in zip(lengths, is_small.tolist(), strict=True):
        if is_one_row:
            row, start = next(fitted)
            row_of.append(np.full(len(part), row))
            start_of.append(start + np.cumsum(part) - part)
        else:
            rows, starts, n = first_fit(part, row_length)
            row_of.append(borders[-1] + rows)
            start_of.append(starts)
            borders.append(borders[-1] + n)
    return np.concatenate(row_of), np.concatenate(start_of), np.array(borders)


def cuts(borders: np.ndarray, rows_each: int) -> list[tuple[int, int]]:
    """Rows [first, last) of each micro-batch: as many as `rows_each` allows, and never a part of a bundle."""
    made: list[tuple[int, int]] = []
    while (first := made[-1][1] if made else 0) < borders[-1]:
        fitting = borders[(borders > first) & (borders <= first + rows_each)]
        made.append((first, int(fitting[-1] if len(fitting) else borders[borders > first][0])))
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
