"""The house rules that can be counted: sizes, names, unfinished work."""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

import bertworks

SOURCE = Path(bertworks.__file__).parent
TESTS = Path(__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
MAX_FILE_LINES, MEDIAN_FILE_LINES, MAX_FUNCTION_LINES = 400, 200, 60


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def long_functions(source: str) -> list[str]:
    return [
        f"{node.name} ({length} lines)"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]


def tunnels(source: str) -> list[str]:
    """Functions that pass on arguments nobody named."""
    functions = [one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [one.name for one in functions if one.args.kwarg is not None and one.args.kwarg.arg == "kwargs"]


def test_the_counting_counts() -> None:
    long = "def f():\n" + "    pass\n" * MAX_FUNCTION_LINES
    assert long_functions(long) == ["f (61 lines)"]
    assert tunnels("def f(a, **kwargs): pass") == ["f"]
    assert len(FILES) > 50


def test_files_fit_in_a_head() -> None:
    sizes = {str(path.relative_to(SOURCE)): lines_of(path) for path in FILES}
    assert {name: size for name, size in sizes.items() if size > MAX_FILE_LINES} == {}
    assert statistics.median(sizes.values()) <= MEDIAN_FILE_LINES
    assert {path.name: lines_of(path) for path in TESTS.glob("*.py") if lines_of(path) > MAX_FILE_LINES} == {}


@pytest.mark.parametrize("find", [long_functions, tunnels])
def test_functions_are_short_and_name_their_arguments(find: object) -> None:
    assert callable(find)
    found = {str(path.relative_to(SOURCE)): find(path.read_text(encoding="utf-8")) for path in FILES}
    assert {name: functions for name, functions in found.items() if functions} == {}


def test_nothing_is_unfinished_or_nameless() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert unfinished.search("# TODO later")
    assert [path.name for path in FILES if unfinished.search(path.read_text(encoding="utf-8"))] == []
    assert [path.name for path in FILES if path.stem in ("utils", "util", "helpers", "misc", "common")] == []


def test_every_room_says_what_goes_in_and_comes_out() -> None:
    rooms = sorted(SOURCE.glob("*/__init__.py"))
    assert len(rooms) >= 13
    for path in rooms:
        told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        for word in (r"^\s*in\b", r"\bout\b", r"\bread first\b"):
            assert re.search(word, told, re.MULTILINE | re.IGNORECASE), f"{path.parent.name}/__init__.py: no `{word}`"
