"""What training minimises: equal to torch's and to formulas written out, exact over micro-batches, absent from dev."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bertworks.base.errors import BertworksError
from bertworks.finetune.batches import TrainingBatches
from bertworks.finetune.data import read_data
from bertworks.finetune.network import Network
from bertworks.finetune.objective import loss_count
from bertworks.finetune.recipe import LossRecipe
from bertworks.finetune.run import finetune
from bertworks.finetune.setup import Prepared, prepare_run
from bertworks.finetune.training_loss import ClassLoss, FrameLoss, LabelsLoss, LossSum, SpanLoss, training_loss
from bertworks.tasks.answering import SpanTask
from bertworks.tasks.labels import Labels
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsTask
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.task import Task
from finetune_support import model_folder, toy_recipe, toy_rows, write_rows, write_tags
from test_finetune_questions import write_questions
from test_tasks_intent_slots import frames, write
from test_tasks_several import write_labels

COUNTS = np.array([90.0, 7.0, 3.0])
NAMES = Labels(("a", "b", "c"), {}, (90, 7, 3))
CLASSIFY = SentenceTask("classify", False, NAMES)
LABELS = LabelsTask(False, NAMES, (0.5,) * 3)
SWITCHES: list[dict[str, Any]] = [
    {"class_weights": "balanced"},
    {"class_weights": "sqrt"},
    {"focal_gamma": 2.0},
    {"logit_adjustment": 1.0},
    {"label_smoothing": 0.1},
]


def drawn(classes: int = 3, rows: int = 11) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (11, 3), classes (11,) and weights (11,)."""
    draw = torch.Generator().manual_seed(1)
    targets = torch.arange(rows) % classes
    return torch.randn(rows, classes, generator=draw) * 2, targets, torch.rand(rows, generator=draw)


def loss_of(task: Task = CLASSIFY, **given_settings: Any) -> LossSum:
    return training_loss(task, LossRecipe(**given_settings), COUNTS, float(COUNTS.sum()))


def test_nothing_switched_on_is_the_loss_of_the_task_itself() -> None:
    for task in (CLASSIFY, LABELS, TagTask(NAMES), SpanTask(), SentenceTask("score", False)):
        assert training_loss(task, LossRecipe(), COUNTS, 100.0) == task.loss_sum


def test_weights_and_smoothing_are_torchs() -> None:
    logits, targets, weights = drawn()
    by_class = 1 / COUNTS * COUNTS.sum() / 3  # scikit-learn's "balanced"; its mean over the rows is 1
    expected = F.cross_entropy(logits, targets, torch.tensor(by_class).float(), reduction="none", label_smoothing=0.2)
    found = loss_of(class_weights="balanced", label_smoothing=0.2)(logits, targets, weights)
    torch.testing.assert_close(found, (expected * weights).sum())
    assert found != loss_of(class_weights="sqrt", label_smoothing=0.2)(logits, targets, weights)


def test_balanced_weights_are_scikit_learns() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    rows = np.repeat([0, 1, 2], COUNTS.astype(int))
    loss = loss_of(class_weights="balanced")
    assert isinstance(loss, ClassLoss)
    assert loss.weights is not None
    np.testing.assert_allclose(loss.weights, compute_class_weight("balanced", classes=np.arange(3), y=rows), rtol=1e-6)


def test_focal_loss_and_logit_adjustment_are_their_papers_formulas() -> None:
    logits, targets, weights = drawn()
    adjusted = logits + 1.5 * torch.tensor(np.log(COUNTS / 100)).float()
    right = torch.softmax(adjusted, -1)[torch.arange(len(targets)), targets]
    expected = (-((1 - right) ** 0.5) * right.log() * weights).sum()
    found = loss_of(focal_gamma=0.5, logit_adjustment=1.5)(logits, targets, weights)
    torch.testing.assert_close(found, expected)
    certain = torch.tensor([[80.0, 0.0, 0.0]], requires_grad=True)
    loss_of(focal_gamma=0.5)(certain, torch.tensor([0]), torch.ones(1)).backward()  # type: ignore[no-untyped-call]
    assert certain.grad is not None
    assert torch.isfinite(certain.grad).all(), "(1 - p) ** 0.5 has no derivative at p = 1"


