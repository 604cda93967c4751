"""argparse with the house's errors: one sentence, the nearest flag, exit code 2."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from bertworks.base.errors import BertworksError, did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser that raises BertworksError instead of printing its usage, and takes no abbreviated flags."""

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(
            prog=prog, description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        self._positionals.title, self._optionals.title = "arguments", "flags"

    def format_help(self) -> str:
        """The page of `--help`, with a usage line that names what must be given and leaves the flags to the list."""
        self.usage = self.prog + "".join(f" {word}" for word in map(_usage_of, self._actions) if word) + " [flags]"
        return super().format_help()

    def pages(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """What `--help` lists, for documents: title of a group, then (words to type, meaning) of each entry."""
        formatter = self._get_formatter()
        groups = [
            (group.title or "", [(_typed(one), formatter._expand_help(one)) for one in group._group_actions])
            for group in self._action_groups
        ]
        return [(title, entries) for title, entries in groups if entries]

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The words as a namespace; raises BertworksError for what the parser does not know or cannot read."""
        args, unknown = self.parse_known_args(list(words))
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings]
            name = unknown[0].split("=")[0]
            what = "unknown flag" if name.startswith("-") else "unexpected argument"
            raise BertworksError(
                f"{self.prog}: {what} `{name}`", did_you_mean(name, flags) or f"`{self.prog} --help` lists them"
            )
        return args

    def error(self, message: str) -> NoReturn:
        """Raise argparse's sentence as one of ours."""
        what = re.sub(r"^the following arguments are required: ([^,]+)$", r"\1 is missing", message)
        what = re.sub(r"^the following arguments are required: (.+)$", r"\1 are missing", what)
        what = re.sub(r"^argument ([^:]+): ", lambda match: f"{match[1].split('/')[-1]}: ", what)
        what = re.sub(r"invalid int value: '(.*)'", r"wants a whole number, got \1", what)
        what = re.sub(r"invalid float value: '(.*)'", r"wants a number, got \1", what)
        what = re.sub(r"invalid choice: '(.*)' \(choose from (.*)\)", r"wants one of \2, got \1", what)
        raise BertworksError(f"{self.prog}: {what}", f"`{self.prog} --help` shows what it takes")


def _usage_of(action: argparse.Action) -> str:
    """A positional argument or a flag that must be given, as the usage line shows it; "" for the rest."""
    if action.option_strings:
        return f"{action.option_strings[0]} {action.metavar}" if action.required else ""
    name = str(action.metavar or action.dest.upper())
    return {"?": f"[{name}]", "*": f"[{name} …]", "+": f"{name} …"}.get(str(action.nargs), name)


def _typed(action: argparse.Action) -> str:
    """An entry of the help as it is typed: `--seed N`, `TEXT`."""
    if not action.option_strings:
        return str(action.metavar or action.dest)
    value = action.metavar or ("|".join(map(str, action.choices)) if action.choices else action.dest.upper())
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")
