"""`bertworks vocab`: learn a WordPiece vocabulary from text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertworks.cli import flags

if TYPE_CHECKING:
    from bertworks.read.documents import Reading
    from bertworks.text.tokenizer import Tokenizer

HELP = (
    "Learn a WordPiece vocabulary from text files and folders (.txt, .jsonl, .parquet, WikiExtractor, packed or not)."
)

DEFAULT_SIZE = (
    8192  # what a small model's table and a few MB of text can bear; published vocabularies have 21,000 to 31,000
)
MUCH_UNKNOWN = 0.01  # of words; a published vocabulary leaves 0.0005 of its own language
EXAMPLE_CHARS = 100


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="+", type=Path, metavar="TEXT", help="file or folder of text")
    parser.add_argument(
        "--size", type=int, default=DEFAULT_SIZE, metavar="N", help=f"tokens at most (default {DEFAULT_SIZE:,})"
    )
    parser.add_argument("--cased", action="store_true", help="keep capitals and accents; else both are dropped")
    flags.add(parser, "--out", required=True, help="folder to make for the vocabulary")
    flags.add(parser, "--overwrite", "--json", "--threads", "--bad-bytes", "--bad-lines")


def run(args: argparse.Namespace) -> None:
    flags.use_threads(args.threads)
    import time

    from bertworks.base.files import claim_out, whole_directory
    from bertworks.read.documents import Reading, ReadReport
    from bertworks.text.learn import WordCounts, learn_from_counts, measure, refuse_size

    claim_out(args.out, args.overwrite, reads=args.text, marks=("vocab.txt", "tokenizer.json"))
    refuse_size(args.size, cased=args.cased)
    started = time.monotonic()
    report, counts = ReadReport(), WordCounts()
    how = Reading(bad_bytes=args.bad_bytes, bad_lines=args.bad_lines)
    example = _count(args.text, how, counts, report)
    tokenizer = learn_from_counts(counts, size=args.size, cased=args.cased)
    with whole_directory(args.out, overwrite=args.overwrite) as folder:
        tokenizer.save(folder)
    coverage = measure(counts, tokenizer)
    result: dict[str, Any] = {
        "vocab": str(args.out),
        "size": tokenizer.vocab_size,
        "lowercase": tokenizer.lowercase,
        "documents": report.documents,
        "dropped": report.dropped,
        "bytes": counts.bytes,
        "unknown_share": coverage.unknown_share,
        "tokens_per_word": coverage.tokens_per_word,
        "bytes_per_token": coverage.bytes_per_token,
        "fingerprint": tokenizer.fingerprint,
        "seconds": round(time.monotonic() - started, 2),
    }
    _print(result, tokenizer, example, as_json=args.json)


def _count(paths: list[Path], how: Reading, counts: Any, report: Any) -> str:
    """Read every document into `counts`, with progress in bytes of the files; returns the beginning of the first."""
    import logging

    from bertworks.base.progress import Progress
    from bertworks.read.documents import read_documents
    from bertworks.read.open import find_files

    log = logging.getLogger(__name__)
    total = sum(path.stat().st_size for path in find_files(paths)[0])
    example = ""
    with Progress(total, "bytes", "vocab") as progress:
        for document in read_documents(paths, how, report):
            example = example or document.text.strip()[:EXAMPLE_CHARS].split("\n")[0]
            counts.add(document.text)
            progress.update(report.bytes_read - progress.done)
    for path, kind in list(report.files.items())[:3]:
        log.info("%s: read as %s", path, kind)
    if len(report.files) > 3:
        log.info("and %s more files", f"{len(report.files) - 3:,}")
    for reason, count in report.dropped.items():
        log.warning("dropped %s times: %s", f"{count:,}", reason)
    if counts.dropped:
        log.warning("%s occurrences of rare words were not counted: too many different ones", f"{counts.dropped:,}")
    return example


def _print(result: dict[str, Any], tokenizer: Tokenizer, example: str, *, as_json: bool) -> None:
    """The result on standard output, and a warning where much of the text is unknown."""
    import logging

    from bertworks.cli.output import print_json, print_table

    if result["unknown_share"] > MUCH_UNKNOWN:
        logging.getLogger(__name__).warning(
            "%.1f%% of the words become [UNK]; a larger --size holds more characters", 100 * result["unknown_share"]
        )
    if as_json:
        print_json(result)
        return
    pieces = [tokenizer.tokens[token_id] for token_id in tokenizer.encode([example])[0]]
    casing = "uncased" if result["lowercase"] else "cased"
    rows = [
        ["tokens", f"{result['size']:,}, {casing}"],
        ["learned from", f"{result['documents']:,} documents, {result['bytes'] / 1e6:,.1f} MB"],
        ["words that become [UNK]", f"{100 * result['unknown_share']:.3f}%"],
        ["tokens a word", f"{result['tokens_per_word']:.2f}"],
        ["bytes a token", f"{result['bytes_per_token']:.2f}"],
        ["seconds", f"{result['seconds']:.1f}"],
        ["the text begins", example],
        ["in tokens", " ".join(pieces)],
    ]
    print_table(["vocabulary", result["vocab"]], rows)
    print(f"next: bertworks corpus TEXT --vocab {result['vocab']} --out CORPUS")
