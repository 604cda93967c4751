"""Files and folders that appear whole or not at all, whatever moment the machine stops at.

Every byte is written beside its target, made durable, and renamed into place. `_write`, `_fsync` and `_rename` are the
only three ways to the disk, so a test that fails each of them once has tried every broken state there is.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import io
import json
import math
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Literal, overload

from bertworks.base._beside import AnyPath, clear_stale, delete, in_use, path_beside
from bertworks.base.errors import BertworksError

__all__ = [
    "claim_out",
    "clear_stale",
    "read_json",
    "remove",
    "sha256_file",
    "whole_directory",
    "whole_file",
    "write_json",
]

BUFFER_BYTES = 1 << 20  # one call of `_write` a megabyte: no cost beside the disk's


@overload
def whole_file(path: AnyPath, *, text: Literal[True]) -> AbstractContextManager[IO[str]]: ...
@overload
def whole_file(path: AnyPath, *, text: Literal[False] = False) -> AbstractContextManager[IO[bytes]]: ...
@contextmanager
def whole_file(path: AnyPath, *, text: bool = False) -> Iterator[IO[Any]]:
    """A handle for writing `path`; the file stands there, whole and durable, when the block ends without an error.

    text  UTF-8 with "\\n" ends, else bytes
    After an error, or a kill, what stood at `path` before still stands. Folders on the way are made. A device or a
    pipe (`/dev/stdout`) is written straight, as there is nothing to rename.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        with target.open("w", encoding="utf-8", newline="") if text else target.open("wb") as handle:
            yield handle
        return
    if target.is_dir():
        raise BertworksError(f"{path}: is a folder, a file was to be written there", "name a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_stale(target.parent, target.name)
    temporary = path_beside(target)
    try:
        raw = _Hooked(temporary, "xb")
        buffered = io.BufferedWriter(raw, BUFFER_BYTES)
        with io.TextIOWrapper(buffered, encoding="utf-8", newline="") if text else buffered as handle:
            try:
                yield handle
                handle.flush()
                _fsync(raw.fileno())
            except BaseException:
                raw.abandoned = True
                raise
        _rename(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        _name_target(error, temporary, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        in_use.discard(temporary)


@contextmanager
def whole_directory(path: AnyPath, *, overwrite: bool = False) -> Iterator[Path]:
    """An empty folder beside `path` to build in; it becomes `path`, whole and durable, when the block ends.

    overwrite  an existing `path` changes places with the new one at once, and is then deleted
    Raises BertworksError when `path` exists and `overwrite` is not given. After an error nothing is left behind.
    """
    claim_out(path, overwrite)
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_stale(target.parent, target.name)
    temporary = path_beside(target)
    try:
        temporary.mkdir()
        yield temporary
        for folder, _, names in os.walk(temporary, topdown=False):
            for name in names:
                _sync_path(Path(folder, name))
            _sync_folder(Path(folder))
        _rename(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        _name_target(error, temporary, path)
        raise
    finally:
        delete(temporary)
        in_use.discard(temporary)


def claim_out(path: AnyPath, overwrite: bool, *, reads: Iterable[AnyPath] = (), marks: Collection[str] = ()) -> None:
    """Refuse an `--out` that holds something, unless `overwrite`; refuse to overwrite what is not an old output.

    reads  files and folders that the command reads: none of them may be `path` or lie in it
    marks  names of which one stands in a folder that such a command wrote; without any, every folder will do
    Nothing is created or deleted here: the new output replaces the old when it is whole. An empty folder is free.
    Raises BertworksError.
    """
    target = Path(os.path.realpath(path))
    if not os.path.lexists(target) or (target.is_dir() and not any(target.iterdir())):
        return
    if not overwrite:
        raise BertworksError(f"{path}: exists already", "name another `--out`, or replace it with `--overwrite`")
    for lived_in, what in ((Path.cwd(), "the current folder"), (Path.home(), "the home folder")):
        if target == lived_in or target in lived_in.parents:
            raise BertworksError(f"{path}: holds {what}, it is not overwritten", "name another `--out`")
    for one in reads:
        source = Path(os.path.realpath(one))
        if target == source or target in source.parents:
            raise BertworksError(f"{path}: holds {one}, which is to be read", "name another `--out`")
    if marks and target.is_dir() and not any(os.path.lexists(target / mark) for mark in marks):
        first = min(entry.name for entry in target.iterdir())
        raise BertworksError(
            f"{path}: holds `{first}` and none of {', '.join(marks)}, so it is no old output and not overwritten",
            "name another `--out`, or delete the folder yourself",
        )


def remove(path: AnyPath) -> None:
    """Delete a file or a folder that is to be replaced; a folder vanishes at once, never half."""
    target = Path(os.path.realpath(path))
    if not os.path.lexists(target):
        return
    aside = path_beside(target)
    try:
        _rename(target, aside)
        _sync_folder(target.parent)
    finally:
        delete(aside)
        in_use.discard(aside)


def write_json(path: AnyPath, obj: object) -> None:
    """Write `obj` as indented JSON, whole; numpy values become plain, NaN and infinity null (JSON has neither)."""
    with whole_file(path, text=True) as handle:
        handle.write(json.dumps(plain(obj), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def json_fault(error: json.JSONDecodeError) -> str:
    """What is wrong, to be followed by where: the library's words end in "at" or "starting at" at times."""
    words = error.msg[:1].lower() + error.msg[1:]
    return words.removesuffix(" at").removesuffix(" starting")


def read_json(path: AnyPath) -> Any:
    """The value in a JSON file.

    Raises BertworksError when the file is missing, not UTF-8 or not JSON, with the line.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
        return json.loads(text)
    except FileNotFoundError:
        raise BertworksError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise BertworksError(f"{path}: not UTF-8, byte 0x{error.object[error.start]:02x} at {error.start:,}") from error
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise BertworksError(f"{where}: not JSON, {json_fault(error)}") from error


def plain(obj: object) -> Any:
    """`obj` in the types JSON has: mappings, lists, text, numbers, true, false, null.

    Raises TypeError for what has no such form.
    """
    if obj is None or isinstance(obj, str | bool | int):
        return obj
    if isinstance(obj, float):
        return obj if math.isfinite(obj) else None
    if isinstance(obj, Mapping):
        return {str(key): plain(value) for key, value in obj.items()}
    if isinstance(obj, list | tuple | set | frozenset):
        return [plain(value) for value in (sorted(obj) if isinstance(obj, set | frozenset) else obj)]
    if isinstance(obj, os.PathLike):
        return os.fspath(obj)
    if hasattr(obj, "tolist"):  # numpy arrays and scalars, torch tensors
        return plain(obj.tolist())
    raise TypeError(f"{type(obj).__name__} has no form in JSON")


def sha256_file(path: AnyPath) -> str:
    """The hex SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class _Hooked(io.FileIO):
    """A raw file whose every write is a call of `_write`; once abandoned it drops what is still buffered."""

    abandoned = False

    def write(self, data: Any, /) -> int:
        return memoryview(data).nbytes if self.abandoned else _write(self, data)


def _write(file: io.FileIO, data: Any) -> int:
    return io.FileIO.write(file, data)


def _fsync(descriptor: int) -> None:
    os.fsync(descriptor)


def _rename(source: Path, target: Path) -> None:
    """Put `source` at `target`; what stands at a folder's target comes to stand at `source`."""
    if source.is_dir() and os.path.lexists(target):
        _exchange(source, target)
    else:
        os.replace(source, target)


def _exchange(source: Path, target: Path) -> None:
    """Let two paths change places: in one step where the system can, else in three that `clear_stale` can repair."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # not Linux
        failure = errno.ENOSYS
    else:
        at_cwd, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h> and <linux/fs.h>
        failed = renameat2(at_cwd, os.fsencode(source), at_cwd, os.fsencode(target), exchange)
        failure = ctypes.get_errno() if failed else 0
    if failure == 0:
        return
    if failure not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        raise OSError(failure, os.strerror(failure), str(target))
    aside = source.with_name(source.name.removesuffix(".partial") + ".replaced")
    os.replace(target, aside)
    try:
        os.replace(source, target)
    except BaseException:
        os.replace(aside, target)
        raise
    os.replace(aside, source)


def _name_target(error: OSError, temporary: Path, path: AnyPath) -> None:
    """Let an error speak of the path the user named, not of the one beside it."""
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        error.filename = os.fspath(path)
    elif isinstance(error.filename, str) and error.filename.startswith(os.fspath(temporary)):
        error.filename = os.fspath(path) + error.filename[len(os.fspath(temporary)) :]


def _sync_path(path: Path) -> None:
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        _fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable; file systems that cannot are taken as they are."""
    if os.name != "posix":
        return
    try:
        _sync_path(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
