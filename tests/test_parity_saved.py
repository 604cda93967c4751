"""Directories we save are opened by transformers, directories it saves by us: equal logits both ways."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor, nn

from bertworks.model.bert import BertForSentence
from bertworks.model.config import BertConfig
from bertworks.model.encoder import BertEncoder
from bertworks.model.heads import Classifier, Pooler
from bertworks.model.layout import pad_rows
from bertworks.model.pretrained import load_encoder, load_for_task, load_pre_training, save_pretrained
from parity_support import (
    difference,
    pre_training,
    randomise,
    some_sequences,
    transformers_inputs,
    transformers_twin,
)

CONFIG = BertConfig(
    vocab_size=211, hidden_size=30, num_hidden_layers=2, num_attention_heads=3, intermediate_size=47,
    max_position_embeddings=31, hidden_act="gelu_tanh",
)  # fmt: skip
BOTH = pytest.mark.parametrize("pre_norm", [False, True], ids=["post-norm", "pre-norm"])
IDS, TYPES = some_sequences(5, 4, 29, CONFIG.vocab_size)
INPUTS = transformers_inputs(IDS, TYPES)
ROWS = pad_rows(IDS, TYPES)
IS_TOKEN = INPUTS["attention_mask"].bool()
EVERY_TOKEN = torch.nonzero(IS_TOKEN.reshape(-1)).squeeze(1)


def opened(auto: type, directory: Path, caplog: pytest.LogCaptureFixture) -> nn.Module:
    """By transformers, which must find every tensor and need no other."""
    model, info = auto.from_pretrained(directory, output_loading_info=True, attn_implementation="eager")
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    return model.eval()


def config(pre_norm: bool) -> BertConfig:
    return dataclasses.replace(CONFIG, pre_norm=pre_norm)


@BOTH
@torch.no_grad()
def test_pre_training_opens_as_every_model_it_holds(
    pre_norm: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = pre_training(config(pre_norm), torch.float32)
    save_pretrained(model, tmp_path / "saved")
    words, sentences = model(ROWS, EVERY_TOKEN)
    assert float(words.std()) > 0.1
    both = opened(transformers.AutoModelForPreTraining, tmp_path / "saved", caplog)
    assert type(both).__name__ == ("MegatronBertForPreTraining" if pre_norm else "BertForPreTraining")
    assert both.get_output_embeddings().weight is both.get_input_embeddings().weight
    assert difference(words, both(**INPUTS).prediction_logits[IS_TOKEN]) <= 1e-5
    assert difference(sentences, both(**INPUTS).seq_relationship_logits) <= 1e-5
    masked = opened(transformers.AutoModelForMaskedLM, tmp_path / "saved", caplog)
    assert difference(words, masked(**INPUTS).logits[IS_TOKEN]) <= 1e-5
    plain = opened(transformers.AutoModel, tmp_path / "saved", caplog)
    assert difference(model.encoder(ROWS)[IS_TOKEN], plain(**INPUTS).last_hidden_state[IS_TOKEN]) <= 1e-5


@BOTH
@torch.no_grad()
def test_a_classifier_opens_with_its_labels(pre_norm: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = sentence_model(config(pre_norm), 5)
    labels = {"id2label": {str(i): name for i, name in enumerate("abcde")}}
    save_pretrained(model, tmp_path / "saved", settings=labels)
    theirs = opened(transformers.AutoModelForSequenceClassification, tmp_path / "saved", caplog)
    assert theirs.config.id2label[4] == "e"
    logits = model(ROWS)
    assert logits.shape == (5, 5)
    assert difference(logits, theirs(**INPUTS).logits) <= 1e-5
    again, _, report = load_for_task(tmp_path / "saved", BertForSentence)
    assert not report.made_up
    assert torch.equal(again(ROWS), logits)


def sentence_model(config: BertConfig, classes: int) -> BertForSentence:
    model = BertForSentence(BertEncoder(config), Pooler(config), Classifier(config, classes))
    randomise(model, 3, 0.1)
    return model


@torch.no_grad()
def test_a_bare_encoder_opens_as_auto_model(tmp_path: Path) -> None:
    encoder = pre_training(CONFIG, torch.float32).encoder
    save_pretrained(encoder, tmp_path / "saved")
    theirs = transformers.AutoModel.from_pretrained(
        tmp_path / "saved", add_pooling_layer=False, attn_implementation="eager"
    ).eval()
    assert difference(encoder(ROWS)[IS_TOKEN], theirs(**INPUTS).last_hidden_state[IS_TOKEN]) <= 1e-5


@torch.no_grad()
def test_half_precision_halves_the_file_and_both_compute_in_float32(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = pre_training(CONFIG, torch.float32)
    save_pretrained(model, tmp_path / "whole")
    save_pretrained(model, tmp_path / "half", dtype=torch.float16)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("half", "whole")]
    assert 0.4 < sizes[0] / sizes[1] < 0.6
    ours, _, _ = load_pre_training(tmp_path / "half")
    theirs = opened(transformers.AutoModelForPreTraining, tmp_path / "half", caplog)
    assert theirs.dtype == torch.float32
    words, _ = ours(ROWS, EVERY_TOKEN)
    assert words.dtype == torch.float32
    assert difference(words, theirs(**INPUTS).prediction_logits[IS_TOKEN]) <= 1e-5
    exact, _ = model(ROWS, EVERY_TOKEN)
    assert 0 < difference(words, exact) < 2e-2


@BOTH
@torch.no_grad()
def test_what_transformers_saves_is_read(pre_norm: bool, tmp_path: Path) -> None:
    twin = transformers_twin(pre_training(config(pre_norm), torch.float32))
    twin.save_pretrained(tmp_path / "theirs")
    ours, read, report = load_pre_training(tmp_path / "theirs")
    assert read == config(pre_norm)
    assert not report.missing
    assert not report.unexpected
    assert not report.heads_not_found
    words, sentences = ours(ROWS, EVERY_TOKEN)
    assert difference(words, twin(**INPUTS).prediction_logits[IS_TOKEN]) <= 1e-5
    assert difference(sentences, twin(**INPUTS).seq_relationship_logits) <= 1e-5


@torch.no_grad()
def test_every_way_transformers_has_saved_gives_the_same_states(tmp_path: Path) -> None:
    """Shards, zip and older pickles, with and without prefix, LayerNorm.gamma, position_ids, decoder copies."""
    model = pre_training(CONFIG, torch.float32)
    twin = transformers_twin(model)
    expected = model.encoder(ROWS)
    twin.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("model-*.safetensors"))) > 2
    weights = {name: tensor.clone() for name, tensor in twin.state_dict().items()}
    assert "cls.predictions.decoder.weight" in weights
    weights["bert.embeddings.position_ids"] = torch.arange(31)[None]
    bare = {name.removeprefix("bert."): tensor for name, tensor in weights.items() if name.startswith("bert.")}
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in weights.items()
    }
    assert any(name.endswith("gamma") for name in old)
    for name, table, is_zip in (("zip", weights, True), ("legacy", old, False), ("bare", bare, False)):
        write_pickle(tmp_path / name, table, is_zip)
    for folder in ("shards", "zip", "legacy", "bare"):
        encoder, _, report = load_encoder(tmp_path / folder)
        assert not report.missing, folder
        assert not report.unexpected, folder
        assert report.loaded == 5 + 16 * CONFIG.num_hidden_layers, folder
        assert torch.equal(encoder(ROWS), expected), folder
    again, _, report = load_pre_training(tmp_path / "legacy")
    assert not report.missing
    assert not report.unexpected
    assert not report.not_used
    assert torch.equal(again(ROWS, EVERY_TOKEN)[0], model(ROWS, EVERY_TOKEN)[0])


def write_pickle(folder: Path, table: dict[str, Tensor], is_zip: bool) -> None:
    folder.mkdir()
    torch.save(table, folder / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
    assert (folder / "pytorch_model.bin").read_bytes().startswith(b"PK") == is_zip
    (folder / "config.json").write_text(json.dumps(CONFIG.to_json("BertForPreTraining")))
