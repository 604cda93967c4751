"""Further losses of training: heads at lower layers, masked tokens, next sentence; a head at a lower layer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json
from bertworks.finetune import outcome
from bertworks.finetune import run as run_module
from bertworks.finetune.auxiliary import Auxiliaries
from bertworks.finetune.batches import MicroBatch
from bertworks.finetune.run import finetune
from bertworks.finetune.state import save
from bertworks.model.layer_heads import LayerHead
from bertworks.model.pretrained import load_pre_training
from bertworks.model.weight_files import read_weights
from bertworks.predict.directory import load_model
from bertworks.predict.run import predict_rows
from bertworks.read.tables import read_table
from finetune_steps import Steps, prepared_of, start_folder
from finetune_support import pair_rows, write_rows
from test_finetune_questions import write_questions
from test_tasks_several import write_labels

ALL: dict[str, object] = {
    "auxiliary__layers": {"1": 0.4},
    "auxiliary__mlm": 0.3,
    "auxiliary__nsp": 0.2,
}
FILES = {
    "classify": "train.csv",
    "score": "scores.csv",
    "labels": "labels.jsonl",
    "tag": "tags.conll",
    "qa": "questions.json",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = start_folder(tmp_path_factory.mktemp("auxiliaries"))
    write_rows(folder / "scores.csv", pair_rows(60))
    write_labels(folder / "labels.jsonl", 60)
    write_questions(folder / "questions.json", 60)
    return folder


def gradient(steps: Steps, step: int = 0) -> tuple[torch.Tensor, int, dict[str, float]]:
    """Of one update without doing it, how many micro-batches it had, and its losses."""
    batches = steps.micro_batches(step)
    scales = {name: 1 / count for name, count in steps.network.objective.counts(batches).items()}
    steps.network.objective.step = step
    losses = dict.fromkeys(scales, 0.0)
    for batch in batches:
        parts = steps.network.objective(batch, scales)
        sum(parts.values()).backward()
        for name, part in parts.items():
            losses[name] += float(part.detach())
    found = steps.network.parameters.sums.clone()
    steps.network.parameters.clear()
    return found, len(batches), losses


@pytest.mark.parametrize("task", FILES)
def test_an_update_has_one_gradient_however_it_is_cut(place: Path, task: str) -> None:
    """With dropout on, for each head."""
    found, numbers = [], []
    for micro_tokens in (1, 4096):
        keys = {"data__train": str(place / FILES[task]), "train__batch_size": 40}
        ready = prepared_of(place, dtype=torch.float64, **keys, **ALL)
        assert ready.data.task.name == task
        one, number, losses = gradient(Steps(ready, micro_tokens=micro_tokens))
        assert set(losses) == {"loss", "layers", "mlm", "nsp"}
        found.append(one)
        numbers.append(number)
    assert numbers[0] > numbers[1] + 4
    assert float((found[0] - found[1]).abs().max()) < 1e-9 * max(1.0, float(found[1].abs().max()))


@pytest.mark.parametrize("keys", [{"auxiliary__layers": {"1": 0}}, {"auxiliary__mlm": 0.0, "auxiliary__nsp": 0.0}])
def test_without_weight_nothing_changes(place: Path, keys: dict[str, object]) -> None:
    plain, other = Steps(prepared_of(place)), Steps(prepared_of(place, **keys))
    assert plain.go(3) == other.go(3)
    ours, theirs = plain.weights(), other.weights()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_head_at_a_layer_teaches_that_layer_and_those_below(place: Path) -> None:
    plain = Steps(prepared_of(place))
    other = Steps(prepared_of(place, auxiliary__layers={"1": 0.4}))
    ours, theirs = (
        {name: part.clone() for name, part in steps.network.parameters.named(gradient(steps)[0]).items()}
        for steps in (plain, other)
    )
    assert set(theirs) - set(ours) == {
        f"auxiliary.layers.0.{name}"
        for name in ("pooler.dense.weight", "pooler.dense.bias", "answer.weight", "answer.bias")
    }
    for name, part in ours.items():
        is_above = name.startswith(("encoder.layers.1.", "pooler.", "classifier."))
        assert torch.equal(part, theirs[name]) == is_above, name


def test_the_loss_at_a_layer_is_the_formula(place: Path) -> None:
    for name, file in (("classify", "train.csv"), ("tag", "tags.conll")):
        keys = {"data__train": str(place / file), "auxiliary__layers": {"1": 0.4}, "model__dropout": 0.0}
        steps = Steps(prepared_of(place, **keys))
        (batch,) = steps.micro_batches(0)
        assert isinstance(batch, MicroBatch)
        encoder, heads = steps.network.model.encoder, steps.network.auxiliaries
        assert heads is not None
        (head,) = heads.layers
        assert isinstance(head, LayerHead)
        states = encoder.forward_all(batch.rows)[1].reshape(-1, 24)[batch.rows.read_index]
        if name == "classify":
            assert head.pooler is not None
            states = torch.tanh(states @ head.pooler.dense.weight.T + head.pooler.dense.bias)
        logits = states @ head.answer.weight.T + head.answer.bias
        losses = functional.cross_entropy(logits, batch.targets.clamp_min(0), reduction="none")
        expected = 0.4 * float((losses.detach() * batch.weights).sum()) / batch.count
        assert gradient(steps)[2]["layers"] == pytest.approx(expected, rel=1e-5)


def test_two_heads_have_dropout_of_their_own(place: Path) -> None:
    """The masks of a classifier at a layer are not those of the network's own."""
    steps = Steps(prepared_of(place, auxiliary__layers={"1": 0.4}))
    (batch,) = steps.micro_batches(0)
    dropout = steps.network.objective.dropout
    assert dropout is not None
    masks = dropout.at(0, batch)
    first, second = (masks("classifier", layer, (8, 24), torch.float32, torch.device("cpu")) for layer in (-1, 1))
    assert first is not None
    assert second is not None
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    "keys",
    [
        {"model__lora_rank": 2},
        {"model__freeze": 0},
        {"train__layer_decay": 0.7, "train__ema": 0.9},
        {"train__unfreeze": True},
        {"train__fgm": 0.3, "train__r_drop": 1.0},
        {"data__mask_words": 0.2, "model__pooling": "mean"},
    ],
    ids=str,
)
def test_other_switches_go_with_them(place: Path, keys: dict[str, object]) -> None:
    steps = Steps(prepared_of(place, **ALL, **keys))
    before = steps.weights()
    report = steps.go(9)
    assert report.finite
    assert set(report.losses) == {"loss", "layers", "mlm", "nsp"}
    after = steps.weights()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"auxiliary.layers.0.answer.weight", "auxiliary.masked_head.bias"} <= moved
    assert any(name.startswith("encoder.layers.0.") for name in moved) == ("train__unfreeze" not in keys)
    assert ("encoder.embeddings.word" in moved) == (
        not keys.keys() & {"model__lora_rank", "model__freeze", "train__unfreeze"}
    )


