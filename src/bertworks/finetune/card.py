"""The model card: README.md of a model directory, made from what the run knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bertworks.base.files import whole_file
from bertworks.finetune.contract import clock
from bertworks.finetune.floors import FLOORS
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.setup import Prepared
from bertworks.finetune.techniques import techniques


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

{table(result)}

{limits(prepared, result)}

## What it learned from

- {len(data.train):,} rows of `{data.tables["train"].path}`, fingerprint `{prepared.fingerprint}`
- {data.cut}
- {dropped(result)}
- {prepared.contract.length_line()}

## How

{result["steps"]:,} updates of {train.batch_size} rows, AdamW, peak rate {train.lr:g}, warm-up {train.warmup:.0%},
weight decay {train.weight_decay:g}, seed {train.seed}; {clock(result["seconds"])}. {told_techniques(recipe)}
`recipe.toml` of the run repeats it.

## Use

```python
import bertworks
bertworks.load("this-folder").predict({about.example})
```

transformers opens the folder too: `{about.opened_by}.from_pretrained(…)`; it cuts long texts where
bertworks reads them in windows.
"""


def told_techniques(recipe: FinetuneRecipe) -> str:
    """A sentence of the techniques that are on."""
    on = techniques(recipe)
    return f"Techniques: {', '.join(on)}." if on else "No technique beside the defaults."


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
