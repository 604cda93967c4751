"""The exact mode against the rules written out slowly: goldens, every code point, real and nasty text."""

from __future__ import annotations

import hashlib
import io
import json
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import zstandard

import text_oracle
from bertworks.text.exact import ExactPieces
from bertworks.text.tokenizer import Tokenizer
from text_code_points import CODES, words_of_code_points

VOCABULARIES = {
    "bert-base-uncased": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "bert-base-cased": "eeaa9875b23b04b4c54ef759d03db9d1ba1554838f8fb26c5d96fa551df93d02",
    "bert-base-chinese": "45bbac6b341c319adc98a532532882e91a9cefc0329aa57bac9ae761c27b291c",
}
DIGESTS = {  # of BasicTokenizer's words for every code point, Unicode 14.0
    True: "da70b32f7e9f0a325454c22e60b3c122b5a709082a1a7a2d27eb187a2a5fecaa",
    False: "7b81ae229ad9104d421b1bfa27e1fc60ccdd2a049c3648bfe621fc2cab67ad5d",
}
GOLDENS = [  # text, uncased pieces, cased pieces where they differ
    ("John Johanson's,   house", "john johan ##son ' s , house", "John Johan ##son ' s , house"),
    ("[CLS] a [MASK] b", "[ cl ##s ] a [ mask ] b", "[ C ##LS ] a [ MA ##S ##K ] b"),
    ("\u0130stanbul", "istanbul", "\u0130 ##stan ##bul"),
    ("\u03a3\u0391\u03a3, \u03a3", "\u03c3 ##\u03b1 ##\u03c2 , \u03c3", "\u03a3 ##\u0391 ##\u03a3 , \u03a3"),
    ("caf\u00e9 cafe\u0301", "cafe cafe", "caf\u00e9 cafe ##\u0301"),
    ("a\u200bb\u00adc\ufeffd", "abc ##d", "a ##b ##c ##d"),
    ("x\u2028y\u2029z\u0085w\u00a0v\u3000u", "x y z ##w v u", None),
    (
        "\ud55c\uad6d\uc5b4",
        "\u1112 ##\u1161 ##\u11ab ##\u1100 ##\u116e ##\u11a8 ##\u110b ##\u1165",
        "[UNK]",
    ),
    ("\ufb01nal \u00df \u1e9e", "\ufb01 ##nal \u00df \u00df", "\ufb01 ##nal \u00df [UNK]"),
    ("$5^2~#", "$ 5 ^ 2 ~ #", None),
    ("9\u00bd \u2460 \u2122 \u20ac", "9 ##\u00bd [UNK] \u2122 \u20ac", "9 ##\u00bd [UNK] [UNK] \u20ac"),
    ("a" * 201, "[UNK]", None),
    ("unaffable", "una ##ffa ##ble", "un ##af ##fa ##ble"),
]


@cache
def load(data: Path, name: str) -> Tokenizer:
    return Tokenizer.load(data / "vocab" / name / "vocab.txt", exact=True, lowercase=name != "bert-base-cased")


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.tokens[token_id] for token_id in tokenizer.encode([text])[0]]


def paragraphs(path: Path, count: int) -> Iterator[str]:
    with path.open("rb") as packed:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed), encoding="utf-8"):
            for paragraph in json.loads(line)["text"].split("\n"):
                yield paragraph
                count -= 1
                if not count:
                    return
    raise AssertionError(f"{path}: {count} paragraphs short")


def assert_as_oracle(tokenizer: Tokenizer, lines: list[str]) -> None:
    spelled = cache(lambda word: text_oracle.wordpiece(word, tokenizer.vocab))  # its answers do not change
    for line, ids in zip(lines, tokenizer.encode(lines), strict=True):
        words = text_oracle.basic_tokens(line, lowercase=tokenizer.lowercase)
        wanted = [tokenizer.vocab[piece] for word in words for piece in spelled(word)]
        assert ids.tolist() == wanted, line


@pytest.mark.parametrize("name", VOCABULARIES)
def test_vocabulary_file_is_the_published_one(shared_data: Path, name: str) -> None:
    raw = (shared_data / "vocab" / name / "vocab.txt").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == VOCABULARIES[name]
    tokenizer = load(shared_data, name)
    assert tokenizer.vocab_size == {"bert-base-uncased": 30522, "bert-base-cased": 28996}.get(name, 21128)
    assert [tokenizer.pad_token_id, *tokenizer.special_ids[1:]] == [0, 100, 101, 102, 103]
    assert Tokenizer.load(shared_data / "vocab" / name / "vocab.txt").lowercase == (name != "bert-base-cased")


