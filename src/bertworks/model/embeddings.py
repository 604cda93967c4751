"""Ids become vectors: word + token type + position, LayerNorm, dropout.

Letters: R rows, L row length, E hidden size, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertworks.base.errors import BertworksError
from bertworks.model.config import BertConfig
from bertworks.model.dropout import Dropout
from bertworks.model.layout import Rows


class Embeddings(nn.Module):
    """The three tables; their sum is normalised, except in a pre-norm network."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word = nn.Parameter(torch.empty(config.vocab_size, width))
        self.position = nn.Parameter(torch.empty(config.max_position_embeddings, width))
        self.token_type = nn.Parameter(torch.empty(config.type_vocab_size, width))
        self.norm = None if config.pre_norm else nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, rows: Rows, dropout: Dropout | None = None) -> Tensor:
        """(R, L, E). Raises BertworksError if a sequence is longer than the position table."""
        check_positions(rows, len(self.position))
        summed = F.embedding(rows.input_ids, self.word)
        summed = summed + F.embedding(rows.token_type_ids, self.token_type)
        summed = summed + F.embedding(rows.position_ids, self.position)
        hidden = summed if self.norm is None else self.norm(summed)
        if dropout is not None:
            kept = dropout("embeddings", -1, hidden.shape, hidden.dtype, hidden.device)
            if kept is not None:
                hidden = hidden * kept
        return hidden


def check_positions(rows: Rows, positions: int) -> None:
    """Raise BertworksError if a sequence is longer than the position table."""
    if rows.position_ids.shape[1] <= positions:
        return  # no position can lie beyond the row
    longest = int(rows.position_ids.max()) + 1
    if longest > positions:
        raise BertworksError(
            f"a sequence has {longest} tokens, the model takes {positions}", "cut it, or read it in windows"
        )
