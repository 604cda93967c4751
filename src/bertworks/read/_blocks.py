"""Plain text and WikiExtractor output: documents made of lines. Lines end at "\\n" and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from bertworks.base.errors import BertworksError
from bertworks.read.encoding import decode
from bertworks.read.open import SourceFile

Drop = Callable[[str, int], None]
BAD_BYTES = "byte that is not UTF-8"

_OPEN = re.compile(rb"<doc( [^>\n]*)?>\s*")
_CLOSE = re.compile(rb"\s*</doc>\s*")


def read_plain(
    source: SourceFile, drop: Drop, *, whole: bool, drop_bytes: bool, limit: int
) -> Iterator[tuple[str, int]]:
    """Blocks of lines between blank lines, or the whole file, each with its first line's number."""
    held: list[bytes] = []
    held_bytes = first_line = first_offset = offset = 0
    for line, raw in enumerate(_raw_lines(source, limit), 1):
        if not whole and is_blank(raw):
            if held:
                yield _joined(source, held, first_line, first_offset, drop, drop_bytes), first_line
            held, held_bytes = [], 0
        else:
            if not held:
                first_line, first_offset = line, offset
            held.append(raw)
            held_bytes += len(raw)
            if held_bytes > limit:
                raise _too_long(source, first_line, limit)
        offset += len(raw)
    if held:
        yield _joined(source, held, first_line, first_offset, drop, drop_bytes), first_line


def read_lines(source: SourceFile, drop: Drop, *, drop_bytes: bool, limit: int) -> Iterator[tuple[str, int]]:
    """Every line that is not blank, as a document of its own."""
    offset = 0
    for line, raw in enumerate(_raw_lines(source, limit), 1):
        if not is_blank(raw):
            yield _joined(source, [raw], line, offset, drop, drop_bytes), line
        offset += len(raw)


def read_wiki(source: SourceFile, drop: Drop, *, drop_bytes: bool, limit: int) -> Iterator[tuple[str, int]]:
    """What stands between `<doc …>` and `</doc>`, title line included, with the number of the line `<doc …>`."""
    held: list[bytes] | None = None
    held_bytes = opened_line = first_offset = offset = 0
    for line, raw in enumerate(_raw_lines(source, limit), 1):
        if _OPEN.fullmatch(raw) and (held is None or raw.startswith(b"<doc id=")):
            if held is not None:
                raise _not_closed(source, opened_line)
            held, held_bytes, opened_line, first_offset = [], 0, line, offset + len(raw)
        elif held is None:
            if not is_blank(raw):
                drop("line outside <doc> and </doc>", 1)
        elif _CLOSE.fullmatch(raw):
            yield _joined(source, held, opened_line + 1, first_offset, drop, drop_bytes), opened_line
            held = None
        else:
            held.append(raw)
            held_bytes += len(raw)
            if held_bytes > limit:
                raise _too_long(source, opened_line, limit)
        offset += len(raw)
    if held is not None:
        raise _not_closed(source, opened_line)


def is_blank(raw: bytes) -> bool:
    """Whether a line holds only white space, that of other scripts included (U+3000 in Chinese text)."""
    stripped = raw.strip()
    if not stripped:
        return True
    if stripped[0] not in b"\xc2\xe1\xe2\xe3\xef" or len(stripped) > 100:
        return False  # no white space outside ASCII begins with another byte
    return not stripped.decode("utf-8", "replace").replace("\ufeff", "").strip()


def decode_or_drop(raw: bytes, source: SourceFile, drop: Drop, drop_bytes: bool, *, line: int, offset: int = 0) -> str:
    """Text of `raw`; where `drop_bytes`, what is not UTF-8 is dropped and counted instead of an error."""
    if not drop_bytes:
        return decode(raw, source.path, line=line, offset=source.text_offset + offset)
    text = raw.decode("utf-8", "ignore")
    if not text.isascii() or len(text) < len(raw):
        drop(BAD_BYTES, len(raw) - len(text.encode()))
    return text


def _joined(source: SourceFile, held: list[bytes], line: int, offset: int, drop: Drop, drop_bytes: bool) -> str:
    raw = b"".join(held)
    text = decode_or_drop(raw, source, drop, drop_bytes, line=line, offset=offset)
    return (text.replace("\r\n", "\n") if b"\r\n" in raw else text).strip()


def _raw_lines(source: SourceFile, limit: int) -> Iterator[bytes]:
    line = 0
    readline = source.handle.readline
    while raw := readline(limit + 1):
        line += 1
        if len(raw) > limit:
            raise _too_long(source, line, limit)
        yield raw


def _too_long(source: SourceFile, line: int, limit: int) -> BertworksError:
    return BertworksError(
        f"{source.path}:{line}: a document of more than {limit >> 20} MiB begins here",
        "put blank lines between documents, or take every line for one: `--documents lines`",
    )


def _not_closed(source: SourceFile, line: int) -> BertworksError:
    return BertworksError(
        f"{source.path}:{line}: this `<doc>` has no `</doc>`", "the file is cut off; run WikiExtractor again"
    )
