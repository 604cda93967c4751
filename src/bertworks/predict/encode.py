"""Texts → vectors: hidden states of any layers, for each piece or pooled over the text.

Letters: n texts, T pieces of a text with [CLS] and [SEP], K layers asked for, E hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from bertworks.base.errors import BertworksError
from bertworks.model.layout import pad_rows
from bertworks.predict.batches import TOKEN_BUDGET, length_batches, padded_length

if TYPE_CHECKING:
    from bertworks.model.encoder import BertEncoder
    from bertworks.text.tokenizer import Tokenizer

Layers = int | Sequence[int] | Literal["all"]
POOLINGS = ("mean", "cls", "max")
UNITS = ("text", "piece")


def encode(
    encoder: BertEncoder,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    layers: Layers = -1,
    pooling: str = "mean",
    unit: str = "text",
    max_length: int | None = None,
    token_budget: int = TOKEN_BUDGET,
) -> np.ndarray | list[np.ndarray]:
    """Hidden states of texts, in float32.

    layers   0 = after the embeddings, 1 … = after each layer, negative from the end; several, or "all"
    pooling  "mean" over all pieces, [CLS] and [SEP] included; "cls" the first one; "max" of each number
    unit     "text" gives (n, E), or (n, K, E) where `layers` names several; "piece" a list of (T, E) or (K, T, E)
    A text longer than `max_length` (None: the model's positions) is read in overlapping windows; each piece keeps the
    vector of the window in which it stands farthest from an edge.
    Raises BertworksError for a layer, a pooling or a unit that is not there.
    """
    chosen = chosen_layers(layers, encoder.config.num_hidden_layers)
    if pooling not in POOLINGS:
        raise BertworksError(f"pooling `{pooling}` is unknown", f"choose one of {', '.join(POOLINGS)}")
    if unit not in UNITS:
        raise BertworksError(f"unit `{unit}` is unknown", f"choose one of {', '.join(UNITS)}")
    positions = encoder.config.max_position_embeddings
    limit = min(positions, max_length or positions)
    if limit < 3:
        raise BertworksError(f"max_length is {limit}, a window needs [CLS], a piece and [SEP]")
    vectors = [np.empty(0, np.float32)] * len(texts)
    for start in range(0, len(texts), CHUNK_TEXTS):
        ids = tokenizer.encode(texts[start : start + CHUNK_TEXTS])
        states = piece_states(encoder, tokenizer, ids, chosen, limit, token_budget)
        for i, state in enumerate(states):
            whole = state if unit == "piece" else pooled(state, pooling)  # (K, T, E) or (K, E)
            vectors[start + i] = whole[0] if isinstance(layers, int) else whole
    if unit == "piece":
        return vectors
    shape = (encoder.config.hidden_size,) if isinstance(layers, int) else (len(chosen), encoder.config.hidden_size)
    return np.stack(vectors) if vectors else np.empty((0, *shape), np.float32)


CHUNK_TEXTS = 512  # their pieces' vectors are in memory together


def chosen_layers(layers: Layers, number: int) -> list[int]:
    """Indices into the number + 1 hidden states, all from 0."""
    if layers == "all":
        return list(range(number + 1))
    asked = [layers] if isinstance(layers, int) else list(layers)
    for layer in asked:
        if not isinstance(layer, int) or not -number - 1 <= layer <= number:
            raise BertworksError(f"layer {layer} is not there", f"0 (embeddings) to {number}, or -1 to {-number - 1}")
    return [layer % (number + 1) for layer in asked]


def piece_states(
    encoder: BertEncoder,
    tokenizer: Tokenizer,
    ids: Sequence[np.ndarray],
    layers: Sequence[int],
    limit: int,
    token_budget: int,
) -> list[np.ndarray]:
    """Hidden states (K, T, E) of each text, specials included."""
    width = encoder.config.hidden_size
    found = [np.empty((len(layers), len(text) + 2, width), np.float32) for text in ids]
    places = [(i, *span) for i, text in enumerate(ids) for span in spans(len(text), limit - 2)]
    framed = [
        np.concatenate([[tokenizer.cls_token_id], ids[i][start:stop], [tokenizer.sep_token_id]])
        for i, start, stop, _, _ in places
    ]
    lengths = np.fromiter(map(len, framed), np.int64, len(framed))
    device = encoder.embeddings.word.device
    with torch.inference_mode():
        for members in length_batches(lengths, token_budget=token_budget):
            sequences = [framed[m] for m in members.tolist()]
            length = min(padded_length(int(lengths[members[0]])), encoder.config.max_position_embeddings)
            rows = pad_rows(sequences, None, length).to(device)
            states = encoder.forward_all(rows)
            kept = torch.stack([states[layer] for layer in layers]).float().cpu().numpy()  # (K, B, L, E)
            for b, m in enumerate(members.tolist()):
                i, start, _, first, last = places[m]
                # a window at the text's edge owns the special piece there
                begin, end = (0 if first == 0 else first + 1), (last + 2 if last == len(ids[i]) else last + 1)
                found[i][:, begin:end] = kept[:, b, begin - start : end - start]
    return found


def spans(number: int, room: int) -> list[tuple[int, int, int, int]]:
    """Overlapping windows over `number` pieces: (start, stop, first owned, end of owned), at most `room` long.

    Neighbours share half a window; each piece belongs to the window where it is farthest from an edge.
    """
    if number <= room:
        return [(0, number, 0, number)]
    step = max(1, room // 2)
    starts = [*range(0, number - room, step), number - room]
    cuts = [0, *((left + room + right) // 2 for left, right in pairwise(starts)), number]
    return [(start, start + room, cuts[i], cuts[i + 1]) for i, start in enumerate(starts)]


def pooled(states: np.ndarray, pooling: str) -> np.ndarray:
    """(K, T, E) → (K, E)."""
    if pooling == "cls":
        return states[:, 0].copy()
    whole: np.ndarray = states.mean(1) if pooling == "mean" else states.max(1)
    return whole
