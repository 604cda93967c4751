"""A fine-tuning run from rows to model directory, top to bottom."""

from __future__ import annotations

import logging
import math
import os
import time
from pathlib import Path

from bertworks.base.errors import BertworksError
from bertworks.base.files import write_json
from bertworks.base.progress import Progress
from bertworks.base.recipe import to_toml
from bertworks.engine.log_file import logged_to
from bertworks.engine.run_directory import RunDirectory
from bertworks.engine.step import StepReport, train_step
from bertworks.engine.stopping import StopWish
from bertworks.finetune.auxiliary import means
from bertworks.finetune.batches import TrainingBatches
from bertworks.finetune.collapse import attempted, begin_again, collapse, restarts
from bertworks.finetune.data import Data
from bertworks.finetune.evaluate import Evaluation, evaluate
from bertworks.finetune.folds import folded, over_folds, read_rows
from bertworks.finetune.network import Network
from bertworks.finetune.objective import Batch
from bertworks.finetune.optimiser import gradient_change_of, optimiser_of, schedule_of
from bertworks.finetune.outcome import FinetuneResult, finish
from bertworks.finetune.pruning import Report
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.seeds import over_seeds
from bertworks.finetune.setup import Prepared, prepare_run
from bertworks.finetune.state import restore, save
from bertworks.finetune.study import Parts, study

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 120.0  # of work that a kill may cost at most, where the recipe does not say
MOST_BAD_STEPS = 3  # updates in a row that are not finite, then the run stops


def finetune(
    recipe: FinetuneRecipe,
    out: Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    data: Data | None = None,
    report: Report | None = None,
) -> FinetuneResult:
    """Adapt a model to rows and leave a run directory: best and last model, metrics, predictions, pictures, a card.

    data    rows already read; None reads the recipe's files
    report  called after every evaluation on dev of a single run; it may raise Pruned, which ends the run
    Raises BertworksError for rows or a start that do not fit, a run that may not be continued, or a loss that stays
    not finite.
    """
    if os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1"):
        raise BertworksError(
            "fine-tuning runs in one process, here WORLD_SIZE says several", "start it without torchrun"
        )
    prepared = prepare_run(recipe, read_rows(recipe) if data is None else folded(recipe, data))
    for line in prepared.contract.lines():
        log.info("%s", line)
    parts = parts_of(prepared)
    if parts is not None:
        return study(prepared, parts, out, run_one, resume=resume, overwrite=overwrite)
    return run_one(prepared, out, resume=resume, overwrite=overwrite, report=report)


def parts_of(prepared: Prepared) -> Parts | None:
    """The runs of a study; None where it is one run."""
    train = prepared.recipe.train
    if train.seeds > 1:
        return over_seeds(prepared)
    return over_folds(prepared) if train.folds is not None and train.fold is None else None


def run_one(
    prepared: Prepared, out: Path, *, resume: bool = True, overwrite: bool = False, report: Report | None = None
) -> FinetuneResult:
    """One run of one seed."""
    network = Network(prepared)  # before anything is written: weights may be broken
    recipe = to_toml(prepared.recipe)
    run = RunDirectory.open(out, recipe, resume=resume, overwrite=overwrite, reads=prepared.reads)
    handler = run.log_file()
    try:
        with logged_to(handler):
            for line in prepared.contract.lines():
                handler.handle(log.makeRecord(log.name, logging.INFO, __file__, 0, line, (), None))
            return attempts(prepared, run, network, report)
    finally:
        handler.close()
        run.close()


def attempts(prepared: Prepared, run: RunDirectory, network: Network, report: Report | None) -> FinetuneResult:
    """Train; where the run collapsed, again with a lower rate and another seed, as often as the recipe allows."""
    asked = prepared.recipe.train.seed
    while True:
        past = restarts(run)
        now = attempted(prepared, len(past))
        loop = Loop(now, run, Network(now) if past else network, report)
        stopped = loop.train()
        if stopped is not None:
            return FinetuneResult(run.path, {}, stopped)
        why = collapse(run.metrics(), now.data.task)
        if why is None or len(past) >= prepared.recipe.train.restarts:
            return FinetuneResult(run.path, finish(run, now, loop.state, seed=asked, collapsed=why))
        begin_again(run, now, why)


