"""Names on the command line → files in order, and a file → its bytes, unpacked, whatever its name says."""

from __future__ import annotations

import io
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.read.encoding import BOM

PEEK_BYTES = 1 << 18  # what kind of file it is must show in its first 256 KiB
PACKED_CHUNK_BYTES = 1 << 12  # 4 KiB of zstd can hold 64 MiB of text: this bounds the memory, and costs no speed
ZSTD_WINDOW_BYTES = 1 << 31  # `zstd --long=31`; the library refuses more than 2^27 unless told

_PACKED = {
    "gzip": re.compile(rb"\x1f\x8b\x08"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "bzip2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
}
PACKINGS = tuple(_PACKED)
PACKED_SUFFIXES = (".zst", ".gz", ".bz2", ".xz")
_NOT_TEXT = (
    (re.compile(rb"PK\x03\x04"), "a zip archive or an office document"),
    (re.compile(rb"%PDF-"), "a PDF"),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8[79]a"), "a picture"),
    (re.compile(rb"\xd0\xcf\x11\xe0"), "an old office document"),
    (re.compile(rb"\x7fELF|MZ.{60,}PE\x00\x00", re.DOTALL), "a program"),
    (re.compile(rb"7z\xbc\xaf\x27\x1c|Rar!"), "an archive"),
    (re.compile(rb".{257}ustar", re.DOTALL), "a tar archive"),
    (re.compile(rb"SQLite format 3\x00"), "a database"),
)
_CONTROL = bytes(b for b in range(32) if b not in b"\t\n\v\f\r\x1b") + b"\x7f"
CONTROL_SHARE, CONTROL_BYTES = 0.02, 8  # random bytes are 11% control characters; the worst text we know of is 0.5%


class _Decoder(Protocol):
    """What zlib, bz2, lzma and zstandard have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass
class SourceFile:
    """An open file: its unpacked bytes, and how far the file on disk has been read."""

    path: Path
    handle: io.BufferedReader[Any]
    packed: str
    """"" or the name of the compression."""
    file: io.FileIO
    text_offset: int = 0
    """Bytes before the text: 3 once a byte-order mark was skipped."""

    def skip_bom(self) -> None:
        """Pass over UTF-8's byte-order mark at the start."""
        if self.peek().startswith(BOM):
            self.text_offset = len(self.handle.read(len(BOM)))

    def peek(self) -> bytes:
        """The first 256 KiB, or all of a smaller file, without moving on (nothing may have been read yet)."""
        return self.handle.peek(PEEK_BYTES)[:PEEK_BYTES]

    def position(self) -> int:
        """Bytes of the file on disk read so far."""
        try:
            return self.file.tell()
        except OSError:  # a pipe
            return 0


@contextmanager
def open_file(path: str | os.PathLike[str], *, text: bool = True) -> Iterator[SourceFile]:
    """Open a file for reading bytes; gzip, zstd, bzip2 and xz are recognised by content and unpacked.

    text  refuse what is plainly not text (pictures, archives, random bytes)
    Raises BertworksError for a missing, unreadable, empty or damaged file, and for a folder; damage may show up only
    while reading.
    """
    path = Path(path)
    file = _open(path)
    with file:
        start = io.BufferedReader(_Filling(file), PEEK_BYTES)
        packed = next((name for name, magic in _PACKED.items() if magic.match(start.peek(PEEK_BYTES))), "")
        handle = io.BufferedReader(_Unpacking(path, packed, start), PEEK_BYTES) if packed else start
        source = SourceFile(path, handle, packed, file)
        head = source.peek()
        if not head:
            raise BertworksError(f"{path}: is empty", "there must be text in it")
        kind = not_text(head) if text else ""
        if kind:
            raise BertworksError(f"{path}: is {kind}, not text", "give text: .txt, .jsonl, .csv, .tsv or .parquet")
        yield source


def not_text(head: bytes) -> str:
    """What the start of a file shows it to be, "a picture" …, or "" when it may be text (or Parquet)."""
    if head.startswith((b"PAR1", b"\xff\xfe", b"\xfe\xff")):  # Parquet; UTF-16, which has its own message
        return ""
    for magic, kind in _NOT_TEXT:
        if magic.match(head):
            return kind
    control = len(head) - len(head.translate(None, _CONTROL))
    return "binary" if control >= CONTROL_BYTES and control > CONTROL_SHARE * len(head) else ""


def find_files(
    paths: Iterable[str | os.PathLike[str]], *, besides: Path | None = None
) -> tuple[list[Path], dict[str, int]]:
    """The files named, and every file under the folders named, in the order of names; with a count of files left out.

    besides  a folder that is passed over where it lies in another

    A folder's hidden files are not looked at; its empty files, those that are plainly not text, and links to folders
    are left out and counted. The order is that of code points, part by part, so it is the same on every machine.
    Raises BertworksError for a name that is not there and for a folder without text.
    """
    files: list[Path] = []
    left_out: dict[str, int] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            if not path.exists():
                raise missing(path)
            files.append(path)
            continue
        found = 0
        for file in _walk(path, besides.absolute() if besides else None):
            reason = _unusable(file)
            if reason:
                left_out[reason] = left_out.get(reason, 0) + 1
            else:
                files.append(file)
                found += 1
        if not found:
            raise BertworksError(f"{path}: no file with text in this folder", "give files or folders with text")
    if not files:
        raise BertworksError("no input given", "name files or folders with text")
    return files, left_out


def missing(path: Path) -> BertworksError:
    """The error for a name that is not there, with the nearest names that are."""
    folder = path.parent
    if not folder.is_dir():
        return BertworksError(f"{path}: no such file; the folder `{folder}` does not exist either", "check the name")
    close = did_you_mean(path.name, (entry.name for entry in folder.iterdir()))
    return BertworksError(f"{path}: no such file or folder", close or f"names are relative to {Path.cwd()}")


def _open(path: Path) -> io.FileIO:
    if path.is_dir():
        raise BertworksError(f"{path}: is a folder, a file was expected", "name the file")
    try:
        return io.FileIO(path)
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise BertworksError(f"{path}: cannot be read, {os.strerror(error.errno or 0).lower()}") from error


def _walk(folder: Path, besides: Path | None) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith(".") or Path(entry.path).absolute() == besides:
            continue
        if entry.is_dir(follow_symlinks=False):  # a linked folder could hold this one
            yield from _walk(Path(entry.path), besides)
        else:
            yield Path(entry.path)


def _unusable(path: Path) -> str:
    if not path.is_file():
        return "link to a folder" if path.is_dir() else "entry that is no file"
    try:
        with open_file(path):
            return ""
    except BertworksError as error:
        if error.message.endswith("is empty"):
            return "empty file"
        if error.message.endswith("not text"):
            return "file that is not text"
        raise


class _Filling(io.RawIOBase):
    """Reads until the buffer is full or the file ends, so that a pipe can be peeked at like a file."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view, filled = memoryview(buffer).cast("B"), 0
        while filled < len(view):
            got = self._file.readinto(view[filled:])
            if not got:
                break
            filled += got
        return filled


class _Unpacking(io.RawIOBase):
    """The unpacked bytes of a compressed file, of all its frames; a cut or damaged file is an error, never an end."""

    def __init__(self, path: Path, packed: str, handle: io.BufferedReader[Any]) -> None:
        self._path, self._packed, self._handle = path, packed, handle
        self._decoder = _DECODERS[packed]()
        self._started = False  # this frame has begun
        self._consumed_bytes = 0
        self._unpacked = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view, filled = memoryview(buffer).cast("B"), 0
        while filled < len(view):
            if not self._unpacked:
                more = self._next()
                if more is None:
                    break
                self._unpacked = memoryview(more)
            n = min(len(view) - filled, len(self._unpacked))
            view[filled : filled + n] = self._unpacked[:n]
            self._unpacked = self._unpacked[n:]
            filled += n
        return filled

    def _next(self) -> bytes | None:
        """More unpacked bytes (perhaps none yet), or None at the end of the file."""
        chunk = b""
        if self._decoder.eof:
            chunk = self._decoder.unused_data
            self._consumed_bytes -= len(chunk)
            self._decoder, self._started = _DECODERS[self._packed](), False
        chunk = chunk or self._handle.read(PACKED_CHUNK_BYTES)
        if not self._started:
            chunk = chunk.lstrip(b"\0")  # gzip and xz may be padded with zeros
        if not chunk:
            if self._started:
                message = f"{self._path}: the {self._packed} data end too early; the file is cut off"
                raise BertworksError(message, "fetch or pack the file again")
            return None if not self._handle.peek(1) else b""
        self._started = True
        self._consumed_bytes += len(chunk)
        try:
            return self._decoder.decompress(chunk)
        except Exception as error:  # each library has a class of its own
            message = f"{self._path}: the {self._packed} data are damaged before byte {self._consumed_bytes:,}"
            raise BertworksError(message, "fetch or pack the file again") from error


def _gzip() -> _Decoder:
    return zlib.decompressobj(wbits=31)


def _zstd() -> _Decoder:
    import zstandard  # 15 ms, for packed files only

    decoder: _Decoder = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
    return decoder


def _bzip2() -> _Decoder:
    import bz2  # may be absent from a Python built by hand

    return bz2.BZ2Decompressor()


def _xz() -> _Decoder:
    import lzma  # may be absent from a Python built by hand

    return lzma.LZMADecompressor()


_DECODERS: dict[str, Callable[[], _Decoder]] = {"gzip": _gzip, "zstd": _zstd, "bzip2": _bzip2, "xz": _xz}