def test_several_labels_weigh_both_sides_alike_and_are_smoothed_towards_a_half() -> None:
    logits, numbers, weights = drawn()
    targets = F.one_hot(numbers, 3).float()
    targets[:, 1] = 1
    loss = loss_of(LABELS, class_weights="balanced", focal_gamma=2.0, label_smoothing=0.1, logit_adjustment=1.0)
    assert isinstance(loss, LabelsLoss)
    assert loss.sides is not None
    mass = loss.sides.numpy() * np.stack([100 - COUNTS, COUNTS])
    np.testing.assert_allclose(mass[0], mass[1], rtol=1e-5, err_msg="rows with and without a label weigh the same")
    np.testing.assert_allclose(mass.sum() / 300, 1, rtol=1e-6)
    adjusted = logits + torch.tensor(np.log(COUNTS / (100 - COUNTS))).float()
    probs, smooth = torch.sigmoid(adjusted), targets * 0.9 + 0.05
    plain = -(smooth * probs.log() + (1 - smooth) * (1 - probs).log())
    right = torch.where(targets > 0, probs, 1 - probs)
    by_side = torch.where(targets > 0, loss.sides[1], loss.sides[0])
    expected = ((plain * (1 - right) ** 2 * by_side).mean(-1) * weights).sum()
    torch.testing.assert_close(loss(logits, targets, weights), expected, rtol=1e-4, atol=1e-5)


