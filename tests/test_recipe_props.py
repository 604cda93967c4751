"""Any recipe comes back equal from its TOML, and line numbers hold in any file the standard library can read."""

from __future__ import annotations

import string
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base._toml_lines import key_lines
from bertworks.base.pairs import pairs
from bertworks.base.recipe import RecipeError, differences, keys, load, to_toml, value

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
FLOAT = st.floats(allow_nan=False, allow_infinity=False)


@dataclass(frozen=True)
class Inner:
    name: str = "a"
    many: tuple[float, ...] = ()
    table: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outer:
    count: int = 0
    rate: float = 0.5
    maybe: float | None = None
    is_on: bool = False
    kind: Literal["x", "y"] = "x"
    inner: Inner = field(default_factory=Inner)


INNER = st.builds(Inner, TEXT, st.lists(FLOAT, max_size=3).map(tuple), st.dictionaries(TEXT, TEXT, max_size=3))
OUTER = st.builds(Outer, st.integers(), FLOAT, st.none() | FLOAT, st.booleans(), st.sampled_from(["x", "y"]), INNER)


@given(OUTER)
@settings(deadline=None)
def test_a_recipe_comes_back_equal(recipe: Outer) -> None:
    Path("r.toml").write_text(to_toml(recipe), encoding="utf-8", newline="")
    assert load(Outer, "r.toml", {}) == recipe
    Path("r.toml").write_text(to_toml(recipe, marked=True), encoding="utf-8", newline="")
    assert load(Outer, "r.toml", {}) == recipe


@given(OUTER)
@settings(deadline=None)
def test_differences_are_all_that_must_be_kept(recipe: Outer) -> None:
    kept = {name: value(recipe, name) for name in differences(recipe)}
    rebuilt = Outer()
    for name, one in kept.items():
        outer, _, inner = name.rpartition(".")
        rebuilt = (
            replace(rebuilt, inner=replace(rebuilt.inner, **{inner: one})) if outer else replace(rebuilt, **{name: one})
        )
    assert rebuilt == recipe


@given(st.integers(0, 9), st.sampled_from([key.name for key in keys(Outer)]))
def test_a_mistake_is_told_with_its_line(blank_lines: int, name: str) -> None:
    section, _, key = name.rpartition(".")
    header = f"[{section}]\n" if section else ""
    Path("r.toml").write_text("# \u2028\n" * blank_lines + header + f"{key} = 1979-05-27\n", encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        load(Outer, "r.toml", {})
    assert error.value.message.startswith(f"r.toml:{blank_lines + bool(section) + 1}: `{key}`")


@given(st.dictionaries(st.text(string.ascii_letters, min_size=1), st.integers(0, 3), min_size=1, max_size=6))
def test_every_key_of_a_file_has_a_line(lines_before: dict[str, int]) -> None:
    text, wanted, at = "", {}, 0
    for name, before in lines_before.items():
        text += "\n" * before + f"{name} = 1 # = [x]\n"
        at += before + 1
        wanted[name] = at
    assert tomllib.loads(text).keys() == wanted.keys()
    assert key_lines(text) == wanted


NAME = st.text(st.characters(exclude_characters='"', exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name == name.strip()
)


@given(st.dictionaries(NAME, NAME, min_size=1, max_size=4))
def test_quoted_pairs_hold_any_name(columns: dict[str, str]) -> None:
    assert pairs(",".join(f'"{role}"="{name}"' for role, name in columns.items())) == columns
