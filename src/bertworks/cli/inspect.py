"""`bertworks inspect`: what a corpus, a data file, a vocabulary, a model or a run holds."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertworks.cli import flags

if TYPE_CHECKING:
    from bertworks.corpus.open import Corpus
    from bertworks.read.documents import Reading

HELP = (
    "Show what a corpus, a data file, a vocabulary, a model or a run holds. Labelled rows are checked: duplicates, "
    "overlap, labels that look wrong. With --samples, print what training would read from a corpus."
)
SAMPLE_FLAGS = ("samples", "segments", "mask", "seed", "epoch", "max_length")
ROW_FLAGS = ("dev", "test", "task", "model", "folds")

log = logging.getLogger(__name__)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to look at, and how samples of a corpus are drawn."""
    parser.add_argument("what", type=Path, metavar="PATH", help="corpus, data file, vocabulary, model directory or run")
    flags.add(parser, "--json")
    flags.add(parser, "--columns", "--encoding", "--bad-bytes", "--bad-lines")
    flags.add(
        parser, "--dev", "--test", help="of labelled rows: another file, for overlap and labels train does not have"
    )
    flags.add(parser, "--task")
    flags.add(parser, "--model", help="of labelled rows: count lengths in tokens of this model")
    parser.add_argument(
        "--folds",
        type=Path,
        metavar="RUN",
        help="of labelled rows: suspect labels by this run's own answers out of fold (`finetune --train.folds 5`)",
    )
    parser.add_argument("--verify", action="store_true", help="of a corpus: read every byte and compare its SHA-256")
    flags.add(parser, "--samples", help="of a corpus: how many samples of training to print, as JSON lines")
    flags.add(parser, "--segments", "--mask", "--seed", "--max-length")
    parser.add_argument("--epoch", type=int, metavar="N", help="whose samples (0)")


def run(args: argparse.Namespace) -> None:
    """Tell what stands at the path."""
    from bertworks.base.errors import BertworksError
    from bertworks.base.places import packaged
    from bertworks.read.folders import is_rows

    path: Path = packaged(args.what) or args.what
    if not path.exists():
        from bertworks.read.open import missing

        raise missing(path)
    is_corpus = path.is_dir() and ((path / "manifest.json").is_file() or (path / "build.json").is_file())
    given = [name for name in (*SAMPLE_FLAGS, *ROW_FLAGS) if getattr(args, name) is not None]
    asked = [name for name in given if name in SAMPLE_FLAGS and (name != "max_length" or args.model is None)]
    if not is_corpus and (args.verify or asked):
        name = "verify" if args.verify else asked[0].replace("_", "-")
        raise BertworksError(f"{path}: is no corpus, which `--{name}` is for", "leave the flag out")
    for_rows = [name for name in given if name in ROW_FLAGS]
    holds_rows = path.is_file() or is_rows(path)
    if for_rows and not holds_rows:
        raise BertworksError(f"{path}: is no file of rows, which `--{for_rows[0]}` is for", "leave the flag out")
    if is_corpus:
        _corpus(path, args)
    elif holds_rows:
        _data(path, args)
    else:
        _directory(path, args)


def _corpus(path: Path, args: argparse.Namespace) -> None:
    from bertworks.corpus.describe import describe
    from bertworks.corpus.open import open_corpus

    corpus = open_corpus(path)
    if args.samples is not None:
        _samples(corpus, args)
        return
    told, advice = describe(corpus)
    if args.verify:
        _verify(corpus)
        told["verified"] = True
    for sentence in advice:
        log.warning("%s", sentence)
    _print(told, args.json)


def _verify(corpus: Corpus) -> None:
    from bertworks.base.errors import BertworksError
    from bertworks.corpus.open import verify

    corpus.tokenizer()
    broken = verify(corpus)
    if broken:
        more = f"; {len(broken) - 1} more files differ" if len(broken) > 1 else ""
        raise BertworksError(broken[0] + more, "copy the corpus again, or build it again", exit_code=1)


