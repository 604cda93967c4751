"""Which settings a search tries: the paper's grid, a space for small models, or a TOML file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.base.recipe import differences, keys, load, value
from bertworks.finetune.recipe import FinetuneRecipe

Value = bool | int | float | str
SAMPLERS = ("tpe", "grid")
# what decides which rows are answered, or by which figure: trials of other ones could not be compared
FIXED = (
    *(f"data.{name}" for name in ("train", "dev", "test", "task", "columns", "encoding", "dev_share", "split_seed")),
    *(f"train.{name}" for name in ("seed", "seeds", "folds", "fold", "metric", "restarts", "evaluations")),
)


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where both are."""

    low: float
    high: float
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __str__(self) -> str:
        return f"{self.low:g} … {self.high:g}{', log' if self.log else ''}{', whole' if self.is_whole else ''}"


@dataclass(frozen=True)
class Space:
    """What is tried.

    sampler  "tpe": each trial near the good ones so far; "grid": every combination once, in an order by the seed
    tried    dotted key of the recipe -> its values, or their range
    """

    name: str
    sampler: Literal["tpe", "grid"]
    tried: Mapping[str, tuple[Value, ...] | Range]

    @property
    def size(self) -> int | None:
        """Trials of the whole grid; None where there is no end."""
        if self.sampler != "grid":
            return None
        return math.prod(len(one) for one in self.tried.values() if isinstance(one, tuple))

    def lines(self) -> Iterator[str]:
        """For a human, a line a key."""
        for key, one in self.tried.items():
            yield f"{key}: {one}" if isinstance(one, Range) else f"{key}: {', '.join(map(str, one))}"


SPACES = {
    "paper": Space(  # Devlin et al. 2019, appendix A.3
        "paper",
        "grid",
        {"train.batch_size": (16, 32), "train.lr": (5e-5, 3e-5, 2e-5), "train.epochs": (2.0, 3.0, 4.0)},
    ),
    "small": Space(  # for less than 30 M parameters, which want higher rates and more epochs: see sizes.py
        "small",
        "tpe",
        {
            "train.lr": Range(5e-5, 5e-4, log=True),
            "train.epochs": (3.0, 5.0, 10.0, 15.0),
            "train.batch_size": (8, 16, 32),
            "train.warmup": Range(0.0, 0.2),
            "train.weight_decay": (0.0, 0.01, 0.1),
        },
    ),
}


def read_space(name: str, recipe: FinetuneRecipe) -> Space:
    """A space by its name or from a TOML file, each of its values checked in the recipe.

    Raises BertworksError for a file that is none, a key that a recipe does not have or that a search may not move,
    and a value out of its range.
    """
    space = SPACES[name] if name in SPACES else from_file(Path(name))
    known = [key.name for key in keys(FinetuneRecipe)]
    for key, one in space.tried.items():
        if key not in known:
            raise BertworksError(f"{name}: unknown key `{key}`", did_you_mean(key, known) or "as a recipe names them")
        if key in FIXED or key.startswith("machine."):
            raise BertworksError(
                f"{name}: `{key}` is no setting to search for", "trials must answer equal rows; give it as a flag"
            )
        for edge in (one.low, one.high) if isinstance(one, Range) else one:
            with_keys(recipe, {key: edge})
    return space


def from_file(path: Path) -> Space:
    """A TOML file: a section and its keys as in a recipe, each a list of values or {low, high, log}; `sampler`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        hint = f"name a TOML file, or one of: {', '.join(SPACES)}"
        raise BertworksError(f"{path}: no such space of settings", hint) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BertworksError(f"{path}: not TOML, {error}") from None
    sampler = content.pop("sampler", "tpe")
    if sampler not in SAMPLERS:
        raise BertworksError(f"{path}: sampler `{sampler}`", f"there are: {', '.join(SAMPLERS)}")
    tried: dict[str, tuple[Value, ...] | Range] = {}
    for section, inside in content.items():
        if not isinstance(inside, dict):
            raise BertworksError(f"{path}: `{section}` is in no section", "write [train] on a line above its keys")
        for key, one in inside.items():
            tried[f"{section}.{key}"] = tried_of(f"{path}: `{key}` of [{section}]", one)
    if not tried:
        raise BertworksError(f"{path}: names no setting", "a section and a key, as `[train]` and `lr = [2e-5, 5e-5]`")
    if sampler == "grid" and any(isinstance(one, Range) for one in tried.values()):
        raise BertworksError(f"{path}: a grid has lists of values, no ranges", "list the values, or take `tpe`")
    return Space(str(path), sampler, tried)


def tried_of(where: str, given: Any) -> tuple[Value, ...] | Range:
    """A list of values, or a range."""
    hint = "write a list `[2e-5, 5e-5]`, or `{low = 2e-5, high = 5e-4, log = true}`"
    if isinstance(given, list):
        if not given or not all(isinstance(one, bool | int | float | str) for one in given):
            raise BertworksError(f"{where} is no list of values", hint)
        return tuple(given)
    if not isinstance(given, dict) or not {"low", "high"} <= given.keys() <= {"low", "high", "log"}:
        raise BertworksError(f"{where} is neither a list nor a range", hint)
    low, high, log = given["low"], given["high"], given.get("log", False)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (low, high))
    if not numbers or not isinstance(log, bool) or not low < high or (log and low <= 0):
        raise BertworksError(f"{where} is no range from low to high{', both above 0' if log is True else ''}", hint)
    return Range(low, high, log)


def with_keys(recipe: FinetuneRecipe, values: Mapping[str, Any]) -> FinetuneRecipe:
    """The recipe with other values of some dotted keys. Raises RecipeError where they do not fit."""
    given = {key: value(recipe, key) for key in differences(recipe)} | dict(values)
    plain = {key: list(one) if isinstance(one, tuple) else one for key, one in given.items()}
    return load(FinetuneRecipe, None, plain)
