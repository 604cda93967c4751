"""Rows with one text or two → windows for the encoder; what every task on sentences shares.

Letters: T tokens of one window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.tasks.task import TRUNCATIONS, Row, Window
from bertworks.tasks.windows import LEAST_LENGTH, cut_lengths, head, head_and_tail, pair_parts, pair_rooms, parts

if TYPE_CHECKING:
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Tokenizer

_NO_IDS = np.empty(0, np.int32)
Piece = tuple[np.ndarray, int]  # token ids that a window reads of one text, words it owns


def encode_rows(
    rows: Sequence[Row],
    targets: Sequence[int | float | tuple[int, ...] | None],
    tokenizer: Tokenizer,
    max_length: int,
    *,
    pair: bool,
    truncation: str,
) -> list[Window]:
    """[CLS] text [SEP], or [CLS] sentence1 [SEP] sentence2 [SEP]; a row that fits is one window.

    targets     one a row; each window of a row carries it
    max_length  T of the longest window, specials included
    pair        whether a row is two texts; where the second has no tokens the row is read as one, as in the original
    truncation  what happens to longer rows, see `task.TRUNCATIONS`
    Raises BertworksError for a row without its texts, or a max_length that leaves no room.
    """
    if max_length < LEAST_LENGTH:
        raise BertworksError(
            f"max_length {max_length} leaves no room for text", f"{LEAST_LENGTH} is the least, 128 is usual"
        )
    first = tokenizer.encode(_texts(rows, "sentence1" if pair else "text"))
    second = tokenizer.encode(_texts(rows, "sentence2")) if pair else [_NO_IDS] * len(rows)
    cls, sep = (np.array([token], np.int32) for token in (tokenizer.cls_token_id, tokenizer.sep_token_id))
    begins = ~tokenizer.continuation
    out: list[Window] = []
    for row, (a, b, target) in enumerate(zip(first, second, targets, strict=True)):
        words = int(begins[a].sum() + begins[b].sum())
        pieces = list(_pieces(a, b, begins, max_length, truncation))
        for number, ((ids_a, words_a), (ids_b, words_b)) in enumerate(pieces):
            input_ids = np.concatenate([cls, ids_a, sep, ids_b, sep] if len(ids_b) else [cls, ids_a, sep])
            types = np.zeros(len(input_ids), np.int8)
            types[len(ids_a) + 2 :] = 1  # of nothing where there is no second text
            covered = words_a + words_b
            out.append(Window(input_ids, types, row, target, 1 / len(pieces), covered, 0 if number else words))
    return out


def check_truncation(truncation: str) -> None:
    """Raise BertworksError for a truncation that is not of `task.TRUNCATIONS`."""
    if truncation not in TRUNCATIONS:
        raise BertworksError(
            f"truncation `{truncation}` is unknown",
            did_you_mean(truncation, TRUNCATIONS) or f"known: {', '.join(TRUNCATIONS)}",
        )


def check_texts(table: Table, *, pair: bool) -> None:
    """Raise BertworksError for a table of pairs where one text is read, or the other way round."""
    if table.is_pair != pair:
        has, wants = ("a pair of texts", "one text") if table.is_pair else ("one text", "a pair of texts")
        roles = "sentence1=…,sentence2=…" if pair else "text=…"
        raise BertworksError(
            f"{table.path}: has {has} a row, the model reads {wants}", f"name the columns: `--columns {roles}`"
        )


def pooled(windows: Sequence[Window], logits: Sequence[np.ndarray], rows: int, outputs: int) -> np.ndarray:
    """(rows, outputs) float64: the mean of each row's windows; logits (W, outputs)."""
    where = np.fromiter((window.row for window in windows), np.int64, len(windows))
    sums = np.zeros((rows, outputs))
    np.add.at(sums, where, np.asarray(logits, np.float64).reshape(len(windows), outputs))
    means: np.ndarray = sums / np.bincount(where, minlength=rows)[:, None]
    return means


def _pieces(
    a: np.ndarray, b: np.ndarray, begins: np.ndarray, max_length: int, truncation: str
) -> Iterator[tuple[Piece, Piece]]:
    """What each window reads of both texts."""
    room = max_length - (3 if len(b) else 2)
    starts_a, starts_b = begins[a], begins[b]
    if len(a) + len(b) <= room:
        yield (a, int(starts_a.sum())), (b, int(starts_b.sum()))
    elif truncation == "windows" and len(b):
        for part_a, part_b in pair_parts(starts_a, starts_b, room):
            yield (a[part_a.start : part_a.end], part_a.words), (b[part_b.start : part_b.end], part_b.words)
    elif truncation == "windows":
        for part in parts(starts_a, room):
            yield (a[part.start : part.end], part.words), (b, 0)
    elif truncation == "truncate":
        kept_a, kept_b = cut_lengths(len(a), len(b), room) if len(b) else (room, 0)
        yield (a[:kept_a], head(starts_a, kept_a).words), (b[:kept_b], head(starts_b, kept_b).words)
    else:
        room_a, room_b = pair_rooms(len(a), len(b), room) if len(b) else (room, 0)
        (at_a, words_a), (at_b, words_b) = head_and_tail(starts_a, room_a), head_and_tail(starts_b, room_b)
        yield (a[at_a], words_a), (b[at_b], words_b)


def _texts(rows: Sequence[Row], role: str) -> list[str]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get(role), str):
            there = ", ".join(f"`{key}`" for key in row) or "nothing"
            raise BertworksError(f"row {number} has no `{role}`, only {there}", f"the model reads `{role}`")
    return [row[role] for row in rows]
