"""The short way through the last layer gives the long way's states and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertworks.engine.dropout import PooledDropout
from bertworks.model.bert import BertForSentence
from bertworks.model.config import BertConfig
from bertworks.model.encoder import BertEncoder
from bertworks.model.heads import Classifier, Pooler
from bertworks.model.last_layer import FEW, chosen, states_at
from bertworks.model.layout import Rows, pack_rows, pad_rows

CPU = torch.device("cpu")


def network(pre_norm: bool) -> BertForSentence:
    config = BertConfig(
        vocab_size=23,
        hidden_size=15,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=29,
        max_position_embeddings=19,
        initializer_range=0.3,
        pre_norm=pre_norm,
    )
    return BertForSentence(BertEncoder(config), Pooler(config), Classifier(config, 7)).double()


def laid_out(layout: str) -> Rows:
    random = np.random.default_rng(2)
    lengths = {"whole": [11, 11, 11]}.get(layout, [3, 11, 7, 5, 2])
    sequences = [random.integers(1, 23, length).astype(np.int32) for length in lengths]
    types = [np.arange(length, dtype=np.int8) % 2 for length in lengths]
    return pack_rows(sequences, types, 13) if layout == "packed" else pad_rows(sequences, types)


def places_of(which: str, rows: Rows) -> torch.Tensor:
    """Flat places of real tokens: the first ones, as a classifier asks; or many, in no order, some of them twice."""
    if which == "first":
        return rows.first_index
    real = torch.nonzero(rows.sequence_ids.reshape(-1) >= 0).squeeze(1)
    few = {"one row": 3, "many": len(real)}[which]
    return torch.cat([real[torch.randperm(len(real), generator=torch.Generator().manual_seed(1))[:few]], real[1:2]])


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("layout", ["packed", "padded", "whole"])
@pytest.mark.parametrize("which", ["first", "one row", "many"])
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_states_and_gradients_are_those_of_the_whole_network(
    layout: str, which: str, pre_norm: bool, rate: float
) -> None:
    encoder, rows = network(pre_norm).encoder, laid_out(layout)
    assert rows.is_packed == (layout == "packed")
    assert rows.is_full == (layout == "whole")
    places = places_of(which, rows)
    assert (len(places) > FEW * len(rows.input_ids)) == (which == "many"), "both ways are gone"
    dropout = PooledDropout(rate, rate, seed=1, dtype=torch.float64, device=CPU) if rate else None
    found = {}
    for name in ("whole", "short"):
        encoder.zero_grad()
        source = dropout.at(3, 0) if dropout else None
        states = chosen(encoder(rows, source), places) if name == "whole" else states_at(encoder, rows, places, source)
        (states * torch.arange(1.0, 16)).sin().sum().backward()
        found[name] = [states.detach(), *(p.grad.clone() for p in encoder.parameters() if p.grad is not None)]
    assert len(found["whole"]) == len(found["short"]) == 1 + len(list(encoder.parameters()))
    for whole, short in zip(found["whole"], found["short"], strict=True):
        assert whole.abs().max() > 1e-9, "a gradient of zeros would show nothing"
        torch.testing.assert_close(short, whole, rtol=1e-10, atol=1e-12)
    if dropout:
        assert not torch.allclose(states_at(encoder, rows, places), found["whole"][0]), "dropout must do something"


def test_direct_gradients_reach_the_word_table() -> None:
    model, rows = network(False), laid_out("packed")
    grads = []
    for direct in (False, True):
        model.zero_grad(set_to_none=not direct)
        if direct:
            model.encoder.embeddings.word.grad = torch.zeros_like(model.encoder.embeddings.word)
        model(rows, direct=direct).square().sum().backward()
        grad = model.encoder.embeddings.word.grad
        assert grad is not None
        grads.append(grad.clone())
    assert grads[0].abs().max() > 1e-6
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-10, atol=1e-12)
