"""Arrays over all shards equal the shards one by one, and a broken corpus says what is broken."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpus_texts
from bertworks.base.errors import BertworksError
from bertworks.corpus import build as build_module
from bertworks.corpus.build import build
from bertworks.corpus.describe import describe
from bertworks.corpus.manifest import fingerprint
from bertworks.corpus.open import Corpus, open_corpus, verify
from bertworks.corpus.shards import PARTS
from bertworks.text.tokenizer import Tokenizer
from corpus_texts import make_documents, vocabulary, write_jsonl


def make(folder: Path, name: str = "c", **settings: object) -> Corpus:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_module, "start_workers", corpus_texts.no_workers)
        path = write_jsonl(folder / "a.jsonl", make_documents(90))
        return build([path], vocabulary(folder / "v"), folder / name, shard_tokens=500, **settings)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return make(tmp_path).path


def test_global_arrays_number_on_over_shards(corpus: Corpus) -> None:
    assert len(corpus.shards) > 3
    ids = np.concatenate([corpus.tokens(number) for number in range(len(corpus.shards))])
    assert len(ids) == corpus.number_of_tokens == corpus.sentence_offsets[-1]
    assert corpus.document_sentences[-1] == corpus.number_of_sentences == len(corpus.sentence_offsets) - 1
    assert len(corpus.document_sentences) == corpus.number_of_documents + 1
    assert np.all(np.diff(corpus.sentence_offsets) > 0)
    assert np.all(np.diff(corpus.document_sentences) > 0)
    tokenizer, texts = corpus.tokenizer(), make_documents(90)
    for number in (0, 1, 44, 89):
        first, end = corpus.sentence_offsets[corpus.document_sentences[number : number + 2]]
        assert tokenizer.decode(ids[first:end]).replace(" ", "") == texts[number].lower().replace(" ", "")
        assert np.array_equal(np.concatenate(corpus.document(number)), ids[first:end])
    with pytest.raises(IndexError):
        corpus.document(90)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_gathered_spans_are_slices(corpus: Corpus, data: st.DataObject) -> None:
    ids = np.concatenate([corpus.tokens(number) for number in range(len(corpus.shards))])
    is_start = np.array([not token.startswith("##") for token in corpus.tokenizer().tokens])[ids]
    spans = data.draw(st.lists(st.tuples(st.integers(0, len(ids)), st.integers(0, 1200)), max_size=6))
    starts = np.array([min(start, len(ids)) for start, _ in spans], dtype=np.int64)
    lengths = np.array([min(length, len(ids) - start) for start, length in spans], dtype=np.int64)
    places = [slice(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    gathered = corpus.gather(starts, lengths)
    assert gathered.dtype == np.uint16
    assert gathered.tolist() == [token_id for place in places for token_id in ids[place]]
    assert corpus.word_starts(starts, lengths).tolist() == [bit for place in places for bit in is_start[place]]


def test_spans_outside_are_refused(corpus: Corpus) -> None:
    for start, length in ((-1, 2), (corpus.number_of_tokens - 1, 2)):
        with pytest.raises(IndexError):
            corpus.gather(np.array([start]), np.array([length]))


def test_verify_finds_each_changed_file(fresh: Path) -> None:
    corpus = open_corpus(fresh)
    assert verify(corpus) == []
    for part in PARTS:
        file = fresh / f"shard-00001.{part}"
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert verify(open_corpus(fresh)) == [f"{file}: its SHA-256 is not the manifest's"]
        file.write_bytes(whole)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("harm", ["cut", "gone", "longer"])
def test_a_shard_of_another_size_is_refused_at_once(part: str, harm: str, fresh: Path) -> None:
    file = fresh / f"shard-00002.{part}"
    size = file.stat().st_size
    if harm == "gone":
        file.unlink()
    else:
        file.write_bytes((file.read_bytes() + b"x")[: size + (1 if harm == "longer" else -1)])
    found = "is missing" if harm == "gone" else f"has {size + (1 if harm == 'longer' else -1):,} bytes"
    with pytest.raises(BertworksError) as caught:
        open_corpus(fresh)
    assert caught.value.message == f"{file}: {found}, the manifest says {size:,}"


def refusal(path: Path) -> str:
    with pytest.raises(BertworksError) as caught:
        open_corpus(path)
    return caught.value.message


def test_what_is_no_corpus_is_told_apart(fresh: Path, tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone").endswith("gone: no such corpus")
    assert "is not a corpus, there is no manifest.json in it" in refusal(tmp_path)
    (tmp_path / "build.json").write_text("{}")
    assert "an unfinished corpus, it has no manifest.json" in refusal(tmp_path)
    manifest = json.loads((fresh / "manifest.json").read_text())
    for change, told in (
        ({"format": "other"}, "is not the manifest of a corpus"),
        ({"format_version": 2}, "format 2, this version reads 1"),
        ({"token_dtype": "uint32"}, "its entries do not fit its fingerprint"),
    ):
        (fresh / "manifest.json").write_text(json.dumps({**manifest, **change}))
        assert told in refusal(fresh)
    del manifest["shards"]
    (fresh / "manifest.json").write_text(json.dumps(manifest))
    assert "has no entry 'shards'" in refusal(fresh)


def test_another_vocabulary_is_refused(fresh: Path, tmp_path: Path) -> None:
    other = vocabulary(tmp_path / "w") / "vocab.txt"
    other.write_text(other.read_text() + "more\n")
    for file in (fresh / "tokenizer").iterdir():
        file.unlink()
    Tokenizer.load(tmp_path / "w").save(fresh / "tokenizer")
    with pytest.raises(BertworksError, match="is not the vocabulary this corpus was made with"):
        open_corpus(fresh).tokenizer()


def test_the_fingerprint_is_of_what_training_reads(corpus: Corpus, tmp_path: Path) -> None:
    same = make(tmp_path, command="another command")
    assert same.fingerprint == corpus.fingerprint == fingerprint(corpus.manifest)
    assert make(tmp_path, "d", holdout=0.3).fingerprint != corpus.fingerprint


def test_lengths_are_told_from_all_shards(corpus: Corpus) -> None:
    told, _ = describe(corpus)
    lengths = {
        "tokens_per_sentence": np.diff(corpus.sentence_offsets),
        "sentences_per_document": np.diff(corpus.document_sentences),
        "tokens_per_document": np.diff(corpus.sentence_offsets[corpus.document_sentences]),
    }
    for name, values in lengths.items():
        low, middle, high = np.percentile(values, [5, 50, 95], method="inverted_cdf")
        expected = {"mean": round(values.mean(), 2), "p5": low, "median": middle, "p95": high, "max": values.max()}
        assert told[name] == expected
        assert low < middle < high
    assert told["heldout_tokens"] == lengths["tokens_per_document"][corpus.is_heldout].sum() > 0
