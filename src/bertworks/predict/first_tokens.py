"""Logits of a sentence model without the work that nobody reads: in the last layer only the first tokens go on.

A classifier looks at one token of each sequence, so the last layer's queries, output and feed-forward part are computed
for that token alone: five sixths of that layer, exactly the same numbers and gradients.

Letters: R rows, L row length, B sequences, E hidden size, H heads, D head size, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bertworks.model.activations import activate
from bertworks.model.bert import BertForSentence
from bertworks.model.dropout import Dropout, drawn, multiplied
from bertworks.model.encoder import BertEncoder, Layer
from bertworks.model.layout import Rows, attention_bias


def sentence_logits(
    model: BertForSentence, rows: Rows, dropout: Dropout | None = None, *, direct: bool = False
) -> Tensor:
    """What `model(rows, dropout, direct=direct)` gives: logits (B, C)."""
    first = first_states(model.encoder, rows, dropout, direct=direct)
    pooled = torch.tanh(model.pooler.dense(first))
    logits: Tensor = model.classifier(pooled, dropout)
    return logits


def first_states(encoder: BertEncoder, rows: Rows, dropout: Dropout | None = None, *, direct: bool = False) -> Tensor:
    """The last hidden state of each sequence's first token, (B, E)."""
    bias = attention_bias(rows, encoder.embeddings.word.dtype)
    hidden = encoder.embeddings(rows, dropout, direct)
    *layers, last = encoder.layers
    for layer in layers:
        hidden = layer(hidden, bias, dropout)
    assert isinstance(last, Layer)
    return encoder.normed(first_of_layer(last, hidden, rows.first_index, bias, dropout))


def first_of_layer(
    layer: Layer, hidden: Tensor, first_index: Tensor, bias: Tensor | None, dropout: Dropout | None
) -> Tensor:
    """What `layer(hidden, bias, dropout)` gives at the flat places first_index (B,): (R, L, E) -> (B, E)."""
    width = hidden.shape[-1]

    def chosen(everywhere: Tensor | None) -> Tensor | None:
        return None if everywhere is None else everywhere.reshape(-1, width).index_select(0, first_index)

    def kept(place: str) -> Tensor | None:
        return chosen(drawn(dropout, place, layer.index, hidden.shape, hidden))

    read = layer.attention_norm(hidden) if layer.pre_norm else hidden
    stream, asking = chosen(hidden), chosen(read)
    assert stream is not None
    assert asking is not None
    mixed = layer.attention_output(attend_first(layer, read, asking, first_index, bias, dropout))
    stream = stream + multiplied(mixed, kept("attention_output"))
    inner = layer.output_norm(stream) if layer.pre_norm else layer.attention_norm(stream)
    worked = multiplied(layer.output(activate(layer.intermediate(inner), layer.activation)), kept("output"))
    out: Tensor = stream + worked if layer.pre_norm else layer.output_norm(inner + worked)
    return out


def attend_first(
    layer: Layer, read: Tensor, asking: Tensor, first_index: Tensor, bias: Tensor | None, dropout: Dropout | None
) -> Tensor:
    """Attention of one query a sequence over its row: read (R, L, E), asking (B, E) -> (B, E)."""
    n_rows, length, width = read.shape
    heads = layer.heads
    row, place = first_index // length, first_index % length
    weight, offset = layer.qkv.weight, layer.qkv.bias
    query = F.linear(asking, weight[:width], offset[:width]).view(-1, heads, 1, width // heads)  # (B, H, 1, D)
    both = F.linear(read, weight[width:], offset[width:]).view(n_rows, length, 2, heads, -1)
    key, value = both.permute(2, 0, 3, 1, 4).unbind(0)  # (R, H, L, D)
    if len(first_index) != n_rows:
        key, value = key[row], value[row]  # (B, H, L, D)
    scores = (query * (width // heads) ** -0.5) @ key.mT  # (B, H, 1, L)
    if bias is not None:
        scores = scores + (bias[row] if bias.shape[2] == 1 else bias[row, :, place][:, :, None])
    probs = torch.softmax(scores, -1)
    kept = drawn(dropout, "attention_probs", layer.index, (n_rows, heads, length, length), read)
    if kept is not None:
        probs = probs * kept[row, :, place][:, :, None]
    return (probs @ value).reshape(-1, width)
