"""Held-out figures: by hand, the same twice, and beside what the words' frequencies alone give."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertworks.corpus.masking import MaskRule
from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig
from bertworks.pretrain.evaluate import Tally, bits_per_byte, evaluate, evaluation_batches, unigram_log_probs
from bertworks.pretrain.samples import Samples
from bertworks.text.tokenizer import Tokenizer
from memory_corpus import MemoryCorpus, random_corpus, small_tokenizer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("vocab"))


@pytest.fixture(scope="module")
def corpus() -> MemoryCorpus:
    return random_corpus(80)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> BertForPreTraining:
    model = BertForPreTraining.new(BertConfig(tokenizer.vocab_size, 12, 2, 3, 20, max_position_embeddings=32))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5)
    return model


def samples_of(corpus: MemoryCorpus, tokenizer: Tokenizer, segments: str = "nsp") -> Samples:
    documents = np.arange(corpus.number_of_documents)
    return Samples(corpus, tokenizer, documents, segments=segments, length=32, masks=MaskRule(), seed=1)


@pytest.mark.parametrize("segments", ["nsp", "none"])
def test_figures_are_those_of_the_logits(
    corpus: MemoryCorpus, tokenizer: Tokenizer, model: BertForPreTraining, segments: str
) -> None:
    unigram = unigram_log_probs(corpus, np.arange(80))
    batches = evaluation_batches(samples_of(corpus, tokenizer, segments), 2000, 500)
    losses, hits, pair_losses, pair_hits, alone, commonest = ([] for _ in range(6))  # type: ignore[var-annotated]
    with torch.no_grad():
        for batch in batches:
            words, pairs = model(batch.rows, batch.masked_positions)
            losses += F.cross_entropy(words, batch.masked_labels, reduction="none").tolist()
            hits += (words.argmax(-1) == batch.masked_labels).tolist()
            alone += (-unigram[batch.masked_labels]).tolist()
            commonest += (batch.masked_labels == int(unigram.argmax())).tolist()
            if batch.next_sentence_labels is not None:
                pair_losses += F.cross_entropy(pairs, batch.next_sentence_labels, reduction="none").tolist()
                pair_hits += (pairs.argmax(-1) == batch.next_sentence_labels).tolist()
    figures = evaluate(model, batches, unigram, CPU)
    wanted = {
        "mlm_loss": np.mean(losses),
        "mlm_accuracy": np.mean(hits),
        "unigram_entropy": np.mean(alone),
        "unigram_accuracy": np.mean(commonest),
        "below_unigram": np.mean(alone) - np.mean(losses),
        "masked_tokens": len(losses),
    }
    if segments == "nsp":
        wanted |= {"nsp_loss": np.mean(pair_losses), "nsp_accuracy": np.mean(pair_hits), "pairs": len(pair_hits)}
    assert figures == pytest.approx(wanted, rel=1e-5)
    assert len(batches) > 3
    assert 0 < figures["mlm_accuracy"] < 1


def test_two_evaluations_are_equal_whatever_stands_between(
    corpus: MemoryCorpus, tokenizer: Tokenizer, model: BertForPreTraining
) -> None:
    unigram = unigram_log_probs(corpus, np.arange(80))
    first = evaluate(model, evaluation_batches(samples_of(corpus, tokenizer), 1500, 500), unigram, CPU)
    model.train()
    again = evaluate(model, evaluation_batches(samples_of(corpus, tokenizer), 1500, 500), unigram, CPU)
    assert first == again
    smaller = evaluate(model, evaluation_batches(samples_of(corpus, tokenizer), 1500, 64), unigram, CPU)
    assert smaller == pytest.approx(first, rel=1e-5), "the micro-batch is no part of it"
    with torch.no_grad():
        model.masked_head.bias[9] += 0.5
        other = evaluate(model, evaluation_batches(samples_of(corpus, tokenizer), 1500, 500), unigram, CPU)
        model.masked_head.bias[9] -= 0.5
    assert other["mlm_loss"] != first["mlm_loss"]


def test_as_many_tokens_as_asked_and_no_more_than_there_are(corpus: MemoryCorpus, tokenizer: Tokenizer) -> None:
    samples = samples_of(corpus, tokenizer)
    total = int(samples.plan(0).lengths.sum())
    for asked in (1, 100, 1500, total, 10 * total):
        found = sum(batch.tokens for batch in evaluation_batches(samples, asked, 500))
        assert min(asked, total) <= found < min(asked, total) + 32
    twice = evaluation_batches(samples, 100, 500, epochs=2)
    assert {i for batch in twice for i in batch.sample_indexes} == set(range(len(twice[0].sample_indexes)))
    assert sum(batch.tokens for batch in twice) >= 200
    nothing = Samples(corpus, tokenizer, np.zeros(0, np.int64), segments="nsp", length=32, masks=MaskRule(), seed=1)
    assert evaluation_batches(nothing, 100, 500) == []


def test_unigram_counts_the_documents_asked_for(corpus: MemoryCorpus) -> None:
    documents = np.array([3, 4, 50])
    counts: Counter[int] = Counter()
    for document in documents:
        first, last = corpus.sentence_offsets[corpus.document_sentences[document : document + 2]]
        counts.update(corpus.ids[first:last].tolist())
    total = counts.total() + corpus.vocab_size
    wanted = [math.log((counts[i] + 1) / total) for i in range(corpus.vocab_size)]
    assert unigram_log_probs(corpus, documents) == pytest.approx(wanted)
    assert np.exp(unigram_log_probs(corpus, np.arange(80))).sum() == pytest.approx(1.0)


def test_bits_a_byte() -> None:
    assert bits_per_byte(math.log(2), tokens=100, text_bytes=400) == pytest.approx(0.25)


def test_nothing_tallied_has_no_pair_figures() -> None:
    tally = Tally(masked=4, masked_loss=8.0, masked_correct=1, unigram_loss=12.0)
    assert tally.figures() == {
        "mlm_loss": 2.0,
        "mlm_accuracy": 0.25,
        "unigram_entropy": 3.0,
        "unigram_accuracy": 0.0,
        "masked_tokens": 4,
        "below_unigram": 1.0,
    }
