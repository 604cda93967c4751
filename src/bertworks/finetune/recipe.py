"""The recipe of a fine-tuning run: the only place where its defaults are written.

`None` means "chosen for this data and this model" (sizes.py); the choice is printed before training and stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from bertworks.base.places import PRESET
from bertworks.base.recipe import Problem, setting
from bertworks.tasks.task import TaskName


@dataclass(frozen=True)
class ModelRecipe:
    """Where the weights come from."""

    start: str = "bertworks-mini"  # run, model directory, packaged name, or preset:NAME (random weights)
    vocab: str | None = None  # folder or vocab.txt: needed by a preset, else the one saved with the checkpoint
    dropout: float | None = setting(None, ge=0, lt=1)  # hidden, attention, classifier; none = as the checkpoint says


@dataclass(frozen=True)
class DataRecipe:
    """Which rows are read, how they are split, and how they become windows."""

    train: str = ""  # file of rows
    dev: str | None = None  # none = a part of train is held out
    test: str | None = None  # opened once, after training
    task: TaskName | None = None  # none = told by the columns and the labels
    scheme: Literal["bio", "bioes", "bilou", "bmes"] | None = None  # of tags, to learn and answer in; none = as written
    decoder: Literal["viterbi", "argmax", "crf"] = "viterbi"  # of tags: the likeliest legal ones; each word's; a CRF's
    context: int = setting(0, ge=0)  # of tags: tokens of the document read before a row and after it; 64 is usual
    columns: dict[str, str] = field(default_factory=dict)  # role -> column name, beside the names known by themselves
    encoding: str = "utf-8"  # of text files; UTF-16 is known by its first bytes
    max_length: int | None = setting(None, ge=8)  # of a window; none = the model's positions, at most 512
    truncation: Literal["windows", "truncate", "head+tail"] = "windows"  # of a text longer than a window
    train_windows: int = setting(8, ge=1)  # of one row in one update; longer rows show other ones every epoch
    dev_share: float = setting(0.1, ge=0, lt=1)  # of train, without a dev file; 0 = no dev, the last model counts
    split_seed: int = setting(0, ge=0, lt=2**63)  # apart from train.seed: all seeds of a study share one split


@dataclass(frozen=True)
class TrainRecipe:
    """How the weights move."""

    steps: int | None = setting(None, ge=1)  # updates; none = from epochs
    epochs: float | None = setting(None, gt=0)  # none = by the number of rows
    lr: float | None = setting(None, gt=0)  # peak; none = by the size of the encoder
    batch_size: int | None = setting(None, ge=1)  # rows an update; none = 32, or 16 below 1,000 rows
    warmup: float = setting(0.1, ge=0, le=1)  # share of the steps; then linear to 0
    weight_decay: float = setting(0.01, ge=0)  # not on biases and layer norms
    adam_epsilon: float = setting(1e-8, gt=0)  # as torch; the 2018 release had 1e-6
    max_grad_norm: float = setting(1.0, ge=0)  # 0 = no clipping
    seed: int = setting(0, ge=0, lt=2**63)
    seeds: int = setting(1, ge=1)  # runs with seed, seed + 1, …; mean and spread are reported
    evaluations: int | None = setting(None, ge=1)  # on dev, an epoch; none = 3 while they cost little, 30 in all
    patience: int | None = setting(None, ge=1)  # stop after so many evaluations without a better one; none = never
    calibrate: bool = False  # a temperature chosen on dev goes into the classifier; classes and labels only
    metric: str | None = None  # what "best" means; none = the task's own
    checkpoint_every: int | None = setting(None, ge=1)  # steps; none = about every 2 minutes
    log_every: int = setting(10, ge=1)  # steps


@dataclass(frozen=True)
class MachineRecipe:
    """What the run may use; none of it is part of what a resumed run must agree on."""

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    micro_tokens: int = setting(2048, ge=1)  # places of rows computed at a time; the update does not depend on it
    threads: int | None = setting(None, ge=1, le=1024)  # none = all cores
    keep_memory: bool = True  # the allocator setting that avoids page faults on glibc


@dataclass(frozen=True)
class FinetuneRecipe:
    """One fine-tuning run, or one study over seeds."""

    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    train: TrainRecipe = field(default_factory=TrainRecipe)
    machine: MachineRecipe = field(default_factory=MachineRecipe)

    def problems(self) -> Iterable[Problem]:
        """What the sections must agree on."""
        if self.train.steps is not None and self.train.epochs is not None:
            what = "`steps` and `epochs` are both given"
            yield Problem("train.steps", what, "one of them ends the run; leave the other out")
        if self.model.start.startswith(PRESET) and self.model.vocab is None:
            what = f"`{self.model.start}` has no vocabulary of its own"
            yield Problem("model.vocab", what, "name one: `--vocab DIR`")
        if self.data.dev is None and self.data.dev_share == 0 and self.train.patience is not None:
            yield Problem("train.patience", "early stopping needs a dev set", "give `--dev F`, or a dev_share above 0")
