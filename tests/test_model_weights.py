"""Loading: what does not fit is told by name; broken files and other models are refused in one sentence."""

import dataclasses
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertworks.base.errors import BertworksError
from bertworks.model import pretrained
from bertworks.model.bert import BertForPreTraining, BertForSentence
from bertworks.model.config import BertConfig
from bertworks.model.encoder import BertEncoder
from bertworks.model.heads import Classifier, Pooler
from bertworks.model.initialise import seeded
from bertworks.model.pretrained import (
    load_encoder,
    load_for_task,
    load_pre_training,
    read_config,
    save_pretrained,
    to_hf,
    write_pretrained,
)
from bertworks.model.weight_files import read_weights
from bertworks.model.weights import load_into

CONFIG = BertConfig(53, 12, 2, 3, 17, max_position_embeddings=19)


def model(seed: int = 1) -> BertForPreTraining:
    return BertForPreTraining.new(CONFIG, seeded(seed))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_pretrained(model(), tmp_path / "m")
    return tmp_path / "m"


def rewrite(folder: Path, change: dict[str, Tensor | None]) -> None:
    """Change or drop (None) tensors of a saved directory."""
    tensors = load_file(folder / "model.safetensors") | {n: t for n, t in change.items() if t is not None}
    save_file({n: t for n, t in tensors.items() if change.get(n, t) is not None}, folder / "model.safetensors")


