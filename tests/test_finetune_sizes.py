"""What a recipe leaves open is chosen by the size of the data and of the model, and written down."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bertworks.base.errors import BertworksError
from bertworks.base.recipe import load, to_toml
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.sizes import layer_parameters, plan_of, resolve
from bertworks.model.config import BertConfig, preset

MINI = preset("mini", 16_000)


def resolved(
    config: BertConfig = MINI, rows: int = 2000, dev_rows: int = 200, is_random: bool = False, **keys: object
) -> FinetuneRecipe:
    recipe = load(FinetuneRecipe, None, {key.replace("__", "."): value for key, value in keys.items()})
    return resolve(recipe, config, is_random=is_random, rows=rows, dev_rows=dev_rows)


def test_a_resolved_recipe_is_read_back_to_an_equal_one(tmp_path: Path) -> None:
    recipe = resolved(data__train="rows.csv", data__columns={"text": "body, long"})
    (tmp_path / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
    again = load(FinetuneRecipe, tmp_path / "recipe.toml")
    assert again == recipe
    assert again.data.dev is None
    assert resolve(again, MINI, is_random=False, rows=2000, dev_rows=200) == recipe, "nothing is left to choose"


def test_small_models_take_several_times_the_rate_of_base() -> None:
    rates = {name: resolved(preset(name, 30_522)).train.lr for name in ("tiny", "mini", "small", "base", "large")}
    assert rates["base"] is not None
    assert all(3 <= rates[name] / rates["base"] <= 8 for name in ("tiny", "mini", "small"))
    assert rates["large"] < rates["base"]
    assert resolved(is_random=True).train.lr > resolved().train.lr
    assert resolved(train__lr=7e-4).train.lr == 7e-4


def test_few_rows_mean_many_passes_and_small_batches() -> None:
    epochs = [resolved(rows=rows).train.epochs for rows in (20, 200, 2000, 20_000, 200_000)]
    assert epochs == [100, 50, 5, 3, 2]
    assert resolved(rows=999).train.batch_size == 16
    assert resolved(rows=1000).train.batch_size == 32
    assert resolved(rows=200, train__epochs=1.5).train.epochs == 1.5
    assert resolved(rows=200, train__steps=7).train.epochs is None


def test_dev_is_looked_at_often_only_where_it_is_cheap() -> None:
    assert resolved(rows=2000, dev_rows=200).train.evaluations == 3
    assert resolved(rows=2000, dev_rows=900).train.evaluations == 1
    assert resolved(rows=2000, dev_rows=900, train__evaluations=5).train.evaluations == 5


@pytest.mark.parametrize("rows", [5, 63, 770, 10_001])
def test_the_plan_adds_up(rows: int) -> None:
    recipe = resolved(rows=rows)
    plan = plan_of(recipe, rows)
    assert recipe.train.batch_size is not None
    assert plan.steps_per_epoch * recipe.train.batch_size >= rows > (plan.steps_per_epoch - 1) * recipe.train.batch_size
    assert plan.steps == plan.steps_per_epoch * recipe.train.epochs
    assert 0 < plan.warmup_steps <= 0.1 * plan.steps + 1
    assert plan.steps / plan.evaluate_every <= 30


def test_half_an_epoch_is_half_the_updates() -> None:
    assert plan_of(resolved(rows=3200, train__epochs=0.5), 3200).steps == 50


def test_windows_are_as_long_as_the_model_allows() -> None:
    assert resolved().data.max_length == 512
    assert resolved(dataclasses.replace(MINI, max_position_embeddings=128)).data.max_length == 128
    assert resolved(dataclasses.replace(MINI, max_position_embeddings=2048)).data.max_length == 512
    with pytest.raises(BertworksError, match="max_length 600 is more than the model's 512 positions"):
        resolved(data__max_length=600)


def test_embeddings_do_not_count_as_layers() -> None:
    big, small = preset("mini", 100_000), preset("mini", 5000)
    assert layer_parameters(big) == layer_parameters(small)
    assert layer_parameters(preset("base", 30_522)) == 12 * 7_087_872 + 2 * 768 + 590_592  # layers, norm, pooler
