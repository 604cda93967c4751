"""report.html and report.md: what a run did, what it is worth and what it gets wrong, on one page by itself."""

from __future__ import annotations

import importlib.metadata
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from bertworks.base.files import read_json, whole_file
from bertworks.base.recipe import to_toml
from bertworks.finetune.bad_cases import BadCase
from bertworks.finetune.contract import clock
from bertworks.finetune.drawings import Series, confusion, curves, scatter, sureness
from bertworks.finetune.floors import FLOORS
from bertworks.finetune.page import Block, Code, Lines, Page, Picture, Section, Table, Text, to_html, to_markdown
from bertworks.finetune.pictures import training_losses
from bertworks.finetune.report_cases import case_block
from bertworks.finetune.setup import Prepared
from bertworks.predict.attributions import Explanation
from bertworks.stats.reliability import Bin
from bertworks.tasks.sentence import Answer as SentenceAnswer
from bertworks.tasks.task import Answer, Row

WORST = 20  # cases on the page
MOST_CLASSES = 120  # of the matrix; more cannot be read
MOST_CELLS = 30  # of its table, where all cells are too many
FEW_CLASSES = 8  # whose table holds every cell
LIBRARIES = ("torch", "tokenizers", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Looked:
    """What the page looks at: the last split that was judged.

    split, rows, answers   its name, rows and answers; no rows where nothing was held out
    where, unit            the file that its lines count in, of each row its line, and what is counted: "line" …
    cases, explanations    wrong rows, worst first, and of the first of them which tokens did it
    """

    split: str
    rows: Sequence[Row]
    answers: Sequence[Answer]
    where: tuple[str, Sequence[int]]
    cases: Sequence[BadCase]
    explanations: Sequence[Explanation | None]
    unit: str = "line"


def write_page(run: Path, page: Page) -> None:
    """report.html and report.md of a run or a study."""
    for name, content in (("report.html", to_html(page)), ("report.md", to_markdown(page))):
        with whole_file(run / name, text=True) as handle:
            handle.write(content)


def page_of(
    run: Path, prepared: Prepared, result: Mapping[str, Any], lines: Sequence[dict[str, Any]], looked: Looked
) -> Page:
    """The page of one run.

    result  what result.json is going to hold: every figure of a table is from there
    lines   of metrics.jsonl
    """
    sections = [
        Section("Result", result_blocks(result)),
        Section("What was read and decided", [Lines(result["contract"]["lines"])]),
        Section("Learning curves", curve_blocks(lines, result)),
    ]
    if looked.rows:
        sections.append(Section("Where it is right and wrong", right_and_wrong(prepared, result, looked)))
        if "confidence" in result:
            sections.append(Section("How sure it is", sure_blocks(result, looked)))
        sections.append(Section("Worst errors", worst_blocks(looked)))
    sections.append(Section("Coverage and rows left out", coverage_blocks(result)))
    sections.append(Section("Time, machine, versions", machine_blocks(run, prepared, result)))
    sections.append(Section("To repeat it", repeat_blocks(run, prepared)))
    return Page(prepared.data.task.about().title, summary(result), sections)


def last_split(result: Mapping[str, Any]) -> str | None:
    """test, else dev, else none."""
    return next((name for name in ("test", "dev") if name in result["metrics"]), None)


def summary(result: Mapping[str, Any]) -> str:
    """The result in a sentence, the floors beside it."""
    split = last_split(result)
    if split is None:
        return "No rows were held out: nothing was measured."
    metric = result["metric"]
    value = result["metrics"][split][metric]
    told = f"{spaced(metric)} {value:.4f} on {result['rows'][split]:,} {split} rows"
    edges = result.get("interval", {}).get(split)
    if edges:
        told += f" (95 % interval {edges['low']:.4f} to {edges['high']:.4f}, {edges['by']})"
    return told + floors_told(result, split, value)


def floors_told(result: Mapping[str, Any], split: str, value: float) -> str:
    """The end of the sentence: each floor, and whether it was beaten."""
    figures = {FLOORS[name]: figures[split][result["metric"]] for name, figures in result["floors"].items()}
    told = [f"{name} {figure:.4f}" + ("" if value > figure else " (not beaten)") for name, figure in figures.items()]
    return f". To beat: {', '.join(told)}." if told else "."


def spaced(name: str) -> str:
    """A metric's name for a sentence.

    >>> spaced("f1_macro")
    'F1 macro'
    """
    words = name.replace("_", " ").replace("f1", "F1")
    return words[:1].upper() + words[1:]


def result_blocks(result: Mapping[str, Any]) -> list[Block]:
    """Metrics of each split with the floors under it, and what the interval means."""
    splits = list(result["metrics"])
    if not splits:
        return [Text(summary(result))]
    names = list(result["metrics"][splits[0]])
    rows = []
    for split in splits:
        shown = [(split, result["metrics"][split])]
        shown += [(f"{split}: {FLOORS[floor]}", figures[split]) for floor, figures in result["floors"].items()]
        for told, figures in shown:
            rows.append([told, f"{result['rows'][split]:,}", *(f"{figures[name]:.4f}" for name in names)])
    blocks: list[Block] = [Table("Figures of the best evaluation's model, and floors", ["on", "rows", *names], rows)]
    if "interval" in result:
        edges = [
            [split, one["metric"], f"{one['low']:.4f}", f"{one['high']:.4f}", one["by"]]
            for split, one in result["interval"].items()
        ]
        blocks.append(Table("95 % intervals", ["on", "metric", "from", "to", "by"], edges))
        blocks.append(
            Text(
                "An interval says where the figure of this very model lies on ever more rows of the same kind; another "
                "seed or other training rows move it further."
            )
        )
    if "dev" in splits:
        blocks.append(Text("The dev rows chose the best evaluation, so the dev figures are on the high side."))
    return blocks


def curve_blocks(lines: Sequence[dict[str, Any]], result: Mapping[str, Any]) -> list[Block]:
    """Losses over updates, the metric on dev, and the evaluations as a table."""
    metric, best = result["metric"], result["best_step"]
    training = training_losses(lines)
    dev = [line for line in lines if line.get("split") == "dev"]
    losses = [(line["step"], line["loss"]) for line in dev if line["loss"] is not None]
    if not training and not dev:
        return [Text("Nothing was logged.")]
    mark = (best, f"best, update {best:,}") if dev else None
    table = None
    if dev:
        rows = [[f"{line['step']:,}", number(line["loss"]), number(line[metric])] for line in dev]
        table = Table("Evaluations on dev", ["update", "loss", metric], rows)
    told = f"Loss over {result['steps']:,} updates, in training" + (" and on dev." if dev else ".")
    drawn = curves([Series("train", training, 0), Series("dev", losses, 1)], "loss", told, mark)
    blocks: list[Block] = [Picture("Loss", drawn, told, None, "curves.png")]
    if dev:
        told = f"{spaced(metric)} on dev at {len(dev)} evaluations; the best one, at update {best:,}, was kept."
        points = [(line["step"], line[metric]) for line in dev]
        blocks.append(
            Picture(f"{spaced(metric)} on dev", curves([Series(metric, points, 1)], metric, told, mark), told, table)
        )
    return blocks


def number(value: float | None) -> str:
    """Four digits; blank where the figure was not finite."""
    return "" if value is None else f"{value:.4f}"


def right_and_wrong(prepared: Prepared, result: Mapping[str, Any], looked: Looked) -> list[Block]:
    """Confusion, parts by class or kind, points of a score; only what the task has."""
    task, split = prepared.data.task, looked.split
    blocks: list[Block] = []
    if "by_class" in result:
        figures = result["by_class"].get(split, {})
        names = list(next(iter(figures.values()), {}))
        rows = [[one, *(cell(name, told[name]) for name in names)] for one, told in figures.items()]
        blocks.append(Table(f"By class, {split}", ["class", *names], rows))
    if "by_kind" in result:
        kinds = result["by_kind"].get(split, {})
        rows = [[kind, *(cell(name, told[name]) for name in told)] for kind, told in kinds.items()]
        blocks.append(Table(f"By kind of question, {split}", ["questions", "rows", "f1", "exact_match"], rows))
    gold, said = task.confused(looked.answers, looked.rows)
    if gold:
        blocks.append(confusion_block(gold, said, task.labels.names, split))
    if task.name == "score":
        blocks.append(score_block(prepared, result, looked))
    return blocks or [Text("This task has no classes to set side by side.")]


def cell(name: str, value: float) -> str:
    """A count, or four digits."""
    return f"{int(value):,}" if name in ("support", "rows") else f"{value:.4f}"


def confusion_block(gold: Sequence[str], said: Sequence[str], known: Sequence[str], split: str) -> Block:
    """The matrix, and its cells as a table: all of few classes, else the most frequent mistakes."""
    there = {*gold, *said}
    labels = [name for name in known if name in there]
    labels += sorted(there - set(labels))
    pairs = Counter(zip(gold, said, strict=True))
    if len(labels) <= FEW_CLASSES:
        rows = [[name, *(f"{pairs[name, other]:,}" for other in labels)] for name in labels]
        table = Table("True label down, predicted across", ["", *labels], rows)
    else:
        mistakes = [(pair, n) for pair, n in pairs.most_common() if pair[0] != pair[1]][:MOST_CELLS]
        rows = [[true, guess, f"{n:,}"] for (true, guess), n in mistakes]
        table = Table("The most frequent mistakes", ["true", "predicted", "number"], rows)
    if len(labels) > MOST_CLASSES:
        return table
    place = {name: i for i, name in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for (true, guess), n in pairs.items():
        counts[place[true], place[guess]] = n
    told = (
        f"{len(labels)} classes, {len(gold):,} on {split}: the stronger a cell, the larger its share of the true label."
    )
    return Picture(
        "Which label is taken for which", confusion(counts, labels, told), told, table, "confusion.png", True
    )


def score_block(prepared: Prepared, result: Mapping[str, Any], looked: Looked) -> Block:
    """Points, with both correlations; a table in tenths of the gold scores."""
    gold = [float(cast("Any", prepared.data.task).gold(row, f"row {i}")) for i, row in enumerate(looked.rows, 1)]
    said = [cast("SentenceAnswer", answer).score for answer in looked.answers]
    figures = result["metrics"][looked.split]
    told = (
        f"Predicted against true scores of {len(gold):,} {looked.split} rows; on the dashed line both are equal. "
        f"Pearson {figures['pearson']:.4f}, Spearman {figures['spearman']:.4f}."
    )
    return Picture("Predicted and true scores", scatter(gold, said, told), told)


def sure_blocks(result: Mapping[str, Any], looked: Looked) -> list[Block]:
    """Reliability, histogram, ECE, and what a temperature did."""
    bins = [Bin(**one) for one in result["confidence"].get(looked.split, [])]
    if not bins:
        return [Text("No answer had a probability.")]
    is_labels = result["task"] == "labels"
    of, right = ("labels", "share there") if is_labels else ("answers", "share right")
    total = sum(one.number for one in bins)
    told = (
        f"{total:,} {of} in 15 bins by their probability: above, how many of them were right (bars; the dot stands at "
        "the mean probability, and on the dashed line both would be equal); below, their number."
    )
    rows = [
        [f"{one.low:.2f}–{one.high:.2f}", f"{one.number:,}", f"{one.confidence:.4f}", f"{one.accuracy:.4f}"]
        for one in bins
        if one.number
    ]
    table = Table("Bins of probability", ["probability", "number", "mean", right], rows)
    drawing = sureness(bins, "probability", right, told)
    blocks: list[Block] = [Picture("Probability and truth", drawing, told, table)]
    before = result.get("ece_before", {})
    header = ["on", "ECE", *(["before the temperature"] if before else [])]
    shown = [[s, f"{e:.4f}", *([f"{before[s]:.4f}"] if before else [])] for s, e in result["ece"].items()]
    blocks.append(Table("Expected calibration error, 15 bins (0 is best)", header, shown))
    if "calibration" in result:
        done = result["calibration"]
        blocks.append(
            Text(
                f"Temperature {done['temperature']:.4f}, chosen on dev; it is in the classifier's weights. Negative "
                f"log-likelihood on dev {done['nll_after']:.4f}, before {done['nll_before']:.4f}."
            )
        )
    return blocks


def worst_blocks(looked: Looked) -> list[Block]:
    """The worst rows with their tokens."""
    wrong, total = len(looked.cases), len(looked.rows)
    if not wrong:
        return [Text(f"None: all {total:,} {looked.split} rows are right.")]
    shown = looked.cases[:WORST]
    told = f"{wrong:,} of {total:,} {looked.split} rows are wrong; all of them stand in bad_cases.jsonl, worst first. "
    how = (
        "Colours are integrated gradients on word embeddings (Sundararajan et al. 2017), from the same row with every "
        "word masked: blue, with a solid line under it, speaks for what was answered, orange and dashed against it."
    )
    blocks: list[Block] = [Text(told + (f"The first {len(shown)}:" if len(shown) < wrong else "")), Text(how)]
    explained = [*looked.explanations, *([None] * len(shown))]
    for number_, (case, one) in enumerate(zip(shown, explained, strict=False), 1):
        place = f"{looked.unit} {looked.where[1][case.row]:,} of {looked.where[0]}"
        blocks.append(case_block(number_, place, case, looked.rows[case.row], one))
    return blocks


def coverage_blocks(result: Mapping[str, Any]) -> list[Block]:
    """What was read of what was there."""
    contract = result["contract"]
    rows = [
        ["share of the words read, all splits", f"{result['coverage']:.4f}"],
        ["training rows longer than a window", f"{contract['long_rows']:,}"],
    ]
    rows += [[f"rows left out: {reason}", f"{n:,}"] for reason, n in result["rows"]["dropped"].items()]
    if not result["rows"]["dropped"]:
        rows.append(["rows left out", "0"])
    rows += [[f"rows of {split} whose text stands in train too", f"{n:,}"] for split, n in contract["overlap"].items()]
    return [Table("Text and rows", ["what", "number"], rows)]


def machine_blocks(run: Path, prepared: Prepared, result: Mapping[str, Any]) -> list[Block]:
    """Seconds, processor, threads, precision, libraries."""
    machine = read_json(run / "environment.json")
    rows = [
        ["training with its evaluations", clock(result["seconds"])],
        ["computed on", str(machine.get("gpu") or f"{machine['machine']}, {machine['processors']} processors")],
        ["threads", f"{machine['threads']}"],
        ["precision", str(prepared.machine.dtype).removeprefix("torch.")],
        ["system", str(machine["system"])],
        ["Python", str(machine["python"])],
    ]
    rows += [[name, version] for name, version in versions().items()]
    return [Table("Machine and versions", ["what", "which"], rows)]


def versions() -> dict[str, str]:
    """Of this package and of what computes."""
    from bertworks import __version__

    found = {"bertworks": __version__}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def repeat_blocks(run: Path, prepared: Prepared) -> list[Block]:
    """The command as it was typed, the one that repeats it, and the recipe."""
    typed = read_json(run / "environment.json").get("command") or []
    blocks: list[Block] = []
    if len(typed) > 1 and Path(typed[0]).name in ("bertworks", "__main__.py"):
        blocks.append(Code("As typed", shlex.join(["bertworks", *typed[1:]])))
    again = shlex.join(["bertworks", "finetune", str(run / "recipe.toml"), "--out", f"{run}-again"])
    blocks.append(Code("The same once more, with every setting as it was resolved", again))
    blocks.append(Code("recipe.toml", to_toml(prepared.recipe)))
    blocks.append(Text(f"Fingerprint of all rows: {prepared.fingerprint}"))
    return blocks
