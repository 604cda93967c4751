"""The model in training on dev: metrics, and the loss beside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from bertworks.predict.run import window_logits
from bertworks.tasks.task import MemberWindow, Task, Window

if TYPE_CHECKING:
    from bertworks.finetune.network import Network
    from bertworks.finetune.setup import Prepared

JOINED_ROWS = 256  # of dev whose loss is computed together where it joins rows; in training an update's are


@dataclass(frozen=True)
class Evaluation:
    """Metrics by name, and the mean loss in the units of training, infinite where it is not a number.

    labels_said  distinct labels among the answers; 0 where they have none
    """

    metrics: dict[str, float]
    loss: float
    labels_said: int


def evaluate(network: Network, prepared: Prepared) -> Evaluation:
    """Score the model as it stands, on dev, with the decoder that prediction uses."""
    task, rows = prepared.data.task, prepared.data.dev
    windows = prepared.dev_windows
    with network.whole() as model:
        logits = window_logits(model, windows)
    answers = task.decode(rows, windows, logits)
    said = len(set(task.confused(answers, rows)[1]))
    return Evaluation(task.score(answers, rows), mean_loss(task, windows, logits), said)


def mean_loss(task: Task, windows: Sequence[Window], logits: Sequence[np.ndarray]) -> float:
    """Loss over rows, as training computes it without dropout."""
    flat = torch.from_numpy(np.concatenate([np.atleast_2d(output) for output in logits]))
    targets, weights = task.targets(windows), task.weights(windows)
    if isinstance(windows[0], MemberWindow) and windows[0].across:  # block by block, or memory grows with rows squared
        block = torch.tensor([window.row // JOINED_ROWS for window in windows])
        parts = [block == number for number in range(int(block.max()) + 1)]
        total = sum(float(task.loss_sum(flat[part], targets[part], weights[part])) for part in parts)
    else:
        total = float(task.loss_sum(flat, targets, weights))
    loss = total / task.loss_count(windows)
    return loss if math.isfinite(loss) else math.inf
