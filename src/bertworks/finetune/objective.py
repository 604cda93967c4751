"""From a micro-batch to its scaled loss, with dropout that is a function of seed, step and place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bertworks.engine.dropout import PooledDropout
from bertworks.finetune.auxiliary import Auxiliaries
from bertworks.finetune.auxiliary_batches import AuxiliaryBatch
from bertworks.finetune.batches import MicroBatch
from bertworks.finetune.divergence import divergence
from bertworks.finetune.training_loss import LossSum
from bertworks.model.bert import TaskNetwork
from bertworks.model.config import BertConfig
from bertworks.model.layer_heads import heard
from bertworks.tasks.task import Task

_GROUPS = 16  # length groups of one update: rows double in length from 64 to at most 64 * 2^15
_FAR = {"mlm": 1 << 48, "nsp": 1 << 49}  # steps that no run has: auxiliary passes get masks of their own

Batch = MicroBatch | AuxiliaryBatch
"""What the loop passes to the objective: the task's, and those of its auxiliaries."""


class BatchDropout:
    """Points the pooled masks at a micro-batch: by rows inside the encoder, by tokens read in front of the head."""

    def __init__(self, config: BertConfig, *, seed: int, dtype: torch.dtype, device: torch.device) -> None:
        hidden, attention = config.hidden_dropout_prob, config.attention_probs_dropout_prob
        self._pool = PooledDropout(hidden, attention, seed=seed, dtype=dtype, device=device)
        self._step = 0
        self._first_row = self._first_read = 0

    def at(self, step: int, batch: Batch, *, again: bool = False) -> BatchDropout:
        """Point at a micro-batch of update `step`; `again` has other masks, for a second pass beside the first."""
        self._step = step * _GROUPS + batch.group
        if isinstance(batch, AuxiliaryBatch):
            self._step += _FAR[batch.name]
        if again:
            self._step = -1 - self._step
        self._first_row, self._first_read = batch.first_row, batch.first_read
        return self

    def __call__(
        self, place: str, layer: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Tensor | None:
        """Multipliers of one place; see model/dropout.py."""
        first = self._first_read if place == "classifier" else self._first_row
        return self._pool.at(self._step, first)(place, layer, tuple(shape), dtype, device)


class Objective:
    """The task's loss of a micro-batch, called by the engine's `train_step`.

    dropout   None switches it off
    loss_sum  what is minimised; None = the task's own
    r_drop    weight of the divergence between two passes (Liang et al. 2021), needs dropout; None = one pass
    auxiliaries  further losses, None without; those of heads at layers are of the first pass alone
    """

    def __init__(
        self,
        model: TaskNetwork,
        task: Task,
        dropout: BatchDropout | None,
        loss_sum: LossSum | None = None,
        r_drop: float | None = None,
        auxiliaries: Auxiliaries | None = None,
    ) -> None:
        self.model, self.task, self.dropout, self.r_drop = model, task, dropout, r_drop
        self.loss_sum, self.auxiliaries = loss_sum or task.loss_sum, auxiliaries
        self.step = 0
        self._ahead: dict[int, tuple[Tensor, Tensor]] = {}

    def counts(self, batches: Sequence[Batch]) -> dict[str, float]:
        """What each loss of an update is divided by: rows, masked tokens, pairs."""
        of_task = [batch for batch in batches if isinstance(batch, MicroBatch)]
        found = loss_count(of_task) if of_task else {}
        if of_task and self.auxiliaries is not None and self.auxiliaries.by_layer:
            found["layers"] = found["loss"]
        for batch in batches:
            if isinstance(batch, AuxiliaryBatch):
                found[batch.name] = found.get(batch.name, 0.0) + len(batch.labels)
        return found

    def look_ahead(self, batches: Sequence[Batch]) -> None:
        """Where the loss joins all micro-batches of an update: the gradient of the loss by the outputs, once for all.

        GradCache (Gao et al. 2021, section 3.2): outputs of all micro-batches without a graph, the loss of all together
        and its gradient by them; then each micro-batch goes through again and takes its part back into the weights.
        Exact, because dropout is the same at both times. Nothing is done for other losses, or for one micro-batch.
        """
        self._ahead.clear()
        joined = [batch for batch in batches if isinstance(batch, MicroBatch) and batch.across]
        if len(joined) < 2:
            return
        with torch.no_grad():
            parts = [self._outputs(batch) for batch in joined]
        whole = torch.cat(parts).requires_grad_()
        targets, weights = (torch.cat([getattr(batch, name) for batch in joined]) for name in ("targets", "weights"))
        loss = self.loss_sum(whole, targets, weights)
        (gradient,) = torch.autograd.grad(loss, whole)
        values = [loss.detach(), *[torch.zeros_like(loss)] * (len(joined) - 1)]  # told once, with the first one
        for batch, part, value in zip(
            joined, torch.split(gradient, [len(part) for part in parts]), values, strict=True
        ):
            self._ahead[id(batch)] = part, value

    def __call__(self, batch: Batch, scales: Mapping[str, float]) -> dict[str, Tensor]:
        """The loss sums times their scales."""
        if isinstance(batch, AuxiliaryBatch):
            assert self.auxiliaries is not None
            dropout = None if self.dropout is None else self.dropout.at(self.step, batch)
            return {batch.name: self.auxiliaries.loss(self.model.encoder, batch, dropout, scales[batch.name])}
        if self.auxiliaries is None or not self.auxiliaries.by_layer:
            return {"loss": self._loss(batch, self._outputs(batch)) * scales["loss"]}
        with heard(self.model.encoder, self.auxiliaries.by_layer) as states:
            outputs = self._outputs(batch)
            lower = self._lower_loss(self.auxiliaries, batch, dict(states))
        return {"loss": self._loss(batch, outputs) * scales["loss"], "layers": lower * scales["layers"]}

    def _loss(self, batch: MicroBatch, outputs: Tensor) -> Tensor:
        if id(batch) in self._ahead:
            gradient, value = self._ahead[id(batch)]
            pulled = (outputs * gradient).sum()
            loss = pulled - pulled.detach() + value
        else:
            loss = self.loss_sum(outputs, batch.targets, batch.weights)
            if self.r_drop is not None:
                loss = self._twice(batch, outputs, loss, self.r_drop)
        return loss

    def _lower_loss(self, auxiliaries: Auxiliaries, batch: MicroBatch, states: Mapping[int, Tensor]) -> Tensor:
        """The weighed loss sums of the heads at layers."""
        outputs = auxiliaries.layer_outputs(self.model.encoder, states, batch.rows, self.dropout)
        weighed = [
            weight * self.loss_sum(part, batch.targets, batch.weights)
            for weight, part in zip(auxiliaries.by_layer.values(), outputs, strict=True)
        ]
        return torch.stack(weighed).sum()

    def _outputs(self, batch: MicroBatch) -> Tensor:
        dropout = None if self.dropout is None else self.dropout.at(self.step, batch)
        outputs: Tensor = self.model(batch.rows, dropout, direct=True)
        return outputs

    def _twice(self, batch: MicroBatch, logits: Tensor, loss: Tensor, weight: float) -> Tensor:
        """The mean loss of two passes with masks of their own, and how far they disagree."""
        assert self.dropout is not None
        other = self.model(batch.rows, self.dropout.at(self.step, batch, again=True), direct=True)
        losses = 0.5 * (loss + self.loss_sum(other, batch.targets, batch.weights))
        return losses + weight * divergence(self.task, logits, other, batch.targets, batch.weights)


def loss_count(batches: Sequence[MicroBatch]) -> dict[str, float]:
    """What the update's loss is divided by: its rows."""
    return {"loss": sum(batch.count for batch in batches)}
