"""Looking words up gives the ids that tokenising the sentence gives, for any text and either set of rules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.corpus import _known_words
from bertworks.corpus._known_words import KnownWords, cuts_at_marks
from bertworks.corpus.build import build
from bertworks.read.documents import Reading, read_documents
from bertworks.text.sentences import split
from bertworks.text.tokenizer import Tokenizer
from corpus_texts import make_documents, vocabulary

# what cutting could get wrong: marks that combine, vanish, join, fold or look like borders
NASTY = [
    "a\u0301b", "!\u0301a", " \u0301a", "a\u200bb", "a\u00adb", "\ufeffa", "a\x00b", "a\x1fb", "\u037ea", "\u1fefb",
    "\u212a", "\uff01\uff04", "\u2024", "\u2028x", "\u3000y", "\u00a0z", "x\x0by", "\u4e2d\u0301\u56fd", "\u2014\u0338",
    "\u3001\u3099", "=\u0338", "\u0130I", "\u03a3\u0391\u03a3", "\ud55c\uad6d", "\u304b\u3099", "9\u00bd", "[SEP]",
    "##a", "a##b", "a" * 99 + "bc", "b" * 230, "\U00020000x", "\ufa0e", "\u20ac5", "don't", "\u201ca\u201d",
    "e\u0301\u0301!", "\ufffd", "\u1e9e",
]  # fmt: skip


@pytest.fixture(scope="module", params=["uncased", "cased", "exact"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = vocabulary(tmp_path_factory.mktemp("vocab"))
    with (folder / "vocab.txt").open("a", encoding="utf-8") as handle:
        handle.write("".join(f"{token}\n" for token in ["A", "B", "##B", "\u0301", "##\u0301", "\u4e2d", "\u2014"]))
    return Tokenizer.load(folder, lowercase=request.param != "cased", exact=request.param == "exact")


def same(known: KnownWords, tokenizer: Tokenizer, sentences: list[str]) -> None:
    ids, lengths = known.encode(sentences)
    expected = tokenizer.encode(sentences)
    assert lengths.tolist() == [len(one) for one in expected]
    assert np.array_equal(ids, np.concatenate([np.zeros(0, dtype=np.int32), *expected]))


def test_texts_that_cutting_could_break(tokenizer: Tokenizer) -> None:
    known = KnownWords(tokenizer)
    pairs = [f"{first}{middle}{second}" for first in NASTY for middle in ("", " ", ".") for second in NASTY]
    same(known, tokenizer, [*NASTY, *pairs])
    same(known, tokenizer, ["", " ", *pairs[::7]])
    assert len(known) > 100


PIECE = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
SENTENCE = st.lists(PIECE, max_size=8).map("".join).map(lambda text: text.replace("\n", " "))


@settings(max_examples=100, deadline=None)
@given(st.lists(SENTENCE, max_size=6))
def test_any_sentences(tokenizer: Tokenizer, sentences: list[str]) -> None:
    same(KnownWords(tokenizer), tokenizer, sentences)


def between_letters(step: int) -> list[str]:
    chars = [chr(code) for code in range(0x30000) if not 0xD800 <= code < 0xE000 and code != 10]
    return [f"a{char}a {char}. {char}" for char in chars[::step]]


def test_code_points_between_letters(tokenizer: Tokenizer) -> None:
    same(KnownWords(tokenizer), tokenizer, [*between_letters(1)[:0x3000], *between_letters(17)])


@pytest.mark.slow  # 194,559 of them
def test_every_code_point_between_letters(tokenizer: Tokenizer) -> None:
    same(KnownWords(tokenizer), tokenizer, between_letters(1))


def test_what_is_kept_is_bounded(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_known_words, "KNOWN_WORDS", 50)
    known = KnownWords(tokenizer)
    for start in range(0, 400, 20):
        same(known, tokenizer, [f"cat{number} sat on {'x' * 40}{number}" for number in range(start, start + 20)])
        assert len(known) <= 50
    assert len(known) > 10
    assert not any(len(word) > _known_words.LONGEST_KEPT for word in known._ids)
    with pytest.raises(ValueError, match="line end"):
        known.encode(["a\nb"])


def test_only_rules_that_cut_at_marks_are_trusted(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "v")
    is_exact = "bertworks_exact" in (tmp_path / "v" / "tokenizer_config.json").read_text()
    assert cuts_at_marks(tmp_path / "v") is not is_exact, "the original's lower-casing looks past marks"
    file = tmp_path / "v" / "tokenizer.json"
    rules = json.loads(file.read_text())
    changes = [
        ("normalizer", {**rules["normalizer"], "handle_chinese_chars": False}),
        ("normalizer", {"type": "Lowercase"}),
        ("pre_tokenizer", {"type": "WhitespaceSplit"}),
        ("added_tokens", [{**rules["added_tokens"][0], "special": False}]),
    ]
    for name, value in changes:
        file.write_text(json.dumps({**rules, name: value}))
        assert not cuts_at_marks(tmp_path / "v"), name
    file.unlink()
    assert not cuts_at_marks(tmp_path / "v")


SIGMAS = [
    "\u0391\u03a3'\u0391",
    "\u0391\u03a3.\u0392\u0391",
    "\u0391\u03a3",
    "\u0391\u03a3,\u0392",
]  # ΑΣ'Α ΑΣ.ΒΑ ΑΣ ΑΣ,Β


def greek(folder: Path, *, lowercase: bool, exact: bool) -> Tokenizer:
    """A tokenizer that can spell SIGMAS, saved in `folder`."""
    vocabulary(folder)
    letters = [letter for char in "\u0391\u0392\u03a3" for letter in (char, char.lower())] + ["\u03c2"]
    with (folder / "vocab.txt").open("a", encoding="utf-8") as handle:
        handle.write("".join(f"{letter}\n##{letter}\n" for letter in letters))
    tokenizer = Tokenizer.load(folder, lowercase=lowercase, exact=exact)
    tokenizer.save(folder)
    return tokenizer


@pytest.mark.parametrize(
    ("lowercase", "exact", "is_fast"), [(True, True, False), (True, False, True), (False, True, True)]
)
def test_a_sigma_before_a_mark_is_the_tokenizers_in_every_mode(
    tmp_path: Path, lowercase: bool, exact: bool, is_fast: bool
) -> None:
    tokenizer = greek(tmp_path / "vocab", lowercase=lowercase, exact=exact)
    assert cuts_at_marks(tmp_path / "vocab") == is_fast
    (tmp_path / "text.txt").write_text("\n\n".join(SIGMAS) + "\n", encoding="utf-8")
    corpus = build([tmp_path / "text.txt"], tmp_path / "vocab", tmp_path / "corpus", workers=1, holdout=0)
    stored = [np.concatenate(corpus.document(number)).tolist() for number in range(corpus.number_of_documents)]
    assert stored == [ids.tolist() for ids in tokenizer.encode(SIGMAS)]
    assert not any(tokenizer.unk_token_id in ids for ids in stored)


def test_cutting_there_would_give_other_ids(tmp_path: Path) -> None:
    """What the slow way is for: before a full stop a sigma is not at the word's end, before a comma it is."""
    tokenizer = greek(tmp_path / "vocab", lowercase=True, exact=True)
    final = tokenizer.vocab["##\u03c2"]
    assert [final in ids.tolist() for ids in tokenizer.encode(SIGMAS)] == [False, False, True, True]
    ids, _ = KnownWords(tokenizer).encode(SIGMAS[:1])
    assert final in ids.tolist()


