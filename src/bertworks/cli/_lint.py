"""`inspect` of a file of labelled rows: read it, check it, print the report."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Tokenizer

LONGEST = 512  # tokens of a window at most, as in `finetune`
FIRST_ROWS = 3  # shown as read

log = logging.getLogger(__name__)


def labelled_table(path: Path, args: argparse.Namespace) -> Table | None:
    """The rows of a file with gold labels; None where it is no such file, or none of its rows has any.

    Raises BertworksError where `--task`, `--dev`, `--test` or `--folds` say that it must be one.
    """
    from bertworks.base.errors import BertworksError
    from bertworks.read.tables import read_table

    try:
        return read_table(path, columns=args.columns, encoding=args.encoding, may_lack_gold=args.task == "embed")
    except BertworksError as error:
        if args.task or args.dev or args.test or args.folds:
            raise
        log.debug("no labelled rows: %s", error)
        return None


def check(train: Table, args: argparse.Namespace) -> None:
    """Print what is found."""
    from bertworks.cli.output import print_json
    from bertworks.read.tables import read_table
    from bertworks.tasks.lint.judgement import read_judgement
    from bertworks.tasks.lint.report import lint

    tables = {"train": train}
    for name in ("dev", "test"):
        if getattr(args, name):
            tables[name] = read_table(
                getattr(args, name), columns=args.columns, encoding=args.encoding, may_lack_gold=args.task == "embed"
            )
    tokenizer, window = _tokenizer(args)
    judgement = read_judgement(args.folds, train) if args.folds else None
    report = lint(tables, task=args.task, tokenizer=tokenizer, window=window, judgement=judgement)
    if args.json:
        print_json({**about(train), **report.to_json()})
    else:
        print("\n".join(report.lines()))


def about(table: Table) -> dict[str, Any]:
    """What was understood of a file of rows."""
    return {
        "kind": "rows",
        "path": table.path,
        "format": table.format,
        "rows": len(table.rows),
        "columns": table.columns,
        "header": table.header,
        "dropped": table.dropped,
        "first": table.rows[:FIRST_ROWS],
    }


def _tokenizer(args: argparse.Namespace) -> tuple[Tokenizer | None, int]:
    """The vocabulary of `--model`, and how many tokens it reads at once."""
    if args.model is None:
        return None, args.max_length or LONGEST
    from bertworks.base.places import find_model
    from bertworks.text.tokenizer import Tokenizer

    path = find_model(args.model)
    config = path / "config.json"
    positions = json.loads(config.read_text("utf-8")).get("max_position_embeddings") if config.is_file() else None
    return Tokenizer.load(path), args.max_length or min(LONGEST, positions or LONGEST)
