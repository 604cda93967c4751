"""What a tokenizer makes of every code point, for the tests that go through all of them."""

from __future__ import annotations

from functools import cache

from bertworks.text.rules import Description, Rules
from bertworks.text.tokenizer import Tokenizer
from bertworks.text.vocabulary import SPECIAL_NAMES

CODES = [code for code in range(0x30000) if not 0xD800 <= code < 0xE000]


@cache
def words_of_code_points(lowercase: bool, exact: bool) -> list[str]:
    """The words of "a" + code point + "b", joined by spaces, for each of CODES.

    Every code point is a token, and a "##" token, so that ids show words exactly.
    """
    chars = [chr(code) for code in CODES]
    tokens = (*SPECIAL_NAMES.values(), *chars, *("##" + char for char in chars))
    tokenizer = Tokenizer(Description(tokens, Rules(lowercase=lowercase, exact=exact)))
    rows = tokenizer.encode([f"a{char}b" for char in chars])
    return [" ".join([tokens[token_id] for token_id in ids.tolist()]).replace(" ##", "") for ids in rows]
