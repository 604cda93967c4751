"""The flags made from a recipe: one for every key, short names for some, and what they set."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from bertworks.base.field_comments import field_comments
from bertworks.base.recipe import Key, keys
from bertworks.cli.flags import FLAGS

NOTHING = "none"  # as a recipe writes it


def add_recipe(parser: argparse.ArgumentParser, kind: type[Any], short: Mapping[str, str]) -> None:
    """A flag for every key of a recipe (`--train.lr`), and short names for some; `overrides` reads them all.

    short  flag -> dotted key ("--lr" -> "train.lr"); its words come from the shared flags
    """
    known = {key.name: key for key in keys(kind)}
    comments = functools.cache(lambda: _comments(kind))
    for flag, name in short.items():
        shared = FLAGS.get(flag, {})
        metavar = shared.get("metavar") or _metavar(known[name].annotation)
        words = shared.get("help")
        parser.add_argument(flag, action=_Set, comments=comments, key=known[name], metavar=metavar, help=words)
    group = parser.add_argument_group("recipe", "every key of a recipe, over what its file says")
    for name, key in known.items():
        group.add_argument(f"--{name}", action=_Set, comments=comments, key=key, metavar=_metavar(key.annotation))


def overrides(args: argparse.Namespace, kind: type[Any]) -> dict[str, object]:
    """What the flags of `add_recipe` set: dotted key -> text, for `recipe.load`."""
    given = vars(args)
    return {key.name: given[key.name] for key in keys(kind) if key.name in given}


class _Set(argparse.Action):
    """Keeps a key's text for `overrides`; its help is read from the recipe's source, only when help is asked for."""

    def __init__(
        self, *, comments: Callable[[], dict[str, str]], key: Key, help: str | None = None, **settings: Any
    ) -> None:
        self._comments, self._key = comments, key
        super().__init__(**settings | {"dest": key.name, "default": argparse.SUPPRESS, "help": help})

    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: str | Sequence[Any] | None, flag: str | None = None
    ) -> None:
        setattr(namespace, self.dest, values)

    @property
    def help(self) -> str:
        """What the flag means, and the default of its key."""
        default = self._key.default
        told = "required" if default is dataclasses.MISSING else f"default {_shown(default)}"
        words = self._words or self._comments().get(self._key.name)
        if words and _shown(default) == NOTHING:
            return words.replace("%", "%%")
        return (f"{words} ({told})" if words else told).replace("%", "%%")

    @help.setter
    def help(self, words: str | None) -> None:
        self._words = words


def _comments(kind: type[Any]) -> dict[str, str]:
    """Dotted key -> the comment beside its field."""
    found = dict(field_comments(kind))
    for name, hint in typing.get_type_hints(kind).items():
        if dataclasses.is_dataclass(hint):
            found |= {f"{name}.{key}": comment for key, comment in _comments(cast(type[Any], hint)).items()}
    return found


def _shown(default: object) -> str:
    if default is None or default in ({}, (), [], ""):
        return NOTHING
    return str(default).lower() if isinstance(default, bool) else str(default)


def _metavar(annotation: Any) -> str:
    """What to type for a value of this type: `N`, `X`, `true|false`, the options, or `N|none`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return "|".join(dict.fromkeys(map(_metavar, typing.get_args(annotation))))
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return "|".join(map(str, typing.get_args(annotation)))
    if origin in (tuple, list):
        return f"{_metavar(typing.get_args(annotation)[0])},…"
    return {int: "N", float: "X", bool: "true|false", types.NoneType: "none", dict: "NAME=VALUE,…"}.get(
        origin or annotation, "TEXT"
    )
