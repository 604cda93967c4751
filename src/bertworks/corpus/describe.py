"""What a corpus holds, in numbers, and what pre-training on it should beware of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bertworks.corpus.open import Corpus

SHORT_DOCUMENTS = 0.5  # share of documents with one sentence from which a pair mostly has nowhere to go on
FEW_SENTENCES = 3.0  # a document, on average
MUCH_UNKNOWN = 0.01


def describe(corpus: Corpus) -> dict[str, Any]:
    """Counts, lengths and settings of a corpus, by the names that `inspect --json` prints."""
    counts = corpus.manifest["counts"]
    document_lengths = np.diff(corpus.sentence_offsets[corpus.document_sentences])
    on_disk = sum(sum(shard.file_bytes(corpus.token_dtype.itemsize).values()) for shard in corpus.shards)
    return {
        "kind": "corpus",
        "path": str(corpus.path),
        "documents": corpus.number_of_documents,
        "sentences": corpus.number_of_sentences,
        "tokens": corpus.number_of_tokens,
        "text_bytes": counts["bytes"],
        "disk_bytes": on_disk,
        "shards": len(corpus.shards),
        "heldout_documents": corpus.holdout.documents,
        "heldout_tokens": int(document_lengths[corpus.is_heldout].sum()),
        "heldout_widened": corpus.holdout.widened,
        "unknown_share": counts["unknown"] / max(corpus.number_of_tokens, 1),
        "bytes_per_token": counts["bytes"] / max(corpus.number_of_tokens, 1),
        "sentences_per_document": _spread(np.diff(corpus.document_sentences)),
        "tokens_per_document": _spread(document_lengths),
        "tokens_per_sentence": _spread(np.diff(corpus.sentence_offsets)),
        "dropped": corpus.manifest["dropped"],
        "vocab_size": corpus.vocab_size,
        "lowercase": corpus.manifest["tokenizer"]["lowercase"],
        "word_unit": corpus.manifest["word_unit"],
        "fingerprint": corpus.fingerprint,
        "vocabulary": corpus.tokenizer_fingerprint,
        "command": corpus.manifest["command"],
    }


def advice(corpus: Corpus) -> list[str]:
    """Sentences about what makes this corpus hard to learn from; [] when nothing does."""
    found = []
    sentences = np.diff(corpus.document_sentences)
    if corpus.number_of_documents == 1:
        found.append(
            "there is one document: next-sentence pairs need two, and none can be held out; separate documents by "
            "blank lines, or train with `--segments none`"
        )
    elif np.mean(sentences == 1) > SHORT_DOCUMENTS:
        found.append(
            f"{100 * np.mean(sentences == 1):.0f}% of the documents are one sentence: next-sentence pairs cannot go on "
            "there; if blank lines stand between paragraphs, use `--documents files`, else train with `--segments none`"
        )
    elif float(np.mean(sentences)) < FEW_SENTENCES:
        found.append(
            f"documents have {np.mean(sentences):.1f} sentences on average: next-sentence pairs will be short; if "
            "blank lines stand between paragraphs, `--documents files` takes a file for one document"
        )
    unknown = corpus.manifest["counts"]["unknown"] / max(corpus.number_of_tokens, 1)
    if unknown > MUCH_UNKNOWN:
        found.append(
            f"{100 * unknown:.1f}% of the tokens are [UNK]: a vocabulary learned from this text would lose fewer "
            "(`bertworks vocab`)"
        )
    if corpus.holdout.widened and corpus.holdout.documents:
        found.append(
            f"so few documents that the {corpus.holdout.documents} with the smallest hashes are held out: which ones "
            "depends on the input"
        )
    return found


def _spread(values: npt.NDArray[np.int64]) -> dict[str, float]:
    """Mean and percentiles."""
    if not len(values):
        return {}
    low, middle, high = np.percentile(values, [5, 50, 95]).tolist()
    return {"mean": round(float(values.mean()), 2), "p5": low, "median": middle, "p95": high, "max": int(values.max())}
