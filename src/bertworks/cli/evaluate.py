"""`bertworks evaluate`: score a fine-tuned model on rows."""

from __future__ import annotations

import argparse

from bertworks.cli import flags

HELP = "Score a fine-tuned model on labelled rows."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    parser.add_argument("model", metavar="RUN", help="run, or model directory")
    flags.add(parser, "--data", required=True)
    flags.add(parser, "--columns", "--encoding", "--json", "--device", "--dtype", "--threads")


def run(args: argparse.Namespace) -> None:
    """Print the metrics."""
    flags.use_threads(args.threads)
    import logging

    from bertworks.cli.opening import open_model
    from bertworks.cli.output import print_json, print_table
    from bertworks.predict.evaluate import evaluate_table
    from bertworks.read.tables import read_table

    opened = open_model(args.model, args.device, args.dtype)
    lacks = opened.task.name == "embed"
    table = read_table(args.data, columns=args.columns, encoding=args.encoding, may_lack_gold=lacks)
    for line in table.lines():
        logging.getLogger(__name__).info("%s", line)
    scored = evaluate_table(opened, table)
    if args.json:
        print_json(scored.to_json())
        return
    print_table(["metric", "value"], [[name, f"{value:.4f}"] for name, value in scored.metrics.items()])
    print(f"{scored.rows:,} rows, {scored.coverage:.1%} of the words read")
