"""Networks with another head than BERT's: states of several layers or tokens pooled, a hidden layer before the classes.

Letters: R rows, L row length, B sequences, M tokens of the longest one, P tokens read, K layers + 1, E hidden size,
C classes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertworks.model.config import BertConfig
from bertworks.model.dropout import Dropout, drawn, multiplied
from bertworks.model.encoder import BertEncoder, Layer, linear
from bertworks.model.head_shape import PLAIN, HeadShape
from bertworks.model.heads import Classifier, Pooler
from bertworks.model.initialise import initialise, seeded
from bertworks.model.last_layer import chosen, layer_at, states_at
from bertworks.model.layout import Rows, attention_bias

LAST = 4  # layers that "last4" takes the mean of; all of them where there are fewer


class Pooling(nn.Module):
    """Hidden states to one vector a sequence, or one for each token read.

    layers  (K,) weights before the softmax, from 0: all layers count alike at first (only "weighted")
    query   (E,) from 0: all tokens count alike at first (only "attention")
    """

    def __init__(self, config: BertConfig, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "weighted":
            self.layers = nn.Parameter(torch.zeros(config.num_hidden_layers + 1))
        if kind == "attention":
            self.query = nn.Parameter(torch.zeros(config.hidden_size))

    def forward(self, encoder: BertEncoder, rows: Rows, dropout: Dropout | None, direct: bool) -> Tensor:
        """(B, E) over the tokens of a sequence, or (P, E) of the tokens read."""
        if self.kind == "cls":
            return states_at(encoder, rows, rows.read_index, dropout, direct=direct)
        if self.kind in ("last4", "weighted"):
            states = layer_states_at(encoder, rows, rows.read_index, dropout, direct)  # (K, P, E)
            if self.kind == "last4":
                return states[1:][-LAST:].mean(0)
            return torch.einsum("k,kpe->pe", torch.softmax(self.layers, 0), states)
        states, is_token = by_sequence(encoder(rows, dropout, direct=direct), rows)  # (B, M, E), (B, M)
        if self.kind == "max":
            return states.masked_fill(~is_token[:, :, None], -torch.inf).amax(1)
        if self.kind == "mean":
            shares = is_token.to(states.dtype) / is_token.sum(1, keepdim=True)
        else:
            scores = (states @ self.query) * len(self.query) ** -0.5
            shares = torch.softmax(scores.masked_fill(~is_token, -torch.inf), -1)
        return torch.einsum("bm,bme->be", shares, states)


class BertForShape(nn.Module):
    """The answers of any head shape: a sequence's (B, C), or (P, C) of the tokens read."""

    head: ClassVar[str] = "answer"

    def __init__(
        self,
        encoder: BertEncoder,
        pooling: Pooling,
        pooler: Pooler | None,
        hidden: nn.Linear | None,
        answer: Classifier,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.pooler = pooler
        self.hidden = hidden
        self.answer = answer

    @classmethod
    def new(
        cls,
        config: BertConfig,
        outputs: int,
        generator: torch.Generator | None = None,
        *,
        shape: HeadShape = PLAIN,
        of_tokens: bool = False,
    ) -> BertForShape:
        """Random weights with C = outputs, all from one generator (None: seeded with 0).

        of_tokens  an answer for each token read, not for each sequence; then there is no pooler
        """
        generator = generator or seeded(0)
        encoder = BertEncoder(config, generator)
        pooler = Pooler(config, generator) if shape.pooling == "cls" and not of_tokens else None
        width, hidden = config.hidden_size, None
        if shape.head == "mlp":
            width = shape.hidden_size or width
            hidden = linear(config.hidden_size, width)
            initialise(hidden, std=config.initializer_range, generator=generator)
        answer = Classifier(config, outputs, generator, width=width)
        return cls(encoder, Pooling(config, shape.pooling), pooler, hidden, answer)

    @property
    def config(self) -> BertConfig:
        """Of the encoder."""
        return self.encoder.config

    def forward(self, rows: Rows, dropout: Dropout | None = None, *, direct: bool = False) -> Tensor:
        """Logits, in the order of the sequences or of the tokens read; see Embeddings.forward for `direct`."""
        states = self.pooling(self.encoder, rows, dropout, direct)
        if self.pooler is not None:
            states = self.pooler(states)
        if self.hidden is not None:
            kept = drawn(dropout, "classifier", -2, states.shape, states)
            states = torch.tanh(self.hidden(multiplied(states, kept)))
        logits: Tensor = self.answer(states, dropout)
        return logits


def layer_states_at(encoder: BertEncoder, rows: Rows, places: Tensor, dropout: Dropout | None, direct: bool) -> Tensor:
    """(K, P, E): after the embeddings and after each layer, at the flat places (P,); the last as `states_at` has it."""
    bias = attention_bias(rows, encoder.embeddings.word.dtype)
    hidden = encoder.embeddings(rows, dropout, direct)
    found = [chosen(hidden, places)]
    *layers, last = encoder.layers
    for layer in layers:
        hidden = layer(hidden, bias, dropout)
        found.append(chosen(hidden, places))
    assert isinstance(last, Layer)
    found.append(encoder.normed(layer_at(last, hidden, places, bias, dropout)))
    return torch.stack(found)


def by_sequence(hidden: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """(R, L, E) -> (B, M, E) and which of it are tokens, (B, M) bool; what is no token is 0."""
    lengths = rows.lengths
    within = torch.arange(int(lengths.max()), device=hidden.device)
    is_token = within < lengths[:, None]
    places = (rows.first_index[:, None] + within).clamp_max(hidden.shape[0] * hidden.shape[1] - 1)
    states = F.embedding(places, hidden.reshape(-1, hidden.shape[-1]))
    return states.masked_fill(~is_token[:, :, None], 0.0), is_token
