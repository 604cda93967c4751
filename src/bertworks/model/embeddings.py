"""Ids become vectors: word + token type + position, LayerNorm, dropout.

Letters: R rows, L row length, T = R * L tokens, E hidden size, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn

from bertworks.base.errors import BertworksError
from bertworks.model.config import BertConfig
from bertworks.model.dropout import Dropout, drawn, multiplied
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

    def forward(self, rows: Rows, dropout: Dropout | None = None, direct: bool = False) -> Tensor:
        """(R, L, E).

        direct  the backward pass adds the rows' gradients to the word table's `.grad`, which must exist, instead of
                handing autograd a table of zeros with few rows filled
        Raises BertworksError if a sequence is longer than the position table.
        """
        check_positions(rows, len(self.position))
        summed: Tensor = EmbeddingSum.apply(  # type: ignore[no-untyped-call]
            self.word,
            self.token_type,
            self.position,
            rows.input_ids.reshape(-1),
            rows.token_type_ids.reshape(-1),
            rows.position_ids.reshape(-1),
            direct,
        )
        hidden = summed.view(*rows.input_ids.shape, -1)
        if self.norm is not None:
            hidden = self.norm(hidden)
        return multiplied(hidden, drawn(dropout, "embeddings", -1, hidden.shape, hidden))


class EmbeddingSum(torch.autograd.Function):
    """word[ids] + token_type[types] + position[positions], added in that order as the original does."""

    @staticmethod
    def forward(
        ctx: Any,
        word: Tensor,
        token_type: Tensor,
        position: Tensor,
        input_ids: Tensor,
        token_type_ids: Tensor,
        position_ids: Tensor,
        direct: bool,
    ) -> Tensor:
        """(T, E) from tables (·, E) and three times (T,) ids."""
        ctx.save_for_backward(input_ids, token_type_ids, position_ids)
        ctx.tables, ctx.direct = (word, token_type, position), direct
        summed = word.index_select(0, input_ids)
        summed += token_type.index_select(0, token_type_ids)
        summed += position.index_select(0, position_ids)
        return summed

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the tables; none for the word table where it was added directly."""
        rows = upstream[0].contiguous()
        input_ids, token_type_ids, position_ids = ctx.saved_tensors
        word, token_type, position = ctx.tables
        wants_word, wants_type, wants_position = ctx.needs_input_grad[:3]
        grad_word = grad_type = grad_position = None
        if wants_word:
            grad_word = add_rows(word.grad if ctx.direct else torch.zeros_like(word), input_ids, rows)
        if wants_type:
            is_type = token_type_ids == torch.arange(len(token_type), device=rows.device)[:, None]  # (types, T)
            grad_type = is_type.to(rows.dtype) @ rows
        if wants_position:
            grad_position = add_rows(torch.zeros_like(position), position_ids, rows)
        return None if ctx.direct else grad_word, grad_type, grad_position, None, None, None, None


def add_rows(table: Tensor, ids: Tensor, rows: Tensor) -> Tensor:
    """table[ids[i]] += rows[i], in the order of i on a CPU; ids (T,), rows (T, E).

    In half precision the rows of one id are summed in float32 first: [MASK] alone is an eighth of a batch.
    """
    if rows.dtype in (torch.float32, torch.float64):
        return table.scatter_add_(0, ids[:, None].expand_as(rows), rows)
    distinct, place = torch.unique(ids, return_inverse=True)
    sums = torch.zeros(len(distinct), rows.shape[1], dtype=torch.float32, device=rows.device)
    sums.scatter_add_(0, place[:, None].expand_as(rows), rows.float())
    return table.index_add_(0, distinct, sums.to(table.dtype))


def check_positions(rows: Rows, positions: int) -> None:
    """Raise BertworksError if a sequence is longer than the position table."""
    if rows.position_ids.shape[1] <= positions:
        return  # no position can lie beyond the row
    longest = int(rows.position_ids.max()) + 1
    if longest > positions:
        raise BertworksError(
            f"a sequence has {longest} tokens, the model takes {positions}", "cut it, or read it in windows"
        )