def test_plain_sentences_are_looked_up(tokenizer: Tokenizer) -> None:
    known = KnownWords(tokenizer)
    texts = make_documents(50)
    same(known, tokenizer, texts)
    before = len(known)
    same(known, tokenizer, texts[::-1])
    assert len(known) == before > 30


@pytest.mark.parametrize(
    ("vocab", "text", "how"),
    [
        ("bert-base-uncased", "enwiki/enwiki.heldout.jsonl.zst", "blocks"),
        ("bert-base-cased", "enwiki/enwiki.heldout.jsonl.zst", "blocks"),
        ("bert-base-chinese", "zhwiki/zhwiki.heldout.jsonl.zst", "blocks"),
        ("bert-base-cased", "nasty.txt", "lines"),
        ("bert-base-uncased", "nasty.txt", "lines"),
    ],
)
def test_real_text(shared_data: Path, vocab: str, text: str, how: str) -> None:
    tokenizer = Tokenizer.load(shared_data / "vocab" / vocab)
    known = KnownWords(tokenizer)
    documents = [one.text for one in read_documents([shared_data / "text" / text], Reading(how))]  # type: ignore[arg-type]
    for start in range(0, len(documents), 20):
        part = documents[start : start + 20]
        same(known, tokenizer, [one[first:end] for one in part for first, end in split(one)])
    assert len(known) > 500
