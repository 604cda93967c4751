"""Where each key of a TOML text stands: what the standard library's reader does not tell."""

from __future__ import annotations

import re
import tomllib

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]\]?")
_ASSIGNMENT = re.compile(rf"\s*({_DOTTED})\s*=(.*)")
_INLINE = re.compile(rf"[{{,]\s*({_DOTTED})\s*=")


def key_lines(text: str) -> dict[str, int]:
    """Dotted key or section -> the line, from 1, where it is first given."""
    lines: dict[str, int] = {}
    section = ""
    closing = ""  # the quotes that end the text of several lines we are in
    for number, line in enumerate(text.split("\n"), start=1):
        if closing:
            closing = "" if closing in line else closing
            continue
        if header := _HEADER.match(line):
            section = _plain(header[1]) + "."
            lines.setdefault(section.rstrip("."), number)
        elif assignment := _ASSIGNMENT.match(line):
            name, rest = section + _plain(assignment[1]), assignment[2].lstrip()
            for depth in range(name.count(".") + 1):
                lines.setdefault(name.rsplit(".", depth)[0], number)
            if rest.startswith("{"):
                for inner in _INLINE.finditer(rest):
                    lines.setdefault(f"{name}.{_plain(inner[1])}", number)
            for quotes in ('"""', "'''"):
                if rest.count(quotes) % 2:
                    closing = quotes
    return lines


def syntax_problem(error: tomllib.TOMLDecodeError) -> tuple[str, str]:
    """Where (":3:5", "" at the end of the file) and what, from the reader's sentence."""
    what = str(error)
    at = re.search(r" \(at line (\d+), column (\d+)\)| \(at end of document\)", what)
    if at is None:
        return "", what[:1].lower() + what[1:]
    where = f":{at[1]}:{at[2]}" if at[1] else ""
    what = what[: at.start()] + ("" if at[1] else " at the end")
    return where, what[:1].lower() + what[1:]


def _plain(dotted: str) -> str:
    return ".".join(part.strip("\"'") for part in re.findall(_PART, dotted))
