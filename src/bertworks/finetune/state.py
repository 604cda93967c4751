"""What a checkpoint of a run holds, and how a run goes on from it to the same numbers."""

from __future__ import annotations

import dataclasses
import logging
import math
from dataclasses import dataclass, field

from bertworks.base.errors import BertworksError
from bertworks.engine.checkpoint import save_checkpoint
from bertworks.engine.optimiser import Optimiser
from bertworks.engine.run_directory import RunDirectory
from bertworks.finetune.network import Network
from bertworks.finetune.setup import Prepared

log = logging.getLogger(__name__)


@dataclass
class State:
    """All that moves beside the weights; the next batch follows from `step`.

    step        updates done
    tokens      read so far, without padding
    best        metric and loss of the best evaluation, made at update `best_step`; 0 = none yet
    stale       evaluations since then
    recent      (loss, gradient norm) of the updates since the last log line, those left out not among them
    parts       of the same updates, each part of the loss by its name in the log; only where there are several
    bad_steps   updates left out in a row, up to now
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best: tuple[float, float] = (0.0, 0.0)
    best_step: int = 0
    stale: int = 0
    recent: list[tuple[float, float]] = field(default_factory=list)
    bad_steps: int = 0
    parts: list[dict[str, float]] = field(default_factory=list)


def save(run: RunDirectory, network: Network, optimiser: Optimiser, prepared: Prepared, state: State) -> None:
    """Write a checkpoint of this moment."""
    about = {
        "state": dataclasses.asdict(state),
        "data": prepared.fingerprint,
        "vocabulary": prepared.start.tokenizer.fingerprint,
    }
    moving = {**optimiser.state(), **network.averages()}
    save_checkpoint(run.path, state.step, network.tensors(), moving, about)


def restore(run: RunDirectory, network: Network, optimiser: Optimiser, prepared: Prepared) -> State:
    """Put the newest checkpoint back; a fresh state where there is none.

    Raises BertworksError where the rows or the vocabulary changed since.
    """
    checkpoint = run.latest()
    if checkpoint is None:
        run.rewind(0)
        return State()
    for name, now in (("data", prepared.fingerprint), ("vocabulary", prepared.start.tokenizer.fingerprint)):
        before = str(checkpoint.state[name])
        if before != now:
            changed = f"fingerprint {before[:4]}…, now {now[:4]}…"
            raise BertworksError(
                f"{checkpoint.path}: the {name} changed since this run began ({changed})",
                f"restore the {name}, or begin a new run with another `--out`",
            )
    network.restore(checkpoint.model, str(checkpoint.path))
    network.restore_averages(checkpoint.optimizer)
    optimiser.restore(checkpoint.optimizer)
    state = State(**checkpoint.state["state"])
    metric, loss = checkpoint.state["state"]["best"]
    state.best = (metric, math.inf if loss is None else loss)  # JSON has no infinity
    run.rewind(state.step)
    log.info("going on from update %d (%s)", state.step, checkpoint.path)
    return state
