"""The JSON Schema of a recipe, for editors; the only place of the package that loads pydantic."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, cast

from pydantic import TypeAdapter

from bertworks.base.field_comments import field_comments


def json_schema(kind: type[Any]) -> dict[str, Any]:
    """The schema of the TOML that `recipe.load` takes: no other keys, and `"none"` where TOML has no null."""
    whole = TypeAdapter(kind).json_schema()
    described = {one.__name__: field_comments(one) for one in _classes(kind)}
    for name, one in [(kind.__name__, whole), *whole.get("$defs", {}).items()]:
        if "properties" not in one:
            continue
        one["additionalProperties"] = False
        for key, property_ in one["properties"].items():
            if comment := described.get(name, {}).get(key):
                property_.setdefault("description", comment)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **cast(dict[str, Any], _without_null(whole))}


def _without_null(node: object) -> object:
    if isinstance(node, list):
        return [_without_null(one) for one in node]
    if not isinstance(node, dict):
        return node
    if node == {"type": "null"}:
        return {"const": "none"}
    return {name: "none" if name == "default" and one is None else _without_null(one) for name, one in node.items()}


def _classes(kind: type[Any]) -> list[type[Any]]:
    hints = typing.get_type_hints(kind)
    inner = [hint for hint in hints.values() if dataclasses.is_dataclass(hint)]
    return [kind, *(deeper for one in inner for deeper in _classes(cast(type[Any], one)))]
