"""Final states of chosen tokens without the work that nobody reads: in the last layer only those tokens go on.

A classifier looks at one token of each sequence, pre-training at the masked ones as well. So the last layer's output
and feed-forward part, three quarters of it, are computed for these alone, and where there are few of them its queries
and attention too: the same numbers and gradients, to rounding.

Letters: R rows, L row length, P places, E hidden size, H heads, D head size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from bertworks.model.dropout import Dropout, drawn, multiplied
from bertworks.model.encoder import BertEncoder, Layer
from bertworks.model.layout import Rows, attention_bias

FEW = 4  # places a row: up to here each copies its row's keys and values, beyond all queries are asked


def states_at(
    encoder: BertEncoder, rows: Rows, places: Tensor, dropout: Dropout | None = None, *, direct: bool = False
) -> Tensor:
    """The last hidden states at the flat places (P,) of (R * L): (P, E), as `encoder(rows, dropout)` has them there.

    direct  see Embeddings.forward
    """
    bias = attention_bias(rows, encoder.embeddings.word.dtype)
    hidden = encoder.embeddings(rows, dropout, direct)
    *layers, last = encoder.layers
    for layer in layers:
        hidden = layer(hidden, bias, dropout)
    assert isinstance(last, Layer)
    return encoder.normed(layer_at(last, hidden, places, bias, dropout))


def layer_at(layer: Layer, hidden: Tensor, places: Tensor, bias: Tensor | None, dropout: Dropout | None) -> Tensor:
    """What `layer(hidden, bias, dropout)` gives at the flat places (P,): (R, L, E) -> (P, E)."""

    def kept(place: str) -> Tensor | None:
        everywhere = drawn(dropout, place, layer.index, hidden.shape, hidden)
        return None if everywhere is None else chosen(everywhere, places)

    stream = chosen(hidden, places)
    read = layer.attention_norm(hidden) if layer.pre_norm else hidden
    if len(places) <= FEW * len(hidden):
        mixed = attend_few(layer, read, places, bias, dropout)
    else:
        mixed = chosen(layer.mixed(read, bias, dropout), places)
    stream = stream + multiplied(layer.attention_output(mixed), kept("attention_output"))
    inner = layer.output_norm(stream) if layer.pre_norm else layer.attention_norm(stream)
    worked = multiplied(layer.feed_forward(inner), kept("output"))
    out: Tensor = stream + worked if layer.pre_norm else layer.output_norm(inner + worked)
    return out


def chosen(everywhere: Tensor, places: Tensor) -> Tensor:
    """(R, L, E) -> (P, E)."""
    return everywhere.reshape(-1, everywhere.shape[-1]).index_select(0, places)


def attend_few(layer: Layer, read: Tensor, places: Tensor, bias: Tensor | None, dropout: Dropout | None) -> Tensor:
    """Attention of the queries at the places alone, each over its row: read (R, L, E) -> (P, E)."""
    n_rows, length, width = read.shape
    heads = layer.heads
    row, place = places // length, places % length
    weight, offset = layer.qkv.weight, layer.qkv.bias
    query = F.linear(chosen(read, places), weight[:width], offset[:width]).view(-1, heads, 1, width // heads)
    both = F.linear(read, weight[width:], offset[width:]).view(n_rows, length, 2, heads, -1)
    key, value = both.permute(2, 0, 3, 1, 4).unbind(0)  # (R, H, L, D)
    if len(places) != n_rows or not torch.equal(row, torch.arange(n_rows, device=row.device)):
        key, value = key[row], value[row]  # (P, H, L, D)
    scores = (query * (width // heads) ** -0.5) @ key.mT  # (P, H, 1, L)
    if bias is not None:
        scores = scores + (bias[row] if bias.shape[2] == 1 else bias[row, :, place][:, :, None])
    probs = torch.softmax(scores, -1)
    kept = drawn(dropout, "attention_probs", layer.index, (n_rows, heads, length, length), read)
    if kept is not None:
        probs = probs * kept[row, :, place][:, :, None]
    return (probs @ value).reshape(-1, width)
