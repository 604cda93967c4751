"""Sizes, presets, parameter counts and config.json both ways."""

import dataclasses
import json

import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import PRESETS, BertConfig, number_of_parameters, preset
from bertworks.model.encoder import BertEncoder
from bertworks.model.heads import Pooler

# encoder + pooler, and with both heads of pre-training; V = 30,522 unless said
PUBLISHED = {
    ("tiny", 30_522): (4_385_920, 4_433_468),
    ("mini", 30_522): (11_170_560, 11_267_900),
    ("small", 30_522): (28_763_648, 29_058_876),
    ("medium", 30_522): (41_373_184, 41_668_412),
    ("base", 30_522): (109_482_240, 110_106_428),
    ("large", 30_522): (335_141_888, 336_226_108),
    ("base", 28_996): (None, 108_932_934),  # cased
    ("large", 28_996): (None, 334_661_958),
    ("base", 21_128): (None, 102_882_442),  # Chinese
    ("base", 119_547): (None, 178_566_653),  # multilingual, cased
    ("base", 105_879): (None, 168_055_961),
}


def parameters(*modules: torch.nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


@pytest.mark.parametrize(("key", "counts"), PUBLISHED.items(), ids=lambda value: str(value))
def test_parameter_counts_are_the_published_ones(key: tuple[str, int], counts: tuple[int | None, int]) -> None:
    config = preset(*key)
    with torch.device("meta"):
        model = BertForPreTraining.new(config)
        encoder, pooler = BertEncoder(config), Pooler(config)
    assert parameters(model) == counts[1]
    if counts[0] is not None:
        assert parameters(encoder, pooler) == counts[0] == number_of_parameters(config)


def test_a_pre_norm_network_counts_its_final_norm_instead() -> None:
    config = dataclasses.replace(preset("tiny", 1000), pre_norm=True)
    with torch.device("meta"):
        modules = BertEncoder(config), Pooler(config)
    assert parameters(*modules) == number_of_parameters(config)
    assert modules[0].embeddings.norm is None
    assert modules[0].final_norm is not None


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("act", ["gelu", "gelu_tanh", "relu", "linear"])
def test_json_gives_back_the_config(pre_norm: bool, act: str) -> None:
    config = BertConfig(997, 42, 5, 3, 31, act, 0.2, 0.3, 71, 3, 0.05, 1e-6, pre_norm)
    content = json.loads(json.dumps(config.to_json("BertForPreTraining")))
    assert BertConfig.from_json(content) == config
    assert content["model_type"] == ("megatron-bert" if pre_norm else "bert")
    assert content["architectures"] == ["MegatronBertForPreTraining" if pre_norm else "BertForPreTraining"]


def test_googles_config_is_read() -> None:
    """The Chinese release: no model_type, no layer_norm_eps, keys that nothing uses."""
    google = {
        "attention_probs_dropout_prob": 0.1, "directionality": "bidi", "hidden_act": "gelu", "hidden_size": 768,
        "hidden_dropout_prob": 0.1, "initializer_range": 0.02, "intermediate_size": 3072,
        "max_position_embeddings": 512, "num_attention_heads": 12, "num_hidden_layers": 12, "pooler_fc_size": 768,
        "type_vocab_size": 2, "vocab_size": 21128,
    }  # fmt: skip
    config = BertConfig.from_json(google)
    assert config == preset("base", 21_128)
    assert config.layer_norm_eps == 1e-12  # in Google's code, not in its config


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        (
            {"hidden_size": 250, "num_attention_heads": 12},
            "hidden_size 250 is not divisible by num_attention_heads 12",
            "nearest that fit: 252 (head_dim 21), 240 (head_dim 20)",
        ),
        (
            {"hidden_size": 5, "num_attention_heads": 12},
            "hidden_size 5 is not divisible by num_attention_heads 12",
            "nearest that fit: 12 (head_dim 1)",
        ),
        ({"hidden_act": "gelo"}, "hidden_act `gelo` is unknown", "did you mean `gelu`?"),
        ({"hidden_act": "zzz"}, "hidden_act `zzz` is unknown", "known: gelu, gelu_tanh"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0, must be at least 1", ""),
        ({"hidden_dropout_prob": 1.0}, "hidden_dropout_prob is 1.0, must be at least 0 and below 1", ""),
    ],
)
def test_sizes_that_do_not_fit_are_told(change: dict[str, object], message: str, hint: str) -> None:
    with pytest.raises(BertworksError) as caught:
        BertConfig(100, **change)  # type: ignore[arg-type]
    assert caught.value.message == message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model_type": "roberta", "vocab_size": 9}, "model_type `roberta` is another architecture"),
        (
            {"vocab_size": 9, "position_embedding_type": "relative_key"},
            "position_embedding_type `relative_key` is not supported",
        ),
        ({"vocab_size": 9, "is_decoder": True}, "the config describes a decoder"),
        ({"model_type": "bert"}, "the config has no `vocab_size`"),
    ],
)
def test_other_architectures_are_refused(content: dict[str, object], message: str) -> None:
    with pytest.raises(BertworksError) as caught:
        BertConfig.from_json(content)
    assert caught.value.message == message


def test_an_unknown_preset_lists_the_known() -> None:
    with pytest.raises(BertworksError, match="preset `huge` is unknown") as caught:
        preset("huge", 100)
    assert all(name in caught.value.hint for name in PRESETS)
