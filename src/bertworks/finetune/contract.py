"""The contract: what a run is about to do, in lines printed before it does anything, and kept in result.json."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertworks.finetune.data import Data
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.sizes import Plan
from bertworks.finetune.start import Start
from bertworks.finetune.techniques import techniques
from bertworks.read.roles import quoted
from bertworks.tasks.task import Coverage, Window, coverage

THEN = {
    "linear": "linear to 0",
    "bert": "linear to 0, counted from the first update",
    "constant": "constant",
    "cosine": "a half cosine to 0",
    "trapezoid": "constant, linear to 0 at the end",
}


@dataclass(frozen=True)
class Contract:
    """What was understood and decided.

    lengths   of the training rows in windows: tokens of the median window, of the 95th percentile, of the longest
    seconds   a guess of the training time; None before a step was timed
    unknown   share of the training rows' tokens that the vocabulary has no piece for
    """

    data: Data
    start: Start
    recipe: FinetuneRecipe
    plan: Plan
    read: Coverage
    lengths: tuple[int, int, int]
    seconds: float | None = None
    unknown: float = 0.0

    def lines(self) -> list[str]:
        """For a human, about ten lines."""
        data, train = self.data, self.recipe.train
        told = list(data.tables["train"].lines())
        for name in ("dev", "test"):
            if name in data.tables:
                told.append(f"{data.tables[name].lines()[0]} ({name})")
        task, *labels = data.task.describe()
        told.append(f"{task} ({data.because})")
        told.extend(labels)
        told.append(f"split: {len(data.train):,} train, {len(data.dev):,} dev, {len(data.test):,} test; {data.cut}")
        for name, number in data.overlap.items():
            rows = len(data.dev if name == "dev" else data.test)
            told.append(f"overlap: {number:,} of {rows:,} texts of {name} stand in train too, its figures flatter")
        told.append(f"checks: {self.check_line()}")
        told.append(f"length: {self.length_line()}")
        if self.unknown >= MUCH_UNKNOWN:
            told.append(
                f"unknown: {self.unknown:.1%} of the tokens are [UNK], the model cannot read them; take another"
            )
        told.append(f"model: {self.start.describe()}")
        epochs = self.plan.epochs.done(self.plan.steps)
        grows = f" growing to {train.batch_most}" if train.batch_growth > 1 else ""
        updates = f"{self.plan.steps:,} updates of {train.batch_size}{grows} rows ({epochs:.3g} epochs)"
        rate = f"rate {train.lr:g} after {self.plan.warmup_steps:,} updates, then {THEN[train.schedule]}"
        first = self.recipe.auxiliary.first_steps
        updates = f"{first:,} updates of auxiliaries, then {updates}" if first else updates
        told.append(f"training: {updates}, {rate}; dev every {self.plan.evaluate_every:,}")
        told.extend(f"technique: {phrase}" for phrase in techniques(self.recipe))
        if self.seconds is not None:
            told.append(f"time: about {clock(self.seconds)} on this machine")
        return told

    def check_line(self) -> str:
        """What the cheap checks count, and the command that lists it."""
        copies, clashes = self.data.repeats
        empty = self.data.tables["train"].counted.get("an empty text", 0)
        counts = f"{copies:,} rows repeat an earlier text, {clashes:,} texts have several labels, {empty:,} are empty"
        return f"{counts}; `{self.inspect_command()}` lists them and more"

    def inspect_command(self) -> str:
        """`bertworks inspect` of the training file, read as the run reads it."""
        asked = self.recipe.data
        words = ["bertworks", "inspect", self.data.tables["train"].path]
        if asked.task is not None:
            words += ["--task", asked.task]
        if asked.columns:
            words += ["--columns", ",".join(f"{role}={quoted(name)}" for role, name in asked.columns.items())]
        if asked.encoding != "utf-8":
            words += ["--encoding", asked.encoding]
        return shlex.join(words)

    def length_line(self) -> str:
        """Tokens of the rows, and what becomes of those over a window."""
        median, most, longest = self.lengths
        share = self.read.long_rows / max(1, self.read.rows)
        seen = f"{self.read.share:.1%} of the words are read"
        what = {
            "windows": "read in overlapping windows",
            "truncate": "cut at the end",
            "head+tail": "cut in the middle",
        }[self.recipe.data.truncation]
        over = f"; {self.read.long_rows:,} rows ({share:.1%}) are longer and {what}" if self.read.long_rows else ""
        tokens = f"median {median}, 95% up to {most}, longest {longest}"
        return f"windows of at most {self.recipe.data.max_length} tokens; {tokens}{over}; {seen}"

    def to_json(self) -> dict[str, Any]:
        """For result.json."""
        data = self.data
        return {
            "task": data.task.name,
            "because": data.because,
            "columns": data.tables["train"].columns,
            "labels": {name: int(n) for name, n in zip(data.task.labels.names, data.task.labels.counts, strict=False)},
            "split": data.cut,
            "max_length": self.recipe.data.max_length,
            "long_rows": self.read.long_rows,
            "unknown": round(self.unknown, 6),
            "repeated_rows": self.data.repeats[0],
            "conflicting_texts": self.data.repeats[1],
            "overlap": data.overlap,
            "seconds_guessed": None if self.seconds is None else round(self.seconds, 1),
            "lines": self.lines(),
        }


MUCH_UNKNOWN = 0.02  # of the tokens; a vocabulary of the rows' language leaves far less


def unknown_share(windows: Sequence[Window], unknown: int) -> float:
    """Share of the tokens of windows that are [UNK], `unknown` being its id."""
    ids = np.concatenate([window.input_ids for window in windows])
    return float((ids == unknown).mean())


def window_facts(windows: Sequence[Window]) -> tuple[Coverage, tuple[int, int, int]]:
    """Coverage, and the median, 95th percentile and greatest number of tokens of a window."""
    lengths = np.array([len(window.input_ids) for window in windows])
    median, most = np.percentile(lengths, [50, 95])
    return coverage(windows), (int(median), int(most), int(lengths.max()))


def clock(seconds: float) -> str:
    """Seconds, minutes or hours, to two figures.

    >>> clock(412.0)
    '6.9 minutes'
    """
    for size, name in ((3600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.2g} {name}"
    return f"{seconds:.0f} seconds"
