"""Heads that read the states of a layer below the last, beside a network's own, while it learns.

Letters: R rows, L row length, P tokens read, E hidden size, C outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bertworks.model.bert import BertForSentence, BertForSpan, BertForTokens, TaskNetwork
from bertworks.model.config import BertConfig
from bertworks.model.dropout import Dropout
from bertworks.model.encoder import BertEncoder
from bertworks.model.heads import Classifier, Pooler, SpanHead


class LayerHead(nn.Module):
    """BERT's own head for a kind of task, with weights of its own.

    network  of sentences, tokens or spans
    layer    whose states it reads, 1 = the lowest
    """

    def __init__(
        self, network: type[TaskNetwork], config: BertConfig, outputs: int, layer: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        assert issubclass(network, BertForSentence | BertForTokens | BertForSpan)
        self.layer = layer
        self.pooler = Pooler(config, generator) if issubclass(network, BertForSentence) else None
        self.answer = (
            SpanHead(config, outputs, generator)
            if issubclass(network, BertForSpan)
            else Classifier(config, outputs, generator)
        )

    def forward(self, states: Tensor, dropout: Dropout | None = None) -> Tensor:
        """(P, E) of the tokens read -> (P, C)."""
        if self.pooler is not None:
            states = self.pooler(states)
        if isinstance(self.answer, SpanHead):
            return self.answer(states)  # type: ignore[no-any-return]
        logits: Tensor = self.answer(states, None if dropout is None else self._own(dropout))
        return logits

    def _own(self, dropout: Dropout) -> Dropout:
        """Masks of this layer's classifier: the network's own has number -1."""

        def masks(
            place: str, layer: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device
        ) -> Tensor | None:
            return dropout(place, self.layer, shape, dtype, device)

        return masks


@contextmanager
def heard(encoder: BertEncoder, layers: Iterable[int]) -> Iterator[dict[int, Tensor]]:
    """Inside, the states (R, L, E) that these layers leave in a pass, by number from 1.

    The last layer cannot be heard: only some of its tokens are computed (last_layer.py).
    """
    states: dict[int, Tensor] = {}

    def keeper(layer: int) -> Callable[[nn.Module, object, Tensor], None]:
        def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
            states[layer] = output

        return keep

    handles = [encoder.layers[layer - 1].register_forward_hook(keeper(layer)) for layer in layers]
    try:
        yield states
    finally:
        for handle in handles:
            handle.remove()