def _samples(corpus: Corpus, args: argparse.Namespace) -> None:
    import numpy as np

    from bertworks.base.errors import BertworksError
    from bertworks.cli.output import print_json
    from bertworks.corpus.masking import MaskRule
    from bertworks.pretrain.recipe import DataRecipe, TrainRecipe
    from bertworks.pretrain.samples import Samples

    if args.mask not in (None, "token"):
        raise BertworksError(f"--mask {args.mask}: pre-training masks single tokens", "leave it out")
    tokenizer = corpus.tokenizer()
    samples = Samples(
        corpus,
        tokenizer,
        np.flatnonzero(~corpus.is_heldout),
        segments=args.segments or DataRecipe().segments,
        length=args.max_length or TrainRecipe().length,
        masks=MaskRule(),
        seed=args.seed or 0,
    )
    epoch = args.epoch or 0
    available = len(samples.plan(epoch))
    if args.samples > available:
        log.warning("epoch %s has %s samples", epoch, f"{available:,}")
    for index in range(min(args.samples, available)):
        sample = samples.sample(epoch, index)
        print_json(
            {
                "tokens": [tokenizer.tokens[token_id] for token_id in sample.input_ids],
                "token_type_ids": sample.token_type_ids,
                "masked_positions": sample.masked_positions,
                "masked_labels": [tokenizer.tokens[token_id] for token_id in sample.masked_labels],
                "is_random_next": sample.is_random,
                "documents": list(sample.documents) if sample.is_pair else [sample.documents[0]],
            }
        )


def _data(path: Path, args: argparse.Namespace) -> None:
    from bertworks.base.errors import BertworksError
    from bertworks.cli._lint import about, check, labelled_table
    from bertworks.cli._looks import describe_documents
    from bertworks.cli.output import print_json
    from bertworks.read.tables import read_table

    labelled = labelled_table(path, args)
    if labelled is not None:
        check(labelled, args)
        return
    is_table = args.encoding != "utf-8"  # text for a corpus is UTF-8
    table = None
    try:
        table = read_table(path, columns=args.columns, labelled=False, encoding=args.encoding)
    except BertworksError as error:
        if is_table:
            raise
        log.debug("not a table: %s", error)
    if table is None or (not is_table and list(table.columns) == ["text"] and len(table.header) == 1):
        _print(describe_documents(path, _reading(args)), args.json)
    elif args.json:
        print_json(about(table))
    else:
        print("\n".join(table.lines()))


def _reading(args: argparse.Namespace) -> Reading:
    from bertworks.read.documents import Reading

    column = (args.columns or {}).get("text")
    return Reading(column=column, bad_bytes=args.bad_bytes, bad_lines=args.bad_lines)


def _directory(path: Path, args: argparse.Namespace) -> None:
    from bertworks.base.errors import BertworksError
    from bertworks.cli._looks import (
        describe_documents,
        describe_model,
        describe_run,
        describe_vocabulary,
        is_model,
        is_run,
        is_vocabulary,
    )

    if is_run(path):
        _print(describe_run(path), args.json)
    elif is_model(path):
        _print(describe_model(path), args.json)
    elif is_vocabulary(path):
        _print(describe_vocabulary(path), args.json)
    else:
        try:
            _print(describe_documents(path, _reading(args)), args.json)
        except BertworksError as error:
            raise BertworksError(
                f"{path}: is neither a corpus, a vocabulary, a model, a run nor a folder of text", str(error)
            ) from error


def _print(told: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or a table of it."""
    from bertworks.cli.output import print_json, print_table

    if as_json:
        print_json(told)
        return
    rows = [[name.replace("_", " "), _readable(value)] for name, value in told.items() if name not in ("kind", "path")]
    print_table([told["kind"], told["path"]], rows)


def _readable(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return "; ".join(map(_readable, value)) or "none"
    return "none" if value is None else " ".join(str(value).split())
