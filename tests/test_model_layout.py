"""Rows: every token once, positions restart, padding is marked, little room is wasted."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.model.layout import Rows, attention_bias, pack_rows, pad_rows

LENGTH = 23


def of_lengths(lengths: list[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Sequences whose ids name sequence and place: 100 i + j."""
    ids = [100 * (i + 1) + np.arange(n) for i, n in enumerate(lengths)]
    return ids, [np.arange(n) % 2 for n in lengths]


@given(st.lists(st.integers(1, LENGTH), min_size=1, max_size=40), st.booleans())
def test_every_token_stands_once_in_order(lengths: list[int], packed: bool) -> None:
    ids, types = of_lengths(lengths)
    rows = pack_rows(ids, types, LENGTH) if packed else pad_rows(ids, types)
    flat = {name: getattr(rows, name).reshape(-1).numpy() for name in
            ("input_ids", "token_type_ids", "position_ids", "sequence_ids")}  # fmt: skip
    for i, n in enumerate(lengths):
        places = np.flatnonzero(flat["sequence_ids"] == i)
        first = int(rows.first_index[i])
        assert places.tolist() == list(range(first, first + n)), "side by side"
        assert first // rows.input_ids.shape[1] == places[-1] // rows.input_ids.shape[1], "in one row"
        assert flat["input_ids"][places].tolist() == ids[i].tolist()
        assert flat["token_type_ids"][places].tolist() == types[i].tolist()
        assert flat["position_ids"][places].tolist() == list(range(n))
    padding = flat["sequence_ids"] == -1
    assert padding.sum() == len(padding) - sum(lengths)
    assert not flat["input_ids"][padding].any()
    assert rows.lengths.tolist() == lengths
    assert rows.is_full == (not padding.any())
    assert rows.is_packed == any(len(set(row[row >= 0])) > 1 for row in rows.sequence_ids.numpy())


@given(st.lists(st.integers(1, LENGTH), min_size=1, max_size=40))
def test_no_two_rows_could_be_one(lengths: list[int]) -> None:
    fills = np.sort((pack_rows(*of_lengths(lengths), LENGTH).sequence_ids >= 0).sum(-1).numpy())
    assert len(fills) < 2 or fills[0] + fills[1] > LENGTH


def test_a_batch_of_real_lengths_is_nearly_full() -> None:
    rng = np.random.default_rng(0)
    lengths = np.where(rng.random(500) < 0.6, 128, rng.integers(12, 128, 500)).tolist()
    rows = pack_rows(*of_lengths(lengths), 128)
    assert sum(lengths) / rows.input_ids.numel() > 0.98
    assert sum(lengths) / pad_rows(*of_lengths(lengths)).input_ids.numel() < 0.9


def test_flags_are_found_when_rows_are_made_by_hand() -> None:
    packed = pack_rows(*of_lengths([3, 4, 5]), 8)
    tensors = (packed.input_ids, packed.token_type_ids, packed.position_ids, packed.sequence_ids, packed.first_index)
    assert (Rows(*tensors).is_packed, Rows(*tensors).is_full) == (True, False)
    alone = torch.tensor([[0, 0], [1, 1]])
    assert (Rows(*tensors[:3], alone, tensors[4]).is_packed, Rows(*tensors[:3], alone, tensors[4]).is_full) == (
        False,
        True,
    )


def test_bias_hides_what_is_not_of_the_same_sequence() -> None:
    packed = pack_rows(*of_lengths([2, 3]), 6)
    bias = attention_bias(packed, torch.float32)
    assert bias.shape == (1, 1, 6, 6)
    seen = (bias[0, 0] == 0).int().tolist()
    assert seen == [[1, 1, 1, 0, 0, 0]] * 3 + [[0, 0, 0, 1, 1, 0]] * 2 + [[0, 0, 0, 0, 0, 1]]
    padded = attention_bias(pad_rows(*of_lengths([2, 3])), torch.float32)
    assert padded.shape == (2, 1, 1, 3)
    assert (padded[:, 0, 0] == 0).int().tolist() == [[1, 1, 0], [1, 1, 1]]
    assert attention_bias(pad_rows(*of_lengths([3, 3])), torch.float32) is None
    assert (bias[bias != 0] == -10_000).all()


def test_types_default_to_zero_and_a_given_length_is_kept() -> None:
    rows = pad_rows([np.array([5, 6])], None, 4)
    assert rows.input_ids.tolist() == [[5, 6, 0, 0]]
    assert rows.token_type_ids.tolist() == [[0, 0, 0, 0]]
    assert rows.sequence_ids.tolist() == [[0, 0, -1, -1]]


@pytest.mark.parametrize("lay", [pack_rows, pad_rows])
def test_sequences_that_do_not_fit_are_refused(lay) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BertworksError, match="sequence 1 has 9 tokens, a row takes 8"):
        lay([np.ones(3, int), np.ones(9, int)], None, 8)
    with pytest.raises(BertworksError, match="sequence 1 is empty"):
        lay([np.ones(3, int), np.ones(0, int)], None, 8)
    with pytest.raises(BertworksError, match="no sequence"):
        lay([], None, 8)
