"""The page of a study: mean and spread over the seeds, each seed's figures, their curves over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertworks.finetune.drawings import Series, curves
from bertworks.finetune.floors import FLOORS
from bertworks.finetune.page import Block, Lines, Links, Page, Picture, Section, Table, Text
from bertworks.finetune.pictures import training_losses
from bertworks.finetune.report import coverage_blocks, floors_told, last_split, machine_blocks, repeat_blocks, spaced
from bertworks.finetune.setup import Prepared

STYLES = 5  # colours of curves; seeds beyond take them again

SeedLines = Mapping[int, Sequence[dict[str, Any]]]
"""seed -> the lines of its metrics.jsonl."""


def page_of_seeds(run: Path, prepared: Prepared, result: Mapping[str, Any], lines: SeedLines) -> Page:
    """All seeds on one page; what one seed gets wrong stands on its own page."""
    seeds = [entry["seed"] for entry in result["seeds"]]
    best = result["best_seed"]
    pages = [(f"seed {n}" + (", whose model is in best/" if n == best else ""), f"seed-{n}/report.html") for n in seeds]
    sections = [
        Section("Result", seeds_result(result)),
        Section("What was read and decided", [Lines(result["contract"]["lines"])]),
        Section("Learning curves of all seeds", seeds_curves(result, lines)),
        Section(
            "Each seed by itself", [Text("Its errors, classes and calibration stand on its own page:"), Links(pages)]
        ),
        Section("Coverage and rows left out", coverage_blocks(result)),
        Section("Time, machine, versions", machine_blocks(run, prepared, result)),
        Section("To repeat it", repeat_blocks(run, prepared)),
    ]
    return Page(f"{prepared.data.task.about().title}, {len(seeds)} seeds", seeds_summary(result), sections)


def seeds_summary(result: Mapping[str, Any]) -> str:
    """The mean and its spread in a sentence, the floors beside it."""
    split = last_split(result)
    if split is None:
        return "No rows were held out: nothing was measured."
    metric = result["metric"]
    mean, sd = result["mean"][split][metric], result["sd"][split][metric]
    told = f"{spaced(metric)} {mean:.4f} ± {sd:.4f} over {len(result['seeds'])} seeds"
    told += f" on {result['rows'][split]:,} {split} rows"
    edges = result.get("interval", {}).get(split)
    if edges:
        told += f" (95 % interval of the mean {edges['low']:.4f} to {edges['high']:.4f}, {edges['by']})"
    return told + floors_told(result, split, mean)


def seeds_result(result: Mapping[str, Any]) -> list[Block]:
    """A table over the seeds, one of each seed."""
    splits = list(result["mean"])
    if not splits:
        return [Text(seeds_summary(result))]
    names = list(result["mean"][splits[0]])
    rows, each = [], []
    for split in splits:
        mean, sd = result["mean"][split], result["sd"][split]
        size = f"{result['rows'][split]:,}"
        rows.append([split, size, *(f"{mean[name]:.4f} ± {sd[name]:.4f}" for name in names)])
        for floor, figures in result["floors"].items():
            rows.append([f"{split}: {FLOORS[floor]}", size, *(f"{figures[split][name]:.4f}" for name in names)])
        for entry in result["seeds"]:
            figures = entry["metrics"][split]
            update = f"{entry['best_step']:,}"
            each.append([f"{entry['seed']}", split, update, *(f"{figures[name]:.4f}" for name in names)])
    caption = f"Mean ± standard deviation over {len(result['seeds'])} seeds, and floors"
    blocks: list[Block] = [
        Table(caption, ["on", "rows", *names], rows),
        Table("Each seed", ["seed", "on", "best update", *names], each),
        Text(
            f"All seeds share the rows and their split; the seed moves order, dropout and the new layer. Seed "
            f"{result['best_seed']} is the best on dev, its model is in best/."
        ),
    ]
    if "interval" in result:
        blocks.append(
            Text(
                "The interval is of the mean over ever more seeds on these very rows; other rows would move it further."
            )
        )
    if "ece" in result:
        header = ["on", "ECE", *(["before the temperature"] if "ece_before" in result else [])]
        shown = [
            [split, f"{value:.4f}", *([f"{result['ece_before'][split]:.4f}"] if "ece_before" in result else [])]
            for split, value in result["ece"].items()
        ]
        blocks.append(Table("Expected calibration error, 15 bins (0 is best), mean over the seeds", header, shown))
    return blocks


def seeds_curves(result: Mapping[str, Any], lines: SeedLines) -> list[Block]:
    """Training losses and the metric on dev, a line a seed."""
    metric = result["metric"]
    losses, figures = [], []
    table: list[list[str]] = []
    for number, (seed, logged) in enumerate(lines.items()):
        training = training_losses(logged)
        dev = [(x["step"], x[metric]) for x in logged if x.get("split") == "dev"]
        losses.append(Series(f"seed {seed}", training, number % STYLES))
        figures.append(Series(f"seed {seed}", dev, number % STYLES))
        table.extend([f"{seed}", f"{step:,}", f"{value:.4f}"] for step, value in dev)
    told = f"Loss in training of {len(lines)} seeds."
    blocks: list[Block] = []
    if any(one.points for one in losses):
        blocks.append(Picture("Loss", curves(losses, "loss", told), told))
    if table:
        told = f"{spaced(metric)} on dev of {len(lines)} seeds."
        listed = Table("Evaluations on dev", ["seed", "update", metric], table)
        blocks.append(Picture(f"{spaced(metric)} on dev", curves(figures, metric, told), told, listed))
    return blocks or [Text("Nothing was logged.")]
