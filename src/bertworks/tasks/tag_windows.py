"""Rows in words → windows whose head reads the first piece of each word, with text of the same document around.

Letters: T tokens of one window, M words that a window owns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.tasks.task import Window
from bertworks.tasks.windows import LEAST_LENGTH, owned

if TYPE_CHECKING:
    from bertworks.text.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class TagWindow(Window):
    """A window whose head reads the first piece of each word it owns.

    words_read  (M,) int64 numbers of these words in the row
    tags        (M,) int64 their tags, UNKNOWN where there is none to learn from
    begins, ends  whether these words begin and end the row
    """

    words_read: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    tags: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    begins: bool = True
    ends: bool = True


UNKNOWN = -1  # number of a tag that training did not see, or of a word without one: not in the loss
NOTHING = np.empty(0, np.int32)


@dataclass(frozen=True)
class Sentence:
    """A row in pieces.

    ids     tokens of all its words, int32
    firsts  (words,) int64 place of each word's first piece among them
    """

    ids: np.ndarray
    firsts: np.ndarray


def encode_words(rows: Sequence[Sequence[str]], tokenizer: Tokenizer) -> list[Sentence]:
    """Each word on its own, as the original's taggers do; a word that the rules leave nothing of is [UNK]."""
    distinct = list(dict.fromkeys(word for words in rows for word in words))
    unknown = np.array([tokenizer.unk_token_id], np.int32)
    pieces = {
        word: ids if len(ids) else unknown for word, ids in zip(distinct, tokenizer.encode(distinct), strict=True)
    }
    found = []
    for words in rows:
        ids = [pieces[word] for word in words]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        joined = np.concatenate([*ids, np.empty(0, np.int32)]).astype(np.int32)
        found.append(Sentence(joined, np.cumsum(lengths) - lengths))
    return found


def check_room(max_length: int) -> None:
    """Raise BertworksError for a max_length that leaves no room."""
    if max_length < LEAST_LENGTH:
        raise BertworksError(
            f"max_length {max_length} leaves no room for text", f"{LEAST_LENGTH} is the least, 128 is usual"
        )


def row_windows(
    row: int,
    sentence: Sentence,
    tags: np.ndarray,
    tokenizer: Tokenizer,
    max_length: int,
    *,
    is_cut: bool = False,
    around: tuple[np.ndarray, np.ndarray] | None = None,
) -> Iterator[TagWindow]:
    """[CLS] a part of the row [SEP], as many as the row needs; each word is owned by one of them.

    tags    (words,) int64
    is_cut  only the first window: what it does not hold is lost, and counted
    around  tokens before and after the row, for a row that fits in one window
    """
    ids, firsts = sentence.ids, sentence.firsts
    starts = np.zeros(len(ids), bool)
    starts[firsts] = True
    spans = owned(starts, max_length - 2)[: 1 if is_cut else None]
    before, after = around if around is not None and len(spans) == 1 else (NOTHING, NOTHING)
    for number, (start, end, left, right) in enumerate(spans):
        of_window = np.flatnonzero((firsts >= left) & (firsts < min(right, end)))
        framed = [[tokenizer.cls_token_id], before, ids[start:end], after, [tokenizer.sep_token_id]]
        input_ids = np.concatenate(framed).astype(np.int32)
        yield TagWindow(
            input_ids,
            np.zeros(len(input_ids), np.int8),
            row,
            None,
            1 / len(spans),
            len(of_window),
            0 if number else len(firsts),
            (firsts[of_window] - start + 1 + len(before)).astype(np.int32),
            of_window,
            tags[of_window],
            number == 0,
            right >= len(ids),
        )


def surroundings(
    sentences: Sequence[Sentence], documents: Sequence[str | None], context: int, max_length: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each row up to `context` tokens of its document before it and as many after it, no more than a window holds.

    documents  which document a row is of; rows of one stand together, None has no neighbours
    FLERT (Schweter and Akbik 2020) takes 64 tokens of each side; the paper's own figures have document context too.
    """
    found = []
    for number, sentence in enumerate(sentences):
        room = max(0, max_length - 2 - len(sentence.ids))
        before = _gathered(sentences, documents, number, -1, context)
        after = _gathered(sentences, documents, number, 1, context)
        kept = min(len(before), max(room - len(after), room // 2))
        found.append((before[len(before) - kept :], after[: room - kept]))
    return found


def _gathered(
    sentences: Sequence[Sentence], documents: Sequence[str | None], number: int, step: int, most: int
) -> np.ndarray:
    """The nearest `most` tokens of the document on one side of a row, in reading order."""
    parts: list[np.ndarray] = []
    total, at = 0, number + step
    while total < most and 0 <= at < len(sentences) and documents[at] == documents[number] is not None:
        parts.append(sentences[at].ids)
        total += len(sentences[at].ids)
        at += step
    joined = np.concatenate([NOTHING, *(parts if step > 0 else reversed(parts))])
    return joined[:most] if step > 0 else joined[max(0, len(joined) - most) :]
