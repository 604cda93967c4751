"""What is put on the encoder: pooler, masked-token head (on the masked rows only), next sentence, classes, spans.

Letters: B sequences, E hidden size, V vocabulary, C classes, P predicted positions or tokens read.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertworks.model.activations import activate
from bertworks.model.config import BertConfig
from bertworks.model.dropout import Dropout, drawn, multiplied
from bertworks.model.encoder import linear
from bertworks.model.fused_cross_entropy import FusedLoss, fused_cross_entropy
from bertworks.model.initialise import initialise, seeded


class Pooler(nn.Module):
    """tanh(W h + b) of each sequence's first token."""

    def __init__(
        self,
        config: BertConfig,
        generator: torch.Generator | None = None,
        *,
        initialisation: str = "truncated_normal",
    ) -> None:
        super().__init__()
        self.dense = linear(config.hidden_size, config.hidden_size)
        initialise(self, std=config.initializer_range, generator=generator or seeded(0), kind=initialisation)

    def forward(self, first: Tensor) -> Tensor:
        """(B, E), the first token's last state of each sequence -> (B, E)."""
        return torch.tanh(self.dense(first))


class MaskedTokenHead(nn.Module):
    """Predicts words: dense, activation, LayerNorm, then the tied word table and a bias of its own."""

    def __init__(
        self,
        config: BertConfig,
        generator: torch.Generator | None = None,
        *,
        initialisation: str = "truncated_normal",
    ) -> None:
        super().__init__()
        self.activation = config.hidden_act
        self.dense = linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.empty(config.vocab_size))
        initialise(self, std=config.initializer_range, generator=generator or seeded(0), kind=initialisation)

    def transform(self, states: Tensor) -> Tensor:
        """(P, E) -> (P, E), ready for the decoder."""
        transformed: Tensor = self.norm(activate(self.dense(states), self.activation))
        return transformed

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """Last states of the masked tokens (P, E) and the word table (V, E) -> logits (P, V)."""
        return F.linear(self.transform(states), table, self.bias)

    def loss(
        self,
        states: Tensor,
        labels: Tensor,
        table: Tensor,
        *,
        scale: float = 1.0,
        direct: bool = False,
        count_correct: bool = False,
    ) -> FusedLoss:
        """Loss of masked tokens' states (P, E) against labels (P,); see fused_cross_entropy for scale and direct."""
        return fused_cross_entropy(
            self.transform(states),
            table,
            self.bias,
            labels,
            scale=scale,
            direct=direct,
            count_correct=count_correct,
        )


class NextSentenceHead(nn.Module):
    """Two classes on the pooled vector: 0 = the second part follows the first, 1 = it does not."""

    def __init__(
        self,
        config: BertConfig,
        generator: torch.Generator | None = None,
        *,
        initialisation: str = "truncated_normal",
    ) -> None:
        super().__init__()
        self.classifier = linear(config.hidden_size, 2)
        initialise(self, std=config.initializer_range, generator=generator or seeded(0), kind=initialisation)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, E) -> logits (B, 2)."""
        logits: Tensor = self.classifier(pooled)
        return logits


class Classifier(nn.Module):
    """Dropout and a linear map, on the pooled vector or on each token read; one output is a score."""

    def __init__(
        self, config: BertConfig, classes: int, generator: torch.Generator | None = None, *, width: int | None = None
    ) -> None:
        """width: of what is classified; None is the encoder's."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, width or config.hidden_size))
        self.bias = nn.Parameter(torch.empty(classes))
        initialise(self, std=config.initializer_range, generator=generator or seeded(0))

    def forward(self, states: Tensor, dropout: Dropout | None = None) -> Tensor:
        """(B, E) pooled or (P, E) of tokens -> logits (B, C) or (P, C)."""
        kept = drawn(dropout, "classifier", -1, states.shape, states)
        return F.linear(multiplied(states, kept), self.weight, self.bias)


class SpanHead(nn.Module):
    """A linear map to two scores a token, first and last of an answer; without dropout, as in the original."""

    def __init__(self, config: BertConfig, outputs: int = 2, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, config.hidden_size))
        self.bias = nn.Parameter(torch.empty(outputs))
        initialise(self, std=config.initializer_range, generator=generator or seeded(0))

    def forward(self, states: Tensor) -> Tensor:
        """(P, E) -> (P, 2)."""
        return F.linear(states, self.weight, self.bias)
