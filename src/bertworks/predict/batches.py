"""Windows grouped for prediction: neighbours in length share a small padded batch.

Small on purpose: a batch's activations stay in the processor's cache, and short texts are not padded to long ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

TOKEN_BUDGET = 1024  # of one batch, padding included: 512 to 1,024 alike, 2,048 a sixth slower (docs/performance.md)
MULTIPLE = 8  # lengths are padded up to one: few shapes, whole vector registers


def length_batches(
    lengths: np.ndarray, *, token_budget: int = TOKEN_BUDGET, multiple: int = MULTIPLE
) -> Iterator[np.ndarray]:
    """Indices of windows that go through the model together, the longest first (so memory peaks at once).

    lengths       (W,) tokens of each window
    token_budget  of a batch after padding; a window longer than it goes alone
    Every index comes exactly once. The batches depend on the lengths alone.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        width = padded_length(int(lengths[order[start]]), multiple)
        stop = start + max(1, token_budget // width)
        yield order[start:stop]
        start = stop


def padded_length(length: int, multiple: int = MULTIPLE) -> int:
    """`length` up to a multiple.

    >>> padded_length(17)
    24
    """
    return -(-length // multiple) * multiple
