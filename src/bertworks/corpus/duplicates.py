"""Documents by their hash: which were seen before, in 16 bytes a document."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

HASH_BYTES = 16  # of 10^9 different documents, two share 128 bits with probability 10^-21
HASH_DTYPE = np.dtype("S16")

Hashes = npt.NDArray[np.bytes_]


def document_hash(text: bytes) -> bytes:
    """The 16 bytes that stand for a document: blake2b-128 of its UTF-8 text."""
    return hashlib.blake2b(text, digest_size=HASH_BYTES).digest()


class SeenHashes:
    """A set of hashes as sorted runs of doubling length: 16 bytes each, and no Python object for any of them."""

    def __init__(self) -> None:
        self._runs: list[Hashes] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    @property
    def nbytes(self) -> int:
        """Memory that the hashes take."""
        return sum(run.nbytes for run in self._runs)

    def add(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Remember `hashes` (n,); True (n,) for each that was not seen before, neither earlier nor in this call."""
        distinct, first = np.unique(hashes, return_index=True)
        known = np.zeros(len(distinct), dtype=bool)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, distinct), len(run) - 1)
            known |= run[places] == distinct
        new = np.zeros(len(hashes), dtype=bool)
        new[first[~known]] = True
        fresh = distinct[~known]
        if len(fresh):
            self._runs.append(fresh)
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort(kind="stable")  # merges the two sorted halves in one pass
            self._runs.append(merged)
        return new
