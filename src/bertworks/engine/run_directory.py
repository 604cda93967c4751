"""A run's folder: recipe, environment, metrics, log; unfinished until result.json stands in it."""

import json
import logging
import os
import platform
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from bertworks.base.errors import BertworksError
from bertworks.base.files import claim_out, clear_stale, plain, remove, whole_file, write_json
from bertworks.base.locks import FolderLock
from bertworks.engine.checkpoint import Checkpoint, checkpoints, load_checkpoint

log = logging.getLogger(__name__)


class RunDirectory:
    """The folder `--out` of a training command. Open it with `RunDirectory.open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._metrics = path / "metrics.jsonl"
        self._lock: FolderLock | None = None

    def close(self) -> None:
        """Let another process go on with the run."""
        if self._lock is not None:
            self._lock.release()

    @classmethod
    def open(
        cls,
        path: Path,
        recipe: str,
        *,
        resume: bool = True,
        overwrite: bool = False,
        reads: Iterable[str | os.PathLike[str]] = (),
    ) -> "RunDirectory":
        """Begin a run, or go on with an unfinished one of the same recipe; it is this process's until `close`.

        recipe  the resolved recipe as TOML; it is compared with the one that the folder was begun with
        reads   what the run reads: nothing of it may lie in a folder that is overwritten
        Raises BertworksError when the folder is finished, holds something else, or another recipe, and when another
        process is training there.
        """
        run = cls(path)
        begun = path / "recipe.toml"
        if path.is_dir():
            FolderLock(path, "training").release()
        if overwrite:
            claim_out(path, overwrite, reads=reads, marks=("recipe.toml",))
            remove(path)
        elif run.is_finished:
            hint = "name another `--out`, or begin anew with `--overwrite`"
            raise BertworksError(f"{path}: this run is finished", hint)
        for folder in (path, path / "checkpoints"):
            clear_stale(folder)
        if begun.exists() and resume:
            run._check_same(begun.read_text(encoding="utf-8"), recipe)
        else:
            claim_out(path, overwrite)
            with whole_file(begun, text=True) as handle:
                handle.write(recipe)
        run._lock = FolderLock(path, "training")
        if not (path / "environment.json").exists():
            write_json(path / "environment.json", environment())
        return run

    @property
    def is_finished(self) -> bool:
        """Whether result.json stands there."""
        return (self.path / "result.json").exists()

    def _check_same(self, before: str, now: str) -> None:
        changed = sorted(_keys(before) ^ _keys(now))
        if changed:
            names = ", ".join(dict.fromkeys(f"`{name}`" for name, _ in changed[:6]))
            raise BertworksError(
                f"{self.path}: was begun with another recipe; {names} differ",
                "go on with the same settings, name another `--out`, or begin anew with `--overwrite`",
            )

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint, None when there is none yet."""
        found = checkpoints(self.path)
        return load_checkpoint(found[-1]) if found else None

    def rewind(self, step: int) -> None:
        """Drop the metrics that were logged after `step`: the resumed run will log them again."""
        if not self._metrics.exists():
            return
        kept = [line for line in read_metrics(self._metrics) if line.get("step", 0) <= step]
        with whole_file(self._metrics, text=True) as handle:
            handle.writelines(_json_line(line) for line in kept)

    def record(self, line: Mapping[str, Any]) -> None:
        """Append one object to metrics.jsonl; what is not finite becomes null."""
        with open(self._metrics, "a", encoding="utf-8") as handle:
            handle.write(_json_line(line))

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl."""
        return list(read_metrics(self._metrics)) if self._metrics.exists() else []

    def log_file(self) -> logging.Handler:
        """A handler that writes the run's log.txt; the caller adds it to the package's logger and removes it."""
        handler = logging.FileHandler(self.path / "log.txt", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        return handler

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write result.json, which makes the run a finished one."""
        write_json(self.path / "result.json", dict(result))


def _keys(recipe: str) -> set[tuple[str, str]]:
    """Dotted key and value of all that a resumed run must agree on: everything but the section `machine`."""
    sections = tomllib.loads(recipe)
    return {
        (f"{section}.{key}", repr(value))
        for section, keys in sections.items()
        if section != "machine" and isinstance(keys, dict)
        for key, value in keys.items()
    }


def _json_line(line: Mapping[str, Any]) -> str:
    return json.dumps(plain(line), allow_nan=False) + "\n"


def read_metrics(path: Path) -> Iterable[dict[str, Any]]:
    """The objects of a metrics.jsonl; a last line cut by a kill is left out."""
    with open(path, encoding="utf-8") as handle:
        for line in handle:
            if line.endswith("\n"):
                yield json.loads(line)


def environment() -> dict[str, Any]:
    """Versions, processor and threads, for environment.json."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
        "command": sys.argv,
    }
