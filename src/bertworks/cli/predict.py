"""`bertworks predict`: answer for each row or line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bertworks.cli import flags

if TYPE_CHECKING:
    from bertworks.predict.files import FilePredictions

HELP = "Answer for each row of a file, or each line typed, with a fine-tuned model."


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    parser.add_argument("model", metavar="RUN", help="run, or model directory")
    parser.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="rows, or one text a line; - reads standard input"
    )
    flags.add(parser, "--out", help="file for the answers: .jsonl, .csv or .tsv; else standard output")
    flags.add(parser, "--overwrite", "--columns", "--encoding", "--json", "--device", "--dtype", "--threads")


def run(args: argparse.Namespace) -> None:
    """Answer in the order of the rows."""
    flags.use_threads(args.threads)
    import logging
    import sys

    from bertworks.base.files import claim_out
    from bertworks.cli.opening import open_model
    from bertworks.predict.files import FilePredictions, output_form, write_answers

    if args.out is not None:
        output_form(Path(args.out))
        claim_out(args.out, args.overwrite)
    opened = open_model(args.model, args.device, args.dtype)
    path = "/dev/stdin" if args.file == "-" else args.file
    predictions = FilePredictions(opened, path, args.columns, args.encoding)
    if args.out is not None:
        count = write_answers(predictions, Path(args.out))
        logging.getLogger(__name__).info("%s answers: %s", f"{count:,}", args.out)
    else:
        print_answers(predictions, as_json=args.json)
    read = predictions.coverage
    logging.getLogger(__name__).info(
        "%.1f%% of the words read, %d rows in several windows", 100 * read.share, read.long_rows
    )
    first = {} if predictions.first is None else predictions.first.dropped
    for reason, count in predictions.dropped.items():
        if count > first.get(reason, 0):
            logging.getLogger(__name__).warning("dropped in the whole file, %s: %s", reason, f"{count:,}")
    sys.stdout.flush()


def print_answers(predictions: FilePredictions, *, as_json: bool) -> None:
    """One line a row: JSON, or answer, probability and the beginning of the text."""
    from bertworks.cli.output import print_json

    for found in predictions:
        told = found.answer.to_json()
        if as_json:
            print_json(told)
            continue
        texts = " | ".join(str(found.row[role]) for role in SHOWN_ROLES if role in found.row)
        shown = " ".join(texts.split())
        cells = [f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in found.answer.cells().values()]
        print("\t".join([*cells, shown[:SHOWN_CHARS]]))


SHOWN_CHARS = 100
SHOWN_ROLES = ("text", "sentence1", "sentence2", "question")
