"""Where a file or folder stands while it is being written, and what becomes of it when its writer is killed."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import time
from pathlib import Path

AnyPath = str | os.PathLike[str]

FOREIGN_SECONDS = 86_400  # what another host left beside is cleared after a day only: it may still be at work

in_use: set[Path] = set()  # temporary paths this process is filling now
_serial = itertools.count()
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<host>[^.]+)\.(?P<pid>\d+)-\d+\.(?P<kind>partial|replaced)")


def path_beside(target: Path) -> Path:
    """A name beside `target` that says who writes there, so that a later run can tell whether the writer lives."""
    temporary = target.with_name(f".{_short(target.name)}.{_host()}.{os.getpid()}-{next(_serial)}.partial")
    in_use.add(temporary)
    return temporary


def delete(path: Path) -> None:
    """Delete a file or a folder with all in it; nothing happens when there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clear_stale(folder: AnyPath, name: str | None = None) -> None:
    """Delete what killed writers left in `folder`, of the target `name` or of all; what is being written stays."""
    folder = Path(os.path.realpath(folder))
    if not folder.is_dir():
        return
    for entry in list(folder.iterdir()):
        match = _TEMPORARY.fullmatch(entry.name)
        if match is None or (name is not None and match["name"] != _short(name)) or _is_alive(entry, match):
            continue
        original = folder / match["name"]
        if match["kind"] == "replaced" and not original.exists():
            os.replace(entry, original)  # killed between the renames of a system that cannot exchange two paths
        else:
            delete(entry)


def _short(name: str) -> str:
    return name if len(name.encode()) <= 160 else name[:40]  # of 255 bytes a name may have, 80 say who writes


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:40] or "host"


def _is_alive(entry: Path, match: re.Match[str]) -> bool:
    """Whether the writer of a temporary path may still be at work."""
    if match["host"] != _host() or os.name != "posix":
        try:
            return time.time() - entry.stat().st_mtime < FOREIGN_SECONDS
        except FileNotFoundError:
            return True
    pid = int(match["pid"])
    if pid == os.getpid():
        return entry in in_use
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
