"""First weights from counts: the counts and factors by hand, what the heads look at, a run that resumes."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bertworks.corpus.build import build
from bertworks.corpus.open import Corpus, open_corpus
from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig
from bertworks.model.encoder import Layer
from bertworks.model.initialise import seeded
from bertworks.pretrain import counted_start as start
from bertworks.pretrain import run, setup, word_vectors
from bertworks.pretrain.setup import wants_counts
from bertworks.read.documents import read_documents
from bertworks.reproduce.bundled import NOVELS
from bertworks.text.learn import learn
from tiny_pretraining import assert_same, left_by, recipe_of, tiny_corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_corpus(tmp_path_factory.getbasetemp() / "tiny")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The opening chapters of a novel, cut into pages, and 600 tokens."""
    folder = tmp_path_factory.mktemp("pages")
    novel = read_documents([NOVELS / "jane-austen_pride-and-prejudice.jsonl.zst"])
    words = " ".join(chapter.text for chapter in itertools.islice(novel, 8)).split()
    pages = [" ".join(words[i : i + 200]) for i in range(0, len(words), 200)]
    (folder / "text.txt").write_text("\n\n".join(pages))
    learn(pages, size=600).save(folder / "vocab")
    build([folder / "text.txt"], folder / "vocab", folder / "corpus", workers=1)
    return open_corpus(folder / "corpus")


def all_documents(corpus: Corpus) -> NDArray[np.int64]:
    return np.arange(corpus.number_of_documents)


def counted_by_hand(corpus: Corpus, documents: NDArray[np.int64], distances: list[int]) -> Counter[tuple[int, int]]:
    counts: Counter[tuple[int, int]] = Counter()
    for number in documents:
        ids = [int(i) for sentence in corpus.document(number) for i in sentence]
        counts.update((ids[i], ids[i + d]) for d in distances for i in range(len(ids) - d))
    return counts


@pytest.mark.parametrize("distances", [[1], [2], [3, 4, 12]])
def test_pairs_are_counted_within_documents(
    corpus: Corpus, distances: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_vectors, "CHUNK", 1000)
    documents = all_documents(corpus)[::4]
    parts = list(word_vectors.chunks(corpus, documents, seed=3))
    assert len(parts) > 3, "more than one chunk"
    found = sum(word_vectors.pair_counts(ids, owners, distances, corpus.vocab_size) for ids, owners in parts).tocoo()
    wanted = counted_by_hand(corpus, documents, distances)
    assert sum(wanted.values()) > 500
    assert dict(zip(zip(*map(np.ndarray.tolist, found.coords), strict=True), found.data, strict=True)) == wanted


def test_no_more_is_read_than_the_bound(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_vectors, "CHUNK", 1000)
    monkeypatch.setattr(word_vectors, "READ_AT_MOST", 5000)
    read = sum(len(ids) for ids, _ in word_vectors.chunks(corpus, all_documents(corpus), seed=0))
    assert 5000 <= read < 7000 < corpus.number_of_tokens, "whole documents, to just over the bound"


