"""`bertworks.finetune`: a recipe file, and what the call gives over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import bertworks as bw
from bertworks.finetune import run as run_module
from bertworks.finetune.outcome import FinetuneResult
from bertworks.finetune.recipe import FinetuneRecipe

RECIPE = """
[model]
start = "of the file"

[train]
seed = 7
seeds = 3
epochs = 2.0

[machine]
dtype = "bfloat16"
"""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[FinetuneRecipe]:
    """The recipes that runs were asked for; none is made."""
    recipes: list[FinetuneRecipe] = []

    def note(recipe: FinetuneRecipe, out: Path, *, resume: bool, overwrite: bool) -> FinetuneResult:
        recipes.append(recipe)
        return FinetuneResult(out, {})

    monkeypatch.setattr(run_module, "finetune", note)
    return recipes


def told(recipe: FinetuneRecipe) -> tuple[str, int, int, str]:
    return recipe.model.start, recipe.train.seed, recipe.train.seeds, recipe.machine.dtype


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, ("of the file", 7, 3, "bfloat16")),
        ({"model": Path("given")}, ("given", 7, 3, "bfloat16")),
        ({"model": "given"}, ("given", 7, 3, "bfloat16")),
        ({"seed": 0}, ("of the file", 0, 3, "bfloat16")),
        ({"seeds": 1}, ("of the file", 7, 1, "bfloat16")),
        ({"dtype": "float32"}, ("of the file", 7, 3, "float32")),
        ({"dtype": "auto", "seed": 8, "seeds": 2, "model": "given"}, ("given", 8, 2, "auto")),
    ],
)
def test_the_file_counts_where_the_call_is_silent(
    asked: list[FinetuneRecipe], tmp_path: Path, given: Mapping[str, Any], wanted: tuple[str, int, int, str]
) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    bw.finetune(train="rows.csv", out=tmp_path / "run", recipe=tmp_path / "recipe.toml", **given)
    assert [told(recipe) for recipe in asked] == [wanted]
    assert asked[0].train.epochs == 2.0
    assert asked[0].data.train == "rows.csv"


def test_without_a_file_the_defaults_are_the_commands(asked: list[FinetuneRecipe], tmp_path: Path) -> None:
    bw.finetune(train="rows.csv", out=tmp_path / "run")
    assert told(asked[0]) == told(FinetuneRecipe())
    assert told(asked[0])[:3] == ("bertworks-mini", 0, 1)


def test_a_file_may_leave_keys_out(asked: list[FinetuneRecipe], tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("[train]\nseed = 4\n")
    bw.finetune(train="rows.csv", out=tmp_path / "run", recipe=str(tmp_path / "recipe.toml"))
    assert told(asked[0]) == ("bertworks-mini", 4, 1, FinetuneRecipe().machine.dtype)
