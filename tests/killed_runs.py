"""Commands in processes that can be killed, forked from a server that has everything heavy imported."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch._dynamo  # torch's optimisers import it on first use

import bertworks.pretrain.run
from bertworks.cli.main import main
from bertworks.engine.checkpoint import checkpoints

HERE = str(Path(__file__).parent)
SECONDS = 120.0  # then something hangs

__all__ = ["bertworks", "commanded", "ends", "newest_step", "torch", "wait_for"]


@contextlib.contextmanager
def commanded(words: list[str], errors: Path) -> Iterator[BaseProcess]:
    """`bertworks WORDS` in a process of its own, killed at the end of the block; what it says goes to `errors`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_runs"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([HERE, *([before] if before else [])])  # the server starts with it
    try:
        process = context.Process(target=_run, args=(words, str(errors)))
        process.start()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _run(words: list[str], errors: str) -> None:
    with open(errors, "a", encoding="utf-8") as handle:
        os.dup2(handle.fileno(), sys.stdout.fileno())
        os.dup2(handle.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)
    sys.exit(main(words))


def ends(words: list[str], errors: Path) -> int:
    """The exit code of a command left alone."""
    with commanded(words, errors) as process:
        process.join(SECONDS)
        assert process.exitcode is not None, "the command hangs"
        return process.exitcode


def wait_for(happened: Callable[[], bool], process: BaseProcess) -> None:
    """Until something has happened; an error when the process ends before."""
    end = time.monotonic() + SECONDS
    while not happened():
        assert process.is_alive(), "ended too early"
        assert time.monotonic() < end, "never happened"
        time.sleep(0.002)


def newest_step(run: Path) -> int:
    """The step of the newest checkpoint, -1 where there is none."""
    return max((int(path.name) for path in checkpoints(run)), default=-1)
