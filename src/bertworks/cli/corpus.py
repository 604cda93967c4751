"""`bertworks corpus`: turn text into shards of token ids."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING, Any

from bertworks.cli import flags

if TYPE_CHECKING:
    from bertworks.corpus.open import Corpus

HELP = (
    "Turn text files and folders (.txt, .jsonl, .parquet, .csv, WikiExtractor, packed or not) into a corpus for "
    "`bertworks pretrain`. A build that was killed goes on when the same command runs again."
)
HOLDOUT, MAX_UNKNOWN = 0.005, 0.05

log = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Text, `--vocab`, `--out`, and how the text is read."""
    parser.add_argument("text", nargs="+", metavar="TEXT", help="file or folder of text")
    flags.add(parser, "--vocab", "--out", required=True)
    flags.add(parser, "--overwrite", "--workers", "--json")
    parser.add_argument(
        "--documents",
        choices=("blocks", "files", "lines"),
        default="blocks",
        help="what a document is in plain text: what stands between blank lines, a whole file, or a line",
    )
    flags.add(parser, "--columns", help="the column with the text: text=NAME")
    parser.add_argument(
        "--holdout", type=float, default=HOLDOUT, metavar="SHARE", help=f"documents kept from training ({HOLDOUT})"
    )
    flags.add(parser, "--bad-bytes", "--bad-lines")
    parser.add_argument(
        "--max-unknown",
        type=float,
        default=MAX_UNKNOWN,
        metavar="SHARE",
        help=f"[UNK] among sampled tokens that is still accepted ({MAX_UNKNOWN})",
    )
    parser.add_argument("--shard-tokens", type=int, metavar="N", help="tokens of a shard (16,777,216)")


def run(args: argparse.Namespace) -> None:
    """Build, then print what the corpus holds."""
    import time

    from bertworks.base.errors import BertworksError
    from bertworks.corpus.build import SHARD_TOKENS, build
    from bertworks.read.documents import Reading

    other_roles = [role for role in args.columns or {} if role != "text"]
    if other_roles:
        raise BertworksError(f"--columns {other_roles[0]}=…: a corpus has the role `text` only", "write `text=NAME`")
    started = time.monotonic()
    corpus = build(
        args.text,
        args.vocab,
        args.out,
        workers=args.workers,
        holdout=args.holdout,
        how=Reading(args.documents, (args.columns or {}).get("text"), args.bad_bytes, args.bad_lines),
        shard_tokens=SHARD_TOKENS if args.shard_tokens is None else args.shard_tokens,
        max_unknown=args.max_unknown,
        overwrite=args.overwrite,
        command=_command(args),
    )
    _print(corpus, time.monotonic() - started, as_json=args.json)


def _command(args: argparse.Namespace) -> str:
    """The command for the manifest: what decides the result, neither place nor number of workers."""
    import shlex

    words = ["bertworks", "corpus", *args.text, "--vocab", args.vocab]
    defaults: dict[str, Any] = {
        "documents": "blocks", "holdout": HOLDOUT, "bad_bytes": "error", "bad_lines": "error",
        "max_unknown": MAX_UNKNOWN, "shard_tokens": None,
    }  # fmt: skip
    for name, default in defaults.items():
        if getattr(args, name) != default:
            words += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    if args.columns:
        words += ["--columns", f'text="{args.columns["text"]}"']
    return shlex.join(words)


def _print(corpus: Corpus, seconds: float, *, as_json: bool) -> None:
    from bertworks.cli.output import print_json, print_table
    from bertworks.corpus.describe import describe

    told, advice = describe(corpus)
    told["seconds"] = round(seconds, 2)
    for reason, count in told["dropped"].items():
        log.warning("dropped %s times: %s", f"{count:,}", reason)
    for sentence in advice:
        log.warning("%s", sentence)
    if as_json:
        print_json(told)
        return
    megabytes = told["text_bytes"] / 1e6
    why = " (those with the smallest hashes, as there are few)" if told["heldout_widened"] else ""
    rows = [
        ["documents", f"{told['documents']:,}, {told['heldout_documents']:,} of them held out{why}"],
        ["sentences", f"{told['sentences']:,}"],
        ["tokens", f"{told['tokens']:,}, {100 * told['unknown_share']:.2f}% [UNK]"],
        ["text", f"{megabytes:,.1f} MB; on disk {told['disk_bytes'] / 1e6:,.1f} MB in {told['shards']:,} shards"],
        ["seconds", f"{seconds:.1f}, {megabytes / max(seconds, 1e-9):.1f} MB/s"],
    ]
    print_table(["corpus", str(corpus.path)], rows)
    print(f"next: bertworks pretrain --corpus {corpus.path} --out RUN")
