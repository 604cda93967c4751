"""One temperature for all classes, chosen on dev, so that probabilities mean what they say (Guo et al. 2017).

Logits are divided by T before the softmax, of labels before each sigmoid: no answer changes, only how sure it is. T
goes into the weight and the bias of the classifier, so every loader of the directory has it.

Letters: N rows, C classes.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.base.files import whole_directory
from bertworks.stats.reliability import expected_calibration_error, reliability
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsTask
from bertworks.tasks.task import Answer, Row, Task

if TYPE_CHECKING:
    from bertworks.finetune.setup import Prepared

log = logging.getLogger(__name__)

COOLEST, HOTTEST = math.log(0.05), math.log(20.0)  # of log T: where every row of dev is right, the best T would be 0


@dataclass(frozen=True)
class Calibration:
    """A temperature and what it did on dev.

    nll_before, nll_after  mean negative log-likelihood, nats a row (of labels: summed over the labels)
    ece_before, ece_after  expected calibration error, 15 bins
    """

    temperature: float
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float


def check_calibrate(task: Task, dev_rows: int) -> None:
    """Raise BertworksError for a task without probabilities of classes, or a run without dev rows."""
    is_score = isinstance(task, SentenceTask) and task.kind == "score"
    if is_score or not isinstance(task, SentenceTask | LabelsTask):
        raise BertworksError(
            f"`train.calibrate` is for classes and labels, this run is of task {task.name}", "leave it out"
        )
    if not dev_rows:
        raise BertworksError("`train.calibrate` needs dev rows, there are none", "give `--dev F`, or a dev_share")


def calibrated(directory: Path, prepared: Prepared) -> Calibration:
    """Choose the temperature of a saved model and put it into its weights; what was done is stored with it.

    A model that has its temperature already, after a run was cut short, is left as it is.
    """
    from bertworks.predict.directory import load_model, read_settings
    from bertworks.predict.run import window_logits
    from bertworks.tasks.encode import pooled

    stored = read_settings(directory).get("calibration")
    if stored is not None:
        return Calibration(**stored)
    data = prepared.data
    opened = load_model(directory)
    model = opened.model.to(prepared.machine.device, prepared.machine.dtype)
    outputs = window_logits(model, prepared.dev_windows)
    task = cast("SentenceTask | LabelsTask", data.task)
    gold = np.array([task.gold(row, f"row {i}") for i, row in enumerate(data.dev, 1)])
    found = fit(pooled(prepared.dev_windows, outputs, len(data.dev), task.num_outputs), gold)
    save_scaled(directory, found)
    log.info(
        "temperature %.3f, chosen on dev: ECE %.4f, before %.4f", found.temperature, found.ece_after, found.ece_before
    )
    return found


def save_scaled(directory: Path, found: Calibration) -> None:
    """Write the model directory anew with 1/T in the classifier, in float32, and with what was found."""
    from bertworks.finetune.network import scaled_head
    from bertworks.model.bert import BertForSentence
    from bertworks.model.pretrained import read_config_json, write_pretrained
    from bertworks.model.shaped import BertForShape
    from bertworks.predict.directory import load_model, shape_of, write_settings

    opened = load_model(directory)
    assert isinstance(opened.model, BertForSentence | BertForShape)
    scaled = scaled_head(opened.model, 1 / found.temperature)
    with whole_directory(directory, overwrite=True) as folder:
        shutil.copytree(directory, folder, dirs_exist_ok=True)
        write_pretrained(scaled, folder, settings=read_config_json(directory))
        stored = dataclasses.asdict(found)
        write_settings(folder, opened.task, opened.max_length, shape_of(directory), calibration=stored)


def fit(logits: np.ndarray, gold: np.ndarray) -> Calibration:
    """The temperature with the least negative log-likelihood, by Brent's method on log T, between 1/20 and 20.

    logits  (N, C) float64
    gold    (N,) int classes, or (N, C) bool labels
    The likelihood has one optimum in 1 / T, as it is concave there. T = 1 where nothing is better.
    """
    from scipy.optimize import minimize_scalar

    def cost(log_t: float) -> float:
        return nll(logits / math.exp(log_t), gold)

    best = minimize_scalar(cost, bounds=(COOLEST, HOTTEST), method="bounded", options={"xatol": 1e-6})
    log_t = float(best.x) if cost(float(best.x)) < cost(0.0) else 0.0
    before, after = ece_of(logits, gold), ece_of(logits / math.exp(log_t), gold)
    return Calibration(math.exp(log_t), cost(0.0), cost(log_t), before, after)


def nll(logits: np.ndarray, gold: np.ndarray) -> float:
    """Mean negative log-likelihood a row, in nats."""
    if gold.ndim == 2:
        signed = np.where(gold, logits, -logits)
        return float(np.logaddexp(0, -signed).sum(1).mean())
    return float((np.logaddexp.reduce(logits, 1) - logits[np.arange(len(gold)), gold]).mean())


def ece_of(logits: np.ndarray, gold: np.ndarray) -> float:
    """Of the likeliest class; of labels over all cells, as parts.confidences has it."""
    if gold.ndim == 2:
        return expected_calibration_error(reliability((1 / (1 + np.exp(-logits))).ravel(), gold.ravel()))
    probs = np.exp(logits - np.logaddexp.reduce(logits, 1)[:, None])
    return expected_calibration_error(reliability(probs.max(1), probs.argmax(1) == gold))


def ece_before(task: Task, answers: Sequence[Answer], rows: Sequence[Row], temperature: float) -> float:
    """The ECE that these answers would have had without the temperature in their weights."""
    known = cast("SentenceTask | LabelsTask", task)
    gold = np.array([known.gold(row, f"row {i}") for i, row in enumerate(rows, 1)])
    probs = np.array([list((cast("Any", answer).scores or {}).values()) for answer in answers])
    with np.errstate(divide="ignore"):
        logits = np.log(probs) if gold.ndim == 1 else np.log(probs) - np.log1p(-probs)
    return ece_of(temperature * logits, gold)
