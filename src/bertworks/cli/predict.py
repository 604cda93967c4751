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
    flags.add(
        parser,
        "--out",
        help="file for the answers: .jsonl, .csv, .tsv, of tags .conll, of vectors .npz; else standard output",
    )
    flags.add(parser, "--overwrite", "--columns", "--encoding", "--json", "--device", "--dtype", "--threads")
    parser.add_argument(
        "--explain", action="store_true", help="the tokens' shares in each answer (`attributions`), in JSON alone; slow"
    )


def run(args: argparse.Namespace) -> None:
    """Answer in the order of the rows."""
    flags.use_threads(args.threads)
    import logging
    import sys

    from bertworks.base.errors import BertworksError
    from bertworks.base.files import claim_out
    from bertworks.cli.opening import open_model
    from bertworks.predict.files import FilePredictions, check_form, output_form, write_answers

    form = output_form(Path(args.out)) if args.out is not None else ".jsonl" if args.json else ""
    if args.explain and form != ".jsonl":
        raise BertworksError("--explain writes JSON, no other form has room for it", "add `--json`, or `--out F.jsonl`")
    if args.out is not None:
        claim_out(args.out, args.overwrite, reads=[args.model] if args.file == "-" else [args.model, args.file])
    if args.file != "-" and " " in args.file and not Path(args.file).exists():
        raise BertworksError(
            f"{args.file}: no such file", 'a text itself goes in by `echo "…" | bertworks predict RUN -`'
        )
    opened = open_model(args.model, args.device, args.dtype)
    check_form(form, opened.task.name)
    path = "/dev/stdin" if args.file == "-" else args.file
    predictions = FilePredictions(opened, path, args.columns, args.encoding, explain=args.explain)
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
        if as_json:
            print_json(found.to_json())
            continue
        texts = " | ".join(str(found.row[role]) for role in SHOWN_ROLES if role in found.row)
        shown = " ".join(texts.split())
        cells = [f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in found.answer.cells().values()]
        print("\t".join([*cells, shown[:SHOWN_CHARS]]))


SHOWN_CHARS = 100
SHOWN_ROLES = ("text", "sentence1", "sentence2", "question")
