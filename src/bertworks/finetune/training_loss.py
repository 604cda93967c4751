"""The loss that training minimises, where it is not the task's plain one.

Class weights: King & Zeng 2001, and scikit-learn's "balanced". Focal loss: Lin et al. 2017, arXiv 1708.02002, eq. 4
and 5. Logit adjustment: Menon et al. 2020, arXiv 2007.07314, eq. 10. Label smoothing: Szegedy et al. 2016, section 7.

Each is a factor or a term of one target's loss; the sum is divided by the count of the plain loss, known beforehand, so
that micro-batches add up to the same gradient. Together: the logits are adjusted, then the target is smoothed, then
weights and focal factors multiply.

Letters: W windows, P targets, T tokens of a window, C classes, N training rows (of tags: words).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.finetune.recipe import LossRecipe
from bertworks.tasks.intent_slots import SLOT, FrameTask
from bertworks.tasks.labels import Labels
from bertworks.tasks.span_loss import span_log_probs
from bertworks.tasks.task import Task

LossSum = Callable[[Tensor, Tensor, Tensor], Tensor]
"""As `Task.loss_sum`: logits, targets, weights → the sum."""

Weights = str | dict[str, float] | None
"""Of classes, as `LossRecipe.class_weights` has them."""

_LEAST_MISS = 1e-12  # of 1 - p: the derivative of (1 - p)^gamma at p = 1 is infinite where gamma is below 1


def training_loss(task: Task, recipe: LossRecipe, counts: np.ndarray, rows: float) -> LossSum:
    """The loss of a recipe; the task's own `loss_sum` where nothing is switched on.

    counts  (C,) training rows of each class as they are drawn, of tags words; empty where there are no classes
    rows    N
    Raises BertworksError for a weight of no class, below 0, or 0 for all that occurs.
    """
    if recipe == LossRecipe():
        return task.loss_sum
    if task.name == "qa":
        return SpanLoss(recipe.focal_gamma, recipe.label_smoothing)
    if task.name == "labels":
        return labels_loss(recipe, task.labels, counts, rows)
    return class_loss(recipe, recipe.class_weights, task.labels, counts)


def frame_loss(task: FrameTask, recipe: LossRecipe, intents: np.ndarray, slots: np.ndarray) -> LossSum:
    """As `training_loss` for intent and slots, each part with its own weights and priors.

    intents, slots  counts of classes in rows, and of tags in words, as they are drawn
    A name in a table of weights is an intent's, or else a slot's.
    """
    if recipe == LossRecipe():
        return task.loss_sum
    of_intents = of_slots = recipe.class_weights
    if isinstance(recipe.class_weights, dict):
        given = recipe.class_weights
        of_intents = {name: weight for name, weight in given.items() if task.intents.number(name) >= 0}
        of_slots = {name: weight for name, weight in given.items() if name not in of_intents}
    return FrameLoss(
        class_loss(recipe, of_intents, task.intents, intents),
        class_loss(recipe, of_slots, task.slots.labels, slots),
        len(task.intents.names),
    )


def class_loss(recipe: LossRecipe, asked: Weights, labels: Labels, counts: np.ndarray) -> ClassLoss:
    """The loss of one class a target.

    asked  weights, here those of the recipe that are of these labels
    """
    share = shares_of(counts, counts.sum())
    weights = None
    if asked is not None:
        given = weighed(asked, 1 / share, labels)
        weights = tensor(given / checked_mean((counts * given).sum() / counts.sum()))
    adjustment = tensor(recipe.logit_adjustment * np.log(share)) if recipe.logit_adjustment else None
    return ClassLoss(weights, adjustment, recipe.focal_gamma, recipe.label_smoothing)


def labels_loss(recipe: LossRecipe, labels: Labels, counts: np.ndarray, rows: float) -> LabelsLoss:
    """The loss of several labels a row."""
    share = shares_of(counts, rows)
    odds = share / (1 - share)
    sides = None
    if recipe.class_weights is not None:
        sides = side_weights(weighed(recipe.class_weights, 1 / odds, labels), counts, rows)
    adjustment = tensor(recipe.logit_adjustment * np.log(odds)) if recipe.logit_adjustment else None
    return LabelsLoss(sides, adjustment, recipe.focal_gamma, recipe.label_smoothing)


def shares_of(counts: np.ndarray, rows: float) -> np.ndarray:
    """(C,) of the rows, kept off 0 and 1: no class is certain, or impossible."""
    shares: np.ndarray = np.clip(counts, 0.5, max(rows - 0.5, 0.5)) / rows
    return shares


def weighed(asked: str | dict[str, float], inverse: np.ndarray, labels: Labels) -> np.ndarray:
    """(C,) float64 weights before they are normalised; of several labels those of the rows that have the label.

    asked    "balanced": `inverse`; "sqrt": its root; or name -> weight, 1 for the names left out
    inverse  (C,) one over the class's share, or over a label's odds
    """
    if not isinstance(asked, dict):
        return inverse if asked == "balanced" else np.sqrt(inverse)
    given = np.ones(len(labels.names))
    for name, weight in asked.items():
        number = labels.number(name)
        if number < 0:
            hint = did_you_mean(name, labels.names) or f"labels: {labels.listed()}"
            raise BertworksError(f"loss.class_weights: no label `{name}` in training", hint)
        if weight < 0:
            raise BertworksError(f"loss.class_weights: `{name}` weighs {weight:g}", "a weight is 0 or more")
        given[number] = weight
    return given


def side_weights(present: np.ndarray, counts: np.ndarray, rows: float) -> Tensor:
    """(2, C) weights of a label that is not there (1 before the mean is made 1) and of one that is."""
    mean = checked_mean((counts * present + (rows - counts)).sum() / (rows * len(counts)))
    return tensor(np.stack([np.ones(len(counts)), present]) / mean)


def checked_mean(mean: float) -> float:
    """The mean weight over the training rows. Raises BertworksError where it is 0."""
    if mean <= 0:
        raise BertworksError("loss.class_weights: all training rows weigh 0", "give a class that occurs a weight")
    return float(mean)


def tensor(values: np.ndarray) -> Tensor:
    """In float32."""
    return torch.from_numpy(values.astype(np.float32))


@dataclass(frozen=True, eq=False)
class ClassLoss:
    """Cross-entropy of one class, or one tag a word.

    weights      (C,) factors of the loss, as torch's `cross_entropy` takes them: the smoothed part too weighs by class
    adjustment   (C,) added to the logits
    gamma        the loss times (1 - p) ** gamma, p the probability of the right class after the adjustment
    smoothing    share of the target that goes to all classes alike
    """

    weights: Tensor | None
    adjustment: Tensor | None
    gamma: float
    smoothing: float

    def __call__(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """logits (P, C), targets (P,), below 0 where there is nothing to learn and the weight is 0; weights (P,)."""
        device = logits.device
        logits, targets = logits.float(), targets.clamp_min(0)
        if self.adjustment is not None:
            logits = logits + self.adjustment.to(device)
        by_class = None if self.weights is None else self.weights.to(device)
        losses = functional.cross_entropy(
            logits, targets, weight=by_class, reduction="none", label_smoothing=self.smoothing
        )
        if self.gamma:
            right = functional.log_softmax(logits, -1).gather(1, targets[:, None]).squeeze(1)
            losses = losses * focal(right, self.gamma)
        return (losses * weights).sum()


@dataclass(frozen=True)
class FrameLoss:
    """The class of a row and the tags of its words, as `FrameTask.loss_sum`; the first `number` logits are classes."""

    intents: ClassLoss
    slots: ClassLoss
    number: int

    def __call__(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """logits (P, C), targets (P, 2), weights (P,)."""
        is_slot = targets[:, 1] == SLOT
        intent = self.intents(logits[~is_slot, : self.number], targets[~is_slot, 0], weights[~is_slot])
        return intent + self.slots(logits[is_slot, self.number :], targets[is_slot, 0], weights[is_slot])


@dataclass(frozen=True, eq=False)
class LabelsLoss:
    """Binary cross-entropies of several labels, their mean over the labels of a row.

    sides      (2, C) factors where the label is not there, and where it is
    otherwise as ClassLoss; smoothing moves zeros and ones towards 0.5
    """

    sides: Tensor | None
    adjustment: Tensor | None
    gamma: float
    smoothing: float

    def __call__(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """logits, targets (W, C), weights (W,)."""
        logits = logits.float()
        if self.adjustment is not None:
            logits = logits + self.adjustment.to(logits.device)
        smoothed = targets * (1 - self.smoothing) + self.smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits, smoothed, reduction="none")
        if self.gamma:
            losses = losses * focal(functional.logsigmoid(logits * (2 * targets - 1)), self.gamma)
        if self.sides is not None:
            absent, present = self.sides.to(logits.device)
            losses = losses * torch.where(targets > 0.5, present, absent)
        return (losses.mean(-1) * weights).sum()


@dataclass(frozen=True)
class SpanLoss:
    """Mean of the cross-entropies of an answer's start and end; the classes are the tokens of the window."""

    gamma: float
    smoothing: float

    def __call__(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """As `SpanTask.loss_sum`: logits (P, 2), targets (P, 3), weights (P,)."""
        log_probs, chosen, firsts = span_log_probs(logits, targets)
        is_token = torch.isfinite(log_probs)  # (W, T, 2)
        everywhere = torch.where(is_token, log_probs, 0.0).sum(1) / is_token.sum(1)
        losses = -(1 - self.smoothing) * chosen - self.smoothing * everywhere  # (W, 2)
        if self.gamma:
            losses = losses * focal(chosen, self.gamma)
        return (losses.mean(-1) * weights[firsts]).sum()


def focal(log_probs: Tensor, gamma: float) -> Tensor:
    """(1 - p) ** gamma, differentiable; log_probs of the right answers, any shape."""
    return (-torch.expm1(log_probs)).clamp_min(_LEAST_MISS) ** gamma
