"""Everything a run needs before its first update: machine, rows, start, windows, and what the recipe left open."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bertworks.base.errors import BertworksError
from bertworks.engine.matmul_rate import matmul_rate
from bertworks.engine.memory import keep_memory
from bertworks.engine.precision import choose_device, choose_dtype
from bertworks.finetune.auxiliary import check_auxiliaries
from bertworks.finetune.calibration import check_calibrate
from bertworks.finetune.classes import Draws, classes_of
from bertworks.finetune.contract import MUCH_UNKNOWN, Contract, unknown_share, window_facts
from bertworks.finetune.data import Data
from bertworks.finetune.recipe import AuxiliaryRecipe, FinetuneRecipe, LossRecipe, MachineRecipe
from bertworks.finetune.sizes import Plan, layer_parameters, plan_of, resolve
from bertworks.finetune.start import Start, find_start
from bertworks.finetune.substitutes import guesser
from bertworks.finetune.switches import check_fit
from bertworks.finetune.techniques import check_techniques
from bertworks.finetune.training_loss import LossSum, frame_loss, training_loss
from bertworks.tasks.intent_slots import FrameTask
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.task import Row, Window

log = logging.getLogger(__name__)

LEARNT_ROLES = (
    "text",
    "sentence1",
    "sentence2",
    "tokens",
    "document",
    "label",
    "label_text",
    "score",
    "tags",
    "spans",
    "question",
    "context",
    "answers",
    "choices",
    "negative",
)
TRAINING_EFFICIENCY = 0.5  # of the matrix rate that a step of short texts reaches (docs/performance.md)


@dataclass(frozen=True)
class Machine:
    """Where and in which precision the run computes."""

    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to begin.

    recipe       with nothing left open
    windows      of each training row
    draws        how often an epoch draws each training row; None = once
    loss_sum     what training minimises
    dev_windows  of all dev rows
    fingerprint  of all rows, as a checkpoint must find them again
    """

    recipe: FinetuneRecipe
    machine: Machine
    data: Data
    start: Start
    plan: Plan
    windows: list[list[Window]]
    dev_windows: list[Window]
    contract: Contract
    fingerprint: str
    draws: Draws | None
    loss_sum: LossSum

    @property
    def reads(self) -> list[Path]:
        """The files that the run reads."""
        data = self.recipe.data
        files = [Path(name) for name in (data.train, data.dev, data.test, self.recipe.model.vocab) if name]
        return [*files, *([] if self.start.path is None else [self.start.path])]

    @property
    def metric(self) -> str:
        """What "best" means."""
        return self.recipe.train.metric or self.data.task.metrics[0]


def prepare_run(recipe: FinetuneRecipe, data: Data) -> Prepared:
    """Look at the start, encode the training rows, and settle what the recipe left open.

    Raises BertworksError for a start that is not there or does not fit, and for a metric or a switch that the task
    does not have.
    """
    machine = use_machine(recipe.machine)
    start = find_start(recipe.model)
    check_metric(recipe, data)
    check_fit(recipe, data.task.name)
    check_techniques(recipe, start.config, data.task)
    check_auxiliaries(recipe.auxiliary, start, data.task)
    if recipe.data.replace_words:
        guesser(start)  # refused before anything is written
    if recipe.train.calibrate:
        check_calibrate(data.task, len(data.dev))
    recipe = resolve(recipe, start.config, is_random=start.is_random, rows=len(data.train), dev_rows=len(data.dev))
    plan = plan_of(recipe, len(data.train))
    assert recipe.data.max_length is not None
    flat = data.task.windows(data.train, start.tokenizer, recipe.data.max_length)
    read, lengths = window_facts(flat)
    seconds = guessed_seconds(start, plan, flat, len(data.dev) / len(data.train), recipe.auxiliary)
    unknown = unknown_share(flat, start.tokenizer.unk_token_id)
    contract = Contract(data, start, recipe, plan, read, lengths, seconds, unknown)
    if unknown >= MUCH_UNKNOWN:
        log.warning("%.1f%% of the tokens are unknown to the vocabulary of %s", 100 * unknown, start.name)
    dev_windows = data.task.windows(data.dev, start.tokenizer, recipe.data.max_length)
    windows = by_row(flat, len(data.train))
    draws, loss_sum = shaped(recipe, data, windows)
    return Prepared(
        recipe, machine, data, start, plan, windows, dev_windows, contract, fingerprint(data), draws, loss_sum
    )


