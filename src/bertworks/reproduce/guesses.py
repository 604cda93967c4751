"""What a pre-trained model guesses behind [MASK]: three sentences to read, and thousands of places to count."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bertworks.corpus.build import build
from bertworks.corpus.masking import MaskRule
from bertworks.model.pretrained import load_pre_training
from bertworks.predict.fill import fill
from bertworks.pretrain.evaluate import EVALUATION_SEED, evaluate, evaluation_batches
from bertworks.pretrain.samples import Samples
from bertworks.read.documents import read_documents
from bertworks.reproduce import bundled
from bertworks.text.tokenizer import Tokenizer

# Written down before any model had read them: one place where many words fit, one with few, one that asks for a fact.
SENTENCES = (
    "The [MASK] was dark and the wind was cold.",
    "She put the letter on the [MASK] and left the room.",
    "The capital of France is [MASK].",
)
SHARE = 0.15  # of the tokens, as in pre-training; all of them become [MASK], unlike there
ROUNDS = 2  # different masks over the same chapters: 6,000 places, so the accuracy is known within 0.7 point
LENGTH = 128


@dataclass(frozen=True)
class Guesses:
    """What a model said.

    best              for each of SENTENCES the likeliest tokens with their probabilities
    top1              accuracy of the first guess on masked tokens of the held-out chapters
    unigram_top1      the same for always guessing the most frequent token of the novels
    masked_tokens     how many places that is
    """

    best: list[list[tuple[str, float]]]
    top1: float
    unigram_top1: float
    masked_tokens: int


def guess(model_folder: Path, work: Path) -> Guesses:
    """Fill SENTENCES and count hits on the held-out chapters, whose corpus is built in `work`."""
    model, _, _ = load_pre_training(model_folder)
    tokenizer = Tokenizer.load(model_folder)
    model.eval()
    best = []
    for sentence in SENTENCES:
        first = fill(model, tokenizer, sentence, top=3).predictions[0]
        best.append([(one.token, one.score) for one in first])

    corpus = build([bundled.HELDOUT], model_folder, work, holdout=0.0)
    chapters = np.arange(corpus.number_of_documents)
    rule = MaskRule(probability=SHARE, masked=1.0, kept=0.0)
    samples = Samples(corpus, tokenizer, chapters, segments="nsp", length=LENGTH, masks=rule, seed=EVALUATION_SEED)
    batches = evaluation_batches(samples, corpus.number_of_tokens * 2, 2048, ROUNDS)
    figures = evaluate(model, batches, unigram_of_novels(tokenizer), torch.device("cpu"))
    return Guesses(best, figures["mlm_accuracy"], figures["unigram_accuracy"], int(figures["masked_tokens"]))


def unigram_of_novels(tokenizer: Tokenizer) -> NDArray[np.float64]:
    """(V,) log frequency of each token in the novels, one added to every count."""
    counts = np.ones(tokenizer.vocab_size)
    for document in read_documents([bundled.NOVELS]):
        counts += np.bincount(tokenizer.encode([document.text])[0], minlength=tokenizer.vocab_size)
    return np.asarray(np.log(counts / counts.sum()))
