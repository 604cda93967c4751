"""A network whose output is one vector a sequence, the mean of its last states: sentence-transformers' usual model.

Letters: R rows, L row length, B sequences, E hidden size.
"""

from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from bertworks.model.config import BertConfig
from bertworks.model.dropout import Dropout
from bertworks.model.encoder import BertEncoder
from bertworks.model.initialise import seeded
from bertworks.model.layout import Rows


class BertForEmbedding(nn.Module):
    """The mean over a sequence's tokens, [CLS] and [SEP] included; no weights beside the encoder's."""

    head: ClassVar[str] = ""

    def __init__(self, encoder: BertEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    @classmethod
    def new(cls, config: BertConfig, outputs: int = 0, generator: torch.Generator | None = None) -> Self:
        """Random weights from one generator (None: seeded with 0); the vectors are as wide as the hidden states."""
        return cls(BertEncoder(config, generator or seeded(0)))

    @property
    def config(self) -> BertConfig:
        """Of the encoder."""
        return self.encoder.config

    def forward(self, rows: Rows, dropout: Dropout | None = None, *, direct: bool = False) -> Tensor:
        """Vectors (B, E) in the order of the sequences; see Embeddings.forward for `direct`."""
        return sequence_means(self.encoder(rows, dropout, direct=direct), rows)


def sequence_means(hidden: Tensor, rows: Rows) -> Tensor:
    """(R, L, E) -> (B, E): the mean over the tokens of each sequence, in float32 at least."""
    width = torch.promote_types(hidden.dtype, torch.float32)
    place = rows.sequence_ids.reshape(-1)
    is_token = place >= 0
    flat = hidden.reshape(-1, hidden.shape[-1])[is_token].to(width)
    sums = torch.zeros(len(rows.first_index), hidden.shape[-1], dtype=width, device=hidden.device)
    return sums.index_add(0, place[is_token], flat) / rows.lengths[:, None]
