"""The runs of a study over seeds: the same rows, split and settings, another order, dropout and new layer."""

from __future__ import annotations

import dataclasses

from bertworks.finetune.setup import Prepared
from bertworks.finetune.study import Parts


def over_seeds(prepared: Prepared) -> Parts:
    """`train.seeds` runs, from `train.seed` on."""
    train = prepared.recipe.train
    return Parts("seed", range(train.seed, train.seed + train.seeds), lambda seed: with_seed(prepared, seed))


def with_seed(prepared: Prepared, seed: int) -> Prepared:
    """The same run with another seed, alone."""
    recipe = prepared.recipe
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, seed=seed, seeds=1))
    return dataclasses.replace(prepared, recipe=recipe, contract=dataclasses.replace(prepared.contract, recipe=recipe))
