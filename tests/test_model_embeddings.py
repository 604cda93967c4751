"""The sum of the three tables and its backward pass."""

import pytest
import torch
import torch.nn.functional as F

from bertworks.base.errors import BertworksError
from bertworks.model.config import BertConfig
from bertworks.model.embeddings import Embeddings, add_rows
from bertworks.model.encoder import BertEncoder
from bertworks.model.layout import Rows, pack_rows, pad_rows

CONFIG = BertConfig(101, hidden_size=14, num_hidden_layers=1, num_attention_heads=2, intermediate_size=7,
                    max_position_embeddings=19, type_vocab_size=3)  # fmt: skip


def rows_and_table(dtype: torch.dtype) -> tuple[Rows, Embeddings]:
    generator = torch.Generator().manual_seed(4)
    sequences = [torch.randint(0, 101, (n,), generator=generator).numpy() for n in (5, 19, 2, 11)]
    types = [torch.randint(0, 3, (len(one),), generator=generator).numpy() for one in sequences]
    embeddings = BertEncoder(CONFIG, generator).embeddings.to(dtype)
    return pack_rows(sequences, types, 23), embeddings


@pytest.mark.parametrize("direct", [False, True])
def test_gradients_are_those_of_three_lookups(direct: bool) -> None:
    rows, embeddings = rows_and_table(torch.float64)
    tables = (embeddings.word, embeddings.token_type, embeddings.position)
    ids = (rows.input_ids, rows.token_type_ids, rows.position_ids)
    above = torch.randn(*rows.input_ids.shape, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    summed = sum(F.embedding(one, table) for one, table in zip(ids, tables, strict=True))
    expected_hidden = embeddings.norm(summed)
    expected = torch.autograd.grad(expected_hidden, tables, above)
    if direct:
        for table in tables:
            table.grad = torch.ones_like(table)
    hidden = embeddings(rows, direct=direct)
    torch.testing.assert_close(hidden, expected_hidden, rtol=1e-14, atol=1e-14)
    hidden.backward(above)
    assert len(rows.input_ids.unique()) < rows.input_ids.numel(), "ids must repeat"
    for table, gradient in zip(tables, expected, strict=True):
        torch.testing.assert_close(table.grad - int(direct), gradient, rtol=1e-12, atol=1e-12)


def test_a_frozen_table_gets_nothing() -> None:
    rows, embeddings = rows_and_table(torch.float32)
    embeddings.word.requires_grad_(False)
    embeddings(rows, direct=True).sum().backward()
    assert embeddings.word.grad is None
    assert embeddings.position.grad is not None


def test_rows_are_added_the_same_way_each_time() -> None:
    """Many rows of one id: float32 sums depend on their order, so the order must not change."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 40, (5000,), generator=generator)
    rows = torch.randn(5000, 64, generator=generator)
    first = add_rows(torch.zeros(40, 64), ids, rows)
    shuffled = torch.randperm(5000, generator=generator)
    assert not torch.equal(add_rows(torch.zeros(40, 64), ids[shuffled], rows[shuffled]), first)
    assert all(torch.equal(add_rows(torch.zeros(40, 64), ids, rows), first) for _ in range(5))


def test_half_precision_does_not_stall() -> None:
    """One id 5,000 times: a bfloat16 sum of ones would stop at 256."""
    ids, rows = torch.zeros(5000, dtype=torch.long), torch.ones(5000, 3, dtype=torch.bfloat16)
    table = add_rows(torch.zeros(2, 3, dtype=torch.bfloat16), ids, rows)
    assert table[0].tolist() == [4992.0] * 3  # the bfloat16 nearest to 5,000
    assert not table[1].any()


def test_a_sequence_longer_than_the_positions_is_refused() -> None:
    encoder = BertEncoder(CONFIG)
    encoder(pad_rows([torch.ones(19, dtype=torch.long).numpy()], None))
    with pytest.raises(BertworksError, match="a sequence has 20 tokens, the model takes 19"):
        encoder(pad_rows([torch.ones(20, dtype=torch.long).numpy()], None))


def test_packed_rows_may_be_longer_than_the_positions() -> None:
    sequences = [torch.ones(15, dtype=torch.long).numpy()] * 3
    rows = pack_rows(sequences, None, 45)
    assert rows.input_ids.shape == (1, 45)
    BertEncoder(CONFIG)(rows)
