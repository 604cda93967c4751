"""Gradients in train mode: both models are fed the same recorded dropout masks."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig, preset
from bertworks.model.layout import Rows, pack_rows, pad_rows
from bertworks.model.pretrained import to_hf
from parity_support import (
    GRADIENT_BOUNDS,
    RecordedMasks,
    RepackedMasks,
    pre_training,
    relative,
    some_sequences,
    transformers_inputs,
    transformers_twin,
)

SMALL = BertConfig(
    vocab_size=311, hidden_size=33, num_hidden_layers=2, num_attention_heads=3, intermediate_size=71,
    max_position_embeddings=47,
)  # fmt: skip
P_DROPOUT = 0.25


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("pre_norm", [False, True], ids=["post-norm", "pre-norm"])
def test_gradients_are_those_of_transformers(pre_norm: bool, dtype: torch.dtype) -> None:
    compare_gradients(dataclasses.replace(SMALL, pre_norm=pre_norm), dtype, n=5, longest=41, std=0.15)


@pytest.mark.slow
def test_gradients_of_base_size_are_those_of_transformers() -> None:
    compare_gradients(preset("base", 30_522), torch.float32, n=2, longest=96, std=0.03)


def compare_gradients(config: BertConfig, dtype: torch.dtype, *, n: int, longest: int, std: float) -> None:
    """Padded and packed, returned by autograd and added directly, against transformers in train mode."""
    model = pre_training(config, dtype, std=std)
    ids, types = some_sequences(n, 7, longest, config.vocab_size)
    padded, packed = pad_rows(ids, types), pack_rows(ids, types, longest + 13)
    masks = RecordedMasks(config, n, longest, dtype, P_DROPOUT, seed=5)
    dropped = torch.cat([(mask == 0).flatten() for mask in masks.masks.values()])
    assert 0.2 < float(dropped.float().mean()) < 0.3, "the masks must drop something"
    chosen = [(i, j) for i, one in enumerate(ids) for j in range(1, len(one), 4)]
    next_labels = torch.arange(n) % 2
    expected = transformers_gradients(model, masks, transformers_inputs(ids, types), chosen, ids, next_labels)
    assert all(gradient.abs().max() > 0 for gradient in expected.values()), "a gradient of zeros proves nothing"
    for rows, dropout in ((padded, masks), (packed, RepackedMasks(masks, padded, packed))):
        for direct in (False, True):
            found = our_gradients(model, rows, dropout, chosen, ids, next_labels, direct)
            assert set(found) == set(expected)
            for name, gradient in expected.items():
                where = (name, rows.is_packed, direct)
                if name.endswith("key.bias"):  # the softmax does not see it: its gradient is rounding alone
                    scale = expected[name.replace("key", "query")].abs().max()
                    assert found[name].abs().max() <= GRADIENT_BOUNDS[dtype] * scale, where
                else:
                    assert relative(found[name], gradient) <= GRADIENT_BOUNDS[dtype], where
    without = our_gradients(model, padded, None, chosen, ids, next_labels, False)
    seen_by_dropout = "bert.encoder.layer.0.output.dense.weight"
    assert relative(without[seen_by_dropout], expected[seen_by_dropout]) > 1e-2


def labels_at(chosen: list[tuple[int, int]], ids: list) -> Tensor:  # type: ignore[type-arg]
    return torch.tensor([(int(ids[i][j]) * 7 + 3) % 300 for i, j in chosen])


def transformers_gradients(
    model: BertForPreTraining,
    masks: RecordedMasks,
    inputs: dict[str, Tensor],
    chosen: list[tuple[int, int]],
    ids: list,  # type: ignore[type-arg]
    next_labels: Tensor,
) -> dict[str, Tensor]:
    twin = transformers_twin(model).train()
    with masks.in_transformers() as used:
        output = twin(**inputs)
    assert len(used) == len(masks.masks)
    at = torch.tensor(chosen)
    logits = output.prediction_logits[at[:, 0], at[:, 1]]
    loss = F.cross_entropy(logits, labels_at(chosen, ids)) + F.cross_entropy(
        output.seq_relationship_logits, next_labels
    )
    loss.backward()
    return {name: parameter.grad for name, parameter in twin.named_parameters()}


def our_gradients(
    model: BertForPreTraining,
    rows: Rows,
    dropout: RecordedMasks | RepackedMasks | None,
    chosen: list[tuple[int, int]],
    ids: list,  # type: ignore[type-arg]
    next_labels: Tensor,
    direct: bool,
) -> dict[str, Tensor]:
    """By transformers' names."""
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if direct else None
    positions = torch.tensor([int(rows.first_index[i]) + j for i, j in chosen])
    losses = model.losses(
        rows,
        positions,
        labels_at(chosen, ids),
        next_labels,
        masked_scale=1 / len(chosen),
        sentence_scale=1 / len(next_labels),
        dropout=dropout,
        direct=direct,
    )
    losses.loss.backward()
    return gradients_by_hf_name(model)


def gradients_by_hf_name(model: BertForPreTraining) -> dict[str, Tensor]:
    """The names of to_hf, the gradients in the place of the parameters."""
    names: list[tuple[str, nn.Parameter]] = list(model.named_parameters())
    values = {name: parameter.detach().clone() for name, parameter in names}
    gradients = {name: parameter.grad.clone() for name, parameter in names}  # type: ignore[union-attr]
    with torch.no_grad():
        for name, parameter in names:
            parameter.copy_(gradients[name])
        table = to_hf(model)
        table = {name: tensor.clone() for name, tensor in table.items()}
        for name, parameter in names:
            parameter.copy_(values[name])
    return table