@pytest.mark.parametrize(("text", "uncased", "cased"), GOLDENS)
def test_goldens(shared_data: Path, text: str, uncased: str, cased: str | None) -> None:
    assert pieces(load(shared_data, "bert-base-uncased"), text) == uncased.split(" ")
    assert pieces(load(shared_data, "bert-base-cased"), text) == (uncased if cased is None else cased).split(" ")


def test_golden_ids(shared_data: Path) -> None:
    assert load(shared_data, "bert-base-uncased").encode(["Hello, world!"])[0].tolist() == [7592, 1010, 2088, 999]
    assert load(shared_data, "bert-base-cased").encode(["Hello, world!"])[0].tolist() == [8667, 117, 1362, 106]
    assert load(shared_data, "bert-base-uncased").encode(["unaffable"])[0].tolist() == [14477, 20961, 3468]
    long = pieces(load(shared_data, "bert-base-uncased"), "a" * 200)
    assert long[0] == "aaa"
    assert "".join(piece.removeprefix("##") for piece in long) == "a" * 200


def test_toy_vocabulary_of_the_release() -> None:
    tokens = ["[UNK]", "[CLS]", "[SEP]", "want", "##want", "##ed", "wa", "un", "runn", "##ing", ","]
    exact = ExactPieces({token: at for at, token in enumerate(tokens)}, unk_token_id=0, lowercase=True)
    assert exact.encode("UNwant\u00e9d,running") == [7, 4, 5, 10, 8, 9]
    assert exact.encode("unwantedX running") == [0, 8, 9]


def test_marks_that_change_places_keep_theirs_in_the_text() -> None:
    """Category Mc stays, and NFD sorts it: class 226 before 216 in the text, after it in the word."""
    text = "a\U0001d16d\U0001d165b"
    tokens = ["[UNK]", "a", "##\U0001d165", "##\U0001d16d", "##b", "##\U0001d165\U0001d16d"]
    assert text_oracle.basic_tokens(text, lowercase=True) == ["a\U0001d165\U0001d16db"] != [text]
    for known, ids, spans in (
        (5, (1, 2, 3, 4), ((0, 1), (2, 3), (1, 2), (3, 4))),
        (6, (1, 5, 4), ((0, 1), (1, 3), (3, 4))),
    ):
        vocab = {token: at for at, token in enumerate(tokens[:known])}
        pieces_of_text = ExactPieces(vocab, unk_token_id=0, lowercase=True).encode_with_offsets(text)
        assert pieces_of_text == (ids, spans, (0,) * len(ids))


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the digests are of Unicode 14.0 (Python 3.11)")
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_code_point(lowercase: bool) -> None:
    words = words_of_code_points(lowercase, True)
    assert "[UNK]" not in words
    lines = "".join(f"{code:X}\t{row}\n" for code, row in zip(CODES, words, strict=True))
    assert hashlib.sha256(lines.encode()).hexdigest() == DIGESTS[lowercase]


@pytest.mark.parametrize("name", VOCABULARIES)
def test_nasty_text(shared_data: Path, name: str) -> None:
    lines = (shared_data / "text" / "nasty.txt").read_bytes().decode().split("\n")
    lines += ["half \ud83d pair", "\udc00"]
    assert len(lines) > 90
    assert_as_oracle(load(shared_data, name), lines)


@pytest.mark.parametrize("name", VOCABULARIES)
@pytest.mark.parametrize("corpus", ["enwiki", "zhwiki"])
def test_wikipedia_sample(shared_data: Path, name: str, corpus: str) -> None:
    path = shared_data / "text" / corpus / f"{corpus}.heldout.jsonl.zst"
    assert_as_oracle(load(shared_data, name), list(paragraphs(path, 300)))


@pytest.mark.slow  # 20,000 paragraphs through the slow rules take half a minute
@pytest.mark.parametrize("name", VOCABULARIES)
@pytest.mark.parametrize("corpus", ["enwiki", "zhwiki"])
def test_wikipedia(shared_data: Path, name: str, corpus: str) -> None:
    path = shared_data / "text" / corpus / f"{corpus}.jsonl.zst"
    assert_as_oracle(load(shared_data, name), list(paragraphs(path, 20_000)))
