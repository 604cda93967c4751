"""Dropout masks as a pure function of (seed, step, row, layer, place), cut from one pool of ready multipliers.

A mask is a slice of the pool at a hashed offset, so no random number is drawn inside the loop and any split of a batch's
rows over micro-batches or ranks sees the same masks.
"""

import hashlib
import math

import torch
from torch import Tensor

from bertworks.base.randomness import generator

_ALIGNMENT = 64  # elements: slices start on a cache line
_POOL_ELEMENTS = 1 << 24


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

        Rows come in groups that lie side by side in the pool; each group has an offset of its own.
        """
        per_row = math.prod(shape[1:])
        group_rows = max(1, self.multipliers.numel() // (4 * per_row))
        parts, row, end = [], first_row, first_row + shape[0]
        while row < end:
            group = row // group_rows
            stop = min(end, (group + 1) * group_rows)
            start = self._offset(f"{key}:{step}:{group}", group_rows * per_row) + (row % group_rows) * per_row
            parts.append(self.multipliers[start : start + (stop - row) * per_row])
            row = stop
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).view(shape)

    def _offset(self, key: str, length: int) -> int:
        places = max(1, (self.multipliers.numel() - length) // _ALIGNMENT + 1)
        digest = hashlib.blake2b(f"{self.seed}:{key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") % places * _ALIGNMENT


class PooledDropout:
    """The dropout source of a training run: hidden states and attention probabilities each from a pool of their rate."""

    def __init__(
        self, hidden: float, attention: float, *, seed: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._pools = {
            rate: MaskPool(rate, seed, dtype, device) for rate in {hidden, attention} if rate > 0
        }
        self._hidden, self._attention = hidden, attention
        self._step = self._first_row = 0

    def at(self, step: int, first_row: int) -> "PooledDropout":
        """Point the source at a micro-batch that begins at `first_row` of the batch of `step`."""
        self._step, self._first_row = step, first_row
        return self

    def __call__(
        self, place: str, layer: int, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
    ) -> Tensor | None:
        rate = self._attention if place == "attention_probs" else self._hidden
        if rate <= 0:
            return None
        return self._pools[rate].rows(f"{place}:{layer}", self._step, self._first_row, tuple(shape))
