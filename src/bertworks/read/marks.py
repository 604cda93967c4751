"""Marked stretches of a text, as annotation tools and published sets write them → (start, end, label), end exclusive.

Read are lists of `[start, end, label]` (doccano), lists of objects with `start`, `end` and a `label` (spaCy, Prodigy,
Label Studio's values), and CLUENER's `{label: {surface: [[first, last], …]}}`, whose ends are inclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

LABELS = ("label", "type", "entity", "entity_group", "tag", "labels")  # keys of an object that name its label
STARTS, ENDS = ("start", "start_offset", "begin"), ("end", "end_offset", "stop")


class Mark(NamedTuple):
    """Code points [start, end) of a text."""

    start: int
    end: int
    label: str


def marks_of(value: Any) -> list[Mark] | None:
    """The marks in a cell, in order of their start; None where it holds something else."""
    found = _of_dict(value) if isinstance(value, dict) else _of_list(value) if isinstance(value, list) else None
    return None if found is None else sorted(found)


def hold_marks(cells: Sequence[Any]) -> bool:
    """Whether a column holds marks: all its cells do that are not empty, and one is not."""
    there = [cell for cell in cells if cell not in (None, [], {})]
    return bool(there) and all(marks_of(cell) is not None for cell in there)


def _of_list(value: Sequence[Any]) -> list[Mark] | None:
    found = [_one(item) for item in value]
    return None if None in found else [mark for mark in found if mark is not None]


def _one(item: Any) -> Mark | None:
    start: Any
    end: Any
    label: Any
    if isinstance(item, dict):
        start, end, label = (next((item[key] for key in keys if key in item), None) for keys in (STARTS, ENDS, LABELS))
        label = label[0] if isinstance(label, list) and label else label
    elif isinstance(item, list) and len(item) == 3:
        start, end, label = item
    else:
        return None
    if type(start) is not int or type(end) is not int or not isinstance(label, str):
        return None
    return Mark(start, end, label)


def _of_dict(value: dict[str, Any]) -> list[Mark] | None:
    found = []
    for label, surfaces in value.items():
        if not isinstance(surfaces, dict):
            return None
        for places in surfaces.values():
            if not isinstance(places, list):
                return None
            for place in places:
                if not isinstance(place, list) or len(place) != 2 or not all(type(end) is int for end in place):
                    return None
                found.append(Mark(place[0], place[1] + 1, label))
    return found
