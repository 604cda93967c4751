"""The flags that mean the same in every command that has them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from bertworks.base.pairs import pairs

PRESETS = ("tiny", "mini", "small", "medium", "base", "large")
TASKS = ("classify", "labels", "score", "tag", "qa", "choice", "embed", "rerank", "intent-slots")


def columns(text: str) -> dict[str, str]:
    """`--columns role=name,…`: which column has which role."""
    try:
        return pairs(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(error.args[0]) from error


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number in a range, as a flag's type."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"`{text}` is not a whole number") from None
        if number < least or (most is not None and number > most):
            limits = f"at least {least}" if most is None else f"{least} to {most}"
            raise argparse.ArgumentTypeError(f"must be {limits}, got {number}")
        return number

    return read


FLAGS: dict[str, dict[str, Any]] = {
    "--out": {"metavar": "PATH", "help": "where the result goes"},
    "--overwrite": {"action": "store_true", "help": "replace what stands at --out"},
    "--json": {"action": "store_true", "help": "print the result for machines"},
    "--dry-run": {"action": "store_true", "help": "print the resolved recipe and the plan, then stop"},
    "--resume": {
        "action": argparse.BooleanOptionalAction,
        "default": True,
        "help": "go on with an unfinished run of the same recipe (the default)",
    },
    "--model": {
        "metavar": "MODEL",
        "help": "run, Hugging Face directory, bertworks-mini, or preset:NAME for random weights",
    },
    "--vocab": {"metavar": "DIR", "help": "folder or vocab.txt of the vocabulary, or bertworks-mini"},
    "--corpus": {"metavar": "DIR", "help": "corpus directory, from `bertworks corpus`"},
    "--preset": {"choices": PRESETS, "help": "size of the model"},
    "--train": {"metavar": "FILE", "help": "rows to train on"},
    "--dev": {"metavar": "FILE", "help": "rows to choose the best model by; else a part of --train is held out"},
    "--test": {"metavar": "FILE", "help": "rows scored once, after training"},
    "--data": {"metavar": "FILE", "help": "rows to score"},
    "--task": {"choices": TASKS, "help": "what the labels are; else inferred"},
    "--columns": {
        "metavar": "ROLE=NAME,…",
        "type": columns,
        "help": "which column has which role; quote names with , or =",
    },
    "--encoding": {
        "metavar": "NAME",
        "default": "utf-8",
        "help": "of text files that are not UTF-8: latin-1, gb18030, …",
    },
    "--bad-bytes": {
        "choices": ("error", "drop"),
        "default": "error",
        "help": "what is not UTF-8: stop, or drop and count",
    },
    "--bad-lines": {
        "choices": ("error", "drop"),
        "default": "error",
        "help": "broken JSON or CSV lines: stop, or drop and count",
    },
    "--steps": {"metavar": "N", "type": int, "help": "updates of the weights"},
    "--tokens": {"metavar": "N", "type": float, "help": "tokens to read"},
    "--hours": {"metavar": "H", "type": float, "help": "time to train"},
    "--epochs": {"metavar": "N", "type": float, "help": "passes over the rows"},
    "--batch-tokens": {"metavar": "N", "type": int, "help": "tokens an update"},
    "--lr": {"metavar": "RATE", "type": float, "help": "peak learning rate"},
    "--seed": {"metavar": "N", "type": int, "help": "of everything random"},
    "--seeds": {"metavar": "N", "type": int, "help": "runs, each with its own seed; mean and spread are printed"},
    "--checkpoint-every": {"metavar": "STEPS", "type": int, "help": "updates between two checkpoints"},
    "--segments": {"choices": ("nsp-bert", "nsp", "sop", "none"), "help": "how documents become pairs"},
    "--mask": {"choices": ("token", "word", "ngram", "span"), "help": "what is hidden together"},
    "--max-length": {"metavar": "N", "type": int, "help": "tokens of a sequence at most, specials included"},
    "--samples": {"metavar": "N", "type": whole(1), "help": "how many to show"},
    "--layers": {"metavar": "LIST", "help": "which layers"},
    "--device": {"metavar": "NAME", "help": "cpu, cuda, cuda:1, …; else the best there is"},
    "--dtype": {
        "choices": ("auto", "float32", "bfloat16"),
        "default": "auto",
        "help": "auto = bfloat16 where the machine has it",
    },
    "--threads": {"metavar": "N", "type": whole(1, 1024), "help": "processor threads; else all cores"},
    "--workers": {"metavar": "N", "type": int, "help": "worker processes; else one a core"},
}

COMMON_TITLE = "talking"
COMMON: dict[str, dict[str, Any]] = {
    "--quiet": {"action": "store_true", "help": "no progress, warnings only"},
    "-v": {"action": "store_true", "dest": "verbose", "help": "say more"},
    "--debug": {"action": "store_true", "help": "show the traceback of an error"},
}


def add(
    parser: argparse.ArgumentParser, *names: str, required: bool = False, default: object = None, help: str = ""
) -> None:
    """Add shared flags by name; what is given beside holds for all of `names`.

    required  refuse the command without them
    default   in place of the shared one
    help      in place of the shared sentence
    """
    for name in names:
        settings = dict(FLAGS[name])
        if required:
            settings["required"] = True
        if default is not None:
            settings["default"] = default
        if help:
            settings["help"] = help
        parser.add_argument(name, **settings)


def add_common(parser: argparse.ArgumentParser) -> None:
    """The flags of every command: --quiet, -v, --debug."""
    group = parser.add_argument_group(COMMON_TITLE)
    for name, settings in COMMON.items():
        group.add_argument(name, **settings)


def use_threads(threads: int | None) -> None:
    """Let torch and the libraries below it use so many threads; None leaves them all cores. Call before torch loads."""
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(threads)