def test_a_saved_model_comes_back_bit_for_bit(saved: Path) -> None:
    again, config, report = load_pre_training(saved)
    assert config == CONFIG
    assert report.loaded == len(load_file(saved / "model.safetensors"))
    assert not report.missing
    assert not report.made_up
    assert not report.unexpected
    assert not report.not_used
    assert not report.heads_not_found
    assert report.sentences() == []
    for (name, a), b in zip(again.named_parameters(), model().parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.dtype == torch.float32
        assert a.requires_grad


def test_names_are_hugging_faces(saved: Path) -> None:
    names = set(load_file(saved / "model.safetensors"))
    assert "bert.encoder.layer.1.attention.self.key.weight" in names
    assert "bert.pooler.dense.bias" in names
    assert "cls.predictions.transform.LayerNorm.weight" in names
    assert "cls.predictions.decoder.weight" not in names, "the decoder is the word table and stands there once"
    bare = set(to_hf(model().encoder))
    assert "embeddings.LayerNorm.bias" in bare
    assert not any(name.startswith("bert.") for name in bare)


def test_a_head_that_is_not_there_is_random_and_told(saved: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_pretrained(model().encoder, saved.parent / "bare")
    again, _, report = load_pre_training(saved.parent / "bare", seeded(5))
    assert report.heads_not_found == ["masked_head", "next_sentence_head", "pooler"]
    assert "cls.predictions.bias" in report.missing
    assert "masked_head.dense.weight" in report.made_up
    assert all(sentence.endswith("is not in the file, its weights are random") for sentence in report.sentences())
    assert f"{saved.parent / 'bare'}: the masked-token head is not in the file, its weights are random" in caplog.text
    weight = again.masked_head.dense.weight.detach()
    assert 0.01 < float(weight.std()) < 0.03
    assert (again.masked_head.norm.weight == 1).all()
    other, _, _ = load_pre_training(saved.parent / "bare", seeded(6))
    assert not torch.equal(other.masked_head.dense.weight, weight), "drawn from the given generator"
    assert torch.equal(other.encoder.embeddings.word, model().encoder.embeddings.word)


def test_each_missing_and_unknown_tensor_is_named(saved: Path) -> None:
    rewrite(saved, {"bert.encoder.layer.0.attention.self.key.bias": None, "bert.extra.weight": torch.ones(2)})
    encoder, _, report = load_encoder(saved)
    assert report.missing == ["encoder.layer.0.attention.self.key.bias"]
    assert report.made_up == ["layers.0.qkv.bias"]
    assert not encoder.layers[0].qkv.bias.any()
    assert report.unexpected == ["extra.weight"]
    assert {"cls.predictions.bias", "pooler.dense.bias"} < set(report.not_used)
    # query and value are one tensor with the key here: they are not taken without it
    assert {f"encoder.layer.0.attention.self.{part}.bias" for part in ("query", "value")} < set(report.not_used)
    assert report.sentences() == [
        "not in the file, their weights are random: encoder.layer.0.attention.self.key.bias",
        "in the file and not known: extra.weight",
    ]


def test_a_new_classifier_is_fresh_and_an_old_one_is_taken(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(BertworksError, match="has no classifier"):
        load_for_task(saved, BertForSentence)
    fresh, _, report = load_for_task(saved, BertForSentence, outputs=4)
    assert fresh.classifier.weight.shape == (4, 12)
    assert report.heads_not_found == []
    assert report.made_up == ["classifier.weight", "classifier.bias"]
    save_pretrained(fresh, tmp_path / "tuned")
    again, _, report = load_for_task(tmp_path / "tuned", BertForSentence)
    assert torch.equal(again.classifier.weight, fresh.classifier.weight)
    assert not report.made_up
    other, _, _ = load_for_task(tmp_path / "tuned", BertForSentence, outputs=4, generator=seeded(9))
    assert not torch.equal(other.classifier.weight, fresh.classifier.weight)
    content = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert content["id2label"] == {str(i): f"LABEL_{i}" for i in range(4)}
    assert content["architectures"] == ["BertForSequenceClassification"]


def test_another_vocabulary_is_told(saved: Path) -> None:
    with pytest.raises(BertworksError) as caught:
        load_into(BertEncoder(dataclasses.replace(CONFIG, vocab_size=60)), read_weights(saved), source="runs/a")
    assert caught.value.message == "runs/a: embeddings.word_embeddings.weight is (53, 12), the model wants (60, 12)"
    assert "the vocabulary is another one" in caught.value.hint


def test_another_size_is_told_with_the_number_of_tensors(saved: Path) -> None:
    before = (wide := BertEncoder(dataclasses.replace(CONFIG, intermediate_size=18))).embeddings.word.detach().clone()
    with pytest.raises(BertworksError) as caught:
        load_into(wide, read_weights(saved), source="runs/a")
    assert caught.value.message == (
        "runs/a: encoder.layer.0.intermediate.dense.weight is (17, 12), the model wants (18, 12); 5 more tensors differ"
    )
    assert "another config.json" in caught.value.hint
    assert torch.equal(wide.embeddings.word, before), "nothing was copied before the refusal"


def test_words_that_wrappers_leave_in_names_are_overlooked(saved: Path) -> None:
    weights = {f"_orig_mod.module.{name}": tensor for name, tensor in read_weights(saved).items()}
    other = model(2)
    assert not load_into(other, weights).missing
    assert torch.equal(other.encoder.embeddings.word, model().encoder.embeddings.word)


def test_an_untied_decoder_is_refused_where_it_would_be_used(saved: Path) -> None:
    rewrite(saved, {"cls.predictions.decoder.weight": torch.zeros(53, 12)})
    load_encoder(saved)
    with pytest.raises(BertworksError, match="its decoder is not tied to the word table"):
        load_pre_training(saved)
    table = load_file(saved / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    rewrite(saved, {"cls.predictions.decoder.weight": table.clone()})
    assert not load_pre_training(saved)[2].unexpected


def test_a_bias_known_only_by_its_copy_is_found(saved: Path) -> None:
    bias = torch.arange(53.0)
    rewrite(saved, {"cls.predictions.bias": None, "cls.predictions.decoder.bias": bias})
    again, _, report = load_pre_training(saved)
    assert torch.equal(again.masked_head.bias, bias)
    assert not report.missing


def test_weights_of_something_else_are_refused() -> None:
    with pytest.raises(BertworksError) as caught:
        load_into(BertEncoder(CONFIG), {"lstm.weight": torch.ones(2, 2)}, source="runs/a")
    assert caught.value.message == "runs/a: no tensor of this encoder among 1"
    assert "lstm.weight" in caught.value.hint


@pytest.mark.parametrize("kept_bytes", [0, 5, 40, 2000, -1])
def test_a_truncated_safetensors_file_is_told(saved: Path, kept_bytes: int) -> None:
    file = saved / "model.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:kept_bytes])
    with pytest.raises(BertworksError) as caught:
        load_encoder(saved)
    assert str(file) in caught.value.message
    assert caught.value.hint == "copy it again"
    if kept_bytes == -1:
        assert caught.value.message == f"{file}: {len(content) - 1:,} bytes, its header promises {len(content):,}"


def test_other_broken_files_are_told(saved: Path) -> None:
    file = saved / "model.safetensors"
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(BertworksError, match="is a Git LFS pointer"):
        load_encoder(saved)
    file.write_bytes((9).to_bytes(8, "little") + b"not json!")
    with pytest.raises(BertworksError, match="not a safetensors file"):
        load_encoder(saved)
    file.unlink()
    with pytest.raises(BertworksError, match="holds no weights"):
        load_encoder(saved)
    (saved / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BertworksError, match="cut short or not a PyTorch file"):
        load_encoder(saved)
    torch.save([1, 2], saved / "pytorch_model.bin")
    with pytest.raises(BertworksError, match="holds a list, expected a table of tensors"):
        load_encoder(saved)
    with pytest.raises(BertworksError, match="no such file or folder"):
        read_weights(saved / "nowhere")


class Malicious:
    """Unpickling it would make a folder."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("is_zip", [True, False])
def test_nothing_in_a_pickle_is_executed(saved: Path, is_zip: bool) -> None:
    (saved / "model.safetensors").unlink()
    table = {"embeddings.word_embeddings.weight": torch.ones(53, 12), "evil": Malicious()}
    torch.save(table, saved / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(BertworksError, match="is not a plain table of tensors, and nothing else is loaded"):
        load_encoder(saved)
    assert not Path("executed").exists()
    pickle.loads(pickle.dumps(Malicious()))
    assert Path("executed").exists(), "the attack must work where it is let"


def test_a_missing_shard_and_a_missing_tensor_are_told(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    (saved / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for file, held in parts.items():
        save_file({name: tensors[name] for name in held}, saved / file)
    weight_map = {name: file for file, held in parts.items() for name in held}
    index = saved / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert not load_pre_training(saved)[2].missing
    index.write_text(json.dumps({"weight_map": weight_map | {"bert.ghost": names and next(iter(parts))}}))
    with pytest.raises(BertworksError, match=r"promises bert\.ghost, which no file holds"):
        load_encoder(saved)
    index.write_text("{}")
    with pytest.raises(BertworksError, match="has no `weight_map`"):
        load_encoder(saved)
    index.write_text(json.dumps({"weight_map": weight_map}))
    (saved / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BertworksError, match=r"model-00002-of-00002.safetensors: is missing"):
        load_encoder(saved)


def test_a_directory_without_config_is_told(tmp_path: Path) -> None:
    with pytest.raises(BertworksError, match=r"has no config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(BertworksError, match="expected an object with the sizes"):
        read_config(tmp_path)


def test_saving_adds_files_and_settings_and_refuses_to_overwrite(tmp_path: Path) -> None:
    def also(folder: Path) -> None:
        (folder / "vocab.txt").write_text("[PAD]\n")

    save_pretrained(model(), tmp_path / "m", settings={"pad_token_id": 7}, also=also)
    assert {path.name for path in (tmp_path / "m").iterdir()} == {"config.json", "model.safetensors", "vocab.txt"}
    assert json.loads((tmp_path / "m" / "config.json").read_text())["pad_token_id"] == 7
    with pytest.raises(BertworksError, match="exists"):
        save_pretrained(model(), tmp_path / "m")
    save_pretrained(model(2), tmp_path / "m", overwrite=True)
    assert torch.equal(load_encoder(tmp_path / "m")[0].embeddings.word, model(2).encoder.embeddings.word)


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    def also(folder: Path) -> None:
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        save_pretrained(model(), tmp_path / "m", also=also)
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_wrong_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that gives back another bit fails the save, with exit code 1."""
    honest = pretrained.read_weights

    def one_bit_off(path: Path) -> dict[str, Tensor]:
        tensors = honest(path)
        tensors["bert.pooler.dense.bias"][0] += 1e-9
        return tensors

    monkeypatch.setattr(pretrained, "read_weights", one_bit_off)
    with pytest.raises(BertworksError, match=r"bert\.pooler\.dense\.bias was not written") as caught:
        save_pretrained(model(), tmp_path / "m")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "m").exists()


def test_nan_is_saved_and_read_as_it_is(tmp_path: Path) -> None:
    broken = model()
    with torch.no_grad():
        broken.pooler.dense.bias[0] = float("nan")
    tmp_path.joinpath("m").mkdir()
    write_pretrained(broken, tmp_path / "m")
    assert torch.isnan(load_pre_training(tmp_path / "m")[0].pooler.dense.bias[0])


def test_a_task_head_of_another_name_travels_under_its_own(tmp_path: Path) -> None:
    class Tagger(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = BertEncoder(CONFIG, seeded(2))
            self.tags = torch.nn.Linear(12, 5)

    tagger = Tagger()
    save_pretrained(tagger, tmp_path / "m")
    assert "tags.weight" in load_file(tmp_path / "m" / "model.safetensors")
    other = Tagger()
    report = load_into(other, read_weights(tmp_path / "m"))
    assert torch.equal(other.tags.weight, tagger.tags.weight)
    assert not report.missing
    assert not report.unexpected


def test_loading_draws_nothing_and_needs_no_second_copy(saved: Path) -> None:
    before = torch.get_rng_state()
    encoder, _, _ = load_encoder(saved)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        encoder.embeddings.word.zero_()
    assert load_encoder(saved)[0].embeddings.word.any(), "the file must not change with the model"


def test_sentence_models_share_the_encoder_names(tmp_path: Path) -> None:
    sentence = BertForSentence(BertEncoder(CONFIG, seeded(3)), Pooler(CONFIG), Classifier(CONFIG, 2))
    save_pretrained(sentence, tmp_path / "m")
    encoder, _, report = load_encoder(tmp_path / "m")
    assert torch.equal(encoder.embeddings.word, sentence.encoder.embeddings.word)
    assert sorted(report.not_used) == [
        "classifier.bias",
        "classifier.weight",
        "pooler.dense.bias",
        "pooler.dense.weight",
    ]
