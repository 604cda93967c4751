"""A learned vocabulary: the same every time, holds what any text needs, fits the text it was learned from."""

from __future__ import annotations

import hashlib
import importlib.resources
import io
import json
import logging
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache

import pytest
import zstandard

import text_oracle
from bertworks.base.errors import BertworksError
from bertworks.text.learn import WordCounts, learn, learn_from_counts, measure
from bertworks.text.tokenizer import Tokenizer
from bertworks.text.vocabulary import SPECIAL_NAMES

SPECIALS = list(SPECIAL_NAMES.values())
CHINESE = "我爱北京天安门。天安门上太阳升！我爱你，中国。"  # 16 ideographs

LEARN_IN_A_PROCESS = """
import sys
from test_text_learn import chapters
from bertworks.text.learn import learn
for cased in (False, True):
    print("\\n".join(learn(chapters(), size=900, cased=cased).tokens))
"""


@cache
def chapters() -> tuple[str, ...]:
    """Two chapters of a bundled novel, 50 KB, and some Chinese."""
    folder = importlib.resources.files("bertworks") / "data" / "novels"
    novel = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".jsonl.zst"))[0]
    text = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader((folder / novel).read_bytes()), encoding="utf-8")
    return (json.loads(text.readline())["text"], json.loads(text.readline())["text"], CHINESE * 20)


@cache
def learned(cased: bool = False) -> Tokenizer:
    return learn(chapters(), size=900, cased=cased)


def spelled(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.tokens[token_id] for token_id in tokenizer.encode([text])[0]]


def test_same_bytes_in_every_process() -> None:
    outputs = []
    for seed, threads in ((0, 1), (1, 2), (2, 4)):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(seed),
            "RAYON_NUM_THREADS": str(threads),
            "TOKENIZERS_PARALLELISM": str(threads > 1).lower(),
            "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path),
        }
        done = subprocess.run(
            [sys.executable, "-c", LEARN_IN_A_PROCESS], env=environment, capture_output=True, check=True
        )
        outputs.append(done.stdout)
    assert outputs[0].count(b"\n") == 2 * 900
    assert len(set(outputs)) == 1
    assert outputs[0].decode().split("\n")[:900] == learned().tokens


def test_order_of_the_texts_does_not_matter() -> None:
    paragraphs = [paragraph for chapter in chapters() for paragraph in chapter.split("\n")]
    shuffled = random.Random(3).sample(paragraphs, len(paragraphs))
    assert shuffled != paragraphs
    assert learn(shuffled, size=900).tokens == learned().tokens


def test_golden_vocabulary(golden: Callable[[str, str], None]) -> None:
    golden("vocabulary.txt", "".join(token + "\n" for token in learned().tokens))


@pytest.mark.parametrize("cased", [False, True])
def test_order_of_tokens(cased: bool) -> None:
    tokens = learned(cased).tokens
    assert tokens[:5] == SPECIALS
    assert len(tokens) == len(set(tokens)) == 900
    first = [token for token in tokens[5:] if len(token) == 1]
    inside = [token for token in tokens[5:] if token.startswith("##") and len(token) == 3]
    assert tokens[5 : 5 + len(first) + len(inside)] == sorted(first) + sorted(inside)
    assert learned(cased).special_ids == (0, 1, 2, 3, 4)
    assert learned(cased).lowercase != cased
    assert any(token != token.lower() for token in tokens[5:]) == cased


@pytest.mark.parametrize("cased", [False, True])
def test_no_ascii_text_is_unknown(cased: bool) -> None:
    tokenizer = learned(cased)
    draw = random.Random(5)
    texts = ["".join(chr(draw.randrange(32, 127)) for _ in range(80)) for _ in range(200)]
    assert all(tokenizer.unk_token_id not in ids for ids in tokenizer.encode(texts))
    assert {char for text in texts for char in text} == {chr(code) for code in range(32, 127)}


def test_frequent_words_are_tokens_and_ideographs_stand_alone() -> None:
    tokenizer = learned()
    counts = Counter(word for text in chapters() for word in text_oracle.basic_tokens(text, lowercase=True))
    frequent = [word for word, _ in counts.most_common(40)]
    assert [word for word in frequent if word not in tokenizer.vocab] == []
    assert spelled(tokenizer, "我爱中国") == ["我", "爱", "中", "国"]
    ideographs = [token for token in tokenizer.tokens if any("\u4e00" <= char <= "\u9fff" for char in token)]
    assert len(ideographs) == 14
    assert all(len(token) == 1 for token in ideographs)


