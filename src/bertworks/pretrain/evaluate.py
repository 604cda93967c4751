"""Held-out loss and accuracies on masks that never change, beside what the words' frequencies alone would give."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bertworks.corpus.open import Corpus
from bertworks.model.bert import BertForPreTraining
from bertworks.pretrain.batches import MicroBatch, micro_batches
from bertworks.pretrain.samples import Samples

EVALUATION_SEED = 20_181_011  # of masks and pairs: the same for every run, so that runs can be compared


def unigram_log_probs(corpus: Corpus, documents: NDArray[np.int64]) -> NDArray[np.float64]:
    """(V,) log frequency of each token in the documents, one added to every count."""
    counts = np.ones(corpus.vocab_size)
    bounds = np.asarray(corpus.document_sentences)
    for chunk in np.array_split(documents, max(1, len(documents) // 1000)):
        starts = np.asarray(corpus.sentence_offsets)[bounds[chunk]]
        lengths = np.asarray(corpus.sentence_offsets)[bounds[chunk + 1]] - starts
        counts += np.bincount(corpus.gather(starts, lengths), minlength=corpus.vocab_size)
    return np.asarray(np.log(counts / counts.sum()))


@dataclass
class Tally:
    """Sums over predictions; `figures` divides them by their counts."""

    masked: int = 0
    masked_loss: float = 0.0
    masked_correct: int = 0
    unigram_loss: float = 0.0
    unigram_correct: int = 0
    pairs: int = 0
    pair_loss: float = 0.0
    pair_correct: int = 0

    def figures(self) -> dict[str, float]:
        """Losses in nats, accuracies as fractions; pair figures only where there are pairs."""
        found: dict[str, float] = {
            "mlm_loss": self.masked_loss / self.masked,
            "mlm_accuracy": self.masked_correct / self.masked,
            "unigram_entropy": self.unigram_loss / self.masked,
            "unigram_accuracy": self.unigram_correct / self.masked,
            "masked_tokens": self.masked,
        }
        found["below_unigram"] = found["unigram_entropy"] - found["mlm_loss"]
        if self.pairs:
            found |= {
                "nsp_loss": self.pair_loss / self.pairs,
                "nsp_accuracy": self.pair_correct / self.pairs,
                "pairs": self.pairs,
            }
        return found


def evaluation_batches(samples: Samples, tokens: int, micro_tokens: int, epochs: int = 1) -> list[MicroBatch]:
    """The first `tokens` tokens of each of `epochs` epochs, packed once; none where no document is held out."""
    found: list[MicroBatch] = []
    for epoch in range(epochs if len(samples.documents) else 0):
        found += micro_batches(samples.first(epoch, tokens), samples.length, micro_tokens)
    return found


@torch.inference_mode()
def evaluate(
    model: BertForPreTraining, batches: Iterable[MicroBatch], unigram: NDArray[np.float64], device: torch.device
) -> dict[str, float]:
    """Figures of `Tally` over the batches, dropout off.

    unigram  (V,) log frequencies of the training text
    """
    model.eval()
    tally = Tally()
    for batch in batches:
        moved = batch.to(device)
        found = model.losses(
            moved.rows, moved.masked_positions, moved.masked_labels, moved.next_sentence_labels, count_correct=True
        )
        labels = batch.masked_labels.numpy()
        tally.masked += len(labels)
        tally.masked_loss += float(found.masked_loss_sum)
        tally.masked_correct += int(found.masked_correct)  # type: ignore[arg-type]
        tally.unigram_loss -= float(unigram[labels].sum())
        tally.unigram_correct += int((labels == unigram.argmax()).sum())
        if moved.next_sentence_labels is not None:
            tally.pairs += len(moved.next_sentence_labels)
            tally.pair_loss += float(found.sentence_loss_sum)
            tally.pair_correct += int(found.sentence_correct)  # type: ignore[arg-type]
    return tally.figures()


def bits_per_byte(mlm_loss: float, tokens: int, text_bytes: int) -> float:
    """The loss a masked token as bits a byte of text: comparable between vocabularies."""
    return mlm_loss / math.log(2) * tokens / text_bytes
