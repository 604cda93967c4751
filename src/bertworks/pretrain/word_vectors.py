"""Word vectors from counts: how much more often two tokens stand near each other than chance has it, factorised.

Positive pointwise mutual information with a smoothed context distribution, then a truncated singular value
decomposition with its square-root weighting: Levy, Goldberg & Dagan 2015 (TACL 3), sections 2 and 3.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.utils.extmath import randomized_svd

from bertworks.corpus.open import Corpus

ADJACENT = (1, 2)  # distances whose left and right sides are counted apart: they carry word order
NEARBY = range(3, 13)  # distances counted together, both sides: they carry the topic
SMOOTHING = 0.75  # exponent of the contexts' frequencies
READ_AT_MOST = 20_000_000  # tokens; more of them change the vectors of rare words only
CHUNK = 2_000_000  # tokens counted at a time
ROUNDS = 3  # power iterations of the decomposition

Counts: TypeAlias = csr_array  # (V, V) float32, rows words, columns contexts


def word_vectors(corpus: Corpus, documents: NDArray[np.int64], rank: int, seed: int) -> NDArray[np.float32]:
    """(V, rank) float32, rows of length 1; zeros for tokens that were not met near any other.

    documents  (n,) numbers of those that may be read; no more than READ_AT_MOST of their tokens are, drawn by `seed`
    """
    size = corpus.vocab_size
    adjacent = {distance: csr_array((size, size), dtype=np.float32) for distance in ADJACENT}
    nearby = csr_array((size, size), dtype=np.float32)
    for ids, owners in chunks(corpus, documents, seed):
        for distance in ADJACENT:
            adjacent[distance] += pair_counts(ids, owners, [distance], size)
        nearby += pair_counts(ids, owners, NEARBY, size)
    sides = [side for counts in adjacent.values() for side in (counts, counts.T.tocsr())]
    contexts = hstack([information(side) for side in (*sides, nearby + nearby.T.tocsr())], format="csr")
    rank = min(rank, size - 1)
    left, strengths, _ = randomized_svd(
        contexts, rank, n_iter=ROUNDS, power_iteration_normalizer="QR", random_state=seed
    )
    vectors = left * np.sqrt(strengths)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    met = contexts.count_nonzero(axis=1) > 0
    return np.where(met[:, None], vectors / np.maximum(lengths, 1e-12), 0).astype(np.float32)


def chunks(
    corpus: Corpus, documents: NDArray[np.int64], seed: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
    """Ids and the document each belongs to, (CHUNK and less,) twice, of documents in a random order."""
    order = np.random.default_rng(seed).permutation(documents)
    bounds, offsets = np.asarray(corpus.document_sentences), np.asarray(corpus.sentence_offsets)
    starts, lengths = offsets[bounds[order]], offsets[bounds[order + 1]] - offsets[bounds[order]]
    read = np.cumsum(lengths)
    read = read[: np.searchsorted(read, READ_AT_MOST) + 1]  # the document that passes the bound is counted in
    for part in np.split(np.arange(len(read)), np.searchsorted(read, np.arange(CHUNK, read[-1], CHUNK))):
        yield corpus.gather(starts[part], lengths[part]).astype(np.int32), np.repeat(part, lengths[part])


def pair_counts(ids: NDArray[np.int32], owners: NDArray[np.int64], distances: Iterable[int], size: int) -> Counts:
    """How often each token (row) has each other (column) after it at one of the distances, in the same document."""
    total = csr_array((size, size), dtype=np.float32)
    for distance in distances:
        together = owners[:-distance] == owners[distance:]
        pairs = ids[:-distance][together], ids[distance:][together]
        total += csr_array((np.ones(len(pairs[0]), dtype=np.float32), pairs), shape=(size, size))
    return total


def information(counts: Counts) -> Counts:
    """max(0, log p(word, context) / (p(word) p'(context))), p' ∝ frequency ** SMOOTHING; where positive only."""
    words, contexts = counts.sum(axis=1), counts.sum(axis=0) ** SMOOTHING
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    chance = words[rows] * (contexts / contexts.sum())[counts.indices]
    values = np.log(counts.data / chance)
    result = csr_array((np.maximum(values, 0), counts.indices, counts.indptr), shape=counts.shape, copy=True)
    result.eliminate_zeros()
    return result
