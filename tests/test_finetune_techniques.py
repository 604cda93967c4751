"""Switches of a recipe: refused where they make no sense, told where they are on, and the same after a resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.base.randomness import generator
from bertworks.base.recipe import RecipeError
from bertworks.base.recipe import keys as keys_of
from bertworks.engine.checkpoint import checkpoints, load_checkpoint
from bertworks.engine.moderation import AveragedGradient
from bertworks.engine.optimiser import AdamW
from bertworks.finetune import run as run_module
from bertworks.finetune.data import read_data
from bertworks.finetune.epochs import Epochs
from bertworks.finetune.network import Network
from bertworks.finetune.optimiser import gradient_change_of, optimiser_of
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.run import finetune
from bertworks.finetune.setup import prepare_run
from bertworks.finetune.state import save
from bertworks.finetune.switches import SWITCHES, TECHNIQUES, named_switches
from finetune_support import choice_rows, model_folder, toy_recipe, toy_rows, write_choices, write_rows
from test_finetune_questions import write_questions

ON: dict[str, object] = {
    "loss__class_weights": "balanced",
    "loss__focal_gamma": 1.0,
    "loss__logit_adjustment": 0.5,
    "loss__label_smoothing": 0.05,
    "data__oversample": 0.5,
    "data__mask_words": 0.1,
    "data__replace_words": 0.1,
    "train__schedule": "cosine",
    "train__batch_growth": 1.5,
    "train__batch_most": 16,
    "train__gradient_scale": 0.5,
    "train__gradient_ema": 0.5,
    "train__update_cap": 0.2,
    "train__l2": 1e-3,
    "model__prior_bias": True,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("techniques")
    model_folder(folder / "start")
    rows = [row for i, row in enumerate(toy_rows(100)) if row["label"] != "metal" or i % 2]
    write_rows(folder / "train.csv", rows)
    write_rows(folder / "scores.csv", [{"text": row["text"], "score": i / 7} for i, row in enumerate(rows)])
    write_questions(folder / "train.json", 20)
    write_choices(folder / "choices.jsonl", choice_rows(20))
    return folder


def prepared_lines(place: Path, file: str, **settings_: object) -> list[str]:
    recipe = toy_recipe(place / "start", place / file, **settings_)
    return prepare_run(recipe, read_data(recipe.data)).contract.lines()


SET: dict[str, object] = {
    "data.scheme": "bio",
    "data.decoder": "viterbi",
    "loss.class_weights": "sqrt",
    "model.prior_bias": True,
    "data.truncation": "truncate",
}


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda one: one.key)
def test_a_switch_without_a_use_is_refused_with_and_without_a_task(place: Path, switch: Any) -> None:
    name = switch.key.replace(".", "__")
    on = {name: SET.get(switch.key, 0.5 if switch.key != "data.context" else 8)}
    told = rf"`{switch.key.rpartition('.')[2]}` is set, but task (score|qa|choice) {switch.why}"
    refused = [("scores.csv", "score"), ("train.json", "qa"), ("choices.jsonl", "choice")]
    refused = [(file, task) for file, task in refused if task not in switch.tasks]
    assert refused
    for file, task in refused:
        with pytest.raises(BertworksError, match=told):
            prepared_lines(place, file, **on)
        with pytest.raises(RecipeError, match=told):
            toy_recipe(place / "start", place / file, data__task=task, **on)


@pytest.mark.parametrize(
    ("settings_", "told"),
    [
        ({"train__schedule": "trapezoid", "train__cooldown": 0.95}, r"warm-up and cool-down are longer than the run"),
        ({"loss__focal_gamma": 1.0, "data__decoder": "crf"}, r"the decoder crf has one of whole rows"),
        ({"train__l2": 0.1, "train__unfreeze": True}, r"`l2` pulls on all weights"),
        ({"train__batch_most": 64}, r"`batch_most` is given, but the batch does not grow"),
        ({"data__mask_words": 0.6, "data__replace_words": 0.6}, r"are more than all words"),
        ({"train__batch_growth": 2.0, "train__batch_most": 4}, r"batch_most 4 is below batch_size 8"),
    ],
)
def test_settings_that_contradict_each_other_are_told(place: Path, settings_: dict[str, object], told: str) -> None:
    with pytest.raises(BertworksError, match=told):
        prepared_lines(place, "train.csv", **settings_)


def test_what_is_on_is_told_before_training_and_in_the_card(place: Path, tmp_path: Path) -> None:
    assert not [line for line in prepared_lines(place, "train.csv") if line.startswith("technique")]
    assert set(ON) - {"train__batch_most"} == {key.replace(".", "__") for key in TECHNIQUES}
    known = {key.name for key in keys_of(FinetuneRecipe)}
    assert known >= {*TECHNIQUES, *(switch.key for switch in SWITCHES)}
    assert len(named_switches(toy_recipe(place / "start", place / "train.csv", **ON))) == len(TECHNIQUES)
    on = {"loss__class_weights": {"metal": 2.5}, "train__schedule": "cosine", "train__batch_growth": 2.0}
    phrases = ["class_weights metal=2.5", "batch_growth 2", "schedule cosine"]
    recipe = toy_recipe(place / "start", place / "train.csv", train__steps=3, **on)
    run = finetune(recipe, tmp_path / "run").run
    told = json.loads((run / "result.json").read_text())["contract"]["lines"]
    assert [one for one in told if one.startswith("technique")] == [f"technique: {phrase}" for phrase in phrases]
    assert any("updates of 8 growing to 64 rows" in one and "a half cosine to 0" in one for one in told)
    assert "".join(f"\n- {phrase}" for phrase in phrases) in (run / "best" / "README.md").read_text()


def test_nothing_on_adds_nothing(place: Path) -> None:
    """The parts that every run has are the plain ones, so its numbers are those of a program without techniques."""
    recipe = toy_recipe(place / "start", place / "train.csv")
    ready = prepare_run(recipe, read_data(recipe.data))
    network = Network(ready)
    assert ready.draws is None
    assert network.changes is None
    assert ready.loss_sum == ready.data.task.loss_sum == network.objective.loss_sum
    assert gradient_change_of(recipe.train) is None
    adam = AdamW(network.parameters)
    assert optimiser_of(recipe.train, network.parameters, adam) is adam
    assert network._words is not None
    assert ready.start.tokenizer.mask_token_id not in network._words.active
    changed = toy_recipe(place / "start", place / "train.csv", **ON)
    ready = prepare_run(changed, read_data(changed.data))
    network = Network(ready)
    assert ready.draws is not None
    assert network.changes is not None
    assert ready.loss_sum != ready.data.task.loss_sum
    assert gradient_change_of(changed.train) is not None
    assert isinstance(optimiser_of(changed.train, network.parameters, AdamW(network.parameters)), AveragedGradient)


def test_words_are_masked_over_a_frozen_table_too(place: Path) -> None:
    keys = {"model__freeze": "encoder", "data__mask_words": 0.5}
    recipe = toy_recipe(place / "start", place / "train.csv", **keys)
    ready = prepare_run(recipe, read_data(recipe.data))
    network = Network(ready)
    assert network._words is None
    assert network.changes is not None
    window, mask = network.compact(ready.windows)[0][0], ready.start.tokenizer.mask_token_id
    read = [network.changes.changed(window, 0, 0, generator("test", seed)).input_ids for seed in range(9)]
    assert any(mask in ids for ids in read)


class Cut(Exception):
    """The machine stopped."""


def numbers_of(run: Path) -> tuple[list[dict[str, Any]], bytes]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
        line.pop("tokens_per_second", None)
    return lines, (run / "last" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("others", [{}, {"train__fgm": 0.5, "train__r_drop": 0.5, "train__ema": 0.9}], ids=["", "two"])
def test_a_run_with_everything_on_goes_on_to_equal_numbers(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: dict[str, object]
) -> None:
    recipe = toy_recipe(
        place / "start",
        place / "train.csv",
        train__steps=26,
        train__checkpoint_every=15,
        train__log_every=1,
        **ON,
        **others,
    )
    expected = numbers_of(finetune(recipe, tmp_path / "unbroken").run)
    assert len({line["loss"] for line in expected[0]}) > 20

    def save_and_stop(*given: Any) -> None:
        save(*given)
        raise Cut

    monkeypatch.setattr(run_module, "save", save_and_stop)
    with pytest.raises(Cut):
        finetune(recipe, tmp_path / "run")
    assert "gradient_ema.mean" in load_checkpoint(checkpoints(tmp_path / "run")[-1]).optimizer
    monkeypatch.setattr(run_module, "save", save)
    assert numbers_of(finetune(recipe, tmp_path / "run").run) == expected


def losses(recipe: FinetuneRecipe, out: Path) -> list[float]:
    lines = [json.loads(line) for line in (finetune(recipe, out).run / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "split" not in line]


def test_each_switch_of_training_moves_the_run_and_a_scale_alone_does_not(place: Path, tmp_path: Path) -> None:
    def run(name: str, **on: object) -> list[float]:
        given_ = {"train__steps": 14, "train__log_every": 1, "model__dropout": 0.0, "data__dev_share": 0.0} | on
        return losses(toy_recipe(place / "start", place / "train.csv", **given_), tmp_path / name)

    plain = run("plain", train__max_grad_norm=0.0)
    scaled = run("scaled", train__max_grad_norm=0.0, train__gradient_scale=0.25)
    assert scaled[1:] == pytest.approx(plain[1:], rel=2e-3), "Adam has no scale"
    for name in ("schedule", "batch_growth", "gradient_ema", "update_cap", "l2"):
        key = f"train__{name}"
        moved = np.abs(np.subtract(run(name, **{key: ON[key]}, train__max_grad_norm=0.0), plain))
        assert moved.max() > 2e-3, name


def test_l2_and_the_cap_know_the_whole_word_table(place: Path) -> None:
    sizes = {}
    for key in ("train__l2", "train__update_cap", "train__gradient_ema"):
        recipe = toy_recipe(place / "start", place / "train.csv", **{key: 0.1})
        network = Network(prepare_run(recipe, read_data(recipe.data)))
        assert network._words is not None
        sizes[key] = len(network._words.active)
    assert sizes["train__l2"] == sizes["train__update_cap"] > sizes["train__gradient_ema"]


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 400), st.integers(1, 40), st.floats(1.0, 3.0), st.integers(0, 200), st.floats(0.1, 12), st.data())
def test_epochs_add_up(rows: int, batch: int, growth: float, more: int, epochs: float, data: st.DataObject) -> None:
    counted = Epochs(rows, batch, growth, batch + more)
    sizes = [counted.size(epoch) for epoch in range(9)]
    assert sizes == sorted(sizes)
    assert sizes[0] == batch
    assert max(sizes) <= batch + more
    if growth > 2.9:
        assert counted.size(60) == batch + more
    assert [counted.steps(epoch) for epoch in range(9)] == [-(-rows // size) for size in sizes]
    first = [sum(counted.steps(epoch) for epoch in range(until)) for until in range(9)]
    assert [counted.at(step) for step in first] == [(epoch, 0) for epoch in range(9)]
    step = data.draw(st.integers(0, first[-1]))
    epoch, index = counted.at(step)
    assert first[epoch] + index == step
    assert counted.done(step) == pytest.approx(epoch + index / counted.steps(epoch))
    steps = counted.steps_in(epochs)
    assert counted.done(steps) >= epochs - 1e-9
    assert counted.done(steps - 1) < epochs + 1e-9


def test_the_plan_counts_growing_batches(place: Path) -> None:
    recipe = toy_recipe(
        place / "start",
        place / "train.csv",
        train__steps=None,
        train__epochs=4.0,
        train__batch_growth=2.0,
        train__batch_most=32,
    )
    ready = prepare_run(recipe, read_data(recipe.data))
    rows = len(ready.data.train)
    expected = [-(-rows // size) for size in (8, 16, 32, 32)]
    assert ready.plan.steps == sum(expected)
    assert ready.plan.epochs.done(ready.plan.steps) == 4.0
