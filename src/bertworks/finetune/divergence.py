"""How far two passes over one micro-batch disagree (R-Drop, Liang et al. 2021): half the sum of both KL divergences.

½ KL(p‖q) + ½ KL(q‖p) = ½ Σ (p - q)(log p - log q).

Letters: W windows, P tokens read, C outputs, T tokens of the longest window.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bertworks.base.errors import BertworksError
from bertworks.tasks.answering import SpanTask
from bertworks.tasks.intent_slots import SLOT, FrameTask
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsTask
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.task import Task


def check_divergence(task: Task) -> None:
    """Raise BertworksError where the task's outputs are no distribution that is known here."""
    is_score = isinstance(task, SentenceTask) and task.kind == "score"
    if is_score or not isinstance(task, SentenceTask | LabelsTask | TagTask | SpanTask | FrameTask):
        raise BertworksError(
            f"`train.r_drop` compares distributions over classes, labels, tags or tokens; {task.name} has no such",
            "leave it out",
        )
    if isinstance(task, TagTask) and task.transitions is not None:
        raise BertworksError(
            "`train.r_drop` compares distributions over the tags of a word, a CRF has one over whole rows",
            "choose another `data.decoder`, or leave it out",
        )


def divergence(task: Task, one: Tensor, other: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Sum over windows or tokens, weighted as the task's loss is, (); logits (W, C) or (P, C)."""
    one, other = one.float(), other.float()
    if isinstance(task, LabelsTask):  # a distribution for each label, (W, C); their mean as in the loss
        each = 0.5 * (torch.sigmoid(one) - torch.sigmoid(other)) * (one - other)
        return (each.mean(-1) * weights).sum()
    if isinstance(task, FrameTask):  # classes at the first token, tags at the others
        number, is_slot = len(task.intents.names), targets[:, 1] == SLOT
        parts = ((slice(0, number), ~is_slot), (slice(number, None), is_slot))
        return torch.stack([over_classes(one[own, at], other[own, at], weights[own]) for at, own in parts]).sum()
    if isinstance(task, SpanTask):  # two distributions over the tokens of each window
        counts = torch.bincount(targets[:, 0])
        firsts = counts.cumsum(0) - counts
        return (over_tokens(one, other, counts).mean(-1) * weights[firsts]).sum()
    return over_classes(one, other, weights)


def over_classes(one: Tensor, other: Tensor, weights: Tensor) -> Tensor:
    """Sum over rows of one distribution each, (); logits (P, C), weights (P,)."""
    return (symmetric(torch.log_softmax(one, -1), torch.log_softmax(other, -1)).sum(-1) * weights).sum()


def symmetric(one: Tensor, other: Tensor) -> Tensor:
    """½ (p - q)(log p - log q) from two tensors of log probabilities."""
    return 0.5 * (one.exp() - other.exp()) * (one - other)


def over_tokens(one: Tensor, other: Tensor, counts: Tensor) -> Tensor:
    """(W, 2), divergences over the tokens of each window, of logits (P, 2)."""
    parts = zip(torch.split(one, counts.tolist()), torch.split(other, counts.tolist()), strict=True)
    return torch.stack([symmetric(torch.log_softmax(a, 0), torch.log_softmax(b, 0)).sum(0) for a, b in parts])
