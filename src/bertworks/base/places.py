"""Where a name leads: of a model a run, a model directory, or one that ships in the package; of a recipe a file."""

from __future__ import annotations

import os
from pathlib import Path

from bertworks.base.errors import BertworksError

PACKAGED = ("bertworks-mini",)
RECIPES = ("fast", "robust", "paper", "fewshot", "long")  # of fine-tuning, that ship in the package
PRESET = "preset:"  # before a size: random weights instead of a model


def packaged(name: str | Path) -> Path | None:
    """The folder of a model that ships in the package; None for other names and where a path of that name exists.

    Raises BertworksError where this installation was built without it.
    """
    if str(name) not in PACKAGED or Path(name).exists():
        return None
    from importlib.resources import files  # every command reads this module, few come here

    folder = Path(str(files("bertworks") / "data" / str(name)))
    if not folder.is_dir():
        raise BertworksError(f"{name}: is not in this installation", "name another model directory")
    return folder


def find_recipe(name: str | os.PathLike[str] | None) -> Path | None:
    """The file that a fine-tuning recipe's name stands for: one that ships in the package, or the path itself."""
    if name is None:
        return None
    if os.fspath(name) not in RECIPES or Path(name).is_file():
        return Path(name)
    from importlib.resources import files

    return Path(str(files("bertworks") / "data" / "recipes" / f"{name}.toml"))


def find_model(name: str | Path) -> Path:
    """The directory that a name stands for: a packaged model, a run's best (else last) model, or the path itself.

    Raises BertworksError where there is nothing of that name.
    """
    path = packaged(name) or Path(name)
    if not path.exists():
        raise BertworksError(
            f"{name}: no such model", f"a run, a model directory, or {', '.join(PACKAGED)}; nothing is downloaded"
        )
    if not path.is_dir():
        raise BertworksError(f"{name}: is a file, a model is a folder", "name the folder that holds config.json")
    for candidate in (path, path / "best", path / "last"):
        if any((candidate / config).is_file() for config in ("config.json", "bert_config.json")):
            return candidate
    if (path / "recipe.toml").is_file():
        raise BertworksError(f"{name}: this run has no model yet", "let it go on, until `best` or `last` is there")
    raise BertworksError(f"{name}: has no config.json", "a model directory holds config.json and model.safetensors")
