"""A corpus in memory with what pre-training asks of one, and a small vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertworks.corpus.open import Corpus
from bertworks.text.tokenizer import Tokenizer

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = 90  # of the small vocabulary; then 10 pieces that go on a word


class MemoryCorpus(Corpus):
    """Documents of sentences of ids; `path` is only a name.

    lengths  for each document the lengths of its sentences
    ids      all tokens in order; None numbers them 0, 1, 2, …, so that an id says where it stands
    """

    def __init__(self, lengths: Sequence[Sequence[int]], ids: np.ndarray | None = None, heldout: int = 0) -> None:
        flat = [n for document in lengths for n in document]
        self.path = Path("memory")
        self.sentence_offsets = np.concatenate([[0], np.cumsum(flat, dtype=np.int64)])
        self.document_sentences = np.cumsum([0, *map(len, lengths)], dtype=np.int64)
        self.number_of_documents, self.number_of_sentences = len(lengths), len(flat)
        self.number_of_tokens = int(self.sentence_offsets[-1])
        self.ids = np.arange(self.number_of_tokens) if ids is None else ids
        self.vocab_size = int(self.ids.max()) + 1
        self.is_heldout = np.arange(len(lengths)) >= len(lengths) - heldout
        self.fingerprint, self.tokenizer_fingerprint = "f" * 64, "t" * 64
        self.manifest: dict[str, Any] = {
            "counts": {"tokens": self.number_of_tokens, "bytes": 4 * self.number_of_tokens}
        }

    def gather(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        spans = [self.ids[start : start + length] for start, length in zip(starts, lengths, strict=True)]
        return np.concatenate([np.zeros(0, self.ids.dtype), *spans])

    def document_of(self, tokens: np.ndarray) -> np.ndarray:
        """The number of the document that each token stands in."""
        ends = self.sentence_offsets[self.document_sentences[1:]]
        return np.searchsorted(ends, tokens, side="right")


def small_tokenizer(folder: Path) -> Tokenizer:
    """Specials, three [unusedN], WORDS words and ten continuations."""
    tokens = [*SPECIALS, *(f"[unused{i}]" for i in range(3)), *(f"w{i}" for i in range(WORDS))]
    (folder / "vocab.txt").write_text("\n".join([*tokens, *(f"##p{i}" for i in range(10))]) + "\n")
    return Tokenizer.load(folder / "vocab.txt")


def random_corpus(
    documents: int, seed: int = 0, *, sentences: int = 12, mean: int = 9, heldout: int = 0, vocab_size: int = 108
) -> MemoryCorpus:
    """Documents of 1 to 2 x `sentences` sentences of 1 to 2 x `mean` tokens: words, pieces and some [UNK]."""
    draw = np.random.default_rng(seed)
    lengths = [draw.integers(1, 2 * mean, draw.integers(1, 2 * sentences)).tolist() for _ in range(documents)]
    total = sum(map(sum, lengths))
    ids = draw.integers(len(SPECIALS) + 3, vocab_size, total)
    ids[draw.random(total) < 0.02] = SPECIALS.index("[UNK]")
    return MemoryCorpus(lengths, ids, heldout=heldout)
