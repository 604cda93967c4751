"""Batches: every sample once an epoch, every token once in the rows, the same global batch for any number of ranks."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from bertworks.corpus.masking import MaskRule
from bertworks.engine.ranks import Ranks
from bertworks.pretrain.batches import MicroBatch, micro_batches
from bertworks.pretrain.objective import target_counts
from bertworks.pretrain.samples import Sample, Samples
from bertworks.pretrain.state import Cursor
from bertworks.text.tokenizer import Tokenizer
from memory_corpus import MemoryCorpus, random_corpus, small_tokenizer

LENGTH = 64


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("vocab"))


@pytest.fixture(scope="module")
def samples(tokenizer: Tokenizer) -> Samples:
    return samples_of(random_corpus(200), tokenizer)


def samples_of(corpus: MemoryCorpus, tokenizer: Tokenizer, segments: str = "nsp") -> Samples:
    documents = np.arange(corpus.number_of_documents)
    return Samples(corpus, tokenizer, documents, segments=segments, length=LENGTH, masks=MaskRule(), seed=4)


@pytest.mark.parametrize("batch_tokens", [1, 64, 100, 512, 8192, 10**6])
def test_an_epoch_holds_each_sample_once_in_order(samples: Samples, batch_tokens: int) -> None:
    for epoch in (0, 1):
        count = samples.number_of_batches(epoch, batch_tokens)
        batches = [samples.batch(epoch, batch, batch_tokens) for batch in range(count)]
        indexes = [sample.index for batch in batches for sample in batch]
        assert indexes == list(range(len(samples.plan(epoch))))
        assert all(batches), "no batch is empty"
        sizes = [sum(len(sample.input_ids) for sample in batch) for batch in batches]
        assert max(sizes) - min(sizes) <= 2 * LENGTH, "and none is a small rest"
        if 512 <= batch_tokens <= sum(sizes):
            assert 0.75 * batch_tokens - LENGTH <= min(sizes) <= max(sizes) <= 1.5 * batch_tokens + LENGTH


def test_batches_of_any_length_of_epoch_are_full(tokenizer: Tokenizer) -> None:
    """Epochs of 1 to 40 samples: the last batch, too, has at least one."""
    for documents in range(1, 41):
        samples = samples_of(MemoryCorpus([[5]] * documents, np.full(5 * documents, 9)), tokenizer, "none")
        for batch_tokens in (1, 7, 20, 64, 90):
            count = samples.number_of_batches(0, batch_tokens)
            assert all(samples.batch(0, batch, batch_tokens) for batch in range(count))
            assert samples.batch(0, count, batch_tokens) == []


def test_the_cursor_walks_through_epochs(samples: Samples) -> None:
    cursor, seen, tokens = Cursor(), Counter[tuple[int, int]](), 0
    while cursor.epoch < 2:
        batch = samples.batch(cursor.epoch, cursor.batch, 3000)
        seen.update((cursor.epoch, sample.index) for sample in batch)
        size = sum(len(sample.input_ids) for sample in batch)
        tokens += size
        cursor.advance(size, samples.number_of_batches(cursor.epoch, 3000))
    assert set(seen.values()) == {1}
    assert len(seen) == len(samples.plan(0)) + len(samples.plan(1))
    assert (cursor.step, cursor.batch, cursor.tokens) == (
        sum(samples.number_of_batches(e, 3000) for e in (0, 1)),
        0,
        tokens,
    )
    assert cursor.done("steps") == cursor.step
    assert cursor.done("tokens") == tokens


def test_a_cursor_finds_its_batch_without_those_before(samples: Samples, tokenizer: Tokenizer) -> None:
    fresh = samples_of(random_corpus(200), tokenizer)
    last = samples.number_of_batches(1, 1000) - 1
    there, again = fresh.batch(1, last, 1000), samples.batch(1, last, 1000)
    assert [s.index for s in there] == [s.index for s in again]
    assert all(np.array_equal(a.input_ids, b.input_ids) for a, b in zip(there, again, strict=True))


@pytest.mark.parametrize("segments", ["nsp", "none"])
@pytest.mark.parametrize("micro_tokens", [64, 300, 10**6])
def test_packed_rows_hold_every_token_once(tokenizer: Tokenizer, segments: str, micro_tokens: int) -> None:
    samples = samples_of(random_corpus(60, mean=4), tokenizer, segments)
    batch = samples.first(0, 4000)
    by_index = {sample.index: sample for sample in batch}
    pieces = micro_batches(batch, LENGTH, micro_tokens)
    assert sorted(index for piece in pieces for index in piece.sample_indexes) == sorted(by_index)
    assert [piece.first_row for piece in pieces] == list(
        itertools.accumulate((len(piece.rows.input_ids) for piece in pieces[:-1]), initial=0)
    )
    assert sum(piece.tokens for piece in pieces) == sum(len(sample.input_ids) for sample in batch)
    rows = sum(len(piece.rows.input_ids) for piece in pieces)
    assert rows * LENGTH < 1.1 * sum(piece.tokens for piece in pieces), "rows are full"
    assert rows < 0.8 * len(batch), "several samples share a row"
    for piece in pieces:
        assert len(piece.rows.input_ids) <= max(1, micro_tokens // LENGTH)
        assert_laid(piece, by_index)


def assert_laid(piece: MicroBatch, by_index: dict[int, Sample]) -> None:
    """Each sample stands whole in its place: ids, types, positions from 0, masks and labels."""
    masked = dict(zip(piece.masked_positions.tolist(), piece.masked_labels.tolist(), strict=True))
    flat = {
        name: getattr(piece.rows, name).reshape(-1).numpy()
        for name in ("input_ids", "token_type_ids", "position_ids", "sequence_ids")
    }
    for number, (start, index) in enumerate(zip(piece.rows.first_index.tolist(), piece.sample_indexes, strict=True)):
        sample = by_index[index]
        place = slice(start, start + len(sample.input_ids))
        assert start // LENGTH == (place.stop - 1) // LENGTH, "in one row"
        assert np.array_equal(flat["input_ids"][place], sample.input_ids)
        assert np.array_equal(flat["token_type_ids"][place], sample.token_type_ids)
        assert np.array_equal(flat["position_ids"][place], np.arange(len(sample.input_ids)))
        assert (flat["sequence_ids"][place] == number).all()
        for position, label in zip(sample.masked_positions.tolist(), sample.masked_labels.tolist(), strict=True):
            assert masked.pop(start + position) == label
        if piece.next_sentence_labels is not None:
            assert piece.next_sentence_labels[number] == int(sample.is_random)
    assert not masked
    assert (flat["sequence_ids"] >= 0).sum() == piece.tokens
    assert (piece.next_sentence_labels is None) == (not by_index[piece.sample_indexes[0]].is_pair)


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("micro_tokens", [64, 500])
def test_ranks_share_the_rows_of_one_global_batch(samples: Samples, world: int, micro_tokens: int) -> None:
    batch = samples.batch(0, 1, 2500)
    alone = micro_batches(batch, LENGTH, micro_tokens)
    shares = [micro_batches(batch, LENGTH, micro_tokens, Ranks(rank, world)) for rank in range(world)]
    assert all(shares)
    together = [piece for share in shares for piece in share]
    for name in ("input_ids", "token_type_ids", "position_ids"):
        whole = torch.cat([getattr(piece.rows, name) for piece in alone])
        assert torch.equal(torch.cat([getattr(piece.rows, name) for piece in together]), whole)
    row = 0
    for piece in together:
        assert piece.first_row == row, "dropout's masks go by the row's number"
        row += len(piece.rows.input_ids)
    counts = [target_counts(share) for share in shares]
    assert {name: sum(count[name] for count in counts) for name in counts[0]} == target_counts(alone)
    assert target_counts(alone)["mlm_loss"] == sum(len(sample.masked_labels) for sample in batch)
    assert target_counts(alone)["nsp_loss"] == len(batch)


def test_a_rank_without_rows_gets_nothing(samples: Samples) -> None:
    one = samples.batch(0, 0, 1)[:1]
    shares = [micro_batches(one, LENGTH, 500, Ranks(rank, 3)) for rank in range(3)]
    assert sorted(map(len, shares)) == [0, 0, 1]
    assert target_counts([]) == {"mlm_loss": 0, "nsp_loss": 0}


def test_samples_say_where_they_come_from(samples: Samples) -> None:
    plan = samples.plan(0)
    for sample in samples.batch(0, 2, 500):
        assert sample.documents == (plan.a_document[sample.index], plan.b_document[sample.index])
        assert sample.is_random == (sample.documents[0] != sample.documents[1])
        assert sample.is_pair
