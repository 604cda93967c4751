"""What a model's name stands for, for models and for vocabularies."""

from pathlib import Path

import pytest

from bertworks.base.errors import BertworksError
from bertworks.base.places import PACKAGED, RECIPES, find_model, find_recipe, packaged
from bertworks.base.recipe import load, to_toml
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.reproduce.bundled import reference_checkpoint
from bertworks.text.tokenizer import Tokenizer

REFERENCE = PACKAGED[0]


def test_names_stand_for_directories(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in ("last", "best"):
        (run / name).mkdir(parents=True)
        (run / name / "config.json").write_text("{}")
        assert find_model(run) == run / name
    with pytest.raises(BertworksError, match="no such model"):
        find_model(tmp_path / "nowhere")
    with pytest.raises(BertworksError, match="is a file, a model is a folder"):
        find_model(run / "best" / "config.json")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "recipe.toml").write_text("")
    with pytest.raises(BertworksError, match="this run has no model yet"):
        find_model(tmp_path / "begun")


def test_a_packaged_name_is_a_model_and_a_vocabulary() -> None:
    folder = reference_checkpoint()
    assert folder is not None
    assert find_model(REFERENCE) == packaged(REFERENCE) == folder
    named, by_path = Tokenizer.load(REFERENCE), Tokenizer.load(folder)
    assert named.fingerprint == by_path.fingerprint
    assert named.vocab_size > 1_000


def test_a_folder_of_the_users_goes_before_a_packaged_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / REFERENCE).mkdir()
    (tmp_path / REFERENCE / "config.json").write_text("{}")
    assert packaged(REFERENCE) is None
    assert find_model(REFERENCE) == Path(REFERENCE)


def test_a_recipe_is_a_file_or_a_built_in_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_recipe(None) is None
    found = {name: find_recipe(name) for name in RECIPES}
    recipes = {name: load(FinetuneRecipe, path) for name, path in found.items()}
    assert len({to_toml(recipe) for recipe in recipes.values()} | {to_toml(FinetuneRecipe())}) == len(RECIPES) + 1
    assert recipes["paper"].train.schedule == "bert"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fast").write_text("[train]\nepochs = 7\n")
    assert load(FinetuneRecipe, find_recipe("fast")).train.epochs == 7, "a file of the user's goes first"
    with pytest.raises(BertworksError, match="nowhere"):
        load(FinetuneRecipe, find_recipe("nowhere"))
