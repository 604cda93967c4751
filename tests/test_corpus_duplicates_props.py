"""Which documents were seen before: equal to a Python set, in 16 bytes each."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.corpus.duplicates import HASH_BYTES, HASH_DTYPE, SeenHashes, document_hash

# few bytes, so that equal ones are common, and zeros at the end, which numpy's strings could lose
HASH = st.lists(st.sampled_from([0, 1, 255]), min_size=HASH_BYTES, max_size=HASH_BYTES).map(bytes)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.one_of(HASH, st.sampled_from([bytes(16), b"a" + bytes(15)])), max_size=12), max_size=8))
def test_the_first_of_equal_hashes_is_new(batches: list[list[bytes]]) -> None:
    seen, reference = SeenHashes(), set()
    for batch in batches:
        told = seen.add(np.array(batch, dtype=HASH_DTYPE)).tolist()
        expected = []
        for one in batch:
            expected.append(one not in reference)
            reference.add(one)
        assert told == expected
    assert len(seen) == len(reference)
    assert seen.nbytes == HASH_BYTES * len(reference)


def test_many_batches_leave_few_runs() -> None:
    seen = SeenHashes()
    for number in range(300):
        hashes = [document_hash(f"{number} {n}".encode()) for n in range(100)]
        assert seen.add(np.array(hashes, dtype=HASH_DTYPE)).all()
    assert seen.nbytes == 16 * 30_000
    assert len(seen._runs) <= 16
    assert not seen.add(np.array(hashes, dtype=HASH_DTYPE)).any()
