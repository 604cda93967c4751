"""The encoder: embeddings and a stack of layers, post-norm as published or pre-norm as MegatronBert.

Letters: R rows, L row length, E hidden size, F feed-forward size.
"""

import torch
from torch import Tensor, nn

from bertworks.model.activations import activate
from bertworks.model.attention import attend
from bertworks.model.config import BertConfig
from bertworks.model.dropout import Dropout, added, drawn
from bertworks.model.embeddings import Embeddings
from bertworks.model.initialise import initialise, seeded
from bertworks.model.layout import Rows, attention_bias


class Layer(nn.Module):
    """Attention and feed-forward, each added to its input; LayerNorm after the sum, or before (pre-norm)."""

    def __init__(self, config: BertConfig, index: int) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.index = index
        self.heads = config.num_attention_heads
        self.activation = config.hidden_act
        self.pre_norm = config.pre_norm
        self.qkv = linear(width, 3 * width)
        self.attention_output = linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.intermediate = linear(width, inner)
        self.output = linear(inner, width)
        self.output_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor, bias: Tensor | None, dropout: Dropout | None) -> Tensor:
        """(R, L, E) -> (R, L, E); bias as attention_bias returns it."""
        if self.pre_norm:
            mixed = self.attention(self.attention_norm(hidden), bias, dropout)
            hidden = added(hidden, mixed, self.kept("attention_output", mixed, dropout))
            worked = self.feed_forward(self.output_norm(hidden))
            return added(hidden, worked, self.kept("output", worked, dropout))
        mixed = self.attention(hidden, bias, dropout)
        hidden = self.attention_norm(added(hidden, mixed, self.kept("attention_output", mixed, dropout)))
        worked = self.feed_forward(hidden)
        hidden = self.output_norm(added(hidden, worked, self.kept("output", worked, dropout)))
        return hidden

    def attention(self, hidden: Tensor, bias: Tensor | None, dropout: Dropout | None) -> Tensor:
        """What attention adds to the stream, before dropout."""
        added_up: Tensor = self.attention_output(self.mixed(hidden, bias, dropout))
        return added_up

    def mixed(self, hidden: Tensor, bias: Tensor | None, dropout: Dropout | None) -> Tensor:
        """The heads' mixtures of values side by side, (R, L, E)."""
        n_rows, length, _ = hidden.shape
        kept = drawn(dropout, "attention_probs", self.index, (n_rows, self.heads, length, length), hidden)
        return attend(self.qkv(hidden), bias, self.heads, kept)

    def feed_forward(self, hidden: Tensor) -> Tensor:
        """What the feed-forward part adds to the stream, before dropout."""
        worked: Tensor = self.output(activate(self.intermediate(hidden), self.activation))
        return worked

    def kept(self, place: str, like: Tensor, dropout: Dropout | None) -> Tensor | None:
        """Dropout's multipliers for one place of this layer."""
        return drawn(dropout, place, self.index, like.shape, like)


class BertEncoder(nn.Module):
    """Rows of ids to hidden states.

    generator       of the random weights; None is a generator seeded with 0
    initialisation  "truncated_normal" as published, or "normal" as transformers
    """

    def __init__(
        self,
        config: BertConfig,
        generator: torch.Generator | None = None,
        *,
        initialisation: str = "truncated_normal",
    ) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps) if config.pre_norm else None
        initialise(self, std=config.initializer_range, generator=generator or seeded(0), kind=initialisation)

    def forward(self, rows: Rows, dropout: Dropout | None = None, *, direct: bool = False) -> Tensor:
        """The last hidden state, (R, L, E); see Embeddings.forward for `direct`."""
        bias = attention_bias(rows, self.embeddings.word.dtype)
        hidden = self.embeddings(rows, dropout, direct)
        for layer in self.layers:
            hidden = layer(hidden, bias, dropout)
        return self.normed(hidden)

    def forward_all(self, rows: Rows, dropout: Dropout | None = None) -> list[Tensor]:
        """layers + 1 tensors (R, L, E): after the embeddings, after each layer; the last one as forward gives it."""
        bias = attention_bias(rows, self.embeddings.word.dtype)
        states = [self.embeddings(rows, dropout)]
        for layer in self.layers:
            states.append(layer(states[-1], bias, dropout))
        states[-1] = self.normed(states[-1])
        return states

    def normed(self, hidden: Tensor) -> Tensor:
        """Through the final LayerNorm, which only a pre-norm network has."""
        last: Tensor = hidden if self.final_norm is None else self.final_norm(hidden)
        return last


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear map whose weights are still to be filled: nothing is drawn from torch's global generator."""
    return nn.Linear(inputs, outputs, device="meta").to_empty(device=torch.get_default_device())
