"""Samples laid into packed rows and cut into micro-batches, ready for the model.

Rows are packed for the whole global batch before they are divided, so that row r is the same row for any number of
ranks and any micro-batch, and so are its dropout masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bertworks.engine.ranks import Ranks
from bertworks.model.layout import Rows, checked_lengths, first_fit, lay
from bertworks.pretrain.samples import Sample


@dataclass
class MicroBatch:
    """Rows the model reads in one go.

    rows                 R rows of packed samples
    first_row            number of its first row in the global batch
    masked_positions     (P,) flat index into (R * L); masked_labels (P,)
    next_sentence_labels (B,) 1 = B does not follow A; None without pairs
    tokens               real tokens, padding not counted
    sample_indexes       indexes in the epoch's order, for reports
    """

    rows: Rows
    first_row: int
    masked_positions: Tensor
    masked_labels: Tensor
    next_sentence_labels: Tensor | None
    tokens: int
    sample_indexes: list[int]

    def to(self, device: torch.device) -> "MicroBatch":
        """The same on another device."""
        if device.type == "cpu":
            return self
        labels = None if self.next_sentence_labels is None else self.next_sentence_labels.to(device)
        return MicroBatch(
            self.rows.to(device),
            self.first_row,
            self.masked_positions.to(device),
            self.masked_labels.to(device),
            labels,
            self.tokens,
            self.sample_indexes,
        )


def micro_batches(
    samples: Sequence[Sample], length: int, micro_tokens: int, ranks: Ranks | None = None
) -> list[MicroBatch]:
    """Pack samples into rows of `length`; return this rank's rows in micro-batches of at most `micro_tokens`.

    Every rank packs the same rows and takes its share of them. A rank without rows gets an empty list.
    """
    lengths = checked_lengths([sample.input_ids for sample in samples], length)
    row_of, start_of, row_count = first_fit(lengths, length)
    mine = (ranks or Ranks.alone()).share(row_count)
    by_row = np.argsort(row_of, kind="stable")
    borders = np.searchsorted(row_of[by_row], np.arange(row_count + 1))
    step = max(1, micro_tokens // length)
    batches = []
    for first in range(mine.start, mine.stop, step):
        last = min(first + step, mine.stop)
        chosen = by_row[borders[first] : borders[last]]
        flat_starts = (row_of[chosen] - first) * length + start_of[chosen]
        batches.append(_lay([samples[i] for i in chosen], lengths[chosen], flat_starts, first, last - first, length))
    return batches


def _lay(
    samples: list[Sample], lengths: np.ndarray, flat_starts: np.ndarray, first_row: int, row_count: int, length: int
) -> MicroBatch:
    rows = lay(
        [sample.input_ids for sample in samples],
        [sample.token_type_ids for sample in samples],
        lengths,
        flat_starts,
        row_count,
        length,
        row_count < len(samples),
    )
    positions = np.concatenate(
        [sample.masked_positions + start for sample, start in zip(samples, flat_starts, strict=True)]
    )
    labels = np.concatenate([sample.masked_labels for sample in samples])
    pair_labels = None
    if all(sample.is_pair for sample in samples):
        pair_labels = torch.tensor([int(sample.is_random) for sample in samples])
    return MicroBatch(
        rows,
        first_row,
        torch.from_numpy(positions),
        torch.from_numpy(labels.astype(np.int64)),
        pair_labels,
        int(lengths.sum()),
        [sample.index for sample in samples],
    )
