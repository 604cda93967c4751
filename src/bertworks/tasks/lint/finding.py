"""What a check found: how bad it is, a sentence, what to do, and where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bertworks.read.tables import Table
from bertworks.tasks.task import Row

Level = Literal["error", "warning", "info"]
LEVELS: tuple[Level, ...] = ("error", "warning", "info")
MOST_EXAMPLES = 1000  # of one finding that are kept; `count` counts all
SHOWN_CHARS = 60  # of a text in an example


class Place(NamedTuple):
    """Row number `row`, from 0, of a split ("train", "dev", "test")."""

    split: str
    row: int


class Example(NamedTuple):
    """Rows that belong together, and what is to be said of them."""

    places: tuple[Place, ...]
    told: str


@dataclass(frozen=True)
class Finding:
    """One result of one check.

    level     "error": training stops here or learns something wrong; "warning": look at it; "info": good to know
    check     stable name: "duplicates", "conflicts" …
    what      a sentence with figures
    advice    what to do; "" where nothing is to be done
    count     rows concerned, or labels, entities …, as `what` says
    examples  the first MOST_EXAMPLES, the worst first where there is an order
    """

    level: Level
    check: str
    what: str
    advice: str = ""
    count: int = 0
    examples: tuple[Example, ...] = ()

    def to_json(self, tables: Mapping[str, Table]) -> dict[str, Any]:
        """{"level", "check", "what", "advice", "count", "examples": [{"rows": [{"split", "number"}], "told"}]}."""
        examples = [
            {
                "rows": [{"split": split, "number": tables[split].line_numbers[index]} for split, index in one.places],
                "told": one.told,
            }
            for one in self.examples
        ]
        plain = {"level": self.level, "check": self.check, "what": self.what, "advice": self.advice}
        return {**plain, "count": self.count, "examples": examples}

    def lines(self, tables: Mapping[str, Table], shown: int) -> list[str]:
        """For a human: the sentence, then the first examples with their places."""
        out = [f"{self.level}: {self.what}"]
        for places, told in self.examples[:shown]:
            out.append("  " + ": ".join(part for part in (_places(places, tables, shown), told) if part))
        if len(self.examples) > shown:
            out.append(f"  … {len(self.examples) - shown:,} more with --json")
        return [*out, *([f"  hint: {self.advice}"] if self.advice else [])]


def _places(places: Sequence[Place], tables: Mapping[str, Table], most: int) -> str:
    """`line 3, 17` of one file; `train line 3; dev line 8, 9` of several; the first of each."""
    by_split: dict[str, list[int]] = {}
    for split, index in places:
        by_split.setdefault(split, []).append(tables[split].line_numbers[index])
    parts = []
    for split, numbers in by_split.items():
        more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
        name = f"{split} " if len(tables) > 1 else ""
        parts.append(f"{name}{tables[split].unit} {', '.join(map(str, numbers[:most]))}{more}")
    return "; ".join(parts)


def examples(found: Iterable[Example]) -> tuple[Example, ...]:
    """At most MOST_EXAMPLES of them."""
    return tuple(one for one, _ in zip(found, range(MOST_EXAMPLES), strict=False))


def shown(text: str) -> str:
    """A text on one line, cut."""
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN_CHARS else flat[: SHOWN_CHARS - 1] + "…"


def share(part: int, whole: int) -> str:
    """`12 of 340 (3.5%)`."""
    return f"{part:,} of {whole:,} ({part / max(1, whole):.1%})"


def texts_of(row: Row) -> tuple[str, ...]:
    """The texts of a row that a model would read, in order; words of a row in words are joined by spaces."""
    found = [row[role] for role in ("text", "sentence1", "sentence2", "question", "context") if role in row]
    for role in ("tokens", "choices"):
        value = row.get(role)
        if isinstance(value, (list, tuple)):
            found.append(" ".join(map(str, value)))
    return tuple("" if text is None else str(text) for text in found)


def gold_of(row: Row) -> str:
    """What a row should be answered with, as text, so that two can be compared and shown."""
    for role in ("tags", "spans", "answers", "label", "label_text", "score"):
        value = row.get(role)
        if value is None:
            continue
        if role == "answers":
            return " | ".join(sorted({answer.text for answer in value})) or "no answer"
        if isinstance(value, (list, tuple)):
            parts: Sequence[str] = [str(one) for one in value]
            return " ".join(parts if role == "tags" else sorted(parts)) or "none"
        return str(value)
    return ""
