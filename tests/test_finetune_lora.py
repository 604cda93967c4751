"""LoRA: adapters and head learn, the folder holds the sum, and peft and we read each other's adapters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertworks.base.errors import BertworksError
from bertworks.finetune.run import finetune
from bertworks.model.layout import pad_rows
from bertworks.model.lora import adapters, merged
from bertworks.model.peft_folder import read_adapters
from bertworks.predict.directory import load_model
from bertworks.tasks.task import Window
from finetune_steps import Steps, prepared_of, start_folder
from finetune_support import toy_recipe

KEYS = {"model__lora_rank": 3, "model__lora_alpha": 6.0}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("lora"))


@pytest.fixture(scope="module")
def trained(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Steps, Path]:
    """Some updates, and the model directory saved after them."""
    steps = Steps(prepared_of(place, **KEYS))
    steps.go(6)
    folder = tmp_path_factory.mktemp("trained") / "best"
    steps.network.save(folder)
    return steps, folder


def logits_of(steps: Steps) -> torch.Tensor:
    rows = steps.batches.micro_batches(0)[0].rows
    with torch.no_grad(), steps.network.whole() as model:
        return model(rows)


def test_adapters_begin_at_nothing_and_they_alone_learn(place: Path) -> None:
    steps, plain = Steps(prepared_of(place, **KEYS)), Steps(prepared_of(place))
    whole = plain.batches.micro_batches(0)[0].rows
    with torch.no_grad():
        assert torch.equal(logits_of(steps), plain.network.model(whole)), "B is zero"
    before = steps.weights()
    steps.go(4)
    after = steps.weights()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    learning = {name for name in before if name.endswith(("_a", "_b")) or not name.startswith("encoder.")}
    assert changed == learning
    assert {name.split(".")[-1] for name in changed if "qkv" in name} == {"query_a", "query_b", "value_a", "value_b"}
    assert len(steps.network.parameters) == sum(before[name].numel() for name in learning)


def test_merged_is_the_same_network_in_plain_layers(trained: tuple[Steps, Path]) -> None:
    steps, _ = trained
    expected = logits_of(steps)
    model = steps.network.model
    rows = steps.batches.micro_batches(0)[0].rows
    with torch.no_grad(), merged(model.encoder):
        assert adapters(model.encoder) == []
        assert torch.equal(model(rows), expected)
    assert len(adapters(model.encoder)) == 2


def test_the_folder_is_an_ordinary_model(trained: tuple[Steps, Path]) -> None:
    from transformers import AutoModelForSequenceClassification

    steps, folder = trained
    opened = load_model(folder).model
    rows = pad_rows([window.input_ids for window in prepared_windows(steps)], None)
    with torch.no_grad(), steps.network.whole() as model:
        expected = model(rows)
        assert torch.equal(opened(rows), expected)
        theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        found = theirs(rows.input_ids, attention_mask=(rows.sequence_ids >= 0).long()).logits
    assert expected.std() > 1e-2
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def prepared_windows(steps: Steps) -> list[Window]:
    return [window for row in steps.prepared.windows[:9] for window in row]


def test_other_targets_get_adapters(place: Path) -> None:
    steps = Steps(prepared_of(place, model__lora_targets=["key"], **KEYS))
    assert {name.split(".")[-1] for name in steps.weights() if name.endswith(("_a", "_b"))} == {"key_a", "key_b"}
    steps.go(2)
    base = adapters(steps.network.model.encoder)[0]
    same = base.weight == base.base
    assert same[:24].all()
    assert not same[24:48].all()
    assert same[48:].all()


def test_half_precision_saves_the_exact_sum(place: Path, tmp_path: Path) -> None:
    steps = Steps(prepared_of(place, dtype=torch.bfloat16, **KEYS))
    steps.go(3)
    steps.network.save(tmp_path / "best")
    start, found = load_file(place / "start" / "model.safetensors"), load_file(tmp_path / "best" / "model.safetensors")
    name = "bert.encoder.layer.0.attention.self.query.weight"
    first, second = steps.weights()["encoder.layers.0.qkv.query_a"], steps.weights()["encoder.layers.0.qkv.query_b"]
    torch.testing.assert_close(found[name], start[name] + 2.0 * second @ first, rtol=1e-6, atol=1e-7)
    assert not torch.equal(found[name], start[name])
    key = "bert.encoder.layer.0.attention.self.key.weight"
    assert torch.equal(found[key], start[key]), "what is frozen keeps all its bits"


def test_peft_opens_the_adapters_on_the_start(place: Path, trained: tuple[Steps, Path]) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForSequenceClassification

    _, folder = trained
    base = AutoModelForSequenceClassification.from_pretrained(place / "start", num_labels=3)
    theirs = peft.PeftModel.from_pretrained(base, folder / "adapter").eval()
    ids = torch.tensor([[2, 7, 9, 15, 3], [2, 11, 20, 4, 3]])
    with torch.no_grad():
        expected = load_model(folder).model(pad_rows([row.numpy() for row in ids], None))
        torch.testing.assert_close(theirs(ids).logits, expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 1e-2


def test_the_adapters_have_pefts_names_and_shapes(place: Path, trained: tuple[Steps, Path]) -> None:
    _, folder = trained
    content = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert content["base_model_name_or_path"] == str(place / "start")
    assert (content["peft_type"], content["task_type"], content["r"], content["lora_alpha"]) == (
        "LORA",
        "SEQ_CLS",
        3,
        6,
    )
    assert content["target_modules"] == ["query", "value"]
    assert content["modules_to_save"] == ["classifier", "pooler"]
    shapes = {name: tuple(t.shape) for name, t in load_file(folder / "adapter" / "adapter_model.safetensors").items()}
    stem = "base_model.model.bert.encoder.layer.1.attention.self.value"
    assert shapes[f"{stem}.lora_A.weight"] == (3, 24)
    assert shapes[f"{stem}.lora_B.weight"] == (24, 3)
    assert shapes["base_model.model.classifier.weight"] == (3, 24)
    assert shapes["base_model.model.bert.pooler.dense.bias"] == (24,)
    assert len(shapes) == 2 * 2 * 2 + 4


def test_a_run_starts_from_adapters(place: Path, trained: tuple[Steps, Path]) -> None:
    _, folder = trained
    prepared = prepared_of(place, model__start=str(folder / "adapter"))
    assert prepared.start.path == place / "start"
    assert "with adapters merged" in prepared.start.describe()
    ours = prepared.start.build(prepared.data.task, 0).state_dict()
    saved = load_model(folder).model.state_dict()
    plain = prepared_of(place).start.build(prepared.data.task, 0).state_dict()
    name = "encoder.layers.1.qkv.weight"
    assert not torch.equal(ours[name], plain[name])
    for one in saved:
        if not one.startswith("classifier"):
            torch.testing.assert_close(ours[one], saved[one], rtol=1e-6, atol=1e-7)


def test_a_run_starts_from_what_peft_saved(place: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    from transformers import AutoModel

    base = AutoModel.from_pretrained(place / "start")
    config = peft.LoraConfig(
        r=2, lora_alpha=5, target_modules=["query", "dense"], use_rslora=True, init_lora_weights=False
    )
    model = peft.get_peft_model(base, config)
    model.save_pretrained(tmp_path / "theirs")
    expected = model.merge_and_unload().eval()
    prepared = prepared_of(place, model__start=str(tmp_path / "theirs"))
    ours = prepared.start.build(prepared.data.task, 0)
    ids = torch.tensor([[2, 7, 9, 15, 3]])
    with torch.no_grad():
        found = ours.encoder(pad_rows([ids[0].numpy()], None))
        torch.testing.assert_close(found, expected(ids).last_hidden_state, rtol=1e-5, atol=1e-5)


def test_adapters_on_adapters_are_merged_one_after_another(place: Path, tmp_path: Path) -> None:
    folder = place / "start"
    for number in range(3):
        steps = Steps(prepared_of(place, model__start=str(folder), **KEYS))
        steps.go(2)
        steps.network.save(tmp_path / str(number))
        folder = tmp_path / str(number) / "adapter"
    prepared = prepared_of(place, model__start=str(folder))
    assert prepared.start.path == place / "start"
    assert len(prepared.start.adapters) == 3
    ours = prepared.start.build(prepared.data.task, 0).state_dict()
    saved, before = (load_model(tmp_path / number).model.state_dict() for number in "21")
    name = "encoder.layers.1.qkv.weight"
    torch.testing.assert_close(ours[name], saved[name], rtol=1e-6, atol=1e-7)
    assert not torch.equal(before[name], saved[name])
    copied(folder, tmp_path)
    config = tmp_path / "copied" / "adapter_config.json"
    content = json.loads(config.read_text()) | {"base_model_name_or_path": str(config.parent)}
    config.write_text(json.dumps(content))
    with pytest.raises(BertworksError, match=r"adapters for `.*copied`, which are on these"):
        prepared_of(place, model__start=str(config.parent))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, r"adapters of kind IA3, only LORA is read"),
        ({"use_dora": True}, r"`use_dora` is set, which is not read"),
        ({"base_model_name_or_path": None}, r"names no `base_model_name_or_path`"),
        ({"base_model_name_or_path": "nowhere"}, r"adapters for `nowhere`, which is not here"),
        ({"r": "3"}, r"`r` is 3, `lora_alpha` 6, expected numbers"),
    ],
)
def test_adapters_that_cannot_be_read_are_refused(
    place: Path, tmp_path: Path, trained: tuple[Steps, Path], change: dict[str, object], message: str
) -> None:
    folder = copied(trained[1] / "adapter", tmp_path)
    content = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(content | change))
    with pytest.raises(BertworksError, match=message):
        prepared_of(place, model__start=str(folder))


def test_adapters_of_another_model_are_refused(place: Path, tmp_path: Path, trained: tuple[Steps, Path]) -> None:
    folder = copied(trained[1] / "adapter", tmp_path)
    tensors = load_file(folder / "adapter_model.safetensors")
    name = "base_model.model.bert.encoder.layer.1.attention.self.value.lora_B.weight"
    save_file({**tensors, name: torch.zeros(23, 3)}, folder / "adapter_model.safetensors")
    prepared = prepared_of(place, model__start=str(folder))
    with pytest.raises(
        BertworksError, match=r"an adapter for `encoder.layer.1.attention.self.value.weight` \(23, 24\)"
    ):
        prepared.start.build(prepared.data.task, 0)
    save_file({one: t for one, t in tensors.items() if one != name}, folder / "adapter_model.safetensors")
    with pytest.raises(BertworksError, match=r"lora_A.weight` is not read"):
        read_adapters(folder)
    (folder / "adapter_model.safetensors").write_bytes(b"short")
    with pytest.raises(BertworksError, match=r"cannot be read"):
        read_adapters(folder)


def copied(folder: Path, target: Path) -> Path:
    """The two files elsewhere."""
    made = target / "copied"
    made.mkdir()
    for path in folder.iterdir():
        (made / path.name).write_bytes(path.read_bytes())
    return made


def test_a_run_leaves_sum_and_adapters(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(place / "start", place / "train.csv", train__steps=8, **KEYS)
    done = finetune(recipe, tmp_path / "run")
    assert {path.name for path in (done.run / "best" / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    told = "LoRA of rank 3, alpha 6, on query, value"
    assert told in (done.run / "best" / "README.md").read_text()
    assert told in (done.run / "log.txt").read_text()
