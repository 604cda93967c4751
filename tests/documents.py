"""Code blocks of README and docs, and how they are run.

A block is fenced with three backticks and a language. `sh` and `python` blocks run; an HTML comment on the line before
may say otherwise:

    <!-- docs: slow -->                 runs with the slow tests only, in its place among the others
    <!-- docs: not run, because … -->   never runs (it needs a network, another machine); it is still parsed
    <!-- docs: prints -->               the `text` block that follows is what it prints

All blocks of one document run in order in one folder, Python blocks in one namespace, as a reader would type them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w*)\s*$")
COMMENT = re.compile(r"^<!-- docs: (slow|prints|not run, because .+) -->$")


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language, its code, what the comment before it says, what it prints."""

    path: Path
    line: int
    language: str
    code: str
    mark: str = ""
    output: str | None = None

    @property
    def is_code(self) -> bool:
        return self.language in ("sh", "python")

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """README in both languages and everything in docs/."""
    return [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a document in order; a `prints` block carries the output that follows it."""
    found = list(_blocks(path))
    for at, block in enumerate(found):
        if block.mark == "prints":
            assert at + 1 < len(found), f"{block.place}: prints, and no block follows"
            after = found[at + 1]
            assert after.language == "text", f"{block.place}: prints, and no `text` block follows"
            found[at] = Block(block.path, block.line, block.language, block.code, "", after.code)
    return found


def _blocks(path: Path) -> Iterator[Block]:
    lines = path.read_text(encoding="utf-8").split("\n")
    at = 0
    while at < len(lines):
        opened = FENCE.match(lines[at])
        if opened is None:
            at += 1
            continue
        before = COMMENT.match(lines[at - 1].strip()) if at else None
        end = next(i for i in range(at + 1, len(lines)) if lines[i].rstrip() == "```")
        code = "\n".join(lines[at + 1 : end])
        yield Block(path, at + 1, opened[1], code, before[1] if before else "")
        at = end + 1


def commands(block: Block) -> list[list[str]]:
    """The words of every `bertworks …` command in a shell block, lines ending in a backslash joined."""
    found = []
    for line in block.code.replace("\\\n", " ").split("\n"):
        for part in re.split(r"\s(?:\||&&|>)\s", line):
            words = shlex.split(part, comments=True)
            if words[:1] == ["bertworks"]:
                found.append(words[1:])
    return found


def run(block: Block, folder: Path, names: dict[str, object]) -> str:
    """Run one block in `folder`; Python blocks share `names`. Returns standard output; raises when it fails."""
    if block.language == "python":
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            exec(compile(block.code, block.place, "exec"), names)
        return printed.getvalue()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{block.place}: exit {done.returncode}\n{done.stderr[-2000:]}"
    return done.stdout


def environment(folder: Path) -> dict[str, str]:
    """The environment of a shell block: `bertworks` is this source tree, whatever is installed."""
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    for name, words in (("bertworks", " -m bertworks"), ("python", "")):
        program = programs / name  # no link: Python finds its environment by where it stands
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{words} "$@"\n')
        program.chmod(0o755)
    source = [str(ROOT / "src")] if (ROOT / "src").is_dir() else []
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join([*source, os.environ.get("PYTHONPATH", "")]).strip(os.pathsep),
    }
