"""First weights made from counts, so that training begins where word order can be learned; plain BERT's format.

Three parts, each of little use alone (docs/log.md has the runs):

- the word table holds vectors factorised from the training text's co-occurrences (word_vectors.py);
- the position table holds sinusoids (Vaswani et al. 2017, section 3.5) in columns of their own, so that a rotation of a
  position's vector is the vector of a position further on;
- heads of the first layer look at the neighbours: their query is the position's columns rotated by the distance, their
  key the columns as they are.

Letters: V vocabulary, E hidden size, P places of the position table, D head size, C columns of positions.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bertworks.corpus.open import Corpus
from bertworks.model.bert import BertForPreTraining
from bertworks.pretrain.word_vectors import word_vectors

DISTANCES = (-1, 1, -2, 2)  # of the neighbour that a head looks at, in the order of the heads
FASTEST, SLOWEST = 2.5, 2.5 / 128  # radians a position; the first tells neighbours apart, the last far places
PEAK = 5.76  # score of the neighbour before softmax, where words and positions have equal length
CONTENT = 0.5  # what is left of a neighbour head's random weights on the words' columns


@torch.no_grad()
def counted_start(model: BertForPreTraining, corpus: Corpus, documents: NDArray[np.int64], seed: int) -> None:
    """Replace the word and position tables and the queries and keys of the first layer's first heads, in place.

    model      with random weights; the rest of them stays
    documents  (n,) numbers of those that may be counted: not the held-out ones
    """
    encoder = model.encoder
    word, position = encoder.embeddings.word, encoder.embeddings.position
    heads = encoder.config.num_attention_heads
    columns = position_columns(word.shape[1], heads)
    length = encoder.config.initializer_range * math.sqrt(word.shape[1])  # of a word's vector, as a random one has it
    vectors = torch.from_numpy(word_vectors(corpus, documents, word.shape[1] - columns, seed)).to(word)
    met = vectors.any(dim=1)
    word[met] = 0
    word[met, columns : columns + vectors.shape[1]] = length * vectors[met]
    rates = frequencies(columns)
    position.zero_()
    position[:, :columns] = length / math.sqrt(len(rates)) * sinusoids(torch.arange(len(position)), rates).to(word)
    look_at_neighbours(encoder.get_parameter("layers.0.qkv.weight"), heads, rates)


def position_columns(width: int, heads: int) -> int:
    """C: a quarter of the hidden size, a head's at most, even."""
    return min(width // heads, width // 4) // 2 * 2


def frequencies(columns: int) -> Tensor:
    """(C / 2,) radians a position, falling geometrically."""
    return FASTEST * (SLOWEST / FASTEST) ** (torch.arange(columns // 2) / (columns // 2))


def sinusoids(places: Tensor, rates: Tensor) -> Tensor:
    """(P, C): sine and cosine of place x rate side by side."""
    angles = places[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def look_at_neighbours(qkv: Tensor, heads: int, rates: Tensor) -> None:
    """Make query and key of the first heads score the position at one of DISTANCES highest; qkv (3E, E), in place."""
    width = qkv.shape[1]
    size, columns = width // heads, 2 * len(rates)
    # Words and positions share the normed vector's length √E, so the columns hold E / 2 of its square.
    gain = math.sqrt(PEAK * math.sqrt(size) / (width / 2))
    query, key, _ = qkv.view(3, heads, size, width)
    for head, distance in enumerate(DISTANCES[:heads]):
        for matrix, turned in ((query[head], distance), (key[head], 0)):
            matrix *= CONTENT
            matrix[:, :columns] = 0
            matrix[:columns, :columns] = gain * rotation(turned * rates).to(qkv)


def rotation(angles: Tensor) -> Tensor:
    """(C, C) block-diagonal: takes (sin a, cos a) to (sin(a + angle), cos(a + angle)), pair by pair."""
    sines = torch.arange(0, 2 * len(angles), 2)
    cosines = sines + 1
    turned = torch.zeros(2 * len(angles), 2 * len(angles))
    turned[sines, sines] = turned[cosines, cosines] = angles.cos()
    turned[sines, cosines] = angles.sin()
    turned[cosines, sines] = -angles.sin()
    return turned
