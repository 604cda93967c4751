"""The default mode follows the `tokenizers` library; here is every way in which it differs from the exact one.

The code points that differ are listed in docs/numerics.md, and read from there.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
import tokenizers

from bertworks.text.rules import Added, Description, Rules
from bertworks.text.tokenizer import Tokenizer
from bertworks.text.vocabulary import SPECIAL_NAMES
from text_code_points import CODES, words_of_code_points


@cache
def tokenizer_of(lowercase: bool, exact: bool, extra: tuple[str, ...] = ()) -> Tokenizer:
    """Letters of Latin and Greek are tokens, and whole words beside them."""
    chars = [chr(code) for code in (*range(33, 0x250), *range(0x370, 0x400), 0x10FFFF)]
    tokens = (*SPECIAL_NAMES.values(), *chars, *("##" + char for char in chars), *extra)
    return Tokenizer(Description(tokens, Rules(lowercase=lowercase, exact=exact)))


def pieces(text: str, *, lowercase: bool = True, exact: bool = False, specials: bool = False) -> str:
    tokenizer = tokenizer_of(lowercase, exact)
    return " ".join(tokenizer.tokens[token_id] for token_id in tokenizer.encode([text], specials=specials)[0])


def reason(code: int, default: str, exact: str) -> str:
    """Why the words of a code point differ."""
    char = chr(code)
    category = unicodedata.category(char)
    if default == f"a {char} b" or exact == f"a {char} b":
        return "ideographs" if category == "Lo" else "punctuation"
    if category == "Co":
        return "private use"
    if exact == "ab" and category == "Cf":
        return "format characters"
    if "ab" in (default, exact) and category in ("Mn", "Mc"):
        return "accents"
    return "letters"


def listed_in(document: str) -> dict[str, set[int]]:
    """Reason -> code points, from the rows `| reason | … | ranges |` of the document."""
    found: dict[str, set[int]] = {}
    for name, ranges in re.findall(r"^\| ([a-z ]+) \|.*\| ([0-9A-F. ]+) \|$", document, re.MULTILINE):
        borders = [listed.split("..") for listed in ranges.split()]
        found[name] = {code for one in borders for code in range(int(one[0], 16), int(one[-1], 16) + 1)}
    return found


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the list is of Unicode 14.0 (Python 3.11)")
@pytest.mark.parametrize("lowercase", [True, False])
def test_code_points_that_differ_are_those_listed(checkout: Path, lowercase: bool) -> None:
    differing: defaultdict[str, set[int]] = defaultdict(set)
    default, exact = words_of_code_points(lowercase, False), words_of_code_points(lowercase, True)
    for code, ours, originals in zip(CODES, default, exact, strict=True):
        if ours != originals:
            differing[reason(code, ours, originals)].add(code)
    listed = listed_in((checkout / "docs" / "numerics.md").read_text(encoding="utf-8"))
    assert sum(map(len, listed.values())) == 6_400 + 256 + 106 + 384 + 13 + 56
    if not lowercase:
        del listed["accents"], listed["letters"]
    elif tokenizers.__version__ != "0.23.3":  # lower-casing is as new as the compiler it was built with
        del listed["letters"], differing["letters"]
    assert dict(differing) == listed


def test_final_sigma_is_an_ordinary_one() -> None:
    assert pieces("ΣΑΣ") == "σ ##α ##σ"
    assert pieces("ΣΑΣ", exact=True) == "σ ##α ##ς"
    assert pieces("ΣΑΣ", lowercase=False) == pieces("ΣΑΣ", lowercase=False, exact=True) == "Σ ##Α ##Σ"


def test_words_over_100_code_points_are_unknown() -> None:
    for length, default, exact in ((100, 100, 100), (101, 1, 101), (200, 1, 200), (201, 1, 1)):
        assert len(pieces("a" * length).split()) == default
        assert len(pieces("a" * length, exact=True).split()) == exact
    assert pieces("a" * 101) == "[UNK]"
    assert pieces("é" * 101, lowercase=False) == "[UNK]"


def test_half_a_surrogate_pair_vanishes() -> None:
    assert pieces("a\ud800b c") == "a ##b c"
    assert pieces("a\ud800b c", exact=True) == "[UNK] c"
    spans = tokenizer_of(True, False).encode_with_offsets(["a\ud800b"])[0].offset_mapping
    assert spans.tolist() == [[0, 1], [2, 3]]


def test_private_use_beyond_the_list_vanishes() -> None:
    assert pieces("a\U000f0000b\U0010fffdc") == "a ##b ##c"
    assert pieces("a\U000f0000b\U0010fffdc", exact=True) == "[UNK]"


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("special", SPECIAL_NAMES.values())
def test_specials_are_plain_text_unless_asked_for(exact: bool, special: str) -> None:
    text = f"a{special}b"
    letters = [f"##{letter}" for letter in special[2:-1].lower()]
    assert pieces(text, exact=exact).split() == ["a", "[", special[1].lower(), *letters, "]", "b"]
    assert pieces(text, exact=exact, specials=True).split() == ["a", special, "b"]
    tokenizer = tokenizer_of(True, exact)
    encoding = tokenizer.encode_with_offsets([text], specials=True)[0]
    assert encoding.offset_mapping.tolist() == [[0, 1], [1, len(text) - 1], [len(text) - 1, len(text)]]
    assert encoding.word_ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize("exact", [False, True])
def test_the_longest_special_is_read(exact: bool) -> None:
    added = tuple(Added(token) for token in (*SPECIAL_NAMES.values(), "[MASK]1", "[MASK"))
    tokens = (*SPECIAL_NAMES.values(), "[MASK", "[MASK]1", "a")
    tokenizer = Tokenizer(Description(tokens, Rules(lowercase=True, exact=exact), added=added))
    ids = tokenizer.encode(["[MASK]1[MASK]a[MASKa"], specials=True)[0]
    assert [tokens[token_id] for token_id in ids] == ["[MASK]1", "[MASK]", "a", "[MASK", "a"]


def test_accents_before_or_after_lower_casing_come_to_the_same() -> None:
    """The library drops accents first; no code point shows it, neither does the dotted capital I."""
    for text in ("İstanbul", "ÀÉÎÕÜ", "ΆΈΉ", "ǅ ǈ", "ﬁ ẞ"):
        assert pieces(text) == pieces(text, exact=True)
