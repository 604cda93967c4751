"""Masked windows and next-sentence pairs of an update, made of the training windows that the task reads in it.

All of it is a function of seed, step and window, so that micro-batches and restarts see the same.

Letters: T tokens of a window, P masked tokens or pairs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bertworks.base.errors import BertworksError
from bertworks.base.randomness import generator
from bertworks.corpus.masking import MaskRule, apply_masks, draw_masks, replacement_ids
from bertworks.finetune.batches import packed
from bertworks.finetune.recipe import AuxiliaryRecipe
from bertworks.model.layout import Rows
from bertworks.tasks.task import Window
from bertworks.text.tokenizer import Tokenizer

RULE = MaskRule()  # 15 %, of which 80 % [MASK], 10 % other tokens, 10 % as they were
SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")
TRIES = 100  # at another row with a second half, before a pair stays a true one


@dataclass(frozen=True)
class AuxiliaryBatch:
    """What goes through the model at once.

    name               "mlm" or "nsp"
    rows               packed; `read_index` are the masked tokens, or the first one of each pair
    labels             (P,) int64 the tokens that stood there, or 1 where the second part does not follow
    group, first_row   as MicroBatch has them: the places of dropout
    tokens             without padding
    """

    name: str
    rows: Rows
    labels: Tensor
    group: int
    first_row: int
    tokens: int
    first_read: int = 0

    def to(self, device: torch.device) -> AuxiliaryBatch:
        """The same on another device."""
        if device.type == "cpu":
            return self
        return dataclasses.replace(self, rows=self.rows.to(device), labels=self.labels.to(device))


class AuxiliaryBatches:
    """Of any update, on demand.

    windows  of all training rows, with the ids of the vocabulary
    Raises BertworksError where pairs are asked of texts that cannot be cut in two.
    """

    def __init__(
        self,
        windows: Sequence[Sequence[Window]],
        tokenizer: Tokenizer,
        recipe: AuxiliaryRecipe,
        *,
        seed: int,
        max_length: int,
        micro_batch_tokens: int,
    ) -> None:
        self._windows = [window for row in windows for window in row]
        self._tokenizer, self._recipe, self._seed = tokenizer, recipe, seed
        self._max_length, self._micro_batch_tokens = max_length, micro_batch_tokens
        self._replacements = replacement_ids(tokenizer, whole_vocabulary=False)
        self._is_special = np.zeros(tokenizer.vocab_size, bool)
        self._is_special[list(tokenizer.special_ids)] = True
        ends = [tokenizer.vocab[token] for token in SENTENCE_ENDS if token in tokenizer.vocab]
        self._ends = np.array(ends, np.int64)
        if recipe.nsp:
            parted = {window.row for window in self._windows if self.halves(window) is not None}
            if len(parted) < 2:
                raise BertworksError(
                    f"auxiliary.nsp: {len(parted)} of the training rows has two words or more, pairs need two rows",
                    "leave it out",
                )

    def micro_batches(self, windows: Sequence[Window], step: int) -> list[AuxiliaryBatch]:
        """Of the windows that update `step` (from 0) reads; none where nothing can be masked or paired."""
        made = self.masked(windows, step) if self._recipe.mlm else []
        batches = self._packed("mlm", made)
        pairs = self.pairs(windows, step) if self._recipe.nsp else []
        return batches + self._packed("nsp", pairs)

    def masked(self, windows: Sequence[Window], step: int) -> list[Window]:
        """Windows with some tokens hidden: `read` has their places, `target` what stood there."""
        lengths = np.fromiter((len(window.input_ids) for window in windows), np.int64, len(windows))
        ids = np.concatenate([window.input_ids for window in windows]).astype(np.int32)
        draw = generator("finetune mlm", self._seed, step)
        masks = draw_masks(RULE, lengths, ~self._is_special[ids], len(self._replacements), draw)
        labels = apply_masks(RULE, ids, masks, self._tokenizer.mask_token_id, self._replacements)
        made = []
        ends = np.cumsum(lengths)
        for i, window in enumerate(windows):
            places = slice(masks.borders[i], masks.borders[i + 1])
            if places.start == places.stop:
                continue
            start = int(ends[i] - lengths[i])
            read = (masks.positions[places] - start).astype(np.int32)
            hidden = ids[start : int(ends[i])]
            target = tuple(labels[places].tolist())
            made.append(Window(hidden, window.token_type_ids, window.row, target, 1.0, 0, 0, read))
        return made

    def pairs(self, windows: Sequence[Window], step: int) -> list[Window]:
        """Each window's text cut in two; in half of the pairs the second part is that of another row (target 1)."""
        found = [(window, parts) for window in windows if (parts := self.halves(window)) is not None]
        draw = generator("finetune nsp", self._seed, step)
        number = len(found) // 2 + int(len(found) % 2 and draw.random() < 0.5)
        is_random = np.zeros(len(found), bool)
        is_random[draw.permutation(len(found))[:number]] = True
        made = []
        for (window, (first, second)), jumps in zip(found, is_random.tolist(), strict=True):
            other = self._other(window.row, draw) if jumps else None
            made.append(self._pair(window.row, first, second if other is None else other, other is not None))
        return made

    def halves(self, window: Window) -> tuple[np.ndarray, np.ndarray] | None:
        """The ids of the window's longer text in two parts, at the border of sentences nearest to the middle.

        Without one, at that of words; None for less than two words.
        """
        ids = window.input_ids
        own = (self._tokenizer.cls_token_id, self._tokenizer.sep_token_id, self._tokenizer.pad_token_id)
        is_text = ~np.isin(ids, own)
        texts = [ids[is_text & (window.token_type_ids == kind)] for kind in (0, 1)]
        text = max(texts, key=len)
        borders = np.flatnonzero(~self._tokenizer.continuation[text[1:]]) + 1
        if not len(borders):
            return None
        after_sentence = borders[np.isin(text[borders - 1], self._ends)]
        borders = after_sentence if len(after_sentence) else borders
        border = int(borders[np.abs(borders - len(text) / 2).argmin()])
        return text[:border], text[border:]

    def _other(self, row: int, draw: np.random.Generator) -> np.ndarray | None:
        """The second part of a window of another row."""
        for _ in range(TRIES):
            window = self._windows[int(draw.integers(len(self._windows)))]
            parts = self.halves(window) if window.row != row else None
            if parts is not None:
                return parts[1]
        return None

    def _pair(self, row: int, first: np.ndarray, second: np.ndarray, is_random: bool) -> Window:
        """[CLS] A [SEP] B [SEP] within max_length: the ends that do not meet are cut, of the longer part first."""
        room = self._max_length - 3
        kept = min(len(first), max((room + 1) // 2, room - len(second)))
        first, second = first[len(first) - kept :], second[: room - kept]
        cls, sep = [self._tokenizer.cls_token_id], [self._tokenizer.sep_token_id]
        ids = np.concatenate([cls, first, sep, second, sep]).astype(np.int32)
        types = np.repeat(np.array([0, 1], np.int8), [len(first) + 2, len(second) + 1])
        return Window(ids, types, row, int(is_random), 1.0, 0, 0)

    def _packed(self, name: str, windows: Sequence[Window]) -> list[AuxiliaryBatch]:
        made = []
        for part in packed(windows, self._micro_batch_tokens) if windows else ():
            labels = np.concatenate([np.atleast_1d(np.asarray(window.target, np.int64)) for window in part.windows])
            made.append(
                AuxiliaryBatch(name, part.rows, torch.from_numpy(labels), part.group, part.first_row, part.tokens)
            )
        return made
