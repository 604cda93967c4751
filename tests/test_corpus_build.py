"""A corpus holds just the documents that went in: tokens, borders, word starts, counts; the same for any workers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus_texts
from bertworks.base.errors import BertworksError
from bertworks.corpus import build as build_module
from bertworks.corpus.build import build
from bertworks.corpus.duplicates import document_hash
from bertworks.corpus.open import Corpus, open_corpus
from bertworks.read.documents import Reading
from bertworks.text.sentences import split
from bertworks.text.tokenizer import Tokenizer
from corpus_texts import contents, make_documents, write_jsonl


@pytest.fixture(scope="module")
def vocab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus_texts.vocabulary(tmp_path_factory.mktemp("vocab"))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "start_workers", corpus_texts.no_workers)


def expected(documents: Sequence[str], tokenizer: Tokenizer) -> list[list[list[int]]]:
    """Documents as lists of sentences of ids, written out: first occurrences, without what has no token."""
    found = []
    for text in dict.fromkeys(documents):
        sentences = [ids.tolist() for ids in tokenizer.encode([text[start:end] for start, end in split(text)])]
        sentences = [ids for ids in sentences if ids]
        if sentences:
            found.append(sentences)
    return found


def stored(corpus: Corpus) -> list[list[list[int]]]:
    return [[ids.tolist() for ids in corpus.document(number)] for number in range(corpus.number_of_documents)]


@pytest.mark.usefixtures("in_process")
def test_documents_out_are_the_documents_in(vocab: Path, tmp_path: Path) -> None:
    documents = [*make_documents(120), "", "\u200b", make_documents(3)[2], "One.\nTwo.", " One.\nTwo. "]
    corpus = build([write_jsonl(tmp_path / "a.jsonl", documents)], vocab, tmp_path / "c", shard_tokens=700)
    tokenizer = Tokenizer.load(vocab)
    there = expected(documents, tokenizer)
    assert stored(corpus) == there
    assert len(corpus.shards) > 3
    assert corpus.manifest["dropped"] == {
        "document that occurred before": 1,
        "document without a token": 1,
        "document without text": 1,
    }
    assert corpus.number_of_documents == len(there) == len(documents) - 3
    assert corpus.number_of_sentences == sum(map(len, there))
    assert corpus.number_of_tokens == sum(len(ids) for sentences in there for ids in sentences)
    kept = [text for text in dict.fromkeys(documents) if text.strip("\u200b")]
    assert corpus.manifest["counts"]["bytes"] == sum(len(text.encode()) for text in kept)
    hashes = np.concatenate([corpus.hashes(number) for number in range(len(corpus.shards))])
    assert hashes.tobytes() == b"".join(document_hash(text.encode()) for text in kept)
    starts = corpus.word_starts(np.array([0]), np.array([corpus.number_of_tokens]))
    ids = corpus.gather(np.array([0]), np.array([corpus.number_of_tokens]))
    assert starts.tolist() == [not tokenizer.tokens[token_id].startswith("##") for token_id in ids]
    assert 0.05 < 1 - starts.mean() < 0.95
    assert corpus.tokenizer().fingerprint == tokenizer.fingerprint


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=40)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.one_of(TEXT, st.sampled_from(make_documents(5))), max_size=12),
    st.integers(1, 60),
    st.sampled_from([1, 20, 1 << 19]),
)
def test_any_documents_come_back(
    vocab: Path,
    tmp_path_factory: pytest.TempPathFactory,
    documents: list[str],
    shard_tokens: int,
    batch_bytes: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    documents = ["Something to read.", *documents]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_module, "start_workers", corpus_texts.no_workers)
        patch.setattr("bertworks.corpus.batches.BATCH_BYTES", batch_bytes)
        path = write_jsonl(folder / "a.jsonl", documents)
        corpus = build([path], vocab, folder / "c", shard_tokens=shard_tokens, max_unknown=1)
    tokenizer = Tokenizer.load(vocab)
    assert stored(corpus) == expected(documents, tokenizer)
    read = corpus.number_of_documents + sum(corpus.manifest["dropped"].values())
    assert read == len(documents)
    sizes = [shard.tokens for shard in corpus.shards]
    assert all(size >= shard_tokens for size in sizes[:-1])
    assert all(shard.tokens - _last_document(corpus, n) < shard_tokens for n, shard in enumerate(corpus.shards))


def _last_document(corpus: Corpus, shard: int) -> int:
    before = sum(one.documents for one in corpus.shards[: shard + 1])
    return sum(map(len, corpus.document(before - 1)))


def test_any_number_of_workers_gives_the_same_bytes(
    vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertworks.corpus.batches.BATCH_BYTES", 500)  # many batches, so that order is at stake
    documents = make_documents(300)
    write_jsonl(tmp_path / "in" / "a.jsonl", documents[:200])
    (tmp_path / "in" / "b.txt").write_text("\n\n".join(documents[150:]))
    made = []
    for workers in (1, 2, 3):
        build([tmp_path / "in"], vocab, tmp_path / f"c{workers}", workers=workers, shard_tokens=2000)
        made.append(contents(tmp_path / f"c{workers}"))
    assert made[0] == made[1] == made[2]
    assert sum(name.endswith(".ids") for name in made[0]) > 3
    assert {"manifest.json", "tokenizer/vocab.txt", "tokenizer/tokenizer.json"} <= set(made[0])
    assert not any("build" in name or name.startswith(".") for name in made[0])
    assert stored(open_corpus(tmp_path / "c3")) == expected(documents, Tokenizer.load(vocab))


@pytest.mark.usefixtures("in_process")
def test_large_vocabularies_take_four_bytes(tmp_path: Path) -> None:
    folder = corpus_texts.vocabulary(tmp_path / "v")
    with (folder / "vocab.txt").open("a") as handle:
        handle.write("".join(f"word{number}\n" for number in range(1 << 16)))
        handle.write("last\n")
    corpus = build([write_jsonl(tmp_path / "a.jsonl", ["the last cat"])], folder, tmp_path / "c")
    assert corpus.token_dtype == np.dtype("<u4")
    assert stored(corpus) == [[Tokenizer.load(folder).encode(["the last cat"])[0].tolist()]]
    assert max(stored(corpus)[0][0]) > 1 << 16


@pytest.mark.usefixtures("in_process")
def test_words_of_specials_are_plain_text(vocab: Path, tmp_path: Path) -> None:
    corpus = build([write_jsonl(tmp_path / "a.jsonl", ["The [SEP] cat [MASK]."])], vocab, tmp_path / "c")
    specials = set(corpus.tokenizer().special_ids) - {corpus.tokenizer().unk_token_id}
    assert not specials & set(stored(corpus)[0][0])
    assert len(stored(corpus)[0][0]) > 8


@pytest.mark.usefixtures("in_process")
def test_a_corpus_may_stand_among_its_texts(vocab: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "texts" / "a.jsonl", make_documents(5))
    (tmp_path / "texts" / "c").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "texts" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "texts" / "gone").symlink_to(tmp_path / "nowhere")
    first = build(["texts"], vocab, "texts/c")
    again = build(["texts"], vocab, tmp_path / "texts" / "c", overwrite=True)
    assert first.number_of_documents == again.number_of_documents == 5
    for inputs in (["texts"], ["texts/a.jsonl"]):
        with pytest.raises(BertworksError, match=r"texts: holds .*texts.*, which is to be read"):
            build(inputs, vocab, tmp_path / "texts", overwrite=True)
    (tmp_path / "texts" / "c" / "thesis.docx").touch()
    with pytest.raises(BertworksError, match=r"c: holds `thesis.docx`, which is no part of a corpus"):
        build(["texts/a.jsonl"], vocab, tmp_path / "texts" / "c", overwrite=True)
    assert (tmp_path / "texts" / "c" / "manifest.json").exists()
    assert again.manifest["dropped"] == {"entry that is no file": 1, "link to a folder": 1}


@pytest.mark.usefixtures("in_process")
def test_too_small_a_disk_is_said_before_the_work(
    vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(build_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    build([write_jsonl(tmp_path / "a.jsonl", make_documents(5))], vocab, "c")
    assert "0 MB are free at" in caplog.text


@pytest.mark.usefixtures("in_process")
def test_the_manifest_tells_the_settings(vocab: Path, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", make_documents(50))
    build([path], vocab, tmp_path / "c", holdout=0.25, command="bertworks corpus a.jsonl")
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    assert manifest["format"] == "bertworks-corpus"
    assert manifest["command"] == "bertworks corpus a.jsonl"
    assert manifest["word_unit"] == "space"
    assert manifest["token_dtype"] == "uint16"
    assert manifest["holdout"]["share"] == 0.25
    assert manifest["tokenizer"]["lowercase"] is True


REFUSED = {
    "an existing folder": ({}, "exists already"),
    "no workers": ({"workers": 0, "out": "new"}, "--workers 0: at least 1 is needed"),
    "too much held out": ({"holdout": 1.0, "out": "new"}, "--holdout 1: a share from 0 to below 1 was expected"),
    "empty shards": ({"shard_tokens": 0, "out": "new"}, "--shard-tokens 0: at least 1 is needed"),
    "a pipe": ({"inputs": ["pipe"], "out": "new"}, "pipe: is a pipe or a device"),
    "no vocabulary": ({"vocab": "gone", "out": "new"}, "gone"),
    "no text": ({"inputs": ["blank.txt"], "out": "new"}, "blank.txt: no document with text"),
    "no token": ({"inputs": ["invisible.txt"], "out": "new"}, "invisible.txt: no document with text"),
    "a bad byte": ({"inputs": ["a.txt", "latin.txt"], "out": "new"}, "latin.txt:5: not UTF-8, byte 0xe9 at offset 1"),
}


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_leaves_nothing(case: str, vocab: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The cat sat.")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "blank.txt").write_text(" \n\n\t\n")
    (tmp_path / "invisible.txt").write_text("\u200b\n")
    (tmp_path / "latin.txt").write_bytes(b"The cat sat. " * 1600 + b"\n\n\n\na\xe9")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("mine")
    before = contents(tmp_path)
    arguments, told = REFUSED[case]
    given = {"inputs": ["a.txt"], "vocab": vocab, "out": "there", **arguments}
    with pytest.raises(BertworksError) as caught:
        build(given.pop("inputs"), given.pop("vocab"), given.pop("out"), **given)
    assert told in caught.value.message
    assert caught.value.exit_code == 2
    assert contents(tmp_path) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("in_process")
def test_a_vocabulary_of_another_language_is_refused(vocab: Path, tmp_path: Path) -> None:
    (tmp_path / "zh.txt").write_text("\u4f60\u597d\u4e16\u754c\u3002" * 100, encoding="utf-8")
    (tmp_path / "en.txt").write_text("The cat sat. \u00bf" * 100, encoding="utf-8")
    with pytest.raises(
        BertworksError, match=r"^zh.txt: 60.0% of 500 sampled tokens became `\[UNK\]` \(limit 5%\)"
    ) as zh:
        build(["zh.txt"], vocab, "c")
    assert zh.value.hint.startswith("the vocabulary has only 3 CJK characters; learn a vocabulary from this text")
    with pytest.raises(BertworksError, match=r"en.txt: 20.0% of") as en:
        build(["en.txt"], vocab, "c")
    assert en.value.hint.startswith("most often unknown: `\u00bf`")
    assert not (tmp_path / "c").exists()
    corpus = build(["zh.txt"], vocab, "c", max_unknown=0.6)
    assert corpus.manifest["counts"]["unknown"] == 300


@pytest.mark.usefixtures("in_process")
def test_first_documents_are_shown_as_a_human_reads_them(
    vocab: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.txt").write_text("The cat, sat!\nOn a mat.\n\nAnother.")
    with caplog.at_level("INFO", "bertworks"):
        build(["a.txt"], vocab, "c", how=Reading())
    assert "a.txt: read as text" in caplog.text
    assert "a.txt:1: 2 sentences, 9 tokens\n  text    The cat, sat!\n  tokens  the cat , sat !" in caplog.text
    assert "0.00% of 17 sampled tokens are [UNK]" in caplog.text
