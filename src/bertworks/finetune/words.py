"""Words of training rows that are masked or replaced, other ones every time a row is read; dev and test keep theirs.

A word is a piece with the pieces that go on it. Special tokens stay, and every place stays: targets are not touched.
Masking: dropout of whole words (Dai & Le 2015, section 4.3, with [MASK] as the word). Replacing: contextual
augmentation (Kobayashi 2018, arXiv 1805.06201) with the masked-token head the run starts from.

Letters: V tokens known to the table in training, T tokens of one window.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bertworks.base.randomness import generator
from bertworks.tasks.task import Window
from bertworks.text.tokenizer import Tokenizer

Substitutes = Sequence[Sequence[np.ndarray]]
"""Row → window → (T,) the token that may stand in for each, -1 where none may."""


@dataclass(frozen=True, eq=False)
class WordChanges:
    """What happens to the words of training windows.

    mask, replace   probabilities; a word is masked, replaced, or left
    mask_id         of [MASK]
    goes_on         (V,) bool, pieces that go on a word
    is_special      (V,) bool
    substitutes     None where nothing is replaced
    """

    mask: float
    replace: float
    mask_id: int
    goes_on: np.ndarray
    is_special: np.ndarray
    substitutes: Substitutes | None = None

    @classmethod
    def of(
        cls, tokenizer: Tokenizer, table_rows: int, mask: float, replace: float, substitutes: Substitutes | None
    ) -> WordChanges:
        """With the ids of a vocabulary; the model's table may have a few rows more than it has tokens."""
        is_special = np.zeros(table_rows, bool)
        is_special[list(tokenizer.special_ids)] = True
        goes_on = np.zeros(table_rows, bool)
        goes_on[: tokenizer.vocab_size] = tokenizer.continuation
        return cls(mask, replace, tokenizer.mask_token_id, goes_on, is_special, substitutes)

    def ids(self) -> list[np.ndarray]:
        """All ids that changed windows hold beside their own."""
        others = [ids[ids >= 0] for row in self.substitutes or () for ids in row]
        return [np.array([self.mask_id]), *others]

    def renumbered(self, active: np.ndarray, compact: np.ndarray) -> WordChanges:
        """The same over the ids of a smaller table.

        active   ids of the vocabulary in the order of the table
        compact  (vocabulary,) their places in it, -1 for the others
        """
        found = None
        if self.substitutes is not None:
            found = [[np.where(ids < 0, -1, compact[ids]) for ids in row] for row in self.substitutes]
        mask_id, goes_on, is_special = int(compact[self.mask_id]), self.goes_on[active], self.is_special[active]
        return WordChanges(self.mask, self.replace, mask_id, goes_on, is_special, found)

    def changed(self, window: Window, row: int, number: int, draw: np.random.Generator) -> Window:
        """A window with some words changed.

        row, number  of the window among the training windows
        draw         one random number a word is taken
        """
        ids = window.input_ids
        words = word_numbers(ids, self.goes_on, self.is_special)
        chance = draw.random(int(words.max(initial=-1)) + 1)
        if not len(chance):
            return window
        drawn = np.where(words < 0, 1.0, chance[words])
        made = np.where(drawn < self.mask, self.mask_id, ids)
        if self.substitutes is not None:
            others = self.substitutes[row][number]
            is_replaced = (drawn >= self.mask) & (drawn < self.mask + self.replace) & (others >= 0)
            made = np.where(is_replaced, others, made)
        return dataclasses.replace(window, input_ids=made.astype(ids.dtype))


def word_numbers(ids: np.ndarray, goes_on: np.ndarray, is_special: np.ndarray) -> np.ndarray:
    """(T,) int64 the word each token belongs to, from 0; -1 for special tokens. A window may begin inside a word."""
    special = is_special[ids]
    after_special = np.concatenate([[True], special[:-1]])
    begins = ~special & (~goes_on[ids] | after_special)
    return np.where(special, -1, np.cumsum(begins) - 1)


def changes_of_update(seed: int, step: int) -> np.random.Generator:
    """The random numbers of all words of an update, in the order of its windows."""
    return generator("finetune words", seed, step)
