"""The JSON Schema of a recipe, for editors; the only place of the package that loads pydantic."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, cast

from pydantic import TypeAdapter

from bertworks.base.field_comments import field_comments

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(kind: type[Any]) -> dict[str, Any]:
    """The schema of the TOML that `recipe.load` takes: no other keys, and `"none"` where TOML has no null."""
    whole = TypeAdapter(kind).json_schema()
    sections = whole.pop("$defs", {})
    comments = {one.__name__: field_comments(one) for one in _classes(kind)}
    for name, one in [(kind.__name__, whole), *sections.items()]:
        one["additionalProperties"] = False
        for key, its_schema in one["properties"].items():
            if key in comments[name]:
                its_schema.setdefault("description", comments[name][key])
    return {"$schema": DRAFT, **cast(dict[str, Any], _as_toml(whole, sections))}


def _as_toml(node: object, sections: Mapping[str, object]) -> object:
    """A schema without references, which nested schemas could not resolve, and with "none" for null."""
    if isinstance(node, list):
        return [_as_toml(one, sections) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _as_toml(sections[node["$ref"].rpartition("/")[2]], sections)
    if node == {"type": "null"}:
        return {"const": "none"}
    return {
        name: "none" if name == "default" and one is None else _as_toml(one, sections) for name, one in node.items()
    }


def _classes(kind: type[Any]) -> list[type[Any]]:
    hints = typing.get_type_hints(kind)
    inner = [hint for hint in hints.values() if dataclasses.is_dataclass(hint)]
    return [kind, *(deeper for one in inner for deeper in _classes(cast(type[Any], one)))]
