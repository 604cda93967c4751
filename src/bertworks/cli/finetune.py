"""`bertworks finetune`: adapt a model to labelled rows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.base.places import RECIPES, find_recipe
from bertworks.base.recipe import load, to_toml
from bertworks.cli import flags
from bertworks.cli.recipe_flags import add_recipe, overrides
from bertworks.finetune.recipe import FinetuneRecipe

HELP = (
    "Fine-tune a model on rows of text and label (or score): CSV, TSV, JSON lines, Parquet, GLUE files, packed or not."
)

SHORT = {
    "--model": "model.start",
    "--vocab": "model.vocab",
    "--train": "data.train",
    "--dev": "data.dev",
    "--test": "data.test",
    "--task": "data.task",
    "--columns": "data.columns",
    "--encoding": "data.encoding",
    "--max-length": "data.max_length",
    "--epochs": "train.epochs",
    "--steps": "train.steps",
    "--lr": "train.lr",
    "--batch-size": "train.batch_size",
    "--seed": "train.seed",
    "--seeds": "train.seeds",
    "--patience": "train.patience",
    "--metric": "train.metric",
    "--checkpoint-every": "train.checkpoint_every",
    "--device": "machine.device",
    "--dtype": "machine.dtype",
    "--threads": "machine.threads",
}
ROWS = (".csv", ".tsv", ".json", ".jsonl", ".conll", ".parquet")  # endings of files that are no recipes
RECIPE_HELP = f"TOML file, or one that is built in: {', '.join(RECIPES)}; flags override its keys"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    parser.add_argument("recipe", nargs="?", type=Path, metavar="RECIPE", help=RECIPE_HELP)
    flags.add(parser, "--out")
    flags.add(parser, "--overwrite", "--resume", "--dry-run", "--json")
    add_recipe(parser, FinetuneRecipe, SHORT)


def run(args: argparse.Namespace) -> int:
    """Run, print the figures, and the next commands to try."""
    if args.recipe is not None and args.recipe.suffix in ROWS:
        raise BertworksError(f"{args.recipe}: rows, where a recipe was expected", f"say `--train {args.recipe}`")
    recipe = load(FinetuneRecipe, find_recipe(args.recipe), overrides(args, FinetuneRecipe))
    flags.use_threads(recipe.machine.threads)
    if args.dry_run:
        return dry_run(recipe)
    if args.out is None:
        raise BertworksError("bertworks finetune: --out is missing", "name a folder for the run: `--out runs/mine`")
    from bertworks.cli.output import print_json
    from bertworks.finetune.run import finetune

    result = finetune(recipe, Path(args.out), resume=args.resume, overwrite=args.overwrite)
    if result.stopped is not None:
        return 130 if result.stopped == "SIGINT" else 0
    if args.json:
        print_json(result.content)
        return 0
    show(result.run, result.content)
    return 0


def dry_run(recipe: FinetuneRecipe) -> int:
    """Print the resolved recipe and the plan."""
    from bertworks.finetune.folds import read_rows
    from bertworks.finetune.setup import prepare_run

    prepared = prepare_run(recipe, read_rows(recipe))
    print(to_toml(prepared.recipe, marked=True))
    for line in prepared.contract.lines():
        print(line)
    return 0


def show(run_folder: Path, content: dict[str, Any]) -> None:
    """Figures as a table, then where things are."""
    from bertworks.cli.output import print_table
    from bertworks.finetune.floors import FLOORS

    word = "fold" if "folds" in content else "seed"
    runs = len(content[f"{word}s"])
    splits = list(content["metrics"])
    if splits:
        header = ["", *content["metrics"][splits[0]]]
        rows = []
        for split in splits:
            sd = content["sd"].get(split, {})
            values = content["metrics"][split]
            rows.append(
                [split, *(f"{value:.4f}" + (f" ± {sd[name]:.4f}" if sd else "") for name, value in values.items())]
            )
            for floor, figures in content["floors"].items():
                rows.append([f"{split}, {FLOORS[floor]}", *(f"{value:.4f}" for value in figures[split].values())])
        print_table(header, rows)
    if runs > 1:
        best = content[f"best_{word}"]
        print(f"mean ± standard deviation of {runs} {word}s; the best on dev is {word} {best}, its model is in best/")
    if word == "fold":
        told = ", ".join(f"{name} {value:.4f}" for name, value in content["out_of_fold"]["metrics"].items())
        print(f"all {content['rows']['train']:,} rows, each by a model that has not seen it: {told}")
    if (run_folder / "report.html").is_file():
        print(f"report, to be opened in a browser: {run_folder / 'report.html'}")
    print(f"model: {run_folder}; figures: {run_folder / 'result.json'}")
    print(f"next: bertworks predict {run_folder} FILE --out answers.csv")
