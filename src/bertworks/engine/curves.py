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

    Each name has a panel of its own, as losses of different tasks differ by more than they move.
    floor  a level to compare the first name with, such as the unigram entropy, drawn as a dashed line
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.5 + 2.5 * len(names)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(names), sharex=True, squeeze=False)[:, 0]
    for name, axes in zip(names, panels, strict=True):
        for split, style in _STYLES.items():
            lines = [line for line in metrics if line.get("split") == split and line.get(name) is not None]
            if lines:
                label = f"{name.replace('_', ' ')}, {split or 'training'}"
                axes.plot([line["step"] for line in lines], [line[name] for line in lines], label=label, **style)
        if floor is not None and name == names[0]:
            axes.axhline(floor, linestyle="--", color="grey", linewidth=1, label="unigram entropy")
        axes.set_ylabel("nats")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    panels[-1].set_xlabel("updates")
    panels[0].set_title(title)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    with whole_file(path) as handle:
        handle.write(picture.getvalue())
