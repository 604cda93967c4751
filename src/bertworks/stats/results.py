"""result.json of runs → metrics by seed, their summary, and the difference of two runs seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.base.files import read_json
from bertworks.stats.paired import PairedDifference, paired_difference
from bertworks.stats.summary import Summary, summarise

FILE = "result.json"

Word = Literal["seed", "fold"]
"""What sets the runs of a study apart."""


@dataclass(frozen=True)
class Result:
    """What a run was worth.

    by_part  seed or fold -> split ("dev", "test") -> metric -> value
    word     which of the two
    data     fingerprint of the rows and of their split; "" where the file does not say
    """

    path: Path
    task: str
    by_part: Mapping[int, Mapping[str, Mapping[str, float]]]
    word: Word = "seed"
    data: str = ""

    def values(self, split: str, metric: str) -> dict[int, float]:
        """The metric of each seed or fold. Raises BertworksError where one lacks it."""
        out = {}
        for number, splits in self.by_part.items():
            if split not in splits:
                there = ", ".join(splits) or "none"
                raise BertworksError(
                    f"{self.path}: {self.word} {number} has no metrics of `{split}`", f"there are: {there}"
                )
            if metric not in splits[split]:
                there = ", ".join(splits[split]) or "none"
                raise BertworksError(
                    f"{self.path}: {self.word} {number} has no metric `{metric}` of `{split}`",
                    did_you_mean(metric, splits[split]) or f"there are: {there}",
                )
            out[number] = splits[split][metric]
        return out

    def summary(self, split: str) -> dict[str, Summary]:
        """Every metric of a split over the seeds or folds."""
        first = next(iter(self.by_part.values()))
        return {metric: summarise(list(self.values(split, metric).values())) for metric in first.get(split, {})}


@dataclass(frozen=True)
class Compared:
    """One metric of two runs.

    word      what the pairs are: seeds, or folds
    numbers   on which both ran: the pairs
    left_out  those of one run only
    """

    metric: str
    split: str
    word: Word
    numbers: tuple[int, ...]
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
    word: Word = "fold" if "folds" in content else "seed"
    entries = content.get(f"{word}s")
    if not isinstance(entries, list) or not entries:
        raise _malformed(file, f"`{word}s` is no list of results")
    by_part: dict[int, dict[str, dict[str, float]]] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get(word), int):
            raise _malformed(file, f"an entry of `{word}s` has no `{word}`")
        if entry[word] in by_part:
            raise _malformed(file, f"{word} {entry[word]} is there twice")
        by_part[entry[word]] = _metrics(file, entry, word)
    return Result(file, str(content.get("task", "")), by_part, word, str(content.get("data", "")))


def compare_results(a: Result, b: Result, *, split: str, metric: str) -> Compared:
    """a - b over the seeds or folds that both have.

    Raises BertworksError where there is none, and where the folds are not of the same rows.
    """
    if a.word != b.word:
        raise BertworksError(f"{a.path} is over {a.word}s, {b.path} over {b.word}s", "compare two studies of one kind")
    if a.word == "fold" and (a.data != b.data or a.by_part.keys() != b.by_part.keys()):
        raise BertworksError(
            f"the folds of {a.path} ({len(a.by_part)}) and {b.path} ({len(b.by_part)}) are not the same rows",
            "run both with the same files, `--train.folds` and `--data.split_seed`",
        )
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
        a.word,
        common,
        tuple(sorted(of_a.keys() ^ of_b.keys())),
        summarise(ours),
        summarise(theirs),
        paired_difference(ours, theirs),
    )


def _metrics(file: Path, entry: Mapping[str, Any], word: Word) -> dict[str, dict[str, float]]:
    metrics = entry.get("metrics")
    if not isinstance(metrics, dict):
        raise _malformed(file, f"{word} {entry[word]} has no `metrics`")
    out: dict[str, dict[str, float]] = {}
    for split, values in metrics.items():
        if values is None:
            continue
        if not isinstance(values, dict):
            raise _malformed(file, f"`{split}` of {word} {entry[word]} is no object")
        for metric, value in values.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise _malformed(file, f"`{metric}` of {word} {entry[word]} is {value!r}, not a number")
        out[split] = {metric: float(value) for metric, value in values.items()}
    return out


def _malformed(file: Path, what: str) -> BertworksError:
    return BertworksError(f"{file}: not a result of a run, {what}", "docs/formats.md shows its shape")


def _listed(values: Mapping[int, float]) -> str:
    return ", ".join(map(str, sorted(values)))
