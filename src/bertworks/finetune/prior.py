"""A classifier that begins by knowing how frequent each class is, instead of taking all to be alike.

Its bias is the log share of each class, or the log odds of each label (Lin et al. 2017, section 4.1, for one rare
class): a network with many rare labels need not spend its first updates on learning that most of them are absent.

Letters: C classes.
"""

from __future__ import annotations

import numpy as np
import torch

from bertworks.model.bert import TaskNetwork
from bertworks.model.heads import Classifier
from bertworks.tasks.several import LabelsTask
from bertworks.tasks.task import Task

_UNSEEN = 0.5  # added to each count, so that no class has the log of 0


def begin_at_prior(model: TaskNetwork, task: Task, rows: int) -> None:
    """Set the bias of the task's classifier from the labels' counts in training.

    rows  of training
    """
    last = model.get_submodule(model.head)
    assert isinstance(last, Classifier)
    with torch.no_grad():
        last.bias.copy_(torch.from_numpy(prior(task, rows)).to(last.bias))


def prior(task: Task, rows: int) -> np.ndarray:
    """(C,) float64: log odds of each label of a row, or log share of each class or tag."""
    counts = np.asarray(task.labels.counts, np.float64) + _UNSEEN
    if isinstance(task, LabelsTask):
        return np.log(counts) - np.log(rows + 2 * _UNSEEN - counts)
    shares: np.ndarray = np.log(counts / counts.sum())
    return shares
