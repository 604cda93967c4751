"""The hold-out is a rule over documents: other documents, shards or copies do not change who is held out."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.corpus.duplicates import HASH_DTYPE, Hashes, document_hash
from bertworks.corpus.holdout import HoldOut, choose_holdout, hash_numbers


def hashes_of(count: int, seed: int = 0) -> Hashes:
    return np.array([document_hash(f"{seed} {number}".encode()) for number in range(count)], dtype=HASH_DTYPE)


def test_a_document_is_held_out_when_its_hash_falls_under_the_share() -> None:
    texts = [f"0 {number}".encode() for number in range(20_000)]
    first_bytes = [hashlib.blake2b(text, digest_size=16).digest()[:8] for text in texts]
    under = [int.from_bytes(first, "big") < 0.005 * 2**64 for first in first_bytes]
    rule = choose_holdout(0.005, [hashes_of(20_000)])
    assert rule.holds(hashes_of(20_000)).tolist() == under
    assert rule.documents == sum(under)
    assert not rule.widened
    assert 70 < sum(under) < 130


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 500), st.floats(0, 0.99), st.integers(1, 7), st.integers(0, 9))
def test_cutting_into_shards_changes_nothing(count: int, share: float, shards: int, seed: int) -> None:
    hashes = hashes_of(count, seed)
    rule = choose_holdout(share, [hashes])
    parts = np.array_split(hashes[np.random.default_rng(seed).permutation(count)], shards)
    assert choose_holdout(share, parts) == rule
    assert HoldOut.from_json(rule.to_json()) == rule
    assert int(rule.holds(hashes).sum()) == rule.documents


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 400), st.floats(0.0001, 0.99), st.integers(0, 9))
def test_few_documents_still_hold_some_out(count: int, share: float, seed: int) -> None:
    hashes = hashes_of(count, seed)
    numbers = hash_numbers(hashes)
    under = int((numbers < share * 2**64).sum())
    rule = choose_holdout(share, [hashes])
    if under >= 20:
        assert (rule.documents, rule.widened) == (under, False)
        return
    assert rule.documents >= min(under, max(count - 1, 0))
    assert rule.documents <= max(under, min(20, count // 10), 1 if count > 1 else 0)
    assert count < 2 or rule.documents >= 1
    assert count == 0 or rule.documents < count
    smallest = set(np.sort(numbers)[: rule.documents].tolist())
    assert set(numbers[rule.holds(hashes)].tolist()) == smallest


@pytest.mark.parametrize(("count", "held_out"), [(0, 0), (1, 0), (2, 1), (10, 1), (100, 10), (200, 20), (1000, 20)])
def test_the_smallest_hashes_of_a_small_corpus(count: int, held_out: int) -> None:
    rule = choose_holdout(1e-9, [hashes_of(count)])
    assert rule.documents == held_out
    assert rule.widened == (held_out > 0)


def test_nothing_is_held_out_where_nothing_was_asked() -> None:
    rule = choose_holdout(0, [hashes_of(1000)])
    assert (rule.documents, rule.below, rule.widened) == (0, 0, False)
    assert not rule.holds(hashes_of(1000)).any()


def test_more_documents_do_not_move_the_old_ones() -> None:
    some, more = hashes_of(8000), hashes_of(20_000)
    old, new = choose_holdout(0.005, [some]), choose_holdout(0.005, [some, more[8000:]])
    assert old.holds(some).any()
    assert np.array_equal(new.holds(some), old.holds(some))
