"""Recipes: frozen dataclasses filled from a TOML file and the command line, every mistake told at once.

A recipe's class is the only place where its defaults are written; its sections are frozen dataclasses too. A class may
have a method `problems() -> Iterable[Problem]` for what its values must agree on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from bertworks.base._toml_lines import key_lines, syntax_problem
from bertworks.base._typed import convert, out_of_range
from bertworks.base.errors import BertworksError, did_you_mean

Kind = TypeVar("Kind")


ELSEWHERE = {
    "learning_rate": "lr",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "train_batch_size": "batch_size",
    "warmup_ratio": "warmup",
    "warmup_proportion": "warmup",
    "max_seq_length": "max_length",
    "max_steps": "steps",
}
"""Names of keys in other programs -> ours."""


@dataclass(frozen=True)
class Problem:
    """What is wrong with one key (dotted, as seen from the class that says so) and what to do."""

    key: str
    what: str
    hint: str = ""


class RecipeError(BertworksError):
    """Everything that is wrong with a recipe; `lines` has an error and a hint for each."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(message for message, _ in problems), problems[0][1])
        self.args = (problems,)
        self.problems = problems

    def lines(self) -> list[str]:
        """An `error: …` for each problem, each with its `hint: …`."""
        return [line for message, hint in self.problems for line in BertworksError(message, hint).lines()]


