"""curves.png: losses, held-out losses and learning rate over the steps of metrics.jsonl."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertworks.base.files import whole_file


def draw_curves(metrics: Sequence[dict[str, Any]], path: Path, *, names: Sequence[str], title: str, floor: float | None = None) -> None:
    """Draw the named figures of the training lines, and the same names of the evaluation lines, over the step.

    floor  a level to compare with, such as the unigram entropy, drawn as a dashed line
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name in names:
        for split, style in ((None, {"alpha": 0.5, "linewidth": 1}), ("heldout", {"marker": "o", "markersize": 3}), ("dev", {"marker": "o", "markersize": 3})):
            points = [(line["step"], line[name]) for line in metrics if line.get("split") == split and line.get(name) is not None]
            if points:
                label = name.replace("_", " ") + (f", {split}" if split else ", training")
                axes.plot(*zip(*points, strict=True), label=label, **style)  # type: ignore[arg-type]
    if floor is not None:
        axes.axhline(floor, linestyle="--", color="grey", linewidth=1, label="unigram entropy")
    axes.set_xlabel("updates")
    axes.set_ylabel("nats")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    with whole_file(path) as handle:
        handle.write(picture.getvalue())
