"""The table of commands, and a parser for each."""

from __future__ import annotations

import importlib
from types import ModuleType

from bertworks.cli import flags
from bertworks.cli.parser import Parser

# command -> (module, what it does): the help of `bertworks` is printed from here, without loading the modules
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("bertworks.cli.demo", "learn, pre-train, fine-tune and compare on bundled text, in minutes"),
    "vocab": ("bertworks.cli.vocab", "learn a WordPiece vocabulary from text"),
    "corpus": ("bertworks.cli.corpus", "turn text into shards of token ids"),
    "pretrain": ("bertworks.cli.pretrain", "train a model on a corpus"),
    "finetune": ("bertworks.cli.finetune", "adapt a model to labelled rows"),
    "search": ("bertworks.cli.search", "try settings of a fine-tuning run, choose by dev"),
    "evaluate": ("bertworks.cli.evaluate", "score a fine-tuned model on rows"),
    "predict": ("bertworks.cli.predict", "answer for each row or line"),
    "compare-runs": (
        "bertworks.cli.compare_runs",
        "whether one fine-tuning run is better than another",
    ),
    "fill": ("bertworks.cli.fill", "guess the words behind [MASK]"),
    "inspect": ("bertworks.cli.inspect", "show what a model, a run, a corpus or a data file holds"),
    "bench": ("bertworks.cli.bench", "measure speed against others on this machine"),
    "doctor": ("bertworks.cli.doctor", "check the machine, the versions and the settings"),
}


def parser_of(command: str) -> tuple[Parser, ModuleType]:
    """A command's parser, with its own flags and the common ones, and its module."""
    module = importlib.import_module(COMMANDS[command][0])
    parser = Parser(prog=f"bertworks {command}", description=module.HELP)
    module.arguments(parser)
    flags.add_common(parser)
    return parser, module


def overview() -> str:
    """What `bertworks --help` prints."""
    width = max(map(len, COMMANDS))
    table = "\n".join(f"  {name:<{width}}  {told}" for name, (_, told) in COMMANDS.items())
    return f"""usage: bertworks COMMAND … [--help]

BERT as one tool: raw text, vocabulary, corpus, pre-training, fine-tuning, answers.

commands:
{table}

flags:
  --help     this page; `bertworks COMMAND --help` for a command's own
  --version  the version

results go to standard output, all else to standard error; exit 0 done, 1 failed, 2 bad input
"""
