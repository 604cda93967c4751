"""Where dropout comes from: the model asks a source for multipliers and never draws random numbers itself.

Places: "embeddings" (layer -1), "attention_probs", "attention_output", "output" (layers 0, 1, …), "classifier"
(layer -1).
Any callable with Dropout's signature serves: a pool of ready multipliers, or masks recorded by a test.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from bertworks.model.config import BertConfig


class Dropout(Protocol):
    """A source of multipliers."""

    def __call__(
        self, place: str, layer: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Tensor | None:
        """A tensor of `shape` holding 0 or 1 / (1 - p), or None where nothing is dropped."""


class TorchDropout:
    """Fresh multipliers for each use, drawn from one torch generator.

    hidden     share dropped of embeddings and of what each sublayer adds
    attention  share dropped of the attention probabilities
    generator  on the device of the model
    """

    def __init__(self, hidden: float, attention: float, generator: torch.Generator) -> None:
        self.hidden = hidden
        self.attention = attention
        self.generator = generator

    @classmethod
    def of(cls, config: BertConfig, generator: torch.Generator) -> "TorchDropout":
        """With the rates of a config."""
        return cls(config.hidden_dropout_prob, config.attention_probs_dropout_prob, generator)

    def __call__(
        self, place: str, layer: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Tensor | None:
        """As Dropout says."""
        share = self.attention if place == "attention_probs" else self.hidden
        if share == 0:
            return None
        kept = torch.empty(tuple(shape), dtype=dtype, device=device)
        return kept.bernoulli_(1 - share, generator=self.generator).div_(1 - share)


def drawn(dropout: Dropout | None, place: str, layer: int, shape: Sequence[int], like: Tensor) -> Tensor | None:
    """Multipliers of one place in the dtype and on the device of `like`, or None without dropout."""
    return None if dropout is None else dropout(place, layer, shape, like.dtype, like.device)


def multiplied(hidden: Tensor, kept: Tensor | None) -> Tensor:
    """hidden * kept, or hidden itself."""
    return hidden if kept is None else hidden * kept


def added(residual: Tensor, hidden: Tensor, kept: Tensor | None) -> Tensor:
    """residual + hidden * kept in one sweep."""
    return residual + hidden if kept is None else torch.addcmul(residual, hidden, kept)
