"""`bertworks demo`: from bundled text to answers, in minutes."""

from __future__ import annotations

import argparse
from pathlib import Path

from bertworks.cli import flags

HELP = (
    "Learn a vocabulary, build a corpus, pre-train, fill masks and fine-tune on text that ships with the package; "
    "print what pre-training bought."
)

DEFAULT_OUT = "demo"


def arguments(parser: argparse.ArgumentParser) -> None:
    flags.add(parser, "--out", default=DEFAULT_OUT, help=f"folder to make (default {DEFAULT_OUT})")
    parser.add_argument("--minutes", type=float, metavar="N", help="of pre-training (default 2)")
    parser.add_argument("--quick", action="store_true", help="every stage in seconds: that it runs, not how well")
    flags.add(parser, "--overwrite", "--json", "--threads")


def run(args: argparse.Namespace) -> None:
    flags.use_threads(args.threads)
    import dataclasses
    import functools
    import logging
    import sys

    from bertworks.base.errors import BertworksError
    from bertworks.base.files import claim_out
    from bertworks.cli.output import print_json

    out = Path(args.out)
    claim_out(out, args.overwrite)  # before anything slow is loaded; the demo looks closer
    if args.minutes is not None and args.minutes <= 0:
        raise BertworksError(f"--minutes: {args.minutes:g} is no time to train in", "give more than 0")
    from bertworks.reproduce.demo import QUICK, DemoSettings, demo

    settings = QUICK if args.quick else DemoSettings()
    if args.minutes is not None:
        settings = dataclasses.replace(settings, minutes=args.minutes)
    if not args.verbose:
        logging.getLogger("bertworks").setLevel(logging.WARNING)  # the stages tell the same in one paragraph each
    say = functools.partial(print, file=sys.stderr if args.json else sys.stdout, flush=True)
    result = demo(out, settings, say, overwrite=args.overwrite)
    if args.json:
        print_json(result)
