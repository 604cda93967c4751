"""The comment beside each field of a dataclass, so that a help text says what the source says."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize
from typing import Any


def field_comments(kind: type[Any]) -> dict[str, str]:
    """Field -> the comment on its line, or the description in its metadata; fields without either are absent."""
    try:
        source = textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):  # a class without a file
        source = ""
    comments = {
        token.start[0]: token.string.lstrip("# ").rstrip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    body = ast.parse(source).body
    found: dict[str, str] = {}
    for statement in body[0].body if body and isinstance(body[0], ast.ClassDef) else ():
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            comment = comments.get(statement.end_lineno or 0)
            if comment:
                found[statement.target.id] = comment
    for one in dataclasses.fields(kind):
        if "description" in one.metadata:
            found[one.name] = one.metadata["description"]
    return found
