"""Documents → batches for the workers: hashed, without duplicates, without what whole shards hold already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertworks.base.errors import BertworksError
from bertworks.corpus.duplicates import HASH_DTYPE, Hashes, SeenHashes, document_hash
from bertworks.corpus.unfinished import ReadDigest, Unfinished
from bertworks.read.documents import Reading, ReadReport, read_documents

BATCH_BYTES = 1 << 19  # of text for a worker at once: a tenth of a second's work, against a millisecond to send it
DUPLICATE = "document that occurred before"


class ChangedInput(BertworksError):
    """The input is not what an unfinished build read."""

    def __init__(self) -> None:
        super().__init__(
            "the input changed since this build began: other documents stand where its whole shards came from",
            "restore the input, or delete the unfinished corpus and begin again",
        )


@dataclass(frozen=True)
class Batch:
    """Documents on their way to a worker.

    texts   UTF-8
    hashes  (n,) S16
    ends    (n,) int64, documents of the input up to and with each of them
    source  where the first begins
    """

    texts: Sequence[bytes]
    hashes: Hashes
    ends: npt.NDArray[np.int64]
    source: str


@dataclass
class BatchReader:
    """All documents of the input that are to be tokenised, in order.

    state           what is whole already; those documents are only hashed, and compared with what was read then
    digest          takes in the hashes of documents that whole shards hold
    on_read         called after each batch read, for progress
    documents_read  of the input, so far
    """

    files: Sequence[Path]
    how: Reading
    report: ReadReport
    state: Unfinished
    digest: ReadDigest
    on_read: Callable[[], None]
    documents_read: int = 0

    def __iter__(self) -> Iterator[Batch]:
        """Raises BertworksError when the input is not what it was when the whole shards were written."""
        seen = SeenHashes()
        before = self.state.documents_read
        texts: list[bytes] = []
        sources: list[str] = []
        held_bytes = 0
        for document in read_documents(self.files, self.how, self.report):
            texts.append(document.text.encode())
            sources.append(document.source)
            held_bytes += len(texts[-1])
            self.documents_read += 1
            if held_bytes < BATCH_BYTES and self.documents_read != before:
                continue
            yield from self._tokenised_later(texts, sources, seen)
            if self.documents_read == before and self.digest.hexdigest() != self.state.shards[-1].digest:
                raise ChangedInput()
            texts, sources, held_bytes = [], [], 0
        if self.documents_read < before:
            raise ChangedInput()
        if texts:
            yield from self._tokenised_later(texts, sources, seen)

    def _tokenised_later(self, texts: list[bytes], sources: list[str], seen: SeenHashes) -> Iterator[Batch]:
        """The batch of these documents, unless whole shards hold them all or all occurred before."""
        hashes = np.frombuffer(b"".join(map(document_hash, texts)), dtype=HASH_DTYPE)
        new = np.flatnonzero(seen.add(hashes))
        self.report.drop(DUPLICATE, len(texts) - len(new))
        self.on_read()
        if self.documents_read <= self.state.documents_read:
            self.digest.update(hashes[new].tobytes())
        elif len(new):
            chosen = new.tolist()
            ends = self.documents_read - len(texts) + 1 + new
            yield Batch([texts[i] for i in chosen], hashes[new], ends, sources[chosen[0]])
