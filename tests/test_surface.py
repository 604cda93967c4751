"""What others build on: public names, commands, flags, recipe keys. A change shows in tests/golden/surface.txt."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import bertworks
from bertworks.cli.commands import COMMANDS, parser_of


def surface() -> Iterator[str]:
    """One line for each thing that must not change by accident."""
    for name in bertworks.__all__:
        public = getattr(bertworks, name)
        yield f"bw.{name}"
        for one in inspect.signature(public).parameters.values() if callable(public) else ():
            yield f"bw.{name} {one.name}{'' if one.default is one.empty else f' = {one.default!r}'}"
    for command in COMMANDS:
        parser, _ = parser_of(command)
        for action in parser._actions:
            yield f"{command} {', '.join(action.option_strings) or action.dest}"


def test_the_surface_is_what_was_agreed(golden: Callable[[str, str], None]) -> None:
    lines = list(surface())
    assert len(lines) > 100
    golden("surface.txt", "\n".join(lines) + "\n")


def test_shared_flags_are_spelled_one_way() -> None:
    for command in COMMANDS:
        parser, module = parser_of(command)
        typed = [flag for action in parser._actions for flag in action.option_strings]
        assert len(typed) == len(set(typed))
        for flag in typed:
            assert flag in ("-h", "-v") or flag.startswith("--"), f"{command}: {flag}"
            assert "_" not in flag or "." in flag, f"{command}: {flag}"
        assert module.HELP
        assert all(told for title, entries in parser.pages() if title != "recipe" for _, told in entries), command


def test_every_public_name_is_told() -> None:
    for name in bertworks.__all__:
        public = getattr(bertworks, name)
        if callable(public):
            assert inspect.getdoc(public), name
    assert set(dir(bertworks)) == set(bertworks.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(bertworks, "laod")


def test_generated_pages_are_current(checkout: Path) -> None:
    words = [sys.executable, str(checkout / "tools" / "generate_docs.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
