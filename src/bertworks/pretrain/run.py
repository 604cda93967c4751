"""A pre-training run from corpus to model directory, top to bottom."""

import logging
import math
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bertworks.base.errors import BertworksError
from bertworks.base.files import write_json
from bertworks.base.progress import Progress
from bertworks.base.recipe import to_toml
from bertworks.corpus.open import Corpus
from bertworks.engine.checkpoint import save_checkpoint
from bertworks.engine.curves import draw_curves
from bertworks.engine.log_file import WaitingLog, logged_to
from bertworks.engine.memory import keep_memory
from bertworks.engine.optimiser import Optimiser
from bertworks.engine.parameters import FlatParameters
from bertworks.engine.precision import choose_device, choose_dtype
from bertworks.engine.ranks import Ranks
from bertworks.engine.run_directory import RunDirectory
from bertworks.engine.schedule import Schedule
from bertworks.engine.step import StepReport, train_step
from bertworks.engine.stopping import StopWish
from bertworks.model.bert import BertForPreTraining
from bertworks.model.pretrained import save_pretrained
from bertworks.pretrain.batches import MicroBatch, micro_batches
from bertworks.pretrain.evaluate import bits_per_byte, evaluate, evaluation_batches, unigram_log_probs
from bertworks.pretrain.objective import Objective, target_counts
from bertworks.pretrain.recipe import PretrainRecipe
from bertworks.pretrain.samples import Samples
from bertworks.pretrain.setup import (
    build_dropout,
    build_model,
    build_optimiser,
    count_first_weights,
    named_corpus,
    open_samples,
    restore,
    run_length,
    wants_counts,
)
from bertworks.pretrain.state import Cursor, Lately, State
from bertworks.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PretrainResult:
    """How a call of `pretrain` ended.

    figures  of the last evaluation
    stopped  the signal that cut it short, or None
    rank     of several processes; the first one tells what came out
    """

    run: Path
    steps: int
    figures: dict[str, float]
    stopped: str | None = None
    rank: int = 0


def pretrain(recipe: PretrainRecipe, out: Path, *, resume: bool = True, overwrite: bool = False) -> PretrainResult:
    """Train a BERT on a corpus and leave a run directory: checkpoints, metrics, curves, `best/` and `last/` models.

    Raises BertworksError for a corpus that does not fit the recipe, a run that may not be continued, or a loss that
    stays not finite.
    """
    ranks = Ranks.from_environment()
    if not ranks.is_first:
        logging.getLogger("bertworks").setLevel(logging.ERROR)
        return run_on(recipe, out, ranks, resume=resume, overwrite=overwrite)
    waiting = WaitingLog()
    try:
        with logged_to(waiting):
            return run_on(recipe, out, ranks, resume=resume, overwrite=overwrite, waiting=waiting)
    finally:
        waiting.close()


def run_on(
    recipe: PretrainRecipe,
    out: Path,
    ranks: Ranks,
    *,
    resume: bool,
    overwrite: bool,
    waiting: WaitingLog | None = None,
) -> PretrainResult:
    """One rank of the run. waiting: of the first rank, what is to be written to log.txt when there is a folder."""
    if recipe.machine.keep_memory:
        keep_memory()
    if recipe.machine.threads:
        torch.set_num_threads(recipe.machine.threads)
    device = choose_device(recipe.machine.device)
    dtype, why = choose_dtype(recipe.machine.dtype, device)
    log.info("computing in %s", why)

    corpus = named_corpus(recipe)
    tokenizer = corpus.tokenizer()
    train, heldout, heldout_text = open_samples(recipe, corpus, tokenizer)
    unigram = unigram_log_probs(corpus, train.documents)
    model = build_model(recipe, tokenizer, unigram)
    parameters = FlatParameters(model, dtype, device, is_hidden=lambda name: ".layers." in name)
    optimiser = build_optimiser(recipe, parameters)
    objective = Objective(model, build_dropout(recipe, dtype, device), direct=True)

    run = RunDirectory(out)
    if ranks.is_first:
        run = RunDirectory.open(out, to_toml(recipe), resume=resume, overwrite=overwrite, reads=inputs_of(recipe))
    if waiting is not None:
        waiting.write_to(run.log_file())
    ranks.wait()
    try:
        state = restore(run, parameters, optimiser, corpus, tokenizer)
        if wants_counts(recipe) and state.cursor.step == 0:
            count_first_weights(model, parameters, corpus, train, ranks)
        total, unit = run_length(recipe, train)
        settings = recipe.train
        schedule = Schedule(settings.schedule, settings.lr, total, settings.warmup * total, settings.cooldown * total)
        trials = evaluation_batches(heldout, settings.evaluation_tokens, recipe.machine.micro_tokens)
        parts = (corpus, tokenizer, model, parameters, optimiser, unigram, trials, heldout_text, state)
        return Loop(recipe, run, ranks, device, *parts).train(train, objective, schedule, total, unit)
    finally:
        run.close()


