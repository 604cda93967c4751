"""Sequences as rows of equal length: packed (several sequences in a row) or padded (one a row).

R rows, L row length, B sequences. Packing wastes 0 to 2 % of a row; padding to the longest wastes 18 to 60 %.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from bertworks.base.errors import BertworksError

# Added to the scores of what may not be attended, as the original does: exp(-10000) is 0 in every dtype.
MASKED_SCORE = -10_000.0


@dataclass
class Rows:
    """One batch of sequences laid out in rows.

    input_ids, token_type_ids, position_ids  (R, L) int64; positions restart with each sequence
    sequence_ids                             (R, L) int64, which sequence of the input stands there, -1 = padding
    first_index                              (B,) int64, flat index into (R * L) of each sequence's first token
    read_index                               (P,) int64, flat index of the tokens that a task's head reads, sequence by
                                             sequence; as first_index unless `reading` says otherwise
    is_packed                                some row holds more than one sequence
    is_full                                  there is no padding
    """

    input_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    sequence_ids: Tensor
    first_index: Tensor
    is_packed: bool = field(default=None)  # type: ignore[assignment]  # None: found from sequence_ids
    is_full: bool = field(default=None)  # type: ignore[assignment]
    read_index: Tensor = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.read_index is None:
            self.read_index = self.first_index
        if self.is_full is None:
            self.is_full = bool((self.sequence_ids >= 0).all())
        if self.is_packed is None:
            first, real = self.sequence_ids[:, :1], self.sequence_ids >= 0
            self.is_packed = bool(((self.sequence_ids != first) & real).any())

    @property
    def lengths(self) -> Tensor:
        """(B,) int64, tokens of each sequence, in input order."""
        flat = self.sequence_ids.reshape(-1)
        return torch.bincount(flat[flat >= 0], minlength=len(self.first_index))

    def to(self, device: torch.device | str) -> "Rows":
        """The same rows on another device."""
        return Rows(
            self.input_ids.to(device),
            self.token_type_ids.to(device),
            self.position_ids.to(device),
            self.sequence_ids.to(device),
            self.first_index.to(device),
            self.is_packed,
            self.is_full,
            self.read_index.to(device),
        )

    def reading(self, tokens: Sequence[np.ndarray]) -> "Rows":
        """The same rows for a head that reads these tokens: of each sequence (P_i,) places counted from its first."""
        counts = np.fromiter(map(len, tokens), np.int64, len(tokens))
        firsts = np.repeat(self.first_index.numpy(), counts)
        return dataclasses.replace(self, read_index=torch.from_numpy(firsts + np.concatenate(tokens)))


def attention_bias(rows: Rows, dtype: torch.dtype) -> Tensor | None:
    """What is added to the attention scores: 0, or MASKED_SCORE between tokens that may not see each other.

    Packed rows: (R, 1, L, L), block diagonal. Padded rows: (R, 1, 1, L). None when every row is one whole sequence.
    """
    ids = rows.sequence_ids
    if rows.is_packed:
        hidden = ids[:, None, :, None] != ids[:, None, None, :]
    elif not rows.is_full:
        hidden = (ids < 0)[:, None, None, :]
    else:
        return None
    return torch.zeros(hidden.shape, dtype=dtype, device=ids.device).masked_fill_(hidden, MASKED_SCORE)


def pack_rows(sequences: Sequence[np.ndarray], types: Sequence[np.ndarray] | None, length: int) -> Rows:
    """Lay sequences into rows of `length`, the longest first, each where the room left is smallest.

    sequences  B arrays of ids (T_i,), 1 <= T_i <= length
    types      B arrays of 0/1 of the same lengths, or None for all 0
    Raises BertworksError for an empty sequence or one longer than a row.
    """
    lengths = checked_lengths(sequences, length)
    row_of, start_of, n_rows = first_fit(lengths, length)
    return lay(sequences, types, lengths, row_of * length + start_of, n_rows, length, n_rows < len(sequences))


def pad_rows(sequences: Sequence[np.ndarray], types: Sequence[np.ndarray] | None, length: int | None = None) -> Rows:
    """One sequence a row, in input order; `length` None pads to the longest.

    Raises BertworksError for an empty sequence or one longer than `length`.
    """
    lengths = checked_lengths(sequences, length)
    if length is None:
        length = int(lengths.max())
    return lay(sequences, types, lengths, np.arange(len(lengths)) * length, len(lengths), length, False)


def checked_lengths(sequences: Sequence[np.ndarray], limit: int | None) -> np.ndarray:
    """(B,) int64 lengths of the sequences."""
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    if not len(lengths):
        raise BertworksError("no sequence to lay out")
    if lengths.min() < 1:
        raise BertworksError(f"sequence {int(lengths.argmin())} is empty")
    if limit is not None and lengths.max() > limit:
        worst = int(lengths.argmax())
        raise BertworksError(
            f"sequence {worst} has {lengths[worst]} tokens, a row takes {limit}", "cut it, or read it in windows"
        )
    return lengths


def first_fit(lengths: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Best-fit-decreasing: row and start of each sequence, and how many rows there are.

    Rows are kept in buckets by the room they have left, so that a sequence costs one look for the next filled bucket.
    """
    row_of = np.empty(len(lengths), np.int64)
    start_of = np.empty(len(lengths), np.int64)
    rows_with_room: list[list[int]] = [[] for _ in range(length + 1)]
    rooms = 0  # bit r set: some row has room r
    n_rows = 0
    for i in np.argsort(-lengths, kind="stable").tolist():
        n = int(lengths[i])
        fitting = rooms >> n
        if fitting:
            room = n + (fitting & -fitting).bit_length() - 1
            bucket = rows_with_room[room]
            row = bucket.pop()
            if not bucket:
                rooms ^= 1 << room
        else:
            room, row = length, n_rows
            n_rows += 1
        row_of[i], start_of[i] = row, length - room
        if room > n:
            rows_with_room[room - n].append(row)
            rooms |= 1 << (room - n)
    return row_of, start_of, n_rows


def lay(
    sequences: Sequence[np.ndarray],
    types: Sequence[np.ndarray] | None,
    lengths: np.ndarray,
    first_index: np.ndarray,
    n_rows: int,
    length: int,
    is_packed: bool,
) -> Rows:
    """Copy the sequences to their places; first_index (B,) flat, of each one's first token."""
    n_tokens = int(lengths.sum())
    begins = np.cumsum(lengths) - lengths
    within = np.arange(n_tokens) - np.repeat(begins, lengths)
    places = np.repeat(first_index, lengths) + within

    def filled(values: np.ndarray, empty: int) -> Tensor:
        flat = np.full(n_rows * length, empty, np.int64)
        flat[places] = values
        return torch.from_numpy(flat.reshape(n_rows, length))

    zeros = np.zeros(n_tokens, np.int64)
    return Rows(
        input_ids=filled(np.concatenate(sequences), 0),
        token_type_ids=filled(zeros if types is None else np.concatenate(types), 0),
        position_ids=filled(within, 0),
        sequence_ids=filled(np.repeat(np.arange(len(lengths)), lengths), -1),
        first_index=torch.from_numpy(np.ascontiguousarray(first_index, np.int64)),
        is_packed=is_packed,
        is_full=n_tokens == n_rows * length,
    )
