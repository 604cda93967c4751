"""Bytes → text: strict UTF-8, with the line and the byte of what is not."""

from __future__ import annotations

import re
from pathlib import Path

from bertworks.base.errors import BertworksError

BOM = b"\xef\xbb\xbf"
_GB_PAIR = re.compile(rb"[\xa1-\xf7][\xa1-\xfe]")


def decode(raw: bytes, path: Path, *, line: int = 1, offset: int = 0) -> str:
    """`raw` as text.

    raw     bytes that begin at line `line` and byte `offset` of the unpacked file `path`
    Raises BertworksError with the line and the byte of the first that is not UTF-8.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(raw, error.start, path, line=line, offset=offset) from error


def not_utf8(raw: bytes, start: int, path: Path, *, line: int = 1, offset: int = 0) -> BertworksError:
    """The error for byte `start` of `raw`, see `decode`."""
    before = raw[:start]
    line += before.count(b"\n")
    column = start - (before.rfind(b"\n") + 1)
    file_offset = offset + start
    place = f"at offset {column:,}" + (f" of the line, {file_offset:,} of the file" if line > 1 else "")
    return BertworksError(
        f"{path}:{line}: not UTF-8, byte 0x{raw[start]:02x} {place}",
        f"re-encode from {likely_encoding(raw)}, or drop such bytes with `--bad-bytes drop` (drops are counted)",
    )


def refuse_utf16(head: bytes, path: Path) -> None:
    """Raise BertworksError when a file begins like UTF-16 or UTF-32."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        name = "UTF-32" if head[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") else "UTF-16"
        raise BertworksError(
            f"{path}:1: not UTF-8, byte 0x{head[0]:02x} at offset 0 begins {name}",
            f"re-encode it: `iconv -f {name} -t UTF-8 {path} > new.txt`",
        )


def likely_encoding(raw: bytes) -> str:
    """A guess for a hint: GB18030 where bytes over 0x7f come in its common pairs, else Latin-1."""
    sample = raw[: 1 << 16]
    high = sum(byte >= 0x80 for byte in sample)
    paired = 2 * len(_GB_PAIR.findall(sample))
    return "GB18030" if paired > 0.8 * high else "Latin-1"
