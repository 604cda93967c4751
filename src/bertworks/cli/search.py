"""`bertworks search`: try settings of a fine-tuning run, choose by dev."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bertworks.base.places import RECIPES, find_recipe
from bertworks.base.recipe import load, to_toml
from bertworks.cli import flags
from bertworks.cli.finetune import SHORT
from bertworks.cli.recipe_flags import add_recipe, overrides
from bertworks.finetune.recipe import FinetuneRecipe

HELP = (
    "Try settings of a fine-tuning run, each as a run of its own, and choose by dev; the test file is opened once, at "
    'the end, by the best trial. Needs `pip install "bertworks[hpo]"`.'
)
RECIPE = f"TOML file, or one that is built in: {', '.join(RECIPES)}; flags override its keys"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    parser.add_argument("recipe", nargs="?", type=Path, metavar="RECIPE", help=RECIPE)
    flags.add(parser, "--out")
    parser.add_argument("--trials", type=flags.whole(1), default=20, metavar="N", help="how many, in all (20)")
    parser.add_argument("--space", metavar="NAME|FILE", help="paper, small, or a TOML file; else by the model's size")
    parser.add_argument("--timeout-minutes", type=float, metavar="X", help="begin no trial after so long")
    parser.add_argument("--no-prune", action="store_true", help="let every trial come to its end")
    flags.add(parser, "--overwrite", "--resume", "--dry-run", "--json")
    add_recipe(parser, FinetuneRecipe, SHORT)


def run(args: argparse.Namespace) -> int:
    """Search, print the trials, the best first, and the next command."""
    from bertworks.base.errors import BertworksError
    from bertworks.finetune.search_space import read_space

    recipe = load(FinetuneRecipe, find_recipe(args.recipe), overrides(args, FinetuneRecipe))
    flags.use_threads(recipe.machine.threads)
    space = read_space(args.space, recipe) if args.space else None
    if args.dry_run:
        print(to_toml(recipe, marked=True))
        print("\n".join(space.lines() if space else ["the space is chosen by the model's size"]))
        return 0
    if args.out is None:
        raise BertworksError("bertworks search: --out is missing", "name a folder for the search: `--out runs/search`")
    from bertworks.cli.output import print_json
    from bertworks.finetune.search import search

    result = search(
        recipe,
        Path(args.out),
        trials=args.trials,
        space=space,
        timeout_minutes=args.timeout_minutes,
        prune=not args.no_prune,
        resume=args.resume,
        overwrite=args.overwrite,
    )
    if result.stopped is not None:
        return 130 if result.stopped == "SIGINT" else 0
    if args.json:
        print_json(result.content)
    else:
        show(result.run, result.content)
    return 0


def show(folder: Path, content: dict[str, Any]) -> None:
    """Trials as a table, the best first, then what the best one is worth and where it is."""
    from bertworks.cli.output import print_table

    metric = content["metric"]
    names = [key.rpartition(".")[2] for key in content["trials"][0]["params"]]
    rank = {"complete": 0, "pruned": 1, "failed": 2, "running": 3}
    in_order = sorted(content["trials"], key=lambda one: (rank[one["state"]], -(one["value"] or 0.0), one["trial"]))
    rows = [
        [
            one["trial"],
            one["state"],
            "" if one["value"] is None else f"{one['value']:.4f}",
            *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in one["params"].values()),
            "" if one["seconds"] is None else f"{one['seconds']:.0f}",
        ]
        for one in in_order
    ]
    print_table(["trial", "state", f"{metric} on dev", *names, "seconds"], rows)
    print(f"best: trial {content['best_trial']}, chosen by dev alone, whose figure flatters: it is the best of many")
    if "test" in content["metrics"]:
        figures = ", ".join(f"{name} {value:.4f}" for name, value in content["metrics"]["test"].items())
        print(f"test, opened once, by the best trial: {figures}")
    print(f"model: {folder}; figures: {folder / 'result.json'}; study: {folder / 'study.db'}")
    print(f"next: bertworks finetune {folder / 'best.toml'} --seeds 5 --out RUN")
