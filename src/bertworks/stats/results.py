"""result.json of runs → metrics by seed, their summary, and the difference of two runs seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.base.files import read_json
from bertworks.stats.paired import PairedDifference, paired_difference
from bertworks.stats.summary import Summary, summarise

FILE = "result.json"


@dataclass(frozen=True)
class Result:
    """What a run was worth.

    by_seed  seed -> split ("dev", "test") -> metric -> value
    """

    path: Path
    task: str
    by_seed: Mapping[int, Mapping[str, Mapping[str, float]]]

    def values(self, split: str, metric: str) -> dict[int, float]:
        """The metric of each seed. Raises BertworksError where a seed lacks it."""
        out = {}
        for seed, splits in self.by_seed.items():
            if split not in splits:
                there = ", ".join(splits) or "none"
                raise BertworksError(f"{self.path}: seed {seed} has no metrics of `{split}`", f"there are: {there}")
            if metric not in splits[split]:
                there = ", ".join(splits[split]) or "none"
                raise BertworksError(
                    f"{self.path}: seed {seed} has no metric `{metric}` of `{split}`",
                    did_you_mean(metric, splits[split]) or f"there are: {there}",
                )
            out[seed] = splits[split][metric]
        return out

    def summary(self, split: str) -> dict[str, Summary]:
        """Every metric of a split over the seeds."""
        first = next(iter(self.by_seed.values()))
        return {metric: summarise(list(self.values(split, metric).values())) for metric in first.get(split, {})}


@dataclass(frozen=True)
class Compared:
    """One metric of two runs.

    seeds           on which both ran: the pairs
    left_out        seeds of one run only
    """

    metric: str
    split: str
    seeds: tuple[int, ...]
    left_out: tuple[int, ...]
    a: Summary
    b: Summary
    difference: PairedDifference


def read_result(path: str | Path) -> Result:
    """Read `RUN/result.json`; `path` is the run or the file.

    Raises BertworksError where there is none, or it is not of the shape of docs/formats.md.
    """
    file = Path(path)
    if file.is_dir():
        file = file / FILE
    if not file.exists():
        raise BertworksError(f"{file}: no such file", "a run writes it when it ends; is the run unfinished?")
    content = read_json(file)
    if not isinstance(content, dict):
        raise _malformed(file, "it is not an object")
    seeds = content.get("seeds")
    if not isinstance(seeds, list) or not seeds:
        raise _malformed(file, "`seeds` is no list of results")
    by_seed: dict[int, dict[str, dict[str, float]]] = {}
    for entry in seeds:
        if not isinstance(entry, dict) or not isinstance(entry.get("seed"), int):
            raise _malformed(file, "an entry of `seeds` has no `seed`")
        if entry["seed"] in by_seed:
            raise _malformed(file, f"seed {entry['seed']} is there twice")
        by_seed[entry["seed"]] = _metrics(file, entry)
    return Result(file, str(content.get("task", "")), by_seed)


def compare_results(a: Result, b: Result, *, split: str, metric: str) -> Compared:
    """a - b over the seeds that both have. Raises BertworksError where there is none."""
    of_a, of_b = a.values(split, metric), b.values(split, metric)
    common = tuple(sorted(of_a.keys() & of_b.keys()))
    if not common:
        raise BertworksError(
            f"{a.path} and {b.path} have no seed in common ({_listed(of_a)} and {_listed(of_b)})",
            "run both with the same `--seed` and `--seeds`",
        )
    ours, theirs = [of_a[seed] for seed in common], [of_b[seed] for seed in common]
    return Compared(
        metric,
        split,
        common,
        tuple(sorted(of_a.keys() ^ of_b.keys())),
        summarise(ours),
        summarise(theirs),
        paired_difference(ours, theirs),
    )


def _metrics(file: Path, entry: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    metrics = entry.get("metrics")
    if not isinstance(metrics, dict):
        raise _malformed(file, f"seed {entry['seed']} has no `metrics`")
    out: dict[str, dict[str, float]] = {}
    for split, values in metrics.items():
        if values is None:
            continue
        if not isinstance(values, dict):
            raise _malformed(file, f"`{split}` of seed {entry['seed']} is no object")
        for metric, value in values.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise _malformed(file, f"`{metric}` of seed {entry['seed']} is {value!r}, not a number")
        out[split] = {metric: float(value) for metric, value in values.items()}
    return out


def _malformed(file: Path, what: str) -> BertworksError:
    return BertworksError(f"{file}: not a result of a run, {what}", "docs/formats.md shows its shape")


def _listed(values: Mapping[int, float]) -> str:
    return ", ".join(map(str, sorted(values)))
