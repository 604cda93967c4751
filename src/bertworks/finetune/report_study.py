"""The page of a study: mean and spread over its seeds or folds, figures of each, their curves over each other."""

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
from bertworks.stats.results import Word

STYLES = 5  # colours of curves; runs beyond take them again

PartLines = Mapping[int, Sequence[dict[str, Any]]]
"""seed or fold -> the lines of its metrics.jsonl."""

SHARED = {
    "seed": "All seeds share the rows and their split; the seed moves order, dropout and the new layer.",
    "fold": "Every row of the training file is dev once, for a model that has not seen it.",
}
SURE = {
    "seed": "The interval is of the mean over ever more seeds on these very rows; other rows would move it further.",
    "fold": "The interval takes the folds for independent; they share training rows, so it is too narrow (Bengio & "
    "Grandvalet 2004). That of all rows out of fold is over rows, for models like these.",
}


def page_of_study(run: Path, prepared: Prepared, result: Mapping[str, Any], lines: PartLines, word: Word) -> Page:
    """All seeds or folds on one page; what one of them gets wrong stands on its own page."""
    numbers = [entry[word] for entry in result[f"{word}s"]]
    best = result[f"best_{word}"]
    pages = [
        (f"{word} {n}" + (", whose model is in best/" if n == best else ""), f"{word}-{n}/report.html") for n in numbers
    ]
    sections = [
        Section("Result", study_result(result, word)),
        Section("What was read and decided", [Lines(result["contract"]["lines"])]),
        Section(f"Learning curves of all {word}s", study_curves(result, lines, word)),
        Section(
            f"Each {word} by itself", [Text("Its errors, classes and calibration stand on its own page:"), Links(pages)]
        ),
        Section("Coverage and rows left out", coverage_blocks(result)),
        Section("Time, machine, versions", machine_blocks(run, prepared, result)),
        Section("To repeat it", repeat_blocks(run, prepared)),
    ]
    return Page(f"{prepared.data.task.about().title}, {len(numbers)} {word}s", study_summary(result, word), sections)


def study_summary(result: Mapping[str, Any], word: Word) -> str:
    """The mean and its spread in a sentence, the floors beside it."""
    split = last_split(result)
    if split is None:
        return "No rows were held out: nothing was measured."
    metric = result["metric"]
    mean, sd = result["mean"][split][metric], result["sd"][split][metric]
    told = f"{spaced(metric)} {mean:.4f} ± {sd:.4f} over {len(result[f'{word}s'])} {word}s"
    told += f" on {result['rows'][split]:,} {split} rows"
    edges = result.get("interval", {}).get(split)
    if edges:
        told += f" (95 % interval of the mean {edges['low']:.4f} to {edges['high']:.4f}, {edges['by']})"
    return told + floors_told(result, split, mean)


def study_result(result: Mapping[str, Any], word: Word) -> list[Block]:
    """A table over the runs, one of each run."""
    splits = list(result["mean"])
    if not splits:
        return [Text(study_summary(result, word))]
    names = list(result["mean"][splits[0]])
    rows, each = [], []
    for split in splits:
        mean, sd = result["mean"][split], result["sd"][split]
        size = f"{result['rows'][split]:,}"
        rows.append([split, size, *(f"{mean[name]:.4f} ± {sd[name]:.4f}" for name in names)])
        for floor, figures in result["floors"].items():
            rows.append([f"{split}: {FLOORS[floor]}", size, *(f"{figures[split][name]:.4f}" for name in names)])
        for entry in result[f"{word}s"]:
            figures = entry["metrics"][split]
            update = f"{entry['best_step']:,}"
            each.append([f"{entry[word]}", split, update, *(f"{figures[name]:.4f}" for name in names)])
    caption = f"Mean ± standard deviation over {len(result[f'{word}s'])} {word}s, and floors"
    blocks: list[Block] = [
        Table(caption, ["on", "rows", *names], rows),
        Table(f"Each {word}", [word, "on", "best update", *names], each),
        Text(f"{SHARED[word]} {word.capitalize()} {result[f'best_{word}']} is the best on dev, its model is in best/."),
    ]
    if "interval" in result:
        blocks.append(Text(SURE[word]))
    if "out_of_fold" in result:
        blocks.extend(out_of_fold_blocks(result["out_of_fold"], result["rows"]["train"]))
    if "ece" in result:
        header = ["on", "ECE", *(["before the temperature"] if "ece_before" in result else [])]
        shown = [
            [split, f"{value:.4f}", *([f"{result['ece_before'][split]:.4f}"] if "ece_before" in result else [])]
            for split, value in result["ece"].items()
        ]
        blocks.append(Table(f"Expected calibration error, 15 bins (0 is best), mean over the {word}s", header, shown))
    return blocks


def out_of_fold_blocks(pooled: Mapping[str, Any], rows: int) -> list[Block]:
    """The figures of all rows together, each answered by the model of its fold; by class where there are classes."""
    metrics = pooled["metrics"]
    told = [f"{rows:,}", *(f"{value:.4f}" for value in metrics.values())]
    blocks: list[Block] = [Table("All rows, out of fold", ["rows", *metrics], [told])]
    edges = pooled.get("interval")
    if edges:
        low, high = edges["low"], edges["high"]
        blocks.append(Text(f"95 % interval of {spaced(edges['metric'])}: {low:.4f} to {high:.4f}, {edges['by']}."))
    if "by_class" in pooled:
        header = ["class", "precision", "recall", "f1", "rows"]
        by_class = [
            [name, *(f"{one[figure]:.4f}" for figure in header[1:4]), f"{one['support']:,}"]
            for name, one in pooled["by_class"].items()
        ]
        blocks.append(Table("By class, out of fold", header, by_class))
    return blocks


def study_curves(result: Mapping[str, Any], lines: PartLines, word: Word) -> list[Block]:
    """Training losses and the metric on dev, a line a run."""
    metric = result["metric"]
    losses, figures = [], []
    table: list[list[str]] = []
    for style, (number, logged) in enumerate(lines.items()):
        training = training_losses(logged)
        dev = [(x["step"], x[metric]) for x in logged if x.get("split") == "dev"]
        losses.append(Series(f"{word} {number}", training, style % STYLES))
        figures.append(Series(f"{word} {number}", dev, style % STYLES))
        table.extend([f"{number}", f"{step:,}", f"{value:.4f}"] for step, value in dev)
    told = f"Loss in training of {len(lines)} {word}s."
    blocks: list[Block] = []
    if any(one.points for one in losses):
        blocks.append(Picture("Loss", curves(losses, "loss", told), told))
    if table:
        told = f"{spaced(metric)} on dev of {len(lines)} {word}s."
        listed = Table("Evaluations on dev", [word, "update", metric], table)
        blocks.append(Picture(f"{spaced(metric)} on dev", curves(figures, metric, told), told, listed))
    return blocks or [Text("Nothing was logged.")]