def test_information_is_that_of_the_paper(corpus: Corpus) -> None:
    parts = list(word_vectors.chunks(corpus, all_documents(corpus), seed=0))
    counts = sum(word_vectors.pair_counts(ids, owners, [1], corpus.vocab_size) for ids, owners in parts)
    found = word_vectors.information(counts).toarray()
    dense = counts.toarray().astype(np.float64)
    contexts = dense.sum(axis=0) ** 0.75
    together = dense / dense.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(together / (together.sum(axis=1, keepdims=True) * contexts / contexts.sum()))
    wanted = np.where((dense > 0) & (ratio > 0), ratio, 0)
    assert (wanted > 0).sum() > 1000
    assert ((dense > 0) & (wanted == 0)).sum() > 100, "pairs less frequent than chance"
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_vectors_are_the_factors_with_length_one(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inner products, which a turn of the axes leaves alone, against a full decomposition."""
    monkeypatch.setattr(word_vectors, "ROUNDS", 60)
    documents = all_documents(corpus)
    vectors = word_vectors.word_vectors(corpus, documents, rank=6, seed=0)
    assert np.array_equal(vectors, word_vectors.word_vectors(corpus, documents, rank=6, seed=0))
    ids, owners = next(word_vectors.chunks(corpus, documents, seed=0))
    counts = [word_vectors.pair_counts(ids, owners, which, corpus.vocab_size) for which in ([1], [2], range(3, 13))]
    sides = [counts[0], counts[0].T, counts[1], counts[1].T, counts[2] + counts[2].T]
    contexts = np.hstack([word_vectors.information(side.tocsr()).toarray() for side in sides])
    left, strengths, _ = np.linalg.svd(contexts)
    wanted = left[:, :6] * np.sqrt(strengths[:6])
    met: NDArray[np.bool_] = np.abs(contexts).sum(axis=1) > 0
    assert 500 < met.sum() < len(met), "special tokens never stand in a document"
    assert not vectors[~met].any()
    wanted = wanted[met] / np.linalg.norm(wanted[met], axis=1, keepdims=True)
    np.testing.assert_allclose(vectors[met] @ vectors[met].T, wanted @ wanted.T, atol=1e-3)


def network(**sizes: Any) -> BertForPreTraining:
    given = {"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    config = BertConfig(vocab_size=600, max_position_embeddings=128, initializer_range=0.04, **{**given, **sizes})
    return BertForPreTraining.new(config, seeded(0))


@pytest.mark.parametrize(
    "sizes", [{}, {"pre_norm": True}, {"hidden_size": 768, "num_attention_heads": 12}, {"num_attention_heads": 2}]
)
def test_heads_look_at_their_neighbour(corpus: Corpus, sizes: dict[str, Any]) -> None:
    model = network(**sizes)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start.counted_start(model, corpus, all_documents(corpus), seed=0)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"encoder.embeddings.word", "encoder.embeddings.position", "encoder.layers.0.qkv.weight"}
    encoder = model.encoder
    heads, width = encoder.config.num_attention_heads, encoder.config.hidden_size
    ids = torch.from_numpy(np.concatenate(corpus.document(0) + corpus.document(1))[:60].astype(np.int64))
    tables, first = encoder.embeddings, encoder.layers[0]
    assert isinstance(first, Layer)
    hidden = torch.nn.functional.layer_norm(
        tables.word[ids] + tables.position[: len(ids)] + tables.token_type[0], [width]
    )
    query, key, _ = first.qkv(hidden).view(len(ids), 3, heads, width // heads).unbind(1)
    scores = torch.einsum("ihd,jhd->hij", query, key) / (width // heads) ** 0.5
    for head, distance in enumerate(start.DISTANCES[:heads]):
        inner = torch.arange(4, len(ids) - 4)
        probs = scores[head].softmax(-1)
        assert (probs[inner].argmax(-1) == inner + distance).float().mean() > 0.9, f"head {head}"
        assert probs[inner, inner + distance].mean() > 0.25, f"head {head}"
    if heads > len(start.DISTANCES):
        assert scores[-1].softmax(-1).max() < 0.2, "the other heads stay as they were drawn"


def test_a_turned_sinusoid_is_the_one_further_on() -> None:
    rates = start.frequencies(32)
    places = start.sinusoids(torch.arange(20), rates)
    torch.testing.assert_close(places[3:], places[:-3] @ start.rotation(3 * rates).T, atol=1e-5, rtol=0)


def test_a_run_counts_once_and_goes_on_to_the_bit(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"train__steps": 10, "train__checkpoint_every": 4, "train__evaluate_every": 5, "data__mask_copies": 1}
    recipe = recipe_of(folder, model__initialization="counts", **given)
    counted: list[NDArray[np.int64]] = []

    def watched(model: BertForPreTraining, corpus: Corpus, documents: NDArray[np.int64], seed: int) -> None:
        counted.append(documents)
        start.counted_start(model, corpus, documents, seed)

    monkeypatch.setattr(setup, "counted_start", watched)
    run.pretrain(recipe, tmp_path / "unbroken")
    real = run.Loop._evaluate
    monkeypatch.setattr(run.Loop, "_evaluate", lambda self: 1 / (self.state.cursor.step != 5) and real(self))
    with pytest.raises(ZeroDivisionError):
        run.pretrain(recipe, tmp_path / "run")
    monkeypatch.setattr(run.Loop, "_evaluate", real)
    run.pretrain(recipe, tmp_path / "run")
    assert_same(left_by(tmp_path / "run"), left_by(tmp_path / "unbroken"))
    assert len(counted) == 2, "not again where a checkpoint stands"
    heldout = open_corpus(folder).is_heldout
    assert heldout.any()
    assert not heldout[counted[0]].any(), "what is held out is not counted"
    run.pretrain(recipe, tmp_path / "run", overwrite=True)
    assert len(counted) == 3


def test_a_model_to_go_on_from_keeps_its_weights(folder: Path) -> None:
    assert wants_counts(recipe_of(folder, model__initialization="counts"))
    assert not wants_counts(recipe_of(folder, model__initialization="counts", model__start="some/model"))
    assert not wants_counts(recipe_of(folder))
