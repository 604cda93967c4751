"""Dropout masks as a pure function of (seed, step, row, layer, place), cut from one pool of ready multipliers.

A mask is a slice of the pool at a hashed offset, so no random number is drawn inside the loop and any split of a
batch's rows over micro-batches or ranks sees the same masks.
"""

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bertworks.base.randomness import generator

_ALIGNMENT = 64  # elements: slices start on a cache line
_POOL_ELEMENTS = 1 << 24
_SHARE = 4  # no slice takes more than this part of the pool, so that different slices exist


class MaskPool:
    """Multipliers 0 or 1/(1-p), drawn once; `rows` cuts the masks of consecutive rows of a batch."""

    def __init__(
        self, probability: float, seed: int, dtype: torch.dtype, device: torch.device, elements: int = _POOL_ELEMENTS
    ) -> None:
        kept = generator("dropout pool", seed).random(elements, dtype="float32") >= probability
        self.multipliers = torch.from_numpy(kept).to(device=device, dtype=dtype).div_(1.0 - probability)
        self.seed = seed

    def rows(self, key: str, step: int, first_row: int, shape: tuple[int, ...]) -> Tensor:
        """Masks of rows first_row … first_row + shape[0] - 1 of the batch of this step, as one tensor of `shape`.

        Rows come in groups that lie side by side in the pool; each group has an offset of its own. A row that is too
        large for one slice is put together from several.
        """
        per_row, longest = math.prod(shape[1:]), self.multipliers.numel() // _SHARE
        parts, row, end = [], first_row, first_row + shape[0]
        if per_row > longest:
            for row in range(first_row, end):
                for begin in range(0, per_row, longest):
                    parts.append(self._slice(f"{key}:{step}:{row}:{begin}", min(longest, per_row - begin)))
            return torch.cat(parts).view(shape)
        group_rows = longest // per_row
        while row < end:
            group = row // group_rows
            stop = min(end, (group + 1) * group_rows)
            whole, first = self._slice(f"{key}:{step}:{group}", group_rows * per_row), row % group_rows
            parts.append(whole[first * per_row : (first + stop - row) * per_row])
            row = stop
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(shape)

    def _slice(self, key: str, length: int) -> Tensor:
        places = (self.multipliers.numel() - length) // _ALIGNMENT + 1
        digest = hashlib.blake2b(f"{self.seed}:{key}".encode(), digest_size=8).digest()
        start = int.from_bytes(digest, "little") % places * _ALIGNMENT
        return self.multipliers[start : start + length]


class PooledDropout:
    """The dropout source of a training run: hidden states and attention probabilities from a pool of their rate."""

    def __init__(self, hidden: float, attention: float, *, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        self._pools = {rate: MaskPool(rate, seed, dtype, device) for rate in {hidden, attention} if rate > 0}
        self._hidden, self._attention = hidden, attention
        self._step = self._first_row = 0

    def at(self, step: int, first_row: int) -> "PooledDropout":
        """Point the source at a micro-batch that begins at `first_row` of the batch of `step`."""
        self._step, self._first_row = step, first_row
        return self

    def __call__(
        self, place: str, layer: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Tensor | None:
        """Multipliers of one place of the micro-batch that `at` named; None where nothing is dropped."""
        rate = self._attention if place == "attention_probs" else self._hidden
        if rate <= 0:
            return None
        return self._pools[rate].rows(f"{place}:{layer}", self._step, self._first_row, tuple(shape))
