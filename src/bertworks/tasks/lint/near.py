"""Texts that are nearly the same: token sets with a Jaccard similarity of 0.8 or more.

Candidates come from MinHash signatures cut in bands (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, section 3.4): two sets of similarity s fall together in one of 24 bands of 6 hashes with probability
1 - (1 - s^6)^24, which is 0.9993 at 0.8 and 0.00002 at 0.1. Each candidate is then compared exactly. Time and memory
are linear in the words.

Letters: N rows, K tokens of all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bertworks.base.randomness import generator

SIMILAR = 0.8
BANDS, HASHES = 24, 6
LEAST_TOKENS = 3  # of fewer, equal sets say nothing: "yes no", "no yes"
_WORD = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")
_HAN = re.compile(r"[\u3400-\u9fff]")

Tokens = dict[tuple[int, str], None]  # a set in order of appearance, the same in every process


class Near(NamedTuple):
    """Row `row` and the earlier one it is like."""

    row: int
    like: int
    similarity: float


def token_set(texts: Sequence[str]) -> Tokens:
    """(number of the text, token): words in lower case; of Chinese stretches the pairs of neighbours."""
    found: Tokens = {}
    for side, text in enumerate(texts):
        is_plain = text.isascii()
        for word in _WORD.findall(text.lower() if is_plain else unicodedata.normalize("NFKC", text).casefold()):
            if is_plain or len(word) == 1 or not _HAN.match(word):
                found[side, word] = None
            else:
                found.update(((side, word[at : at + 2]), None) for at in range(len(word) - 1))
    return found


def jaccard(one: Tokens, other: Tokens) -> float:
    """Shared tokens over all tokens; of several texts the least similar one counts."""
    shared, total = Counter(side for side, _ in one.keys() & other), Counter(side for side, _ in one | other)
    return min((shared[side] / total[side] for side in total), default=0.0)


def near_duplicates(rows: Sequence[Sequence[str]], similar: float = SIMILAR) -> list[Near]:
    """Rows (each a tuple of texts) that are like an earlier one, in order; each is named once, with the most alike."""
    numbers: dict[tuple[int, str], int] = {}
    flat: list[int] = []
    starts = [0]
    kept: list[int] = []
    for index, texts in enumerate(rows):
        tokens = token_set(texts)
        if len(tokens) >= LEAST_TOKENS:
            flat.extend(numbers.setdefault(token, len(numbers)) for token in tokens)
            starts.append(len(flat))
            kept.append(index)
    if len(kept) < 2:
        return []
    ids = np.array(flat, np.uint64)
    best: dict[int, tuple[float, int]] = {}
    for earlier, later in candidates(ids, np.array(starts)):
        one, other = (set(flat[starts[at] : starts[at + 1]]) for at in (earlier, later))
        both = len(one & other)
        if both < similar * (len(one) + len(other) - both):
            continue  # the texts together are not alike, so one of them is not
        alike = jaccard(token_set(rows[kept[earlier]]), token_set(rows[kept[later]]))
        if alike >= similar:
            best[later] = max(best.get(later, (0.0, 0)), (alike, -earlier))
    return [Near(kept[at], kept[-earlier], alike) for at, (alike, earlier) in sorted(best.items())]


def candidates(ids: np.ndarray, starts: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of rows, the earlier first, that share a band.

    ids     (K,) uint64 tokens of all rows
    starts  (N + 1,) where each row's begin, and the end; no row is empty
    Of a band's rows each is paired with the first one and the one before it.
    """
    number = len(starts) - 1
    draw = generator("near duplicates", BANDS, HASHES)
    factors = draw.integers(1, 2**63, (BANDS, HASHES), np.uint64) | np.uint64(1)
    terms = draw.integers(0, 2**63, (BANDS, HASHES), np.uint64)
    codes: list[np.ndarray] = []
    for band in range(BANDS):
        key = np.zeros(number, np.uint64)
        for factor, term in zip(factors[band], terms[band], strict=True):
            mixed = (ids + term) * factor  # modulo 2^64
            mixed ^= mixed >> np.uint64(31)
            mixed *= np.uint64(0x9E3779B97F4A7C15)
            least = np.minimum.reduceat(mixed >> np.uint64(20), starts[:-1])
            key = (key ^ least) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        order = np.argsort(key, kind="stable")
        is_new = np.concatenate(([True], key[order][1:] != key[order][:-1]))
        group = np.cumsum(is_new) - 1
        first = order[np.flatnonzero(is_new)][group]
        again = np.flatnonzero(~is_new)
        codes.append(first[again] * number + order[again])
        codes.append(order[again - 1] * number + order[again])
    return [divmod(code, number) for code in np.unique(np.concatenate(codes)).tolist()]
