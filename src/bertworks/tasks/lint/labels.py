"""The classes: how many rows each has, names that look alike, classes that only one file has."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from bertworks.base.errors import did_you_mean
from bertworks.read.tables import Table
from bertworks.tasks.labels import canonical
from bertworks.tasks.lint.finding import Example, Finding, Place, examples, share
from bertworks.tasks.task import Row

RARE_ROWS = 10  # a class with fewer rows of train is rare
UNEVEN_TIMES = 20  # the largest class has so many times the rows of the smallest
MOST_SHARE = 0.9  # of the rows in one class


def labels_of(row: Row) -> list[str]:
    """The label or labels of a row, as text."""
    value = row.get("label", row.get("label_text"))
    if value is None:
        return []
    return [canonical(str(one)) for one in (value if isinstance(value, (list, tuple)) else [value])]


def label_counts(table: Table) -> dict[str, int]:
    """Label -> rows, the most frequent first."""
    return dict(Counter(label for row in table.rows for label in labels_of(row)).most_common())


def check_labels(tables: Mapping[str, Table]) -> Iterator[Finding]:
    """Findings on the labels of all splits; the first is train."""
    counts = {name: label_counts(table) for name, table in tables.items()}
    train, table = next(iter(counts.values())), next(iter(tables.values()))
    if not train:
        return
    if len(train) == 1:
        told = f"one label only, `{next(iter(train))}`"
        yield Finding("error", "one_label", told, "is another column the label? `--columns label=…`", 1)
        return
    yield from _alike(tables, counts)
    yield from _unseen(tables, counts)
    yield from _uneven(train, len(table.rows))


def _alike(tables: Mapping[str, Table], counts: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    """Labels that differ only by case, spaces, `_` and `-`."""
    written: dict[str, Counter[str]] = defaultdict(Counter)
    for found in counts.values():
        for label, count in found.items():
            written["".join(char for char in label.casefold() if not char.isspace() and char not in "_-")][label] += (
                count
            )
    alike = {key: labels for key, labels in written.items() if len(labels) > 1 and key}
    if not alike:
        return
    first = _first_places(tables)
    made = (
        Example(
            tuple(first[label] for label in labels if label in first),
            ", ".join(f"`{label}` {count:,}" for label, count in labels.most_common()),
        )
        for labels in alike.values()
    )
    told = (
        f"{len(alike):,} labels are written in several ways, by case, space or hyphen; each way is a class of its own"
    )
    yield Finding("error", "label_spelling", told, "write each in one way", len(alike), examples(made))


def _unseen(tables: Mapping[str, Table], counts: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    train, first = next(iter(counts.values())), _first_places(tables)
    train_name = next(iter(counts))
    for name, found in list(counts.items())[1:]:
        new = [label for label in found if label not in train]
        if new:
            rows = sum(found[label] for label in new)
            told = f"{len(new):,} labels of {name} are not in {train_name}, in {rows:,} rows"
            own = _first_places({name: tables[name]})
            made = (
                Example((own[label],), f"`{label}` {found[label]:,} rows; {did_you_mean(label, train)}".rstrip("; "))
                for label in new
            )
            advice = f"add such rows to {train_name}, or drop them from {name}; `finetune` refuses such a file"
            yield Finding("error", "unseen_labels", told, advice, len(new), examples(made))
        absent = [label for label in train if label not in found]
        if absent:
            told = f"{len(absent):,} labels of {train_name} are not in {name}: nothing measures them there"
            made = (Example((first[label],), f"`{label}` {train[label]:,} rows of {train_name}") for label in absent)
            yield Finding("info", "absent_labels", told, "", len(absent), examples(made))


def _uneven(train: Mapping[str, int], rows: int) -> Iterator[Finding]:
    rare = [(label, count) for label, count in train.items() if count < RARE_ROWS]
    if rare:
        told = f"{len(rare):,} of {len(train):,} labels have fewer than {RARE_ROWS} rows"
        made = (Example((), f"`{label}` {count:,}") for label, count in reversed(rare))
        advice = "collect more of them, or join them with a neighbour; few rows are neither learnt nor measured well"
        yield Finding("warning", "rare_labels", told, advice, len(rare), examples(made))
    (most, largest), (least, smallest) = next(iter(train.items())), list(train.items())[-1]
    times = largest / smallest
    if largest >= MOST_SHARE * rows or times >= UNEVEN_TIMES:
        level = "warning" if largest >= MOST_SHARE * rows else "info"
        told = f"`{most}` has {share(largest, rows)} of the rows, {times:.0f} times those of `{least}` ({smallest:,})"
        advice = "judge by f1_macro, not by accuracy: `--metric f1_macro`"
        yield Finding("warning" if level == "warning" else "info", "imbalance", told, advice, largest)


def _first_places(tables: Mapping[str, Table]) -> dict[str, Place]:
    """Where each label comes first."""
    found: dict[str, Place] = {}
    for name, table in tables.items():
        for index, row in enumerate(table.rows):
            for label in labels_of(row):
                found.setdefault(label, Place(name, index))
    return found