def test_a_run_saves_none_of_them_and_says_what_it_did(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForSequenceClassification

    monkeypatch.setattr(outcome, "draw", lambda *given: None)
    monkeypatch.setattr(outcome, "floors", lambda data: {})
    recipe = prepared_of(place, train__steps=12, train__log_every=4, model__dropout=0.0, **ALL).recipe
    finetune(recipe, tmp_path / "run")
    names = set(read_weights(tmp_path / "run" / "best"))
    assert not [name for name in names if "auxiliary" in name or "cls." in name]
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "best")
    assert set(model.state_dict()) - {"bert.embeddings.position_ids"} == names
    told = read_json(tmp_path / "run" / "result.json")["contract"]["lines"]
    assert "technique: a second head at layer 1, its loss times 0.4" in told
    lines = list(map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()))
    training = [line for line in lines if "split" not in line]
    assert len(training) == 3
    for line in training:
        parts = line["task_loss"] + 0.4 * line["layer_loss"] + 0.3 * line["mlm_loss"] + 0.2 * line["nsp_loss"]
        assert line["loss"] == pytest.approx(parts, rel=1e-5)


def test_first_the_texts_then_the_task_alone_with_fresh_moments(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "draw", lambda *given: None)
    monkeypatch.setattr(outcome, "floors", lambda data: {})
    keys = {"auxiliary__mlm": 0.5, "auxiliary__nsp": 0.5, "auxiliary__first_steps": 10, "train__warmup": 0.5}
    recipe = prepared_of(place, train__steps=14, train__log_every=1, train__checkpoint_every=5, **keys).recipe
    counted: dict[int, float] = {}

    def noted(*given: Any) -> None:
        _, _, optimiser, _, state = given
        counted[state.step] = float(optimiser.state()["0.step"])
        save(*given)

    monkeypatch.setattr(run_module, "save", noted)
    finetune(recipe, tmp_path / "run")
    assert counted == {5: 5, 10: 10, 15: 5, 20: 10}
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    training = [line for line in lines if "split" not in line]
    assert [line["step"] for line in training] == list(range(1, 25))
    assert all(("task_loss" in line) == (line["step"] > 10) for line in training)
    assert all(("mlm_loss" in line) == (line["step"] <= 10) for line in training)
    rates = [line["lr"] for line in training]
    assert rates[0] == rates[10] == 0.0
    assert rates[5] == rates[17] == 1e-2
    assert [line["step"] for line in lines if "split" in line] == [17, 24]


