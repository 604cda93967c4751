"""What a corpus holds, in numbers, and what pre-training on it should beware of; a shard at a time in memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from bertworks.corpus.open import Corpus

ONE_SENTENCE = 0.5  # share of documents with a single one, from which on a pair mostly has nowhere to go on
FEW_SENTENCES = 3.0  # a document, on average
MUCH_UNKNOWN = 0.01


class Lengths:
    """How often each length occurs."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, lengths: npt.NDArray[np.int64]) -> None:
        """Count some more."""
        values, counts = np.unique(lengths, return_counts=True)
        self._counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def share(self, length: int) -> float:
        """Of all, those of this length."""
        return self._counts[length] / max(self._counts.total(), 1)

    @property
    def mean(self) -> float:
        """The average length; 0 when there is none."""
        return sum(length * count for length, count in self._counts.items()) / max(self._counts.total(), 1)

    def spread(self) -> dict[str, float]:
        """Mean, 5th, 50th and 95th percentile (the smallest length that so many reach at most), and the greatest."""
        lengths = sorted(self._counts)
        ranks = np.cumsum([self._counts[length] for length in lengths]) / self._counts.total()
        low, middle, high = (lengths[int(np.searchsorted(ranks, share - 1e-12))] for share in (0.05, 0.5, 0.95))
        return {"mean": round(self.mean, 2), "p5": low, "median": middle, "p95": high, "max": lengths[-1]}


def describe(corpus: Corpus) -> tuple[dict[str, Any], list[str]]:
    """Counts, lengths and settings of a corpus, by the names that `inspect --json` prints; and advice.

    The advice is sentences about what makes this corpus hard to learn from; [] when nothing does.
    """
    sentences, documents, tokens = Lengths(), Lengths(), Lengths()
    heldout_tokens = 0
    for shard in range(len(corpus.shards)):
        first_sentences, first_tokens = (borders.astype(np.int64) for borders in corpus.borders(shard))
        document_tokens = np.diff(first_tokens[first_sentences])
        sentences.add(np.diff(first_tokens))
        documents.add(np.diff(first_sentences))
        tokens.add(document_tokens)
        heldout_tokens += int(document_tokens[corpus.holdout.holds(corpus.hashes(shard))].sum())
    counts = corpus.manifest["counts"]
    told = {
        "kind": "corpus",
        "path": str(corpus.path),
        "documents": corpus.number_of_documents,
        "sentences": corpus.number_of_sentences,
        "tokens": corpus.number_of_tokens,
        "text_bytes": counts["bytes"],
        "disk_bytes": sum(sum(shard.file_bytes(corpus.token_dtype.itemsize).values()) for shard in corpus.shards),
        "shards": len(corpus.shards),
        "heldout_documents": corpus.holdout.documents,
        "heldout_tokens": heldout_tokens,
        "heldout_widened": corpus.holdout.widened,
        "unknown_share": counts["unknown"] / corpus.number_of_tokens,
        "bytes_per_token": counts["bytes"] / corpus.number_of_tokens,
        "sentences_per_document": documents.spread(),
        "tokens_per_document": tokens.spread(),
        "tokens_per_sentence": sentences.spread(),
        "dropped": corpus.manifest["dropped"],
        "vocab_size": corpus.vocab_size,
        "lowercase": corpus.manifest["tokenizer"]["lowercase"],
        "word_unit": corpus.manifest["word_unit"],
        "fingerprint": corpus.fingerprint,
        "vocabulary": corpus.tokenizer_fingerprint,
        "command": corpus.manifest["command"],
    }
    return told, _advice(corpus, documents, told["unknown_share"])


def _advice(corpus: Corpus, documents: Lengths, unknown_share: float) -> list[str]:
    found = []
    if corpus.number_of_documents == 1:
        found.append(
            "there is one document: next-sentence pairs need two, and none can be held out; separate documents by "
            "blank lines, or train with `--segments none`"
        )
    elif documents.share(1) > ONE_SENTENCE:
        found.append(
            f"{100 * documents.share(1):.0f}% of the documents are one sentence: next-sentence pairs cannot go on "
            "there; if blank lines stand between paragraphs, use `--documents files`, else train with `--segments none`"
        )
    elif documents.mean < FEW_SENTENCES:
        found.append(
            f"documents have {documents.mean:.1f} sentences on average: next-sentence pairs will be short; if blank "
            "lines stand between paragraphs, `--documents files` takes a file for one document"
        )
    if unknown_share > MUCH_UNKNOWN:
        found.append(
            f"{100 * unknown_share:.1f}% of the tokens are [UNK]: a vocabulary learned from this text would lose fewer "
            "(`bertworks vocab`)"
        )
    return found