class Loop:
    """The training loop with what it needs on the way; `train` is the whole of it."""

    def __init__(self, prepared: Prepared, run: RunDirectory, network: Network, report: Report | None = None) -> None:
        train = prepared.recipe.train
        assert train.batch_size is not None
        self.prepared, self.run, self.settings, self.plan = prepared, run, train, prepared.plan
        self.network, self.report = network, report
        self.adam = network.learning.optimiser(
            network.parameters, eps=train.adam_epsilon, weight_decay=train.weight_decay
        )
        self.optimiser = optimiser_of(train, network.parameters, self.adam)
        self.change = gradient_change_of(train)
        self.batches = TrainingBatches(
            self.network.compact(prepared.windows),
            prepared.data.task,
            batch_size=train.batch_size,
            seed=train.seed,
            micro_batch_tokens=prepared.recipe.machine.micro_tokens,
            train_windows=prepared.recipe.data.train_windows,
            epochs=self.plan.epochs,
            draws=prepared.draws,
            words=self.network.changes,
        )
        self.first_steps = prepared.recipe.auxiliary.first_steps
        self.first_schedule = schedule_of(train, self.first_steps, math.ceil(train.warmup * self.first_steps))
        self.schedule = schedule_of(train, self.plan.steps, self.plan.warmup_steps)
        self.steps = self.first_steps + self.plan.steps
        self.state = restore(run, self.network, self.optimiser, prepared)

    def train(self) -> str | None:
        """Updates, evaluations, checkpoints, the last model; the signal's name where one cut the run short."""
        state = self.state
        began, before = time.monotonic(), state.seconds
        saved = began
        with StopWish() as wish, Progress(self.steps, "updates", "finetune", begun=state.step) as bar:
            while state.step < self.steps and wish.signal_name is None and not self._is_patience_over():
                report, lr = self._update()
                state.seconds = before + time.monotonic() - began
                bar.update(1, loss=report.loss)
                is_last = state.step == self.steps
                if state.step % self.settings.log_every == 0 or is_last:
                    self._log(lr)
                done = state.step - self.first_steps
                is_evaluated = (done > 0 and done % self.plan.evaluate_every == 0) or is_last
                if is_evaluated and self.prepared.data.dev:
                    self._evaluate()
                if not is_last and self._is_checkpoint_due(time.monotonic() - saved):
                    save(self.run, self.network, self.optimiser, self.prepared, state)
                    saved = time.monotonic()
        if wish.signal_name is not None and state.step < self.steps:
            save(self.run, self.network, self.optimiser, self.prepared, state)
            log.warning("stopped by %s at update %d; the same command goes on from there", wish.signal_name, state.step)
            return wish.signal_name
        self.network.save(self.run.path / "last")
        return None

    def _update(self) -> tuple[StepReport, float]:
        """One update, and its rate; the first ones may be of the auxiliaries alone."""
        state, device = self.state, self.prepared.machine.device
        alone = state.step < self.first_steps
        if state.step == self.first_steps > 0:  # the task begins with fresh moments, as in a run of its own
            for moments in self.optimiser.state().values():
                moments.zero_()
        step = state.step if alone else state.step - self.first_steps
        lr = (self.first_schedule if alone else self.schedule).lr(step)
        micro_batches = [batch.to(device) for batch in self._micro_batches(step, alone)]
        self.network.begin(step, self.adam)
        self.network.objective.look_ahead(micro_batches)
        report = train_step(
            micro_batches,
            self.network.objective.counts(micro_batches),
            self.network.objective,
            self.network.parameters,
            self.optimiser,
            lr=lr,
            max_grad_norm=self.settings.max_grad_norm,
            change=self.change,
            second_pass=self.network.second_pass,
        )
        self.network.updated(lr, report.finite, alone=alone)
        self._check_finite(report, step)
        state.step += 1
        state.tokens += sum(batch.tokens for batch in micro_batches)
        if report.finite:
            state.recent.append((report.loss, report.grad_norm))
            if self.network.auxiliaries is not None:
                state.parts.append(self.network.auxiliaries.told(report.losses))
        return report, lr

    def _micro_batches(self, step: int, alone: bool) -> list[Batch]:
        """Of the task, unless the auxiliaries learn alone; and of texts, unless they have learnt before."""
        made: list[Batch] = [] if alone else [*self.batches.micro_batches(step)]
        if self.network.further is not None and (alone or not self.first_steps):
            texts = [window for _, _, window in self.batches.texts_of(step)]
            made += self.network.further.micro_batches(texts, step)
        return made

    def _evaluate(self) -> None:
        found: Evaluation = evaluate(self.network, self.prepared)
        metric = self.prepared.metric
        state, value = self.state, found.metrics[metric]
        is_best = state.best_step == 0 or (value, -found.loss) > (state.best[0], -state.best[1])  # ties: the lower loss
        state.stale = 0 if is_best else state.stale + 1
        figures = f"dev {metric} {value:.4f}, loss {found.loss:.4f}{' (best so far)' if is_best else ''}"
        log.info("update %d of %d: %s", state.step, self.steps, figures)
        where = {"step": state.step, "split": "dev", "epoch": self._epoch()}
        self.run.record({**where, **found.metrics, "loss": found.loss, "labels_said": found.labels_said})
        if is_best:
            state.best, state.best_step = (value, found.loss), state.step
            self.network.save(self.run.path / "best")
        if self.report is not None:
            self.report(state.step, self.plan.steps, value)

    def _is_patience_over(self) -> bool:
        return self.settings.patience is not None and self.state.stale >= self.settings.patience

    def _is_checkpoint_due(self, seconds: float) -> bool:
        every = self.settings.checkpoint_every
        return seconds >= CHECKPOINT_SECONDS if every is None else self.state.step % every == 0

    def _epoch(self) -> float:
        done, first = self.state.step, self.first_steps
        return round(self.plan.epochs.done(done if done <= first else done - first), 4)

    def _log(self, lr: float) -> None:
        state = self.state
        losses, norms = [loss for loss, _ in state.recent], [norm for _, norm in state.recent]
        self.run.record(
            {
                "step": state.step,
                "tokens": state.tokens,
                "epoch": self._epoch(),
                "loss": math.fsum(losses) / len(losses) if losses else None,
                **means(state.parts),
                "lr": lr,
                "grad_norm": max(norms, default=None),
                "tokens_per_second": round(state.tokens / max(state.seconds, 1e-9), 1),
                "seconds": round(state.seconds, 2),
            }
        )
        state.recent.clear()
        state.parts.clear()

    def _check_finite(self, report: StepReport, at: int) -> None:
        """Count updates that were left out; after some in a row stop, with the rows written down."""
        if report.finite:
            self.state.bad_steps = 0
            return
        self.state.bad_steps += 1
        step = self.state.step
        write_json(self.run.path / "bad-samples.json", {"step": step, "rows": self.batches.rows_of(at).tolist()})
        log.warning("update %d: loss or gradient is not finite, no update; its rows are in bad-samples.json", step)
        if self.state.bad_steps >= MOST_BAD_STEPS:
            raise BertworksError(
                f"{self.run.path}: {self.state.bad_steps} updates in a row not finite, last at update {step}",
                "its rows are in bad-samples.json; lower `train.lr` or lengthen `train.warmup`",
                exit_code=1,
            )