def test_a_head_at_a_lower_layer_leaves_the_others_out(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    monkeypatch.setattr(outcome, "draw", lambda *given: None)
    monkeypatch.setattr(outcome, "floors", lambda data: {})
    recipe = prepared_of(place, train__steps=6, model__layer=1, auxiliary__mlm=0.2).recipe
    begun = Steps(prepared_of(place, model__layer=1)).weights()
    start, _, _ = load_pre_training(place / "start")
    for name, tensor in start.encoder.named_parameters():
        kept = begun.get(f"encoder.{name}")
        assert kept is None if name.startswith("layers.1.") else torch.equal(kept, tensor), name
    finetune(recipe, tmp_path / "run")
    best = tmp_path / "run" / "best"
    assert read_json(best / "config.json")["num_hidden_layers"] == 1
    table = read_table(place / "train.csv")
    loaded, rows = load_model(best), table.rows[:9]
    answers = predict_rows(loaded.model, loaded.task, loaded.tokenizer, rows, max_length=loaded.max_length).answers
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(best), AutoTokenizer.from_pretrained(best)
    with torch.no_grad():
        given = tokenizer([row["text"] for row in table.rows[:9]], padding=True, return_tensors="pt")
        theirs = torch.softmax(model(**given).logits, -1)
    ours = torch.tensor([list(answer.scores.values()) for answer in answers])  # type: ignore[attr-defined]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "keys", [{"model__pooling": "weighted"}, {"model__reinit_layers": 1}, {"model__freeze": 1}], ids=str
)
def test_a_lower_layer_goes_with_other_switches(place: Path, keys: dict[str, object]) -> None:
    steps = Steps(prepared_of(place, model__layer=1, **keys))
    assert steps.go(2).finite
    assert not [name for name in steps.weights() if name.startswith("encoder.layers.1.")]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"auxiliary__layers": {"2": 0.3}}, r"2 is not below the layer that the head reads, 2"),
        ({"auxiliary__layers": {"1": 0.3}, "model__layer": 1}, r"1 is not below the layer that the head reads, 1"),
        ({"auxiliary__layers": {"x": 0.3}}, r"`x = 0.3` is not a layer from 1 on"),
        ({"auxiliary__layers": {"1": -1}}, r"`1 = -1` is not a layer"),
        ({"auxiliary__first_steps": 5}, r"nothing comes first"),
        ({"auxiliary__layers": {"1": 0.3}, "model__freeze": 1}, r"layer 1 and those below it are frozen"),
        ({"auxiliary__mlm": 0.3, "model__freeze": "encoder"}, r"the encoder is frozen"),
        ({"auxiliary__mlm": 1, "auxiliary__first_steps": 5, "train__unfreeze": True}, r"`unfreeze` keeps the layers"),
        ({"model__layer": 3}, r"`model.layer` is 3, the model has 2 layers"),
        ({"model__layer": 1, "model__lora_rank": 2}, r"adapters go with all layers"),
        ({"auxiliary__layers": {"1": 0.3}, "data__task": "embed", "data__train": "scores.csv"}, r"vectors of texts"),
    ],
)
def test_what_makes_no_sense_is_refused(place: Path, keys: dict[str, object], told: str) -> None:
    keys = {name: str(place / str(value)) if name == "data__train" else value for name, value in keys.items()}
    with pytest.raises(BertworksError, match=told):
        prepared_of(place, **keys)


def test_the_heads_are_drawn_from_the_seed(place: Path) -> None:
    ready = prepared_of(place, auxiliary__layers={"1": 0.3})
    made = [Auxiliaries(ready.recipe.auxiliary, ready.start, ready.data.task, seed) for seed in (0, 0, 1)]
    first, again, other = (dict(one.named_parameters()) for one in made)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["layers.0.answer.weight"], other["layers.0.answer.weight"])