def test_chinese_text_gets_its_characters() -> None:
    draw = random.Random(7)
    text = "".join(chr(0x4E00 + int(draw.paretovariate(0.4)) % 3000) for _ in range(40_000))
    for size, unknown in ((4000, 0.0003), (500, 0.5)):
        counts = WordCounts()
        counts.add(text)
        tokenizer = learn_from_counts(counts, size=size)
        coverage = measure(counts, tokenizer)
        assert coverage.tokens_per_word == 1
        assert coverage.unknown_share <= unknown
        kept = sum(len(token) == 1 and token > "\u4e00" for token in tokenizer.tokens)
        assert kept > (0.7 * size - 110 if size == 500 else 2000)
    assert coverage.unknown_share > 0.01  # 500 tokens cannot hold them all


def test_measure_is_the_slow_count() -> None:
    counts = WordCounts()
    for text in chapters():
        counts.add(text)
    tokenizer = learn([chapters()[0][:4000]], size=400)
    coverage = measure(counts, tokenizer)
    pieces = [tokenizer.tokens[token_id] for ids in tokenizer.encode(chapters()) for token_id in ids]
    words = sum(not piece.startswith("##") for piece in pieces)
    assert coverage.unknown_share == pytest.approx(pieces.count("[UNK]") / words)
    assert coverage.tokens_per_word == pytest.approx(len(pieces) / words)
    assert coverage.bytes_per_token == pytest.approx(sum(len(text.encode()) for text in chapters()) / len(pieces))
    assert pieces.count("[UNK]") > 10
    assert counts.characters == sum(map(len, chapters()))


def test_counting_is_bounded() -> None:
    counts = WordCounts(max_distinct=1000)
    for number in range(3000):
        counts.add(f"often word{number} 一 twice{number // 2}")
        assert len(counts.words) <= 1000 + 3
    assert counts.words["often"] == counts.words["一"] == 3000
    assert counts.dropped + counts.words.total() == 4 * 3000
    assert counts.dropped > 3000


def test_rare_characters_stay_outside() -> None:
    tokenizer = learn(["some words here " * 20_000, "na\u0436ve \u0436"], size=300)
    assert [token for token in tokenizer.tokens if "\u0436" in token] == []
    assert spelled(tokenizer, "na\u0436ve words") == ["[UNK]", "words"]
    often = learn(["some na\u0436ve here " * 20], size=300)
    assert spelled(often, "na\u0436ve") == ["na\u0436ve"]
    assert {"\u0436", "##\u0436"} <= set(often.tokens)


def test_size_is_a_limit_and_a_short_text_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "bertworks"):
        tokenizer = learn(["the cat sat on the mat, the cat"], size=5000)
    assert 109 < tokenizer.vocab_size < 130
    assert f"the text gave {tokenizer.vocab_size} tokens of the 5,000 asked for" in caplog.text
    assert spelled(tokenizer, "the cat") == ["the", "cat"]
    assert learned().vocab_size == 900


def test_nothing_to_learn_from() -> None:
    with pytest.raises(BertworksError, match=r"no words to learn from in 2 texts of 3 characters"):
        learn(["  ", "\u200b"], size=500)
    with pytest.raises(BertworksError, match="no words to learn from in 0 texts"):
        learn([], size=500)


@pytest.mark.parametrize(("cased", "taken"), [(False, 109), (True, 161)])
def test_size_too_small(cased: bool, taken: int) -> None:
    with pytest.raises(BertworksError, match=f"a vocabulary of {taken} tokens holds not even .*, which take {taken}"):
        learn(["some text"], size=taken, cased=cased)
    assert learn(["text text"], size=taken + 1, cased=cased).vocab_size == taken + 1


def test_half_pairs_and_long_words_do_no_harm() -> None:
    tokenizer = learn(["ab \ud800cd " + "x" * 5000 + " ab ab"], size=200)
    assert spelled(tokenizer, "ab") == ["ab"]
    assert max(map(len, tokenizer.tokens)) < 10


def test_saved_vocabulary_is_whole() -> None:
    digest = hashlib.sha256("\n".join(learned().tokens).encode()).hexdigest()
    learned().save("vocabulary")
    again = Tokenizer.load("vocabulary")
    assert hashlib.sha256("\n".join(again.tokens).encode()).hexdigest() == digest
    assert again.fingerprint == learned().fingerprint
    assert Tokenizer.load("vocabulary/vocab.txt").fingerprint == learned().fingerprint