def shaped(recipe: FinetuneRecipe, data: Data, windows: Sequence[Sequence[Window]]) -> tuple[Draws | None, LossSum]:
    """How often each row is drawn, and the loss; weights and priors are of the rows as they are drawn."""
    if recipe.loss == LossRecipe() and not recipe.data.oversample:
        return None, data.task.loss_sum
    if not data.task.labels.names:
        return None, training_loss(data.task, recipe.loss, np.empty(0), len(windows))
    task = data.task
    classes = classes_of(windows, len(task.labels.names), of_tags=isinstance(task, TagTask))
    draws = classes.draws(recipe.data.oversample) if recipe.data.oversample else None
    shares = None if draws is None else draws.shares
    counts = classes.counts(shares)
    if isinstance(task, FrameTask):
        slots = classes_of(windows, task.slots.num_outputs, of_tags=True).counts(shares)
        return draws, frame_loss(task, recipe.loss, counts, slots)
    rows = counts.sum() if isinstance(task, TagTask) else len(windows)
    return draws, training_loss(task, recipe.loss, counts, rows)


def use_machine(recipe: MachineRecipe) -> Machine:
    """Set threads and allocator; choose device and precision, and say why."""
    if recipe.keep_memory:
        keep_memory()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    device = choose_device(recipe.device)
    dtype, why = choose_dtype(recipe.dtype, device)
    log.info("computing in %s", why)
    return Machine(device, dtype)


def check_metric(recipe: FinetuneRecipe, data: Data) -> None:
    """Raise BertworksError where `train.metric` is none of the task's."""
    asked = recipe.train.metric
    known = data.task.metrics
    if asked is not None and asked not in known:
        raise BertworksError(f"metric `{asked}` is not of the task {data.task.name}", f"metrics: {', '.join(known)}")


def by_row(windows: Sequence[Window], rows: int) -> list[list[Window]]:
    """The windows of each row."""
    grouped: list[list[Window]] = [[] for _ in range(rows)]
    for window in windows:
        grouped[window.row].append(window)
    return grouped


def guessed_seconds(
    start: Start, plan: Plan, windows: Sequence[Window], dev_share: float, auxiliary: AuxiliaryRecipe
) -> float:
    """Training and evaluation time from the number of products and this machine's matrix rate, measured in 0.1 s.

    dev_share  rows of dev over rows of train
    """
    tokens = sum(len(window.input_ids) for window in windows)  # an epoch
    flops = 2.0 * layer_parameters(start.config)  # a token forward; backward takes twice that
    evaluations = plan.steps / plan.evaluate_every
    passes = plan.epochs.done(plan.steps)  # through the rows; masked tokens and pairs read them once more each
    passes += ((auxiliary.mlm > 0) + (auxiliary.nsp > 0)) * plan.epochs.done(auxiliary.first_steps or plan.steps)
    work = flops * tokens * (3 * passes + evaluations * dev_share)
    width = start.config.hidden_size
    return work / (matmul_rate(1024, width, 4 * width) * TRAINING_EFFICIENCY)


def fingerprint(data: Data) -> str:
    """Hex digest of all rows of train, dev and test, in order."""
    digest = blake2b(digest_size=16)
    for rows in (data.train, data.dev, data.test):
        for row in rows:
            digest.update(repr(sorted(plain_row(row).items())).encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.hexdigest()


def plain_row(row: Row) -> dict[str, Any]:
    """The roles of a row that learning depends on."""
    return {role: row[role] for role in LEARNT_ROLES if role in row}
