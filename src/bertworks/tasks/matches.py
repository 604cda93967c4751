"""Pairs with a class (entailment, paraphrase) → rows of texts that match, with a text that does not beside them.

What sentence-transformers' examples do with NLI: entailed pairs are matches, contradictions of the same premise are the
texts that must stay apart ("hard negatives").
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table
from bertworks.tasks.embedding import EmbedTask, Kind
from bertworks.tasks.split import plain

MATCHING = frozenset(("entailment", "1", "duplicate", "paraphrase", "true", "yes"))
APART = frozenset(("contradiction", "0", "not_duplicate", "not_entailment", "not_paraphrase", "false", "no"))
BETWEEN = frozenset(("neutral",))


def is_of_matches(table: Table) -> bool:
    """Whether the labels say which pairs match."""
    there = {_name(row) for row in table.rows}
    return bool(there & MATCHING) and there <= MATCHING | APART | BETWEEN


def matches_of(table: Table) -> Table:
    """One row a matching pair, the i-th of a text with its i-th text that does not match; the rest is counted.

    Raises BertworksError where a label does not say whether its pair matches, and where no pair does.
    """
    for index, row in enumerate(table.rows):
        if _name(row) not in MATCHING | APART | BETWEEN:
            raise BertworksError(
                f"{table.where(index)}: label `{_name(row):.60}` does not say whether the pair matches",
                f"labels of matches are {', '.join(sorted(MATCHING))}; of others {', '.join(sorted(APART | BETWEEN))}",
            )
    apart: dict[str, list[str]] = defaultdict(list)
    for row in table.rows:
        if _name(row) in APART:
            apart[plain(row["sentence1"])].append(row["sentence2"])
    rows, lines, used = [], [], 0
    taken: dict[str, int] = defaultdict(int)
    for row, line in zip(table.rows, table.line_numbers, strict=True):
        if _name(row) not in MATCHING:
            continue
        key = plain(row["sentence1"])
        made = {role: value for role, value in row.items() if role not in ("label", "label_text")}
        if apart[key]:
            made["negative"] = apart[key][taken[key] % len(apart[key])]
            used += taken[key] < len(apart[key])
            taken[key] += 1
        rows.append(made)
        lines.append(line)
    if not rows:
        raise BertworksError(f"{table.path}: no pair matches", f"labels of matches are {', '.join(sorted(MATCHING))}")
    between = sum(_name(row) in BETWEEN for row in table.rows)
    idle = sum(map(len, apart.values())) - used
    dropped = {"neutral pairs, which say nothing": between, "texts apart from one without a match": idle}
    columns = {role: name for role, name in table.columns.items() if role not in ("label", "label_text")}
    return dataclasses.replace(
        table,
        rows=rows,
        line_numbers=lines,
        columns=columns,
        dropped={**table.dropped, **{reason: number for reason, number in dropped.items() if number}},
    )


def _name(row: dict[str, object]) -> str:
    return str(row.get("label_text") or row.get("label", "")).strip().lower()


def with_matches(
    task: EmbedTask, train: Table, others: Mapping[str, Table]
) -> tuple[EmbedTask, Table, dict[str, Table]]:
    """The tables of a run as the task learns from them; where dev has scores, it is judged by them.

    Labels of train that do not say what matches say so nowhere. Raises BertworksError as `matches_of`.
    """
    if task.kind == "score":
        return task, train, dict(others)
    judged: Kind = "score" if "dev" in others and "score" in others["dev"].columns else "rank"
    are_idle = _has_labels(train) and not is_of_matches(train)
    as_read = judged == "score" or are_idle
    arranged = {name: table if as_read else as_matches(table) for name, table in others.items()}
    return dataclasses.replace(task, judged=judged), train if are_idle else as_matches(train), arranged


def as_matches(table: Table) -> Table:
    """`matches_of` where there are labels, else the table itself; beside a `negative` they may say something else."""
    is_told = _has_labels(table) and ("negative" not in table.columns or is_of_matches(table))
    return matches_of(table) if is_told else table


def _has_labels(table: Table) -> bool:
    return not {"label", "label_text"}.isdisjoint(table.columns)
