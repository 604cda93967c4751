"""Sanity of learning: an untrained loss is ln V, one batch is memorised, order is learnt where there is some."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bertworks.corpus.masking import MaskRule
from bertworks.engine.optimiser import AdamW
from bertworks.engine.parameters import FlatParameters
from bertworks.engine.step import StepReport, train_step
from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig
from bertworks.pretrain.batches import MicroBatch, micro_batches
from bertworks.pretrain.evaluate import evaluate, evaluation_batches, unigram_log_probs
from bertworks.pretrain.objective import Objective, target_counts
from bertworks.pretrain.samples import Samples
from bertworks.text.tokenizer import Tokenizer
from memory_corpus import MemoryCorpus, random_corpus, small_tokenizer

CPU = torch.device("cpu")
LENGTH, TOPICS, WORDS = 32, 4, 20  # words of a topic


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("vocab"))


class Trainer:
    """A small BERT and what trains it."""

    def __init__(self, vocab_size: int) -> None:
        config = BertConfig(vocab_size, 32, 2, 2, 64, max_position_embeddings=LENGTH)
        self.model = BertForPreTraining.new(config, torch.Generator().manual_seed(1))
        self.parameters = FlatParameters(self.model, torch.float32, CPU)
        self.optimiser = AdamW(self.parameters, betas=(0.9, 0.98))
        self.objective = Objective(self.model, None, direct=True)

    def step(self, pieces: list[MicroBatch], lr: float) -> StepReport:
        self.model.train()
        self.objective.step += 1
        return train_step(pieces, target_counts(pieces), self.objective, self.parameters, self.optimiser, lr=lr)


def samples_of(corpus: MemoryCorpus, tokenizer: Tokenizer, documents: np.ndarray, seed: int = 0) -> Samples:
    return Samples(corpus, tokenizer, documents, segments="nsp", length=LENGTH, masks=MaskRule(), seed=seed)


def test_an_untrained_loss_is_that_of_knowing_nothing(tokenizer: Tokenizer) -> None:
    corpus = random_corpus(60)
    batch = micro_batches(samples_of(corpus, tokenizer, np.arange(60)).first(0, 3000), LENGTH, 4096)
    report = Trainer(tokenizer.vocab_size).step(batch, lr=0.0)
    assert report.losses["mlm_loss"] == pytest.approx(math.log(tokenizer.vocab_size), abs=0.05)
    assert report.losses["nsp_loss"] == pytest.approx(math.log(2), abs=0.02)


def test_one_batch_is_memorised(tokenizer: Tokenizer) -> None:
    corpus = random_corpus(60)
    batch = micro_batches(samples_of(corpus, tokenizer, np.arange(60)).first(0, 600), LENGTH, 4096)
    trainer = Trainer(tokenizer.vocab_size)
    for step in range(200):
        trainer.step(batch, lr=5e-3 * min(1.0, step / 20))
    figures = evaluate(trainer.model, batch, np.zeros(tokenizer.vocab_size), CPU)
    assert figures["mlm_accuracy"] > 0.97
    assert figures["mlm_loss"] < 0.15
    assert figures["nsp_accuracy"] == 1.0
    assert figures["masked_tokens"] > 60
    assert sum(int(piece.next_sentence_labels.sum()) for piece in batch if piece.next_sentence_labels is not None) > 0


def topics(*, shuffled: bool, documents: int = 300) -> MemoryCorpus:
    """Documents of one topic each, a topic of words of its own; shuffled, every sentence has a topic of its own."""
    draw = np.random.default_rng(0)
    lengths: list[list[int]] = []
    ids: list[np.ndarray] = []
    for number in range(documents):
        lengths.append(draw.integers(3, 8, draw.integers(4, 9)).tolist())
        for length in lengths[-1]:
            topic = draw.integers(TOPICS) if shuffled else number % TOPICS
            ids.append(8 + topic * WORDS + draw.integers(0, WORDS, length))
    return MemoryCorpus(lengths, np.concatenate(ids), heldout=60)


def heldout_figures(folder: Path, *, shuffled: bool) -> dict[str, float]:
    """After 300 updates of 512 tokens."""
    tokenizer, corpus = small_tokenizer(folder), topics(shuffled=shuffled)
    training, tested = np.flatnonzero(~corpus.is_heldout), np.flatnonzero(corpus.is_heldout)
    samples, trainer = samples_of(corpus, tokenizer, training), Trainer(tokenizer.vocab_size)
    trials = evaluation_batches(samples_of(corpus, tokenizer, tested, seed=9), 4000, 4096, epochs=4)
    step, epoch, steps = 0, 0, 300
    while step < steps:
        for number in range(samples.number_of_batches(epoch, 512)):
            pieces = micro_batches(samples.batch(epoch, number, 512), LENGTH, 4096)
            trainer.step(pieces, lr=3e-3 * min(1.0, step / 20) * max(0.0, 1 - step / steps))
            step += 1
        epoch += 1
    return evaluate(trainer.model, trials, unigram_log_probs(corpus, training), CPU)


def test_words_and_order_are_learnt_where_there_is_something_to_learn(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A masked word can be known to its topic, ln 4 below the unigram; a pair by whether the topic changes, 7/8."""
    figures = heldout_figures(tmp_path_factory.getbasetemp(), shuffled=False)
    assert figures["unigram_entropy"] == pytest.approx(math.log(TOPICS * WORDS), abs=0.05)
    assert 0.6 < figures["below_unigram"] < math.log(TOPICS) + 0.1
    assert figures["nsp_accuracy"] > 0.7


def test_shuffled_sentences_have_no_order_to_learn(tmp_path_factory: pytest.TempPathFactory) -> None:
    figures = heldout_figures(tmp_path_factory.getbasetemp(), shuffled=True)
    assert figures["pairs"] > 300
    assert abs(figures["nsp_accuracy"] - 0.5) < 4 * 0.5 / math.sqrt(figures["pairs"])
    assert figures["nsp_loss"] == pytest.approx(math.log(2), abs=0.03)
    assert figures["mlm_loss"] < figures["unigram_entropy"], "words of one sentence still tell its topic"
