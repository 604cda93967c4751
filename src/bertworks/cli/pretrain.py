"""`bertworks pretrain`: train a model on a corpus."""

from __future__ import annotations

import argparse
from pathlib import Path

from bertworks.base.errors import BertworksError
from bertworks.base.recipe import load, to_toml
from bertworks.cli import flags
from bertworks.cli.recipe_flags import add_recipe, overrides
from bertworks.pretrain.recipe import PretrainRecipe

HELP = "Train a BERT on a corpus: masked tokens, and which text follows which."

SHORT = {
    "--corpus": "data.corpus",
    "--model": "model.start",
    "--preset": "model.preset",
    "--steps": "train.steps",
    "--tokens": "train.tokens",
    "--hours": "train.hours",
    "--batch-tokens": "train.batch_tokens",
    "--max-length": "train.length",
    "--lr": "train.lr",
    "--seed": "train.seed",
    "--segments": "data.segments",
    "--checkpoint-every": "train.checkpoint_every",
    "--device": "machine.device",
    "--dtype": "machine.dtype",
    "--threads": "machine.threads",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?", type=Path, metavar="RECIPE", help="TOML file; flags override its keys")
    flags.add(parser, "--out", "--overwrite", "--resume", "--dry-run", "--json")
    add_recipe(parser, PretrainRecipe, SHORT)


def run(args: argparse.Namespace) -> int:
    recipe = load(PretrainRecipe, args.recipe, overrides(args, PretrainRecipe))
    if args.dry_run:
        from bertworks.pretrain.plan import describe_plan

        print(to_toml(recipe, marked=True))
        print(describe_plan(recipe))
        return 0
    if not args.out:
        raise BertworksError("bertworks pretrain: --out is missing", "name a folder for the run: `--out runs/mine`")
    from bertworks.cli.output import print_json, print_table
    from bertworks.pretrain.run import pretrain

    result = pretrain(recipe, Path(args.out), resume=args.resume, overwrite=args.overwrite)
    if result.stopped:
        return 130 if result.stopped == "SIGINT" else 0
    if result.rank > 0:
        return 0
    if args.json:
        print_json({"run": result.run, "steps": result.steps, "heldout": result.figures})
        return 0
    if result.figures:
        print_table(["held-out", "figure"], list(result.figures.items()))
    model = result.run / ("best" if result.figures else "last")
    print(f"model: {model}; curves: {result.run / 'curves.png'}")
    print(f'next: bertworks fill {result.run} "The capital of [MASK] is Paris."')
    return 0
