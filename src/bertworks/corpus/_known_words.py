"""Tokens of sentences by looking up their words: a text has few different ones, so most are known already.

Under BERT's rules the tokens of a text are those of its words, one after another: white space always ends a word, and a
punctuation mark or a CJK ideograph is a word by itself whatever stands beside it. So text can be cut at the commonest
of these, each distinct piece tokenised once, and the result put together. Pieces hold everything else, rare scripts,
control characters and marks included, and are left to the tokenizer as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertworks.base.files import read_json
from bertworks.text.folder import EXACT_KEY
from bertworks.text.tokenizer import Tokenizer

KNOWN_WORDS = 1 << 16  # 13 MB; of English text they are 97 words in 100
LONGEST_KEPT = 32  # characters; what is longer hardly comes again

# Each a word by itself: ASCII punctuation, CJK ideographs, and marks of Unicode's categories P that running text uses.
_MARKS = r"!-/:-@\[-`{-~\u4e00-\u9fff\u2010-\u2027\u3001-\u3003\u3008-\u3011\uff01-\uff03\uff05-\uff0a\uff0c-\uff0f"
_PIECES = re.compile(rf"[^ \t\r\n{_MARKS}]+|[{_MARKS}\n]")
_END = np.array([-1], dtype="<i4").tobytes()


class KnownWords:
    """A tokenizer that remembers what words become."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[str, bytes] = {"\n": _END}  # piece → its ids, `<i4`

    def __len__(self) -> int:
        return len(self._ids)

    def encode(self, sentences: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Ids of all sentences (T,) and how many each has (S,); equal to `Tokenizer.encode`. No line ends inside."""
        pieces: list[str] = _PIECES.findall("\n".join([*sentences, ""]))
        distinct = set(pieces)
        unknown = list(distinct.difference(self._ids))
        ids = [one.astype("<i4").tobytes() for one in self._tokenizer.encode(unknown)]
        table = {**self._ids, **dict(zip(unknown, ids, strict=True))}
        flat = np.frombuffer(b"".join(map(table.__getitem__, pieces)), dtype="<i4")
        ends = np.flatnonzero(flat < 0)
        if len(ends) != len(sentences):
            raise ValueError("a sentence holds a line end")
        self._keep(unknown, table, is_new_text=2 * len(unknown) > len(distinct))
        return flat[flat >= 0], np.diff(ends, prepend=-1) - 1

    def _keep(self, unknown: Sequence[str], table: Mapping[str, bytes], *, is_new_text: bool) -> None:
        """Remember pieces while there is room; where most were unknown, what is known is of no more use."""
        if is_new_text and len(table) > KNOWN_WORDS:
            self._ids = {"\n": _END}
        kept = [piece for piece in unknown if len(piece) <= LONGEST_KEPT]
        room = max(KNOWN_WORDS - len(self._ids), 0)
        self._ids.update((piece, table[piece]) for piece in kept[:room])


def cuts_at_marks(folder: Path) -> bool:
    """Whether the tokenizer saved in `folder` follows BERT's rules, so that `KnownWords` may be used.

    Other libraries' files may split words elsewhere, leave CJK text whole, or look for tokens of several words. The
    original's lower-casing looks past an apostrophe or a full stop for the end of a Greek word (sigma at a word's end).
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        return False
    rules = read_json(file)
    config = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    if config.get(EXACT_KEY) and config.get("do_lower_case", True):
        return False
    normalizer, pre_tokenizer = rules.get("normalizer") or {}, rules.get("pre_tokenizer") or {}
    return (
        normalizer.get("type") == "BertNormalizer"
        and normalizer.get("handle_chinese_chars") is True
        and pre_tokenizer.get("type") == "BertPreTokenizer"
        and all(token["special"] for token in rules.get("added_tokens", []))
    )
