"""Every hidden state, the pooler and both heads against transformers' eager BERT with the same random weights."""

import dataclasses

import numpy as np
import pytest
import torch

from bertworks.model.config import BertConfig, preset
from bertworks.model.last_layer import chosen
from bertworks.model.layout import pack_rows, pad_rows
from parity_support import (
    BOUNDS,
    by_sequence,
    difference,
    pre_training,
    some_sequences,
    transformers_inputs,
    transformers_twin,
)

SMALL = BertConfig(
    vocab_size=523, hidden_size=51, num_hidden_layers=3, num_attention_heads=3, intermediate_size=131,
    max_position_embeddings=67,
)  # fmt: skip
VARIANTS = {
    "post-norm": SMALL,
    "pre-norm": dataclasses.replace(SMALL, pre_norm=True),
    "tanh form of gelu": dataclasses.replace(SMALL, hidden_act="gelu_tanh"),
    "relu, larger epsilon": dataclasses.replace(SMALL, hidden_act="relu", layer_norm_eps=1e-3),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_hidden_states_and_logits_are_those_of_transformers(config: BertConfig, dtype: torch.dtype) -> None:
    compare_with_transformers(config, dtype, n=7, longest=61, std=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_base_size_is_that_of_transformers(dtype: torch.dtype) -> None:
    """12 layers × 768: the depth at which float32 errors could add up."""
    compare_with_transformers(preset("base", 30_522), dtype, n=3, longest=128, std=0.03)


@torch.no_grad()
def compare_with_transformers(config: BertConfig, dtype: torch.dtype, *, n: int, longest: int, std: float) -> None:
    """Padded, packed and alone, each against the same states of transformers."""
    model = pre_training(config, dtype, std=std)
    twin = transformers_twin(model)
    ids, types = some_sequences(n, 5, longest, config.vocab_size)
    theirs = twin(**transformers_inputs(ids, types), output_hidden_states=True)
    lengths = list(map(len, ids))
    assert len(set(lengths)) > 1, "all of one length: nothing is masked"
    layouts = {
        "padded": pad_rows(ids, types),
        "packed": pack_rows(ids, types, longest),
        "packed wide": pack_rows(ids, types, sum(lengths)),
    }
    assert layouts["packed"].is_packed or n == 3
    assert layouts["packed wide"].input_ids.shape[0] == 1
    for name, rows in layouts.items():
        states = model.encoder.forward_all(rows)
        assert len(states) == len(theirs.hidden_states) == config.num_hidden_layers + 1
        for layer, (ours, expected) in enumerate(zip(states, theirs.hidden_states, strict=True)):
            for i, state in enumerate(by_sequence(ours, rows)):
                assert difference(state, expected[i, : lengths[i]]) <= BOUNDS[dtype], (name, layer, i)
        every_token = torch.nonzero(rows.sequence_ids.reshape(-1) == 0).squeeze(1)  # of the first sequence
        words, sentences = model(rows, every_token)
        assert difference(words, theirs.prediction_logits[0, : lengths[0]]) <= BOUNDS[dtype], name
        assert difference(sentences, theirs.seq_relationship_logits) <= BOUNDS[dtype], name
        pooled = model.pooler(chosen(states[-1], rows.first_index))
        assert difference(pooled, pooler_output(twin, ids, types)) <= BOUNDS[dtype], name
    assert float(theirs.prediction_logits.std()) > 0.1, "flat logits would hide a wrong head"


def pooler_output(twin: torch.nn.Module, ids: list[np.ndarray], types: list[np.ndarray]) -> torch.Tensor:
    return twin.bert(**transformers_inputs(ids, types)).pooler_output


@torch.no_grad()
@pytest.mark.parametrize("config", [SMALL, VARIANTS["pre-norm"]], ids=["post-norm", "pre-norm"])
def test_a_sequence_does_not_see_its_neighbours(config: BertConfig) -> None:
    """Alone, among others in one packed row, or padded by a longer one: the same states."""
    model = pre_training(config, torch.float32, std=0.15)
    ids, types = some_sequences(9, 3, 40, config.vocab_size, seed=3)
    packed = pack_rows(ids, types, 64)
    assert packed.input_ids.shape[0] < len(ids)
    padded = pad_rows(ids, types)
    together = by_sequence(model.encoder(packed), packed)
    beside = by_sequence(model.encoder(padded), padded)
    for i in range(len(ids)):
        alone = model.encoder(pad_rows(ids[i : i + 1], types[i : i + 1]))[0]
        assert difference(together[i], alone) <= 1e-5
        assert difference(beside[i], alone) <= 1e-5
    changed = [*ids[:-1], (ids[-1] + 1) % config.vocab_size]
    packed_changed = pack_rows(changed, types, 64)
    after = by_sequence(model.encoder(packed_changed), packed_changed)
    assert all(torch.equal(after[i], together[i]) for i in range(len(ids) - 1)), "a neighbour's ids leak"
    assert difference(after[-1], together[-1]) > 1e-2, "the changed sequence itself must change"


@torch.no_grad()
def test_without_the_bias_packed_rows_would_leak() -> None:
    """The test above has power: with attention over the whole row the states differ."""
    model = pre_training(SMALL, torch.float32, std=0.15)
    ids, types = some_sequences(4, 10, 20, SMALL.vocab_size)
    rows = pack_rows(ids, types, sum(map(len, ids)))
    right = model.encoder(rows)
    rows.sequence_ids = torch.zeros_like(rows.sequence_ids)
    assert difference(model.encoder(rows), right) > 1e-2
