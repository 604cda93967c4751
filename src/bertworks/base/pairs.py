"""`name=value,name=value` of the command line, with quotes for names that hold the marks."""

from __future__ import annotations


def pairs(text: str) -> dict[str, str]:
    """`role=name,role=name` of the command line; a name that holds `,` or `=` stands in double quotes.

    >>> pairs('text=body,label="kind, of thing"')
    {'text': 'body', 'label': 'kind, of thing'}

    Raises ValueError(what, hint).
    """
    found: dict[str, str] = {}
    for part in _split(text, ","):
        name, *rest = _split(part, "=")
        if len(rest) != 1 or not name.strip() or not rest[0].strip():
            raise ValueError(
                f"wants name=value,name=value, got {text}", "a value with `,` or `=` goes in double quotes"
            )
        found[name.strip().strip('"')] = rest[0].strip().strip('"')
    return found


def _split(text: str, mark: str) -> list[str]:
    parts, in_quotes = [""], False
    for character in text:
        in_quotes ^= character == '"'
        if character == mark and not in_quotes:
            parts.append("")
        else:
            parts[-1] += character
    return parts
