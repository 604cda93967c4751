"""A value of a recipe in the type its key asks for, strictly; text from the command line is read as that type."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bertworks.base.errors import did_you_mean
from bertworks.base.pairs import pairs

_WANTED = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path"}
_RANGES = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def convert(given: object, annotation: Any, *, from_text: bool) -> Any:
    """`given` as `annotation`: a plain type, Literal, tuple[X, ...], list[X], dict[str, X] or a union of them.

    from_text  `given` was typed on the command line; else it stands as TOML has it, and "0.1" is no number
    Raises ValueError(what, hint).
    """
    arms = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    arms = tuple(sorted(arms, key=lambda arm: arm is not types.NoneType))  # else "none" would be a text
    failures = []
    for arm in arms:
        try:
            return _one(given, arm, from_text)
        except ValueError as error:
            failures.append(error)
    hints = [error.args[1] for error in failures if error.args[1]]
    raise ValueError(f"wants {wanted(annotation)}, got {shown(given, from_text)}", hints[0] if hints else "")


def out_of_range(value: object, metadata: Mapping[str, Any]) -> str:
    """What is wrong with a number by the range in its field's metadata; "" where nothing is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    broken = [f"{words} {metadata[name]}" for name, words in _RANGES.items() if not _holds(name, value, metadata)]
    return f"must be {' and '.join(broken)}, got {value}" if broken else ""


def wanted(annotation: Any) -> str:
    """A type in words: "a number", "one of \\"a\\", \\"b\\"", "a list of whole numbers", "a number or none"."""
    if _is_union(annotation):
        return " or ".join(dict.fromkeys(map(wanted, typing.get_args(annotation))))
    if annotation is types.NoneType:
        return '"none"'
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        options = ", ".join(f'"{option}"' if isinstance(option, str) else str(option) for option in arguments)
        return f"one of {options}" if len(arguments) > 1 else options
    if origin in (tuple, list):
        return f"a list, each {wanted(arguments[0])}"
    if origin is dict:
        return f"a table of name = value, each {wanted(arguments[1])}"
    return _WANTED[annotation]


def shown(given: object, from_text: bool) -> str:
    """A value as the user wrote it."""
    if given == "":
        return "nothing" if from_text else "an empty text"
    if from_text or not isinstance(given, str):
        return {True: "true", False: "false"}[given] if isinstance(given, bool) else f"{given}"
    return f'the text "{given}"'


def _one(given: object, annotation: Any, from_text: bool) -> Any:
    if annotation is types.NoneType:
        if given == "none":
            return None
        raise ValueError("", "")
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return _option(given, arguments, from_text)
    if origin in (tuple, list):
        parts = [part.strip() for part in str(given).split(",") if part.strip()] if from_text else given
        if not isinstance(parts, list):
            raise ValueError("", "a list stands in [brackets]")
        return origin(convert(part, arguments[0], from_text=from_text) for part in parts)
    if origin is dict:
        table = pairs(str(given)) if from_text else given
        if not isinstance(table, dict):
            raise ValueError("", "a table stands in {braces}")
        return {name: convert(part, arguments[1], from_text=from_text) for name, part in table.items()}
    return _from_text(str(given), annotation) if from_text else _strict(given, annotation)


def _holds(name: str, value: float, metadata: Mapping[str, Any]) -> bool:
    if name not in metadata:
        return True
    limit = metadata[name]
    return bool({"ge": value >= limit, "gt": value > limit, "le": value <= limit, "lt": value < limit}[name])


def _option(given: object, options: tuple[object, ...], from_text: bool) -> object:
    for option in options:
        if str(option) == given if from_text else option == given and type(option) is type(given):
            return option
    raise ValueError("", did_you_mean(str(given), [str(option) for option in options]))


def _strict(given: object, annotation: type[Any]) -> Any:
    """A TOML value: an int may stand for a float; text, true and false never for a number."""
    if annotation is float and isinstance(given, int) and not isinstance(given, bool):
        return float(given)
    if annotation is Path and isinstance(given, str):
        return Path(given)
    if type(given) is not annotation:
        unquoted = annotation in (int, float, bool) and isinstance(given, str)
        raise ValueError("", "write it without quotes" if unquoted else "")
    if isinstance(given, float) and not math.isfinite(given):
        raise ValueError("", "")
    return given


def _from_text(text: str, annotation: type[Any]) -> Any:
    if annotation is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError("", "")
        return text.lower() == "true"
    if annotation in (str, Path):
        return annotation(text)
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        raise ValueError("", "") from None
    if not math.isfinite(number) or (annotation is int and not number.is_integer()):
        raise ValueError("", "")
    return int(text) if annotation is int and text.lstrip("+-").isdigit() else annotation(number)


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)
