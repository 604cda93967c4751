"""The trials of a search in an Optuna study on disk: what the next one tries, which ends early, what each was worth.

A trial's settings are a function of the seed, its number and the trials before it, so a search that was killed goes on
to the same trials. TPE: Bergstra et al. 2011; median rule: Golovin et al. 2017, section 3.2.1, `median stopping`.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Literal

from bertworks.base.errors import BertworksError
from bertworks.base.randomness import generator
from bertworks.finetune.pruning import Pruned, Report
from bertworks.finetune.search_space import Range, Space, Value

try:
    import optuna
    from optuna.trial import FrozenTrial, Trial, TrialState
except ImportError as error:
    raise BertworksError("a search needs optuna, which is not installed", 'pip install "bertworks[hpo]"') from error

log = logging.getLogger(__name__)

State = Literal["complete", "pruned", "failed", "running"]
STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "running",
}
PARTS = 10  # of a run, by which trials are compared: they differ in updates and in evaluations
STARTUP, WARMUP = 5, 3  # trials, and parts of a run, before any is pruned


class Trials:
    """The study of one search, open until `close`."""

    def __init__(self, path: Path, space: Space, seed: int, *, prune: bool = True) -> None:
        """Open or begin the study in the SQLite file `path`. Raises BertworksError where the file is no study."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.seed = space, seed
        try:
            self._storage = optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")
        except Exception as error:  # of the database, whatever it is
            raise BertworksError(f"{path}: is no study, {error}", "begin anew with `--overwrite`") from error
        pruner = optuna.pruners.MedianPruner(STARTUP, WARMUP) if prune else optuna.pruners.NopPruner()
        self._study = optuna.create_study(
            storage=self._storage, pruner=pruner, study_name="search", direction="maximize", load_if_exists=True
        )
        self._open: dict[int, Trial] = {}

    def close(self) -> None:
        """Let go of the file."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def is_done(self, number: int) -> bool:
        """Whether a trial came to an end, a good one or not."""
        found = self._trials()
        return number < len(found) and found[number].state.is_finished()

    def state(self, number: int) -> State:
        """How a trial stands."""
        return STATES[self._trials()[number].state]

    def begin(self, number: int) -> dict[str, Any]:
        """What a trial tries, dotted key -> value; one that was cut short tries the same again."""
        self._study.sampler = self._sampler(number)
        found = self._trials()
        trial = Trial(self._study, found[number]._trial_id) if number < len(found) else self._study.ask()
        self._open[number] = trial
        return {key: suggested(trial, key, one) for key, one in self.space.tried.items()}

    def report_of(self, number: int) -> Report:
        """What the run of a trial calls after each evaluation; it raises Pruned where the run is not worth more."""
        trial = self._open[number]
        known = dict(self._trials()[number].intermediate_values)

        def report(step: int, steps: int, value: float) -> None:
            now = PARTS * step // steps
            last = known[max(known)] if known else value
            for part in range(max(known, default=now - 1) + 1, now + 1):  # a part without an evaluation: as before it
                known[part] = value if part == now else last
                trial.report(known[part], part)
            if known and trial.should_prune():
                raise Pruned

        return report

    def complete(self, number: int, content: dict[str, Any]) -> None:
        """A run ended; `content` of its result.json."""
        trial = self._open[number]
        value = content["mean"]["dev"][content["metric"]]
        trial.set_user_attr("seconds", content["seconds"])
        trial.set_user_attr("best_step", content["best_step"])
        self._tell(number, TrialState.COMPLETE, value)

    def end(self, number: int, state: Literal["pruned", "failed"], why: str) -> None:
        """A run did not come to its end."""
        if why:
            self._open[number].set_user_attr("why", why)
        self._tell(number, TrialState.PRUNED if state == "pruned" else TrialState.FAIL, None)

    def told(self) -> list[dict[str, Any]]:
        """The trials, for result.json."""
        return [told_of(one) for one in self._trials()]

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _tell(self, number: int, state: TrialState, value: float | None) -> None:
        try:
            self._study.tell(self._open[number], value, state=state)
        except RuntimeError:  # Optuna's grid wants to stop its own loop after the last point; the trial is stored
            if not self.is_done(number):
                raise

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        if self.space.sampler == "grid":
            grid = {key: list(one) for key, one in self.space.tried.items() if not isinstance(one, Range)}
            order = int(generator("search grid", self.seed).integers(2**32))
            return optuna.samplers.GridSampler(grid, seed=order)
        return optuna.samplers.TPESampler(seed=int(generator("search", self.seed, number).integers(2**32)))


def suggested(trial: Trial, key: str, one: tuple[Value, ...] | Range) -> Any:
    """A trial's value of a key."""
    if not isinstance(one, Range):
        return trial.suggest_categorical(key, one)
    if one.is_whole:
        return trial.suggest_int(key, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(key, one.low, one.high, log=one.log)


def told_of(one: FrozenTrial) -> dict[str, Any]:
    """A trial for result.json; a pruned one's value is that of its last evaluation."""
    value = one.value if one.state == TrialState.COMPLETE else None
    if one.state == TrialState.PRUNED and one.intermediate_values:
        value = one.intermediate_values[max(one.intermediate_values)]
    state = STATES[one.state]
    is_number = value is not None and math.isfinite(value)
    return {
        "trial": one.number,
        "state": state,
        "value": value if is_number else None,
        "params": dict(one.params),
        "folder": None if state == "pruned" else f"trial-{one.number:03d}",
        "seconds": one.user_attrs.get("seconds"),
        "best_step": one.user_attrs.get("best_step"),
        "why": one.user_attrs.get("why"),
    }
