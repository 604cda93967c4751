"""curves.png and confusion.png: what a run did, to look at."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertworks.base.files import whole_file

_FEW_POINTS = 20  # below, each is marked: a single one would not be seen
_MOST_LARGE, _MOST_NAMED = 45, 120  # classes with names of the usual size, and in small print; more cannot be read
_MOST_COUNTED = 15  # classes; more numbers than that cannot be read


def training_losses(lines: Sequence[Mapping[str, Any]]) -> list[tuple[int, float]]:
    """(update, loss) of the task's own loss, which that of dev compares with; what else was learnt is left out.

    lines  of metrics.jsonl
    """
    logged = [line for line in lines if "split" not in line and line.get("loss") is not None]
    has_parts = any("task_loss" in line for line in logged)
    name = "task_loss" if has_parts else "loss"
    return [(line["step"], line[name]) for line in logged if name in line]


def draw_curves(metrics: Sequence[dict[str, Any]], metric: str, best_step: int, path: Path) -> None:
    """Training and dev loss on the left, the metric on dev on the right, the best evaluation marked.

    Without dev there is one panel.
    """
    from matplotlib.figure import Figure

    training = training_losses(metrics)
    dev = [line for line in metrics if line.get("split") == "dev"]
    figure = Figure(figsize=(10 if dev else 6, 4), layout="constrained")
    panels = figure.subplots(1, 2 if dev else 1, squeeze=False)[0]
    marker = "." if len(training) < _FEW_POINTS else ""
    updates, losses = [step for step, _ in training], [loss for _, loss in training]
    panels[0].plot(updates, losses, marker=marker, alpha=0.6, label="train")
    panels[0].set(xlabel="updates", ylabel="loss", title="loss")
    if dev:
        steps = [line["step"] for line in dev]
        panels[0].plot(steps, [line["loss"] for line in dev], marker="o", markersize=3, label="dev")
        panels[1].plot(steps, [line[metric] for line in dev], marker="o", markersize=3, color="C1")
        panels[1].axvline(best_step, linestyle="--", linewidth=1, color="grey", label=f"best, step {best_step:,}")
        panels[1].set(xlabel="updates", ylabel=metric.replace("_", " "), title="dev")
        panels[1].legend()
    panels[0].legend()
    for axes in panels:
        axes.grid(alpha=0.3)
    _save(figure, path)


def draw_confusion(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str], title: str, path: Path
) -> None:
    """Rows are the true labels, columns the predicted ones; colour is the share of the row."""
    from matplotlib.figure import Figure

    number = {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for true, said in zip(gold, predicted, strict=True):
        if true in number and said in number:
            counts[number[true], number[said]] += 1
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    side = min(18.0, 3.5 + 0.3 * len(labels))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, ax=axes, label="share of the true label", fraction=0.046)
    if len(labels) <= _MOST_NAMED:
        shown = [label if len(label) <= 24 else label[:23] + "…" for label in labels]
        size = 7 if len(labels) <= _MOST_LARGE else 5.5
        axes.set_xticks(range(len(labels)), shown, rotation=90, fontsize=size)
        axes.set_yticks(range(len(labels)), shown, fontsize=size)
    if len(labels) <= _MOST_COUNTED:
        for i, j in np.ndindex(*counts.shape):
            color = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=8, color=color)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    with whole_file(path) as handle:
        handle.write(picture.getvalue())
