"""The rules of the original release, written out step by step and slowly, for tests to compare with.

Follows google-research/bert eedf571, `tokenization.py`; shares no code with bertworks.
"""

from __future__ import annotations

import unicodedata
from functools import cache

CJK_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


@cache
def is_control(char: str) -> bool:
    if char in ("\t", "\n", "\r"):
        return False
    return unicodedata.category(char) in ("Cc", "Cf")


@cache
def is_whitespace(char: str) -> bool:
    return char in (" ", "\t", "\n", "\r") or unicodedata.category(char) == "Zs"


@cache
def is_cjk(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in CJK_RANGES)


@cache
def is_punctuation(char: str) -> bool:
    code = ord(char)
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(char).startswith("P")


def basic_tokens(text: str, *, lowercase: bool) -> list[str]:
    """BasicTokenizer: the words of a text."""
    output = []
    for char in text:  # 1. clean
        if ord(char) == 0 or ord(char) == 0xFFFD or is_control(char):
            continue
        output.append(" " if is_whitespace(char) else char)
    text = "".join(output)
    output = []
    for char in text:  # 2. CJK
        if is_cjk(char):
            output += [" ", char, " "]
        else:
            output.append(char)
    words = "".join(output).strip().split()  # 3. words
    split = []
    for word in words:
        if lowercase:  # 4. lower-case, decompose, drop accents
            word = unicodedata.normalize("NFD", word.lower())
            word = "".join(char for char in word if unicodedata.category(char) != "Mn")
        parts: list[str] = []  # 5. punctuation
        begin = True
        for char in word:
            if is_punctuation(char):
                parts.append(char)
                begin = True
            else:
                if begin:
                    parts.append("")
                begin = False
                parts[-1] += char
        split += parts
    return " ".join(split).split()  # 6.


def wordpiece(word: str, vocab: dict[str, int], *, limit: int = 200) -> list[str]:
    """The longest pieces from the left, or one [UNK]."""
    if len(word) > limit:
        return ["[UNK]"]
    pieces = []
    start = 0
    while start < len(word):
        end = len(word)
        found = None
        while start < end:
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if piece in vocab:
                found = piece
                break
            end -= 1
        if found is None:
            return ["[UNK]"]
        pieces.append(found)
        start = end
    return pieces


def tokenize(text: str, vocab: dict[str, int], *, lowercase: bool, limit: int = 200) -> list[str]:
    """The pieces of a text."""
    words = basic_tokens(text, lowercase=lowercase)
    return [piece for word in words for piece in wordpiece(word, vocab, limit=limit)]
