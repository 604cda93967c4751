"""Which classes the training rows have, and how often a row is drawn where rare classes are drawn more often.

Letters: R rows, C classes, K pairs of a row and a class it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bertworks.tasks.tag_windows import TagWindow
from bertworks.tasks.task import Window


@dataclass(frozen=True, eq=False)
class RowClasses:
    """The classes of training rows: the class, all labels, or all tags of each.

    row, number  (K,) int64 the row and the class's number
    times        (K,) int64 how often the row has it: the words with this tag, else 1
    """

    rows: int
    classes: int
    row: np.ndarray
    number: np.ndarray
    times: np.ndarray

    def counts(self, shares: np.ndarray | None = None) -> np.ndarray:
        """(C,) float64 of each class, in an epoch of rows drawn by `shares` (R,); None = once each."""
        drawn = self.times if shares is None else self.times * shares[self.row]
        counted: np.ndarray = np.bincount(self.number, weights=drawn, minlength=self.classes)
        return counted

    def draws(self, exponent: float) -> Draws:
        """How often rows are drawn, the more the rarer their classes.

        A class c of n_c rows is drawn (n_max / n_c) ** exponent times as often as the commonest; a row with several
        classes as its rarest, as in repeat factor sampling (Gupta, Dollar & Girshick 2019, LVIS, section 4.2).
        """
        rows_with = np.bincount(self.number, minlength=self.classes).astype(np.float64)
        factors = (rows_with.max() / np.maximum(rows_with, 1)) ** exponent
        rarest = np.full(self.rows, -1)
        in_order = np.argsort(-rows_with[self.number], kind="stable")
        rarest[self.row[in_order]] = self.number[in_order]  # the last one written stays
        found = np.where(rarest < 0, 1.0, factors[rarest])
        return Draws(found * (self.rows / found.sum()), rarest)


@dataclass(frozen=True, eq=False)
class Draws:
    """The rows that epochs draw.

    shares  (R,) float64 how often a row is drawn in an epoch, 1 on the average
    groups  (R,) int64 rows of one number are drawn as often as their shares say together, but for one
    """

    shares: np.ndarray
    groups: np.ndarray

    def rows(self, draw: np.random.Generator) -> np.ndarray:
        """(R,) int64 the rows of an epoch in their order: row i floor(shares[i]) times or once more, R rows in all.

        Systematic sampling (Madow 1949): R points a unit apart, one random number for all, on the shares end to end.
        """
        order = draw.permutation(len(self.shares))
        order = order[np.argsort(self.groups[order], kind="stable")]
        points = draw.random() + np.arange(len(order))
        found = np.searchsorted(np.cumsum(self.shares[order]), points, side="right")
        return draw.permutation(order[np.minimum(found, len(order) - 1)])


def classes_of(windows: Sequence[Sequence[Window]], classes: int, *, of_tags: bool = False) -> RowClasses:
    """The classes of rows, by their windows; a row without a label has none.

    windows  of each row; their targets are class numbers or tuples of zeros and ones
    of_tags  the classes are the tags of windows of tags
    """
    rows: list[np.ndarray] = []
    numbers: list[np.ndarray] = []
    times: list[np.ndarray] = []
    for row, its_windows in enumerate(windows):
        found, often = np.unique(
            tag_numbers(its_windows) if of_tags else class_numbers(its_windows[0]), return_counts=True
        )
        rows.append(np.full(len(found), row))
        numbers.append(found)
        times.append(often)
    whole = [np.concatenate(parts).astype(np.int64) for parts in (rows, numbers, times)]
    return RowClasses(len(windows), classes, *whole)


def class_numbers(window: Window) -> np.ndarray:
    """Numbers of the classes of a window's row; a class that training did not see, below 0, is none."""
    if isinstance(window.target, tuple):
        return np.flatnonzero(window.target)
    is_class = window.target is not None and window.target >= 0
    return np.array([window.target] if is_class else [])


def tag_numbers(windows: Sequence[Window]) -> np.ndarray:
    """Numbers of the tags of a row, each as often as the row has it."""
    tags = np.concatenate([one.tags for one in windows if isinstance(one, TagWindow)])
    there: np.ndarray = tags[tags >= 0]
    return there
