"""curves.png: losses, held-out losses and learning rate over the steps of metrics.jsonl."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertworks.base.files import whole_file

# split → how its line is drawn; None = the training lines
_STYLES: dict[str | None, dict[str, Any]] = {
    None: {"alpha": 0.5, "linewidth": 1},
    "heldout": {"marker": "o", "markersize": 3},
    "dev": {"marker": "o", "markersize": 3},
}


def draw_curves(
    metrics: Sequence[dict[str, Any]], path: Path, *, names: Sequence[str], title: str, floor: float | None = None
) -> None:
    """Draw the named figures of the training lines, and the same names of the evaluation lines, over the step.

    floor  a level to compare with, such as the unigram entropy, drawn as a dashed line
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name in names:
        for split, style in _STYLES.items():
            lines = [line for line in metrics if line.get("split") == split and line.get(name) is not None]
            if lines:
                label = f"{name.replace('_', ' ')}, {split or 'training'}"
                axes.plot([line["step"] for line in lines], [line[name] for line in lines], label=label, **style)
    if floor is not None:
        axes.axhline(floor, linestyle="--", color="grey", linewidth=1, label="unigram entropy")
    axes.set_xlabel("updates")
    axes.set_ylabel("nats")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    with whole_file(path) as handle:
        handle.write(picture.getvalue())