def setting(
    default: Any,
    description: str = "",
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """A field of a recipe with its range: at least `ge`, above `gt`, at most `le`, below `lt`."""
    given = {"description": description or None, "ge": ge, "gt": gt, "le": le, "lt": lt}
    metadata = {name: value for name, value in given.items() if value is not None}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Key:
    """One key of a recipe: its dotted name, its type as read, its field."""

    name: str
    annotation: Any
    field: dataclasses.Field[Any]

    @property
    def default(self) -> Any:
        """The value without a recipe; `dataclasses.MISSING` where one must be given."""
        factory = self.field.default_factory
        return self.field.default if factory is dataclasses.MISSING else factory()


def keys(kind: type[Any], prefix: str = "") -> Iterator[Key]:
    """Every key of a recipe class, sections opened, in the order of the class."""
    for name, annotation, its_field in _fields(kind):
        if dataclasses.is_dataclass(annotation):
            yield from keys(cast(type[Any], annotation), f"{prefix}{name}.")
        else:
            yield Key(prefix + name, annotation, its_field)


def load(kind: type[Kind], path: str | os.PathLike[str] | None, overrides: Mapping[str, object] | None = None) -> Kind:
    """A recipe from its defaults, then a TOML file, then `overrides`.

    kind       a frozen dataclass
    path       None = defaults and overrides alone
    overrides  dotted key -> value; text (the command line) is read as the key's type, other values as in TOML
    Raises RecipeError, a BertworksError, with all problems: unknown keys, types, ranges, `problems()`.
    """
    tree = {} if path is None else _read(path)
    lines = {} if path is None else key_lines(Path(path).read_text(encoding="utf-8-sig"))
    loading = _Loading(None if path is None else os.fspath(path), lines, dict(overrides or {}))
    names = {key.name for key in keys(kind)}
    for name in loading.overrides:
        if name not in names:
            last = name.rpartition(".")[2]
            question = _called_here(last, names) or did_you_mean(name, names) or did_you_mean(last, names)
            loading.say(name, f"unknown key `{name}`", question)
    recipe = loading.fill(kind, tree, "")
    if loading.problems:
        raise RecipeError([problem for _, *problem in sorted(loading.problems)])  # type: ignore[misc]
    return cast(Kind, recipe)


def to_toml(recipe: object, *, marked: bool = False) -> str:
    """A recipe as TOML that `load` reads back to an equal one; `marked` notes what differs from the defaults."""
    changed = set(differences(recipe)) if marked else set()
    return "\n".join(_toml(recipe, "", changed)).lstrip("\n") + "\n"


def differences(recipe: object) -> list[str]:
    """The dotted keys whose values are not the defaults, in the order of the class."""
    return [key.name for key in keys(type(recipe)) if value(recipe, key.name) != key.default]


def value(recipe: object, name: str) -> Any:
    """The value of a dotted key."""
    for part in name.split("."):
        recipe = getattr(recipe, part)
    return recipe


def schema(kind: type[Any]) -> dict[str, Any]:
    """The JSON Schema of a recipe's TOML, with the comments beside its fields as descriptions."""
    from bertworks.base._recipe_schema import json_schema  # pydantic takes longer to load than a recipe to be refused

    return json_schema(kind)


class _Loading:
    """One file on its way into a recipe: where each key stands, and what was found wrong so far."""

    def __init__(self, path: str | None, lines: Mapping[str, int], overrides: dict[str, object]) -> None:
        self.path, self.lines, self.overrides = path, lines, overrides
        self.problems: list[tuple[int, str, str]] = []

    def say(self, key: str, what: str, hint: str = "") -> None:
        """Note a problem where `key` was given: a flag, a line of the file, or neither."""
        if key in self.overrides:
            self.problems.append((1 << 30, f"--{key}: {what}", hint))
        elif self.path is None or not self.lines.get(key):
            self.problems.append((0, f"{self.path}: {what}" if self.path else what, hint))
        else:
            self.problems.append((self.lines[key], f"{self.path}:{self.lines[key]}: {what}", hint))

    def fill(self, kind: type[Any], table: Mapping[str, Any], prefix: str) -> Any:
        """An instance of `kind`, or None when something in it is wrong."""
        before = len(self.problems)
        values: dict[str, Any] = {}
        self._refuse_unknown(kind, table, prefix)
        for name, annotation, its_field in _fields(kind):
            key = prefix + name
            if dataclasses.is_dataclass(annotation):
                section = table.get(name, {})
                if isinstance(section, dict):
                    values[name] = self.fill(cast(type[Any], annotation), section, f"{key}.")
                else:
                    self.say(key, f"`{key}` is a section", f"write [{key}] on a line of its own and its keys below")
            elif key in self.overrides or name in table:
                given = self.overrides.get(key, table.get(name))
                is_text = key in self.overrides and isinstance(given, str)
                self._take(values, Key(key, annotation, its_field), given, is_text)
            elif Key(key, annotation, its_field).default is dataclasses.MISSING:
                self.say(key, f"`{name}`{_of(prefix)} is missing", f"give it in the recipe or as `--{key}`")
        if len(self.problems) > before:
            return None
        try:
            made = kind(**values)
        except BertworksError as error:  # from a class that checks itself in __post_init__
            self.say(prefix.rstrip("."), error.message, error.hint)
            return None
        for problem in made.problems() if hasattr(made, "problems") else ():
            self.say(prefix + problem.key, problem.what, problem.hint)
        return made

    def _take(self, values: dict[str, Any], key: Key, given: object, is_text: bool) -> None:
        prefix, _, name = key.name.rpartition(".")
        subject = "" if key.name in self.overrides else f"`{name}`{_of(prefix)} "
        try:
            values[name] = taken = convert(given, key.annotation, from_text=is_text)
        except ValueError as error:
            what, hint = error.args
            self.say(key.name, subject + what, hint)
            return
        wrong = out_of_range(taken, key.field.metadata)
        if wrong:
            self.say(key.name, subject + wrong)

    def _refuse_unknown(self, kind: type[Any], table: Mapping[str, Any], prefix: str) -> None:
        known = [name for name, _, _ in _fields(kind)]
        for name in table:
            if name in known:
                continue
            is_section = isinstance(table[name], dict)
            what = f"unknown section [{prefix}{name}]" if is_section else f"unknown key `{name}`{_of(prefix)}"
            all_of_them = f"`bertworks doctor --schema` lists all {len(known)}"
            question = _called_here(name, known) or did_you_mean(name, known)
            self.say(prefix + name, what, f"{question} {all_of_them}" if question else all_of_them)


def _called_here(name: str, known: Iterable[str]) -> str:
    """The question for a key by its name in another program; "" where there is none of it."""
    ours = ELSEWHERE.get(name, "?")
    full = next((key for key in known if key.rpartition(".")[2] == ours), None)
    return f"did you mean `{full}`?" if full else ""


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise BertworksError(f"{path}: no such recipe") from None
    except IsADirectoryError:
        raise BertworksError(f"{path}: is a folder, a recipe is a TOML file") from None
    except UnicodeDecodeError as error:
        raise BertworksError(f"{path}: not UTF-8, byte 0x{error.object[error.start]:02x} at {error.start:,}") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where, what = syntax_problem(error)
        raise BertworksError(f"{path}{where}: not TOML, {what}", "text needs quotes, tables [brackets]") from error


def _fields(kind: type[Any]) -> Sequence[tuple[str, Any, dataclasses.Field[Any]]]:
    hints = typing.get_type_hints(kind)
    return [(one.name, hints[one.name], one) for one in dataclasses.fields(kind) if one.init]


def _of(prefix: str) -> str:
    section = prefix.rstrip(".")
    return f" in [{section}]" if section else ""


def _toml(recipe: Any, prefix: str, changed: set[str]) -> Iterator[str]:
    sections = []
    for name, annotation, _ in _fields(type(recipe)):
        if dataclasses.is_dataclass(annotation):
            sections.append(name)
        else:
            yield f"{name} = {_literal(getattr(recipe, name))}{'  # changed' if prefix + name in changed else ''}"
    for name in sections:
        yield f"\n[{prefix}{name}]"
        yield from _toml(getattr(recipe, name), f"{prefix}{name}.", changed)


def _literal(value: object) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_literal(str(name))} = {_literal(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
