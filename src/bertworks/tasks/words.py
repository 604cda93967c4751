"""What a word is, in rows that are given as text: between spaces, punctuation at the edges apart; or each character.

Rows that come in words keep theirs. The unit that training met is stored with the model, so that a text is split at
prediction as the training rows were.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from bertworks.text.exact import CJK

UNITS = ("word", "character")
_IDEOGRAPH = re.compile(f"[{CJK}]")
MOSTLY = 0.9  # of the training words have one character: then the unit is the character


def unit_of(rows: Sequence[Sequence[str]]) -> str:
    """The unit of rows in words: "character" where nearly all words are single characters."""
    lengths = [len(word) for words in rows for word in words]
    return "character" if lengths and sum(length == 1 for length in lengths) >= MOSTLY * len(lengths) else "word"


def split_text(text: str, unit: str) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each word, in code points; spaces belong to none.

    >>> split_text('"Rome (U.S.)", 我 said', "word")
    [(0, 1), (1, 5), (6, 7), (7, 10), (10, 11), (11, 12), (12, 13), (13, 14), (15, 16), (17, 21)]
    """
    if unit == "character":
        return [(place, place + 1) for place, char in enumerate(text) if not char.isspace()]
    found: list[tuple[int, int]] = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        end = place
        while end < len(text) and not text[end].isspace():
            end += 1
        found.extend(_split_chunk(text, place, end))
        place = end
    return found


def _split_chunk(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """A run without spaces: punctuation at both edges mark by mark, Chinese characters one by one."""
    left, right = start, end
    while left < right and _is_mark(text[left]):
        left += 1
    while right > left and _is_mark(text[right - 1]):
        right -= 1
    found = [(place, place + 1) for place in range(start, left)]
    begin = left
    for place in range(left, right):
        if _IDEOGRAPH.match(text[place]):
            if begin < place:
                found.append((begin, place))
            found.append((place, place + 1))
            begin = place + 1
    if begin < right:
        found.append((begin, right))
    return found + [(place, place + 1) for place in range(right, end)]


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] in "PS"
