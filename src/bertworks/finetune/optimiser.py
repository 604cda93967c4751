"""The optimiser, the learning rate and the gradient's changes of a recipe."""

from __future__ import annotations

from bertworks.engine.moderation import AveragedGradient, CappedUpdate, GradientChange
from bertworks.engine.optimiser import AdamW, Optimiser
from bertworks.engine.parameters import FlatParameters
from bertworks.engine.schedule import Schedule
from bertworks.finetune.recipe import TrainRecipe


def optimiser_of(train: TrainRecipe, parameters: FlatParameters, adam: AdamW) -> Optimiser:
    """AdamW; around it, where asked, the cap of its updates and the running mean of gradients that it is given."""
    optimiser: Optimiser = adam
    if train.update_cap:
        optimiser = CappedUpdate(parameters, optimiser, train.update_cap)
    if train.gradient_ema:
        optimiser = AveragedGradient(parameters, optimiser, train.gradient_ema)
    return optimiser


def gradient_change_of(train: TrainRecipe) -> GradientChange | None:
    """What is done to the gradient before clipping; None for nothing."""
    change = GradientChange(train.gradient_scale, train.l2)
    return None if change == GradientChange() else change


def schedule_of(train: TrainRecipe, steps: int, warmup_steps: int) -> Schedule:
    """The rate over the updates of a resolved recipe."""
    assert train.lr is not None
    return Schedule(train.schedule, train.lr, steps, warmup_steps, train.cooldown * steps)
