"""The word table during training: only the rows of words that occur can receive a gradient, the others only decay.

Training sees a small table of the active rows; the rest is caught up when somebody looks. Both together are what AdamW
over the whole table would have made, bit for bit on a CPU, because an update without a gradient or a moment is a
product with 1 - lr * weight_decay and nothing else.

Letters: V vocabulary, A active words, E hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from bertworks.finetune.words import WordChanges

_BLOCK = 1 << 16  # elements caught up at a time: they stay in the second-level cache through all pending factors


class ActiveWords:
    """Replaces `embeddings.word` of a module by its active rows, until `full_table` is asked for.

    ids           token ids that training will look up, any order, repeats allowed; padding looks up id 0, always active
    weight_decay  as the optimiser's
    """

    def __init__(self, embeddings: nn.Module, ids: Sequence[np.ndarray], weight_decay: float) -> None:
        word = embeddings.word
        assert isinstance(word, Tensor)
        self._embeddings = embeddings
        self._full = word.detach().cpu().clone()  # (V, E)
        padding = np.zeros(1, np.int64)
        self.active = np.unique(np.concatenate([padding, *(part.astype(np.int64) for part in ids)]))  # (A,)
        self._compact = np.full(len(self._full), -1, np.int64)
        self._compact[self.active] = np.arange(len(self.active))
        self._weight_decay = weight_decay
        self._pending: list[float] = []
        embeddings.word = nn.Parameter(self._full[torch.from_numpy(self.active)])

    def compact_ids(self, ids: np.ndarray) -> np.ndarray:
        """Token ids as rows of the active table, same shape; every id must be active."""
        found: np.ndarray = self._compact[ids]
        return found

    def renumbered(self, changes: WordChanges) -> WordChanges:
        """Changes of words over the active table; all their ids must be active."""
        return changes.renumbered(self.active, self._compact)

    def decayed(self, lr: float) -> None:
        """Note an update with rate `lr`; the idle rows owe it."""
        self._pending.append(lr)

    def table(self, masters: Tensor, idle_factor: float = 1.0) -> Tensor:
        """The whole table (V, E) as it stands after all updates noted.

        masters      (A, E) the optimiser's copy of the active rows
        idle_factor  what the other rows are multiplied by in the result, for a mean over updates
        The result is this object's own; it is valid until the next call.
        """
        factors = [1.0 - lr * self._weight_decay for lr in self._pending]
        flat = self._full.view(-1).numpy()
        exact = [flat.dtype.type(factor) for factor in factors if factor != 1.0]
        for start in range(0, len(flat) if exact else 0, _BLOCK):
            block = flat[start : start + _BLOCK]
            for factor in exact:
                np.multiply(block, factor, out=block)  # one product an update: fusing them would round differently
        self._pending.clear()
        active, now = torch.from_numpy(self.active), masters.detach().to("cpu", self._full.dtype)
        self._full[active] = now
        if idle_factor == 1.0:
            return self._full
        table = self._full * idle_factor
        table[active] = now
        return table

    def restore(self, table: Tensor) -> Tensor:
        """Take a whole table (V, E) of a checkpoint; returns its active rows (A, E)."""
        self._full.copy_(table)
        self._pending.clear()
        return self._full[torch.from_numpy(self.active)]

    @contextmanager
    def full_table(self, masters: Tensor, idle_factor: float = 1.0) -> Iterator[None]:
        """Inside, the module looks up any id, with the weights as they stand now."""
        training = self._embeddings.word
        assert isinstance(training, nn.Parameter)
        whole = self.table(masters, idle_factor).to(training.device, training.dtype)
        self._embeddings.word = nn.Parameter(whole, requires_grad=False)
        try:
            yield
        finally:
            self._embeddings.word = training
