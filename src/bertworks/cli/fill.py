"""`bertworks fill`: guess the words behind [MASK]."""

from __future__ import annotations

import argparse

from bertworks.cli import flags

HELP = 'Guess the words behind [MASK]: `bertworks fill MODEL "The capital of [MASK] is Paris."`'


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    parser.add_argument("model", metavar="MODEL", help="run, model directory, or bertworks-mini")
    parser.add_argument("text", metavar="TEXT", help="text with one [MASK] or several")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="guesses a mask (default 5)")
    flags.add(parser, "--json", "--device", "--dtype", "--threads")


def run(args: argparse.Namespace) -> None:
    """Print the likeliest tokens of each mask; of several masks also both ways to fill them all."""
    flags.use_threads(args.threads)
    from bertworks.base.places import find_model
    from bertworks.cli.output import print_json, print_table
    from bertworks.engine.precision import choose_device, choose_dtype
    from bertworks.model.pretrained import read_config
    from bertworks.predict.directory import load_masked, load_tokenizer
    from bertworks.predict.fill import fill

    path = find_model(args.model)
    place = choose_device(args.device or "auto")
    precision, _ = choose_dtype(args.dtype, place)
    model = load_masked(path).to(place, precision).eval()
    found = fill(model, load_tokenizer(path, read_config(path)), args.text, top=args.top)
    if args.json:
        print_json(found.to_json())
        return
    several = len(found.predictions) > 1
    rows = [
        [*([number] if several else []), guess.token, f"{guess.score:.4f}"]
        for number, guesses in enumerate(found.predictions)
        for guess in guesses
    ]
    print_table([*(["mask"] if several else []), "token", "probability"], rows)
    if several:
        rows = [
            ["each by itself", f"{found.independent.score:.3g}", found.independent.text],
            ["one by one", f"{found.one_by_one.score:.3g}", found.one_by_one.text],
        ]
        print_table(["filled", "probability of all", "text"], rows)
