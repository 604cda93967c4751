"""One shard on disk: five files that belong together, written side by side and renamed when whole.

`<u2`, `<u4`, `<u8` are numpy's names for little-endian unsigned integers of 2, 4 and 8 bytes.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from bertworks.base.files import whole_file
from bertworks.corpus.duplicates import HASH_BYTES, Hashes

PARTS = ("ids", "sentences", "documents", "words", "hashes")
_BORDER = np.dtype("<u8")


@dataclass(frozen=True)
class ShardInfo:
    """What the manifest says of one shard.

    bytes    of the documents' UTF-8 text
    unknown  tokens that are [UNK]
    sha256   part ("ids", "words" …) → hex digest of that file
    """

    name: str
    documents: int
    sentences: int
    tokens: int
    bytes: int
    unknown: int
    sha256: dict[str, str] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """The entry in the manifest's list `shards`."""
        return asdict(self)

    def file_bytes(self, token_bytes: int) -> dict[str, int]:
        """Part → the size its file must have."""
        return {
            "ids": self.tokens * token_bytes,
            "sentences": 8 * (self.sentences + 1),
            "documents": 8 * (self.documents + 1),
            "words": -(-self.tokens // 8),
            "hashes": HASH_BYTES * self.documents,
        }


@dataclass(frozen=True)
class TokenisedDocuments:
    """Documents as they go into a shard, one after another.

    ids                 (T,) unsigned, tokens of all sentences
    sentence_lengths    (S,) int64, tokens of each sentence, none 0
    document_sentences  (N,) int64, sentences of each document, none 0
    hashes              (N,) S16
    text_bytes          of the documents in UTF-8
    """

    ids: npt.NDArray[Any]
    sentence_lengths: npt.NDArray[np.int64]
    document_sentences: npt.NDArray[np.int64]
    hashes: Hashes
    text_bytes: int


class _Abandoned(Exception):
    """Tells the files of a shard that they are not wanted."""


class ShardWriter:
    """Writes one shard; nothing of it has its final name before `close`.

    continuation  (V,) bool, True for pieces that go on a word
    unknown_id    the id of [UNK], which is counted
    """

    def __init__(self, directory: Path, name: str, continuation: npt.NDArray[np.bool_], unknown_id: int) -> None:
        self.name = name
        self._continuation, self._unknown_id = continuation, unknown_id
        self._token_dtype = token_dtype(len(continuation))
        self._stack = ExitStack()
        self._files: dict[str, IO[bytes]] = {}
        self._digests = {part: hashlib.sha256() for part in PARTS}
        self._bits: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)  # fewer than 8 that wait for their byte
        self.documents = self.sentences = self.tokens = self.bytes = self.unknown = 0
        try:
            for part in PARTS:
                self._files[part] = self._stack.enter_context(whole_file(directory / f"{name}.{part}"))
        except BaseException as error:
            self._stack.__exit__(type(error), error, error.__traceback__)
            raise

    def add(self, documents: TokenisedDocuments) -> None:
        """Append whole documents."""
        ids, lengths, counts = documents.ids, documents.sentence_lengths, documents.document_sentences
        self._write("ids", ids.astype(self._token_dtype, copy=False))
        self._write("sentences", (self.tokens + np.cumsum(lengths) - lengths).astype(_BORDER))
        self._write("documents", (self.sentences + np.cumsum(counts) - counts).astype(_BORDER))
        self._write("hashes", documents.hashes)
        bits = np.concatenate([self._bits, ~self._continuation[ids]])
        full = len(bits) // 8 * 8
        self._write("words", np.packbits(bits[:full], bitorder="little"))
        self._bits = bits[full:]
        self.documents += len(counts)
        self.sentences += len(lengths)
        self.tokens += len(ids)
        self.bytes += documents.text_bytes
        self.unknown += int(np.count_nonzero(ids == self._unknown_id))

    def close(self) -> ShardInfo:
        """Make the shard whole: write the ends, then make all files durable and give them their names."""
        with self._stack:
            self._write("sentences", np.array([self.tokens], dtype=_BORDER))
            self._write("documents", np.array([self.sentences], dtype=_BORDER))
            self._write("words", np.packbits(self._bits, bitorder="little"))
        sha256 = {part: digest.hexdigest() for part, digest in self._digests.items()}
        return ShardInfo(self.name, self.documents, self.sentences, self.tokens, self.bytes, self.unknown, sha256)

    def abandon(self) -> None:
        """Leave nothing of the shard on disk."""
        error = _Abandoned()
        with suppress(_Abandoned):
            self._stack.__exit__(_Abandoned, error, None)
            raise error

    def _write(self, part: str, values: npt.NDArray[Any]) -> None:
        raw = values.tobytes()
        self._digests[part].update(raw)
        self._files[part].write(raw)


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The type of ids on disk: 2 bytes where every id fits, else 4."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
