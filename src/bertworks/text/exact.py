"""Text to pieces by the rules of the original release, to the letter, in Python.

The default tokenizer is faster and behaves as the same folder does in other libraries; it differs from this one in a
few code points (docs/numerics.md). Source of the rules: google-research/bert at eedf571, `tokenization.py`. Unicode
categories and lower-casing are those of the running Python.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import NamedTuple

from bertworks.text.vocabulary import CONTINUATION

MAX_WORD_CHARS = 200  # as since 2018-11-23; a longer word becomes one [UNK]
CACHED_WORDS = 200_000  # about 100 MB at most; a text's words repeat, so nearly all are found here

# The eight ranges of `_is_chinese_char`; kana, hangul and CJK punctuation are not among them.
CJK = (
    "\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f"
)
_WORDS = re.compile(f"[{CJK}]|[^\\s{CJK}]+")


class Pieces(NamedTuple):
    """One text or word in pieces; three tuples of one length."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]  # start, end in code points of the source
    words: tuple[int, ...]  # the number of the word a piece belongs to, punctuation marks being words


class _Cleaning(dict[int, "str | None"]):
    """What `str.translate` puts for each code point: None drops it; filled as code points turn up."""

    def __missing__(self, code: int) -> str | None:
        self[code] = cleaned = clean_char(chr(code))
        return cleaned


_CLEANING = _Cleaning()


def clean_char(char: str) -> str | None:
    """The code point as it goes on: a space for white space, None for controls, U+0000 and U+FFFD."""
    if char in " \t\n\r":
        return " "
    category = unicodedata.category(char)
    if category in ("Cc", "Cf") or char == "\ufffd":
        return None
    return " " if category == "Zs" else char


def is_punctuation(char: str) -> bool:
    """Every ASCII character that is neither letter, digit, space nor control, and Unicode's categories P."""
    if char < "\x80":
        return "!" <= char <= "/" or ":" <= char <= "@" or "[" <= char <= "`" or "{" <= char <= "~"
    return unicodedata.category(char).startswith("P")


class ExactPieces:
    """The original's BasicTokenizer and WordPiece as one function with a memory for words seen.

    vocab      token -> id
    lowercase  the release's `do_lower_case`: lower-case, decompose, drop accents
    """

    def __init__(self, vocab: Mapping[str, int], *, unk_token_id: int, lowercase: bool) -> None:
        self.vocab = vocab
        self.unk_token_id = unk_token_id
        self.lowercase = lowercase
        self._longest = max(map(len, vocab), default=0)
        self._cache: dict[str, Pieces] = {}

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        ids: list[int] = []
        for word in _WORDS.findall(text.translate(_CLEANING)):
            ids.extend(self._pieces(word).ids)
        return ids

    def encode_with_offsets(self, text: str) -> Pieces:
        """Ids, spans and word numbers of a text."""
        cleaned = text.translate(_CLEANING)
        source = [at for at, char in enumerate(text) if _CLEANING[ord(char)] is not None]
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        words: list[int] = []
        next_word = 0
        for match in _WORDS.finditer(cleaned):
            pieces = self._pieces(match[0])
            start = match.start()
            ids.extend(pieces.ids)
            spans.extend((source[start + first], source[start + end - 1] + 1) for first, end in pieces.spans)
            words.extend(next_word + word for word in pieces.words)
            next_word += pieces.words[-1] + 1 if pieces.words else 0
        return Pieces(tuple(ids), tuple(spans), tuple(words))

    def _pieces(self, word: str) -> Pieces:
        found = self._cache.get(word)
        if found is None:
            if len(self._cache) >= CACHED_WORDS:
                self._cache.clear()
            found = self._cache[word] = self._split(word)
        return found

    def _split(self, word: str) -> Pieces:
        """Pieces of one run of text without white space; spans are counted in that run."""
        text, places = decomposed(word) if self.lowercase else (word, None)
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        words: list[int] = []
        for number, (start, end) in enumerate(_word_borders(text)):
            for token_id, first, stop in self._wordpiece(text[start:end]):
                ids.append(token_id)
                words.append(number)
                if places is None:
                    spans.append((start + first, start + stop))
                else:
                    among = places[start + first : start + stop]  # marks may have changed places
                    spans.append((min(among), max(among) + 1))
        return Pieces(tuple(ids), tuple(spans), tuple(words))

    def _wordpiece(self, word: str) -> list[tuple[int, int, int]]:
        """The longest pieces from the left as (id, start, end); the whole word unknown where one place has none."""
        unknown = [(self.unk_token_id, 0, len(word))]
        if len(word) > MAX_WORD_CHARS:
            return unknown
        pieces = []
        start = 0
        while start < len(word):
            prefix = CONTINUATION if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                token_id = self.vocab.get(prefix + word[start:end])
                if token_id is not None:
                    break
            else:
                return unknown
            pieces.append((token_id, start, end))
            start = end
        return pieces


def _word_borders(text: str) -> list[tuple[int, int]]:
    """Where words start and end: each punctuation mark alone, the runs between them; white space belongs to none."""
    borders = []
    start = 0
    for at, char in enumerate(text):
        alone = is_punctuation(char)
        if alone or char.isspace():
            if start < at:
                borders.append((start, at))
            if alone:
                borders.append((at, at + 1))
            start = at + 1
    if start < len(text):
        borders.append((start, len(text)))
    return borders


def decomposed(word: str) -> tuple[str, list[int] | None]:
    """The word lower-cased, in NFD, without category Mn; and the place in `word` of each code point, None = its own.

    The lower case of a capital sigma depends on its neighbours, all else goes code point by code point; NFD is each
    one's decomposition, then combining marks in a row sorted by their class (Unicode Standard, 3.11).
    """
    lowered = word.lower()
    as_it_is = len(lowered) == len(word) and unicodedata.is_normalized("NFD", lowered)
    if as_it_is and "Mn" not in map(unicodedata.category, lowered):
        return lowered, None
    chars: list[tuple[str, int]] = []
    at_lowered = 0
    for at, char in enumerate(word):
        length = len(char.lower())
        chars += [(part, at) for part in unicodedata.normalize("NFD", lowered[at_lowered : at_lowered + length])]
        at_lowered += length
    _sort_marks(chars)
    kept = [(char, at) for char, at in chars if unicodedata.category(char) != "Mn"]
    return "".join([char for char, _ in kept]), [at for _, at in kept]


def _sort_marks(chars: list[tuple[str, int]]) -> None:
    """Put combining marks that follow each other in the order of their classes, those of one class as they stand."""
    classes = [unicodedata.combining(char) for char, _ in chars]
    start = 0
    for end in range(len(chars) + 1):
        if end == len(chars) or not classes[end]:
            if end - start > 1:
                chars[start:end] = sorted(chars[start:end], key=lambda part: unicodedata.combining(part[0]))
            start = end + 1
