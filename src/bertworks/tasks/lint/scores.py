"""Scores: their range and spread, a column that never changes, values far from all others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bertworks.read.tables import Table
from bertworks.tasks.lint.finding import Example, Finding, Place, examples, share

FAR = 3.0  # times the distance between the quartiles, beyond them (Tukey's outer fence)


def check_scores(name: str, table: Table) -> Iterator[Finding]:
    """Findings on the scores of one split; a label column may hold them."""
    values: list[float] = []
    places: list[int] = []
    broken: list[Example] = []
    for index, row in enumerate(table.rows):
        given = row.get("score", row.get("label"))
        try:
            value = float(given)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            value = float("nan")
        if np.isfinite(value):
            values.append(value)
            places.append(index)
        else:
            broken.append(Example((Place(name, index),), f"`{given}`"))
    if broken:
        told = f"{name}: {share(len(broken), len(table.rows))} of the scores are no finite numbers"
        yield Finding("error", "broken_scores", told, "mend or drop these rows", len(broken), examples(broken))
    if not values:
        return
    scores = np.array(values)
    if float(np.ptp(scores)) == 0:
        told = f"{name}: all {len(scores):,} scores are {scores[0]:g}"
        yield Finding("error", "constant_scores", told, "is another column the score? `--columns score=…`", len(scores))
        return
    low, middle, high = np.percentile(scores, [25, 50, 75])
    told = (
        f"{name}: scores from {scores.min():g} to {scores.max():g}, mean {scores.mean():.4g}, sd {scores.std():.4g}, "
        f"median {middle:g}, {len(np.unique(scores)):,} distinct"
    )
    yield Finding("info", "scores", told, "", len(scores))
    reach = FAR * (high - low)
    far = np.flatnonzero((scores < low - reach) | (scores > high + reach)) if reach > 0 else np.empty(0, np.int64)
    if len(far):
        order = far[np.argsort(-np.abs(scores[far] - middle), kind="stable")]
        told = f"{name}: {share(len(far), len(scores))} of the scores lie far outside the others ({low:g} to {high:g})"
        made = (Example((Place(name, places[at]),), f"{scores[at]:g}") for at in order.tolist())
        yield Finding("warning", "far_scores", told, "a slip of the pen, or another scale?", len(far), examples(made))