def test_spans_are_torchs_over_the_tokens_of_each_window() -> None:
    lengths, answers = (5, 3), ((1, 3), (0, 2))
    logits = torch.randn(8, 2, generator=torch.Generator().manual_seed(2))
    targets = torch.zeros(8, 3, dtype=torch.int64)
    targets[5:, 0] = 1
    for first, (start, end) in zip((0, 5), answers, strict=True):
        targets[first + start, 1] = targets[first + end, 2] = 1
    weights = torch.ones(8)
    expected = torch.zeros(())
    for part, spans in zip(torch.split(logits, lengths), answers, strict=True):
        for side, place in enumerate(spans):
            row, right = part[:, side][None], torch.tensor([place])
            loss = F.cross_entropy(row, right, label_smoothing=0.3)
            expected += loss * (1 - torch.softmax(row, -1)[0, place]) ** 2 / 2
    torch.testing.assert_close(SpanLoss(2.0, 0.3)(logits, targets, weights), expected)
    torch.testing.assert_close(
        SpanLoss(0.0, 0.0)(logits, targets, weights), SpanTask().loss_sum(logits, targets, weights)
    )


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 500), min_size=2, max_size=6),
    st.sampled_from(["balanced", "sqrt", {"0": 3.0, "1": 0.25}]),
)
def test_the_mean_weight_over_the_training_rows_is_one(counts: list[int], asked: Any) -> None:
    labels = Labels(tuple(f"{i}" for i in range(len(counts))), {}, tuple(counts))
    task, array = SentenceTask("classify", False, labels), np.array(counts, float)
    loss = training_loss(task, LossRecipe(class_weights=asked), array, array.sum())
    assert isinstance(loss, ClassLoss)
    assert loss.weights is not None
    assert float((loss.weights.double() * torch.tensor(counts)).sum()) == pytest.approx(sum(counts), rel=1e-5)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"d": 2.0}, r"no label `d` in training"),
        ({"a": -1.0}, r"`a` weighs -1"),
        ({"a": 0.0, "b": 0.0, "c": 0.0}, r"all training rows weigh 0"),
    ],
)
def test_weights_that_cannot_be_are_told(weights: dict[str, float], told: str) -> None:
    with pytest.raises(BertworksError, match=told):
        loss_of(class_weights=weights)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of every task with targets in the loss, `metal` the rare class."""
    folder = tmp_path_factory.mktemp("loss")
    model_folder(folder / "start", dropout=0.0)
    rows = [row for i, row in enumerate(toy_rows(75)) if row["label"] != "metal" or i % 5 == 0]
    write_rows(folder / "train.csv", rows)
    write_tags(folder / "train.conll", rows)
    write_labels(folder / "train.jsonl", 40)
    write_questions(folder / "train.json", 30)
    write(folder / "frames.jsonl", frames(40))
    return folder


FILES = {
    "classify": "train.csv",
    "tag": "train.conll",
    "labels": "train.jsonl",
    "qa": "train.json",
    "intent-slots": "frames.jsonl",
}


def test_intents_and_slots_have_weights_and_priors_of_their_own(place: Path) -> None:
    ready = prepared(place, "intent-slots", loss__logit_adjustment=1.0, loss__class_weights={"metal": 3.0, "O": 0.5})
    loss = ready.loss_sum
    assert isinstance(loss, FrameLoss)
    assert loss.intents.weights is not None
    assert loss.slots.weights is not None
    assert loss.slots.adjustment is not None
    metal, other = (ready.data.task.labels.number(name) for name in ("metal", "animal"))
    assert float(loss.intents.weights[metal] / loss.intents.weights[other]) == pytest.approx(3)
    assert float(loss.slots.weights[0] / loss.slots.weights[1]) == pytest.approx(2), "B-thing, O"
    things = sum(row["tags"].count("B-thing") for row in ready.data.train)
    words = sum(len(row["tags"]) for row in ready.data.train)
    assert float(loss.slots.adjustment[0]) == pytest.approx(np.log(things / words), rel=1e-5)


def prepared(place: Path, task: str, **keys: object) -> Prepared:
    recipe = toy_recipe(place / "start", place / FILES[task], **keys)
    return prepare_run(recipe, read_data(recipe.data))


def gradient(ready: Prepared, micro_tokens: int = 4096) -> tuple[float, Tensor, int]:
    """Loss and gradient of an update of 13 rows in float64, and its micro-batches."""
    machine = dataclasses.replace(ready.machine, dtype=torch.float64)
    network = Network(dataclasses.replace(ready, machine=machine))
    batches = TrainingBatches(
        network.compact(ready.windows),
        ready.data.task,
        batch_size=13,
        seed=3,
        micro_batch_tokens=micro_tokens,
        train_windows=8,
    ).micro_batches(0)
    scale = {"loss": 1 / loss_count(batches)["loss"]}
    losses = []
    for batch in batches:
        loss = network.objective(batch, scale)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(float(loss.detach()))
    return sum(losses), network.parameters.gradients.clone(), len(batches)


@pytest.mark.parametrize("task", list(FILES))
def test_every_switch_moves_every_task_and_micro_batches_add_up(place: Path, task: str) -> None:
    plain, direction, _ = gradient(prepared(place, task))
    for switch in SWITCHES:
        if task == "qa" and ({"class_weights", "logit_adjustment"} & switch.keys()):
            continue
        ready = prepared(place, task, **{f"loss__{name}": value for name, value in switch.items()})
        whole, of_whole, one = gradient(ready)
        cut, of_cut, more = gradient(ready, 64)
        assert more > one
        assert abs(whole - plain) > 1e-4, switch
        assert torch.cosine_similarity(of_whole, direction, dim=0) < 0.99999, switch
        assert cut == pytest.approx(whole, rel=1e-6)
        torch.testing.assert_close(of_cut, of_whole, rtol=1e-5, atol=1e-7)  # losses are summed in float32


def test_dev_is_judged_by_the_plain_loss(place: Path, tmp_path: Path) -> None:
    def lines(run: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [one for one in read if "split" not in one], [one for one in read if "split" in one]

    still: dict[str, object] = {"train__steps": 1, "train__warmup": 1.0, "train__log_every": 1}  # its only rate is 0
    found: Callable[..., Any] = lambda name, **keys: lines(  # noqa: E731
        finetune(toy_recipe(place / "start", place / "train.csv", **still, **keys), tmp_path / name).run
    )
    train, dev = found("plain")
    all_on = {f"loss__{name}": value for switch in SWITCHES[1:] for name, value in switch.items()}
    other_train, other_dev = found("shaped", **all_on)
    assert other_dev == dev != []
    assert other_train[0]["loss"] != train[0]["loss"]
