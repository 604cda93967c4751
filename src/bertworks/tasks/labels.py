"""The classes of a task: their names, in the order of the logits, and what else a file may call them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bertworks.base.errors import BertworksError, did_you_mean

WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
SHOWN = 12  # classes that a message or a description lists


@dataclass(frozen=True)
class Labels:
    """Classes seen in training.

    names    in the order of the logits: by value where all are numbers, else as text
    aliases  another name that files use -> the name: numbers beside a column of readable names
    counts   rows of training, in the order of names
    """

    names: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, labels: Sequence[str], readable: Sequence[str] | None = None) -> Labels:
        """The classes in a column, and what a second column calls them.

        readable  where it names each label by one text, and no two alike, its texts are the names
        """
        counts = Counter(map(canonical, labels))
        order = (
            sorted(counts, key=lambda label: (float(label), label)) if all(map(is_number, counts)) else sorted(counts)
        )
        named = _one_to_one(list(map(canonical, labels)), readable)
        if named is None:
            return cls(tuple(order), {}, tuple(counts[label] for label in order))
        aliases = {label: named[label] for label in order if named[label] != label}
        return cls(tuple(named[label] for label in order), aliases, tuple(counts[label] for label in order))

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Name or alias -> place in the logits."""
        there = {name: number for number, name in enumerate(self.names)}
        return {**{alias: there[name] for alias, name in self.aliases.items()}, **there}

    def number(self, label: str) -> int:
        """Place of a label in the logits, -1 where training did not see it."""
        return self.numbers.get(label, self.numbers.get(canonical(label), -1))

    def gold(self, label: object, where: str) -> int:
        """Place of a row's label. Raises BertworksError where it is none of training's."""
        if label is None:
            raise BertworksError(f"{where}: no label", "drop the row, or fill in its label")
        if not isinstance(label, str):
            raise BertworksError(f"{where}: the label is not one class but {label!r:.60}", "give one class a row")
        number = self.number(label)
        if number < 0:
            raise BertworksError(
                f"{where}: label `{label}` is not among the {len(self.names)} of training: {self.listed()}",
                did_you_mean(label, [*self.names, *self.aliases]) or "add such rows to training, or drop the row",
            )
        return number

    def listed(self) -> str:
        """The names, the first few where there are many."""
        more = f", … ({len(self.names) - SHOWN} more)" if len(self.names) > SHOWN else ""
        return ", ".join(self.names[:SHOWN]) + more

    def lines(self) -> list[str]:
        """Names with their counts in training, the most frequent first."""
        if not self.counts:
            return [f"labels: {self.listed()}"]
        ranked = sorted(zip(self.names, self.counts, strict=True), key=lambda pair: -pair[1])
        shown = ", ".join(f"{name} {count:,}" for name, count in ranked[:SHOWN])
        rest = ranked[SHOWN:]
        more = f", … ({len(rest)} more, {rest[-1][1]:,} to {rest[0][1]:,} rows each)" if rest else ""
        return [f"labels: {shown}{more}"]

    def settings(self) -> dict[str, Any]:
        """As JSON."""
        return {"names": list(self.names), "aliases": dict(self.aliases), "counts": list(self.counts)}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Labels:
        """The labels that `settings` came from."""
        return cls(tuple(settings["names"]), dict(settings["aliases"]), tuple(settings["counts"]))


def class_keys(names: Sequence[str]) -> dict[str, Any]:
    """`id2label` and `label2id` of a saved config.json, as transformers writes them."""
    return {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
    }


def canonical(label: str) -> str:
    """`1.0`, which other programs write for 1 where a row is empty, is `1`; any other label is itself."""
    return label.split(".")[0] if "." in label and WHOLE.fullmatch(label) else label


def is_number(label: str) -> bool:
    """Whether a label is written as a decimal number."""
    return NUMBER.fullmatch(label) is not None


def is_whole(label: str) -> bool:
    """Whether a label is written as a whole number."""
    return WHOLE.fullmatch(label) is not None


def _one_to_one(labels: Sequence[str], readable: Sequence[str] | None) -> dict[str, str] | None:
    if readable is None:
        return None
    pairs = set(zip(labels, readable, strict=True))
    named = dict(pairs)
    clashes = len(named) < len(pairs) or len(set(named.values())) < len(named) or "" in named.values()
    return None if clashes else named
