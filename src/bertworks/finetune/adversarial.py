"""The fast gradient method on the word table (Miyato et al. 2017, section 3): a step of given length up the loss."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def perturbed(word: Tensor, gradient: Tensor, epsilon: float) -> Iterator[None]:
    """Inside, `word` is word + epsilon g / |g|; afterwards it has its very bits again.

    word, gradient  (A, E) the table in training and the gradient of the whole update; where that is 0 or not finite
                    the table stays as it is
    """
    kept = word.detach().clone()
    norm = float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
    if math.isfinite(norm) and norm > 0:
        word.data.add_(gradient.to(word.dtype), alpha=epsilon / norm)
    try:
        yield
    finally:
        word.data.copy_(kept)