def inputs_of(recipe: PretrainRecipe) -> list[str]:
    """The folders that a run reads."""
    return [name for name in (recipe.data.corpus, recipe.data.heldout, recipe.model.origin) if name]


class Loop:
    """The training loop with what it needs on the way; `train` is the whole of it."""

    def __init__(
        self,
        recipe: PretrainRecipe,
        run: RunDirectory,
        ranks: Ranks,
        device: torch.device,
        corpus: Corpus,
        tokenizer: Tokenizer,
        model: BertForPreTraining,
        parameters: FlatParameters,
        optimiser: Optimiser,
        unigram: NDArray[np.float64],
        trials: list[MicroBatch],
        heldout_text: tuple[int, int],
        state: State,
    ) -> None:
        self.recipe, self.run, self.ranks, self.device = recipe, run, ranks, device
        self.corpus, self.tokenizer, self.model = corpus, tokenizer, model
        self.parameters, self.optimiser = parameters, optimiser
        self.unigram, self.trials, self.heldout_text = unigram, trials, heldout_text
        self.state = state

    def train(
        self, samples: Samples, objective: Objective, schedule: Schedule, total: float, unit: str
    ) -> PretrainResult:
        """Update until `total` units are behind or a signal comes; log, evaluate and save on the way."""
        settings, cursor = self.recipe.train, self.state.cursor
        began, before = time.monotonic(), cursor.seconds
        shown = None if self.ranks.is_first else False
        bar = Progress(int(total), unit, "pretrain", enabled=shown, begun=int(cursor.done(unit)))
        stopped = 0
        with StopWish() as wish:
            while cursor.done(unit) < total and not stopped:
                batch = samples.batch(cursor.epoch, cursor.batch, settings.batch_tokens)
                pieces = micro_batches(batch, settings.length, self.recipe.machine.micro_tokens, self.ranks)
                objective.step = cursor.step
                lr = schedule.lr(cursor.done(unit))
                self.model.train()
                report = train_step(
                    [piece.to(self.device) for piece in pieces],
                    target_counts(pieces),
                    objective,
                    self.parameters,
                    self.optimiser,
                    lr=lr,
                    max_grad_norm=settings.max_grad_norm,
                    ranks=self.ranks,
                )
                self._check_finite(report, cursor, [sample.index for sample in batch])
                tokens = sum(len(sample.input_ids) for sample in batch)
                cursor.advance(tokens, samples.number_of_batches(cursor.epoch, settings.batch_tokens))
                stopped, cursor.seconds = self.ranks.agree(wish.signal_number, before + time.monotonic() - began)
                bar.update(int(cursor.done(unit)) - bar.done, loss=report.loss)
                self.state.lately.add(tokens, report)
                is_last = cursor.done(unit) >= total
                if cursor.step % settings.log_every == 0 or is_last:
                    self._log(lr)
                if cursor.step % settings.evaluate_every == 0 or is_last:
                    self._evaluate()
                if cursor.step % settings.checkpoint_every == 0 or is_last or stopped:
                    self._save()
        bar.close()
        if cursor.done(unit) < total:
            name = signal.Signals(stopped).name
            log.warning("stopped by %s at step %d; the same command goes on from there", name, cursor.step)
            return PretrainResult(self.run.path, cursor.step, self.state.figures, name, self.ranks.rank)
        self._finish()
        return PretrainResult(self.run.path, cursor.step, self.state.figures, rank=self.ranks.rank)

    def _check_finite(self, report: StepReport, cursor: Cursor, sample_indexes: list[int]) -> None:
        """Count updates that were left out; after `max_bad_steps` in a row stop, with the samples written down."""
        if report.finite:
            cursor.bad_steps = 0
            return
        cursor.bad_steps += 1
        place = {"step": cursor.step, "epoch": cursor.epoch, "batch": cursor.batch, "samples": sample_indexes}
        log.warning("step %d: loss or gradient is not finite, no update; samples in bad-samples.json", cursor.step)
        if self.ranks.is_first:
            write_json(self.run.path / "bad-samples.json", place)
        if cursor.bad_steps >= self.recipe.train.max_bad_steps:
            latest = self.run.latest()
            stands = f"the last good checkpoint is {latest.path}" if latest else "no checkpoint was saved before"
            raise BertworksError(
                f"{self.run.path}: {cursor.bad_steps} updates in a row not finite, last at step {cursor.step}",
                f"sample ids are in bad-samples.json; lower `train.lr` or lengthen `train.warmup`; {stands}",
                exit_code=1,
            )

    def _log(self, lr: float) -> None:
        cursor = self.state.cursor
        place = {"step": cursor.step, "tokens": cursor.tokens, "epoch": cursor.epoch, "lr": lr}
        if self.ranks.is_first:
            self.run.record({**place, **self.state.lately.figures(), "seconds": round(cursor.seconds, 2)})
        self.state.lately = Lately()

    def _evaluate(self) -> None:
        if not self.trials:
            return
        cursor = self.state.cursor
        figures = evaluate(self.model, self.trials, self.unigram, self.device)
        figures["bits_per_byte"] = bits_per_byte(figures["mlm_loss"], *self.heldout_text)
        figures["loss"] = figures["mlm_loss"] + figures.get("nsp_loss", 0.0)
        if not math.isfinite(figures["loss"]):
            raise BertworksError(
                f"{self.run.path}: the held-out loss is not a number at step {cursor.step}, the weights are spoilt",
                "lower `train.lr`, or lengthen `train.warmup`",
                exit_code=1,
            )
        self.state.figures = figures
        log.info(
            "step %d, %.2f M tokens: held-out mlm loss %.3f (%.2f %s unigram), accuracy %.3f%s",
            cursor.step,
            cursor.tokens / 1e6,
            figures["mlm_loss"],
            abs(figures["below_unigram"]),
            "below" if figures["below_unigram"] >= 0 else "above",
            figures["mlm_accuracy"],
            f", nsp accuracy {figures['nsp_accuracy']:.3f}" if "nsp_accuracy" in figures else "",
        )
        if self.ranks.is_first:
            self.run.record({"step": cursor.step, "tokens": cursor.tokens, "split": "heldout", **figures})
            if figures["loss"] < self.state.best:
                self._save_model("best")
        self.state.best = min(self.state.best, figures["loss"])

    def _save_model(self, name: str) -> None:
        """Write `best/` or `last/`, a Hugging Face directory in float32, with what `bertworks.json` says of it."""
        segments, length = self.recipe.data.segments, self.recipe.train.length
        described = {"format": 1, "task": "pretrain", "segments": segments, "max_length": length}

        def add_files(folder: Path) -> None:
            self.tokenizer.save(folder)
            write_json(folder / "bertworks.json", described)

        model = self.parameters.exact_copy(self.model)
        save_pretrained(model, self.run.path / name, also=add_files, overwrite=True)

    def _save(self) -> None:
        if self.ranks.is_first:
            state = {
                **self.state.to_json(),
                "tokenizer": self.tokenizer.fingerprint,
                "corpus": self.corpus.fingerprint,
            }
            model = self.parameters.named(self.parameters.masters)
            save_checkpoint(self.run.path, self.state.cursor.step, model, self.optimiser.state(), state)
        self.ranks.wait()

    def _finish(self) -> None:
        if not self.ranks.is_first:
            return
        cursor, figures = self.state.cursor, self.state.figures
        self._save_model("last")
        draw_curves(
            self.run.metrics(),
            self.run.path / "curves.png",
            names=["mlm_loss", "nsp_loss"],
            title=f"pre-training, {cursor.tokens / 1e6:.1f} M tokens in {cursor.seconds / 60:.1f} minutes",
            floor=figures.get("unigram_entropy"),
        )
        self.run.finish(
            {
                "task": "pretrain",
                "steps": cursor.step,
                "tokens": cursor.tokens,
                "seconds": round(cursor.seconds, 1),
                "metrics": {"heldout": figures},
            }
        )
