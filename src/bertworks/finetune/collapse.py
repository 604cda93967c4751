"""A run that learnt nothing: one class for every row of dev, no better than knowing how frequent the classes are.

Small sets and high rates end there now and then (Mosbach et al. 2020 count such runs as failed). Such a run is begun
again with a lower rate and another seed, and it is said: on the way, in result.json and in log.txt.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from bertworks.base.files import read_json, remove, write_json
from bertworks.engine.run_directory import RunDirectory
from bertworks.finetune.setup import Prepared
from bertworks.tasks.labels import Labels
from bertworks.tasks.task import Task

log = logging.getLogger(__name__)

RESTARTS_FILE = "restarts.json"
LOWER = 0.5  # of the rate, at each restart
OTHER_SEED = 1_000_003  # added to the seed, far from those of a study
LEAST_UPDATES = 100  # a shorter run has not collapsed, it has hardly begun
NOTHING_LEARNT = 0.97  # of the entropy of the labels: a lower loss knows more than how frequent they are


def collapse(metrics: Sequence[Mapping[str, Any]], task: Task) -> str | None:
    """Why a run counts as collapsed; None where it does not, and for tasks whose loss is not that of single classes.

    metrics  lines of metrics.jsonl; those on dev have `loss`, in nats, and `labels_said`, distinct labels answered
    """
    is_plain = task.name == "classify" or (task.name == "tag" and task.settings()["decoder"] != "crf")
    evaluations = [line for line in metrics if line.get("split") == "dev"]
    is_long = bool(evaluations) and evaluations[-1]["step"] >= LEAST_UPDATES
    if not is_plain or not is_long or any(line["labels_said"] != 1 for line in evaluations):
        return None
    entropy = label_entropy(task.labels)
    best = min(math.inf if line["loss"] is None else line["loss"] for line in evaluations)
    if best < NOTHING_LEARNT * entropy:
        return None
    rows = "all its evaluations gave every row of dev one label"
    return f"{rows}, and the loss there never fell below {best:.3f} (guessing by frequency: {entropy:.3f})"


def label_entropy(labels: Labels) -> float:
    """Nats of the labels' frequencies in training; 0 where they were not counted."""
    total = sum(labels.counts)
    return -sum(count / total * math.log(count / total) for count in labels.counts if count)


def restarts(run: RunDirectory) -> list[dict[str, Any]]:
    """What made the run begin again so far."""
    path = run.path / RESTARTS_FILE
    found: list[dict[str, Any]] = read_json(path) if path.exists() else []
    return found


def begin_again(run: RunDirectory, prepared: Prepared, why: str) -> None:
    """Take away what the attempt left, then write down why; after a kill in between it is simply made once more."""
    train = prepared.recipe.train
    log.warning("the run collapsed: %s; it begins again with half the rate and another seed", why)
    remove(run.path / "checkpoints")
    run.rewind(0)
    write_json(run.path / RESTARTS_FILE, [*restarts(run), {"seed": train.seed, "lr": train.lr, "why": why}])


def attempted(prepared: Prepared, number: int) -> Prepared:
    """The run as its attempt `number` makes it, 0 being the first: as the recipe says."""
    train = prepared.recipe.train
    if not number:
        return prepared
    assert train.lr is not None
    changed = dataclasses.replace(train, seed=train.seed + number * OTHER_SEED, lr=train.lr * LOWER**number)
    recipe = dataclasses.replace(prepared.recipe, train=changed)
    return dataclasses.replace(prepared, recipe=recipe, contract=dataclasses.replace(prepared.contract, recipe=recipe))
