"""The model card: README.md of a model directory, made from what the run knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertworks.base.files import whole_file
from bertworks.finetune.contract import clock
from bertworks.finetune.floors import FLOORS
from bertworks.finetune.page import escaped
from bertworks.finetune.setup import Prepared
from bertworks.finetune.techniques import techniques

FEW_CLASSES = 12  # of which the card has a line each; the report has all


def write_card(directory: Path, prepared: Prepared, result: dict[str, Any]) -> None:
    """Write README.md into a model directory."""
    with whole_file(directory / "README.md", text=True) as handle:
        handle.write(card(prepared, result))


def card(prepared: Prepared, result: dict[str, Any]) -> str:
    """Markdown: what the model does, how good it is, on what it was trained, what it does not know."""
    data, recipe = prepared.data, prepared.recipe
    train, about = recipe.train, prepared.data.task.about()
    return f"""---
library_name: transformers
pipeline_tag: {about.pipeline_tag}
---
# {about.title}

{prepared.start.describe()}.
{about.answers}

## How good it is

{table(result)}{sureness(result)}{classes(result)}

{limits(prepared, result)}

## What it learned from

- {len(data.train):,} rows of `{data.tables["train"].path}`, fingerprint `{prepared.fingerprint}`
- {data.cut}
- {dropped(result)}
- {prepared.contract.length_line()}

## How

{result["steps"]:,} updates of {train.batch_size} rows, AdamW, peak rate {train.lr:g}, warm-up {train.warmup:.0%},
weight decay {train.weight_decay:g}, seed {train.seed}; {clock(result["seconds"])}. `recipe.toml` of the run repeats it.
{switched_on(prepared)}
## Use

```python
import bertworks
bertworks.load("this-folder").predict({about.example})
```

{other_readers(prepared)}
"""


def switched_on(prepared: Prepared) -> str:
    """Techniques, a line each."""
    return "".join(f"\n- {phrase}" for phrase in techniques(prepared.recipe)) + "\n"


def other_readers(prepared: Prepared) -> str:
    """Who else opens the folder."""
    shape = prepared.start.shape
    if shape.is_plain:
        opened_by = prepared.data.task.about().opened_by
        return (
            f"transformers opens the folder too: `{opened_by}.from_pretrained(…)`; it cuts long texts where\n"
            "bertworks reads them in windows."
        )
    return f"The head ({shape.describe()}) is bertworks' own: transformers opens the encoder alone, with `AutoModel`."


def table(result: dict[str, Any]) -> str:
    """Metrics and floors as a Markdown table."""
    splits = list(result["metrics"])
    if not splits:
        return "No rows were held out: nothing was measured."
    metrics = list(result["metrics"][splits[0]])
    lines = ["| on | rows | " + " | ".join(metrics) + " |", "|---|---|" + "---|" * len(metrics)]
    for split in splits:
        rows = f"{result['rows'][split]:,}"
        cells = " | ".join(f"{result['metrics'][split][metric]:.4f}" for metric in metrics)
        lines.append(f"| {split} | {rows} | {cells} |")
        for floor, values in result["floors"].items():
            cells = " | ".join(f"{values[split][metric]:.4f}" for metric in metrics)
            lines.append(f"| {split}: {FLOORS[floor]} | {rows} | {cells} |")
    return "\n".join(lines)


def sureness(result: dict[str, Any]) -> str:
    """95 % interval and expected calibration error of the last split judged."""
    if not result["metrics"]:
        return ""
    split = list(result["metrics"])[-1]
    told = []
    if split in result.get("interval", {}):
        edges = result["interval"][split]
        between = f"{edges['low']:.4f} to {edges['high']:.4f}"
        told.append(f"{edges['metric']} on ever more rows like {split}: {between} (95 % interval, {edges['by']}).")
    if split in result.get("ece", {}):
        told.append(f"Expected calibration error on {split}, 15 bins: {result['ece'][split]:.4f}.")
    if "calibration" in result:
        temperature = result["calibration"]["temperature"]
        told.append(f"A temperature of {temperature:.3f}, chosen on dev, is in the classifier's weights.")
    return "\n\n" + " ".join(told) if told else ""


def classes(result: dict[str, Any]) -> str:
    """Precision, recall and F1 of each class of the last split judged, where they are few."""
    split = list(result["metrics"])[-1] if result["metrics"] else ""
    figures = result.get("by_class", {}).get(split, {})
    if not 0 < len(figures) <= FEW_CLASSES:
        return ""
    lines = [f"| on {split} | precision | recall | F1 | rows or spans |", "|---|---|---|---|---|"]
    for name, one in figures.items():
        cells = " | ".join(f"{one[key]:.4f}" for key in ("precision", "recall", "f1"))
        lines.append(f"| {escaped(name)} | {cells} | {one['support']:,} |")
    return "\n\n" + "\n".join(lines)


def limits(prepared: Prepared, result: dict[str, Any]) -> str:
    """How far the numbers can be trusted."""
    seed = prepared.recipe.train.seed
    told = [f"One run with seed {seed}; another seed gives other numbers, `--seeds 5` shows how far."]
    if "dev" in result["metrics"]:
        told.append("The dev rows chose the best evaluation, so the dev figures are on the high side.")
    told.append("Texts unlike the training rows were not looked at; what is not in the list above is never answered.")
    return " ".join(told)


def dropped(result: dict[str, Any]) -> str:
    """Rows left out."""
    reasons = result["rows"]["dropped"]
    return "dropped: " + (", ".join(f"{n:,} rows, {reason}" for reason, n in reasons.items()) if reasons else "nothing")
