"""Switches of a recipe by their keys: which tasks have them, and which of them are on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from bertworks.base.errors import BertworksError
from bertworks.base.recipe import Problem, differences, value
from bertworks.tasks.names import TaskName

TAGS = ("tag", "intent-slots")
CLASSES = ("classify", "labels", *TAGS)
SENTENCES = ("classify", "labels", "score")
ONE_READING = (*CLASSES, "score", "qa", "embed", "rerank")


@dataclass(frozen=True)
class Switch:
    """A key that some tasks have no use for.

    tasks  that have it
    why    what the others lack, after "task X …"
    """

    key: str
    tasks: tuple[str, ...]
    why: str


SWITCHES = (
    Switch("data.truncation", tuple(name for name in get_args(TaskName) if name != "qa"), "always reads windows"),
    Switch("data.scheme", TAGS, "has no tags"),
    Switch("data.decoder", TAGS, "has no tags"),
    Switch("data.context", TAGS, "has no tags"),
    Switch("data.oversample", CLASSES, "has no classes to draw by"),
    Switch("data.mask_words", ONE_READING, "reads its text beside each option, where other words would be masked"),
    Switch("data.replace_words", SENTENCES, "has answers that hang on single words"),
    Switch("model.prior_bias", ("classify", "labels", "tag"), "has no classifier of frequent and rare classes"),
    Switch("loss.class_weights", CLASSES, "has no classes to weigh"),
    Switch("loss.focal_gamma", (*CLASSES, "qa"), "learns by its plain loss only"),
    Switch("loss.logit_adjustment", CLASSES, "has no classes with shares of the rows"),
    Switch("loss.label_smoothing", (*CLASSES, "qa"), "learns by its plain loss only"),
)
"""Keys that are refused for other tasks than theirs."""

TECHNIQUES = (
    "model.prior_bias",
    "data.oversample",
    "data.mask_words",
    "data.replace_words",
    "loss.class_weights",
    "loss.focal_gamma",
    "loss.logit_adjustment",
    "loss.label_smoothing",
    "train.batch_growth",
    "train.schedule",
    "train.l2",
    "train.gradient_scale",
    "train.gradient_ema",
    "train.update_cap",
)
"""Keys told in the contract and the model card where they are not at their defaults."""


def unfit(recipe: object, task: str) -> Iterator[Problem]:
    """A problem for each switch that is set although the task has no use for it."""
    changed = set(differences(recipe))
    for switch in SWITCHES:
        if switch.key in changed and task not in switch.tasks:
            what = f"`{switch.key.rpartition('.')[2]}` is set, but task {task} {switch.why}"
            yield Problem(switch.key, what, f"leave it out; it is for {', '.join(switch.tasks)}")


def check_fit(recipe: object, task: str) -> None:
    """Raise BertworksError for the first of `unfit`."""
    for problem in unfit(recipe, task):
        raise BertworksError(f"{problem.key}: {problem.what}", problem.hint)


def named_switches(recipe: object) -> list[str]:
    """Those of TECHNIQUES that are on, as `focal_gamma 2`; their sections are left out, no two keys are alike."""
    changed = set(differences(recipe))
    return [f"{key.rpartition('.')[2]} {_told(value(recipe, key))}" for key in TECHNIQUES if key in changed]


def _told(setting: object) -> str:
    if isinstance(setting, dict):
        return " ".join(f"{name}={weight:g}" for name, weight in setting.items())
    return f"{setting:g}" if isinstance(setting, float) else str(setting)
