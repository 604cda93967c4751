"""A corpus on disk as arrays: documents, sentences and tokens, numbered over all shards.

N  documents        S  sentences        T  tokens of what was asked for
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bertworks.base.errors import BertworksError
from bertworks.base.files import sha256_file
from bertworks.corpus.duplicates import HASH_DTYPE, Hashes
from bertworks.corpus.holdout import HoldOut
from bertworks.corpus.manifest import read_manifest
from bertworks.corpus.shards import PARTS, ShardInfo
from bertworks.text.tokenizer import Tokenizer

Ints = npt.NDArray[np.int64]
_BORDER = np.dtype("<u8")


def open_corpus(path: str | os.PathLike[str]) -> Corpus:
    """Open a corpus; only the manifest is read and the files' sizes compared, so size does not matter.

    Raises BertworksError for a folder that is no corpus, is unfinished, or lacks part of a shard.
    """
    corpus = Corpus(Path(path))
    for shard in corpus.shards:
        for part, expected in shard.file_bytes(corpus.token_dtype.itemsize).items():
            file = corpus.file(shard, part)
            size = file.stat().st_size if file.is_file() else None
            if size != expected:
                found = "is missing" if size is None else f"has {size:,} bytes"
                raise BertworksError(
                    f"{file}: {found}, the manifest says {expected:,}", "copy the corpus again, or build it again"
                )
    return corpus


class Corpus:
    """Documents of sentences of token ids, memory-mapped.

    path, manifest                                               the folder, and its manifest
    fingerprint, tokenizer_fingerprint                           hex; of all that training reads, of the vocabulary
    vocab_size, token_dtype                                      V; uint16 or uint32
    number_of_documents, number_of_sentences, number_of_tokens   N, S and all tokens
    shards                                                       what the manifest says of each
    holdout                                                      the rule that `is_heldout` follows
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: dict[str, Any] = read_manifest(path)
        self.fingerprint: str = self.manifest["fingerprint"]
        self.tokenizer_fingerprint: str = self.manifest["tokenizer"]["fingerprint"]
        self.vocab_size: int = self.manifest["tokenizer"]["vocab_size"]
        self.token_dtype = np.dtype(self.manifest["token_dtype"]).newbyteorder("<")
        counts = self.manifest["counts"]
        self.number_of_documents: int = counts["documents"]
        self.number_of_sentences: int = counts["sentences"]
        self.number_of_tokens: int = counts["tokens"]
        self.shards = [ShardInfo(**entry) for entry in self.manifest["shards"]]
        self.holdout = HoldOut.from_json(self.manifest["holdout"])
        self._first_tokens = np.cumsum([0, *(shard.tokens for shard in self.shards)])
        self._maps: dict[tuple[int, str], npt.NDArray[Any]] = {}

    def file(self, shard: ShardInfo, part: str) -> Path:
        """Where a part ("ids", "sentences", "documents", "words", "hashes") of a shard stands."""
        return self.path / f"{shard.name}.{part}"

    def tokens(self, shard: int) -> npt.NDArray[Any]:
        """All ids of shard number `shard`, (T,), on disk."""
        return self._map(shard, "ids", self.token_dtype)

    def hashes(self, shard: int) -> Hashes:
        """The documents' hashes of one shard, (documents,) S16, on disk."""
        return self._map(shard, "hashes", HASH_DTYPE)

    def borders(self, shard: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """One shard's first sentence of each document and first token of each sentence, with their ends, on disk."""
        return self._map(shard, "documents", _BORDER), self._map(shard, "sentences", _BORDER)

    @cached_property
    def document_sentences(self) -> Ints:
        """(N+1,) the first sentence of each document; the last entry is S."""
        return self._joined("documents", [shard.sentences for shard in self.shards])

    @cached_property
    def sentence_offsets(self) -> Ints:
        """(S+1,) the first token of each sentence; the last entry is the number of tokens."""
        return self._joined("sentences", [shard.tokens for shard in self.shards])

    @cached_property
    def is_heldout(self) -> npt.NDArray[np.bool_]:
        """(N,) the documents kept from training."""
        parts = [self.holdout.holds(self.hashes(number)) for number in range(len(self.shards))]
        return np.concatenate([np.zeros(0, dtype=bool), *parts])

    def document(self, number: int) -> list[npt.NDArray[Any]]:
        """The sentences of one document, each (T,) ids."""
        if not 0 <= number < self.number_of_documents:
            raise IndexError(f"document {number} of {self.number_of_documents}")
        first, end = self.document_sentences[number : number + 2]
        offsets = self.sentence_offsets[first : end + 1]
        ids = self.gather(offsets[:1], offsets[-1:] - offsets[:1])
        return np.split(ids, offsets[1:-1] - offsets[0])

    def gather(self, starts: Ints, lengths: Ints) -> npt.NDArray[Any]:
        """The ids of token spans, one after another, (sum of lengths,); a span may cross shards.

        starts, lengths  (n,) in tokens of the whole corpus
        """
        ids = np.empty(int(np.sum(lengths)), dtype=self.token_dtype.newbyteorder("="))
        for shard, chosen, places in self._places(starts, lengths):
            ids[chosen] = self.tokens(shard)[places]
        return ids

    def word_starts(self, starts: Ints, lengths: Ints) -> npt.NDArray[np.bool_]:
        """Whether a word starts at each token of the spans, in the order of `gather`."""
        bits = np.empty(int(np.sum(lengths)), dtype=bool)
        for shard, chosen, places in self._places(starts, lengths):
            packed = self._map(shard, "words", np.dtype("u1"))[places >> 3]
            bits[chosen] = (packed >> (places & 7).astype(np.uint8)) & 1
        return bits

    def tokenizer(self) -> Tokenizer:
        """The vocabulary that the corpus was made with. Raises BertworksError when its files were changed."""
        folder = self.path / self.manifest["tokenizer"]["folder"]
        tokenizer = Tokenizer.load(folder)
        if tokenizer.fingerprint != self.tokenizer_fingerprint:
            raise BertworksError(
                f"{folder}: is not the vocabulary this corpus was made with "
                f"(fingerprint {tokenizer.fingerprint[:8]}…, the corpus has {self.tokenizer_fingerprint[:8]}…)",
                "put the files back, or build the corpus again",
            )
        return tokenizer

    def _places(self, starts: Ints, lengths: Ints) -> Iterator[tuple[int, npt.NDArray[np.bool_] | slice, Ints]]:
        """Shard by shard: its number, which of the wanted tokens are in it, and where."""
        lengths = np.asarray(lengths, dtype=np.int64)
        before = np.cumsum(lengths) - lengths
        wanted = np.repeat(np.asarray(starts, dtype=np.int64) - before, lengths) + np.arange(int(lengths.sum()))
        if not len(wanted):
            return
        low, high = int(wanted.min()), int(wanted.max())
        if low < 0 or high >= self.number_of_tokens:
            raise IndexError(f"tokens {low} to {high} of {self.number_of_tokens}")
        first, last = np.searchsorted(self._first_tokens, [low, high], side="right") - 1
        if first == last:
            yield int(first), slice(None), wanted - self._first_tokens[first]
            return
        shard_of = np.searchsorted(self._first_tokens, wanted, side="right") - 1
        for shard in np.unique(shard_of).tolist():
            chosen = shard_of == shard
            yield shard, chosen, wanted[chosen] - self._first_tokens[shard]

    def _joined(self, part: str, sizes: list[int]) -> Ints:
        """One array over all shards of the starts in `part`, each shard's counted on from those before."""
        parts = [np.zeros(0, dtype=np.int64)]
        before = 0
        for number, size in enumerate(sizes):
            parts.append(self._map(number, part, _BORDER)[:-1].astype(np.int64) + before)
            before += size
        return np.concatenate([*parts, np.array([before])])

    def _map(self, shard: int, part: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        key = shard, part
        if key not in self._maps:
            file = self.file(self.shards[shard], part)
            empty = file.stat().st_size == 0  # which cannot be mapped
            self._maps[key] = np.zeros(0, dtype=dtype) if empty else np.memmap(file, dtype=dtype, mode="r")
        return self._maps[key]


def verify(corpus: Corpus) -> list[str]:
    """Read every byte and compare; the files that are not as they were written, [] when all are."""
    return [
        f"{corpus.file(shard, part)}: its SHA-256 is not the manifest's"
        for shard in corpus.shards
        for part in PARTS
        if sha256_file(corpus.file(shard, part)) != shard.sha256[part]
    ]
