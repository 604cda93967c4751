"""Worker processes that tokenise: requests go out to whoever is free, replies come back in the requests' order.

Each worker has a thread here that writes one request and reads its reply, so no two sides ever wait for each other, and
a worker that dies is seen at once by the thread that reads from it.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

import bertworks
from bertworks.base.errors import BertworksError
from bertworks.corpus._wire import Reply, receive_reply, send_request
from bertworks.corpus._worker import encoder, tokenise

WAITING_PER_WORKER = 2  # requests beyond those in work: enough to hide a slow write, few enough to bound the memory
STOP_SECONDS = 5.0


class Request(Protocol):
    """What a worker is asked for."""

    @property
    def texts(self) -> Sequence[bytes]:
        """Documents in UTF-8."""
        ...

    @property
    def source(self) -> str:
        """Where the texts come from, for a message."""
        ...


R = TypeVar("R", bound=Request)


@dataclass
class _Job:
    """A request on its way, until `reply` or `error` is there."""

    request: Request
    done: threading.Event = field(default_factory=threading.Event)
    reply: Reply | None = None
    error: BaseException | None = None


class Workers:
    """`count` processes with the vocabulary in `folder`; leaving the block stops them all.

    >>> with Workers(folder, 2) as workers:                          # doctest: +SKIP
    ...     for request, reply in workers.map(requests):
    ...         ...
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []
        self._in_flight = count * (1 + WAITING_PER_WORKER)
        try:
            for number in range(count):
                process = _start(folder)
                self._processes.append(process)
                thread = threading.Thread(target=self._attend, args=(process, number), daemon=True)
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self.stop()
            raise

    @property
    def process_ids(self) -> list[int]:
        """Of the workers."""
        return [process.pid for process in self._processes]

    def map(self, requests: Iterable[R]) -> Iterator[tuple[R, Reply]]:
        """Each request with its reply, in order; `requests` is read only a few ahead of what is given back.

        Raises BertworksError when a worker fails or dies.
        """
        on_the_way: deque[tuple[R, _Job]] = deque()
        for request in requests:
            job = _Job(request)
            on_the_way.append((request, job))
            self._jobs.put(job)
            if len(on_the_way) >= self._in_flight:
                yield _finished(*on_the_way.popleft())
        while on_the_way:
            yield _finished(*on_the_way.popleft())

    def stop(self) -> None:
        """End all workers now, whatever they are doing."""
        for process in self._processes:
            process.kill()
        for _ in self._threads:
            self._jobs.put(None)
        for process in self._processes:
            process.wait()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):  # what was still buffered has nobody to read it
                    if pipe is not None:
                        pipe.close()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _attend(self, process: subprocess.Popen[bytes], number: int) -> None:
        """One worker's thread: take a job, ask the worker, hand over the reply."""
        assert process.stdin is not None
        assert process.stdout is not None
        while (job := self._jobs.get()) is not None:
            try:
                try:
                    send_request(process.stdin, job.request.texts)
                    job.reply = receive_reply(process.stdout)
                except (BrokenPipeError, ConnectionResetError):
                    job.reply = None
                if job.reply is None:
                    raise _died(process, number, job.request.source)
            except BaseException as error:  # every kind must reach the thread that waits for the job
                job.error = error
            job.done.set()


class NoWorkers:
    """The same without a process: for little text, starting one takes longer than tokenising."""

    def __init__(self, folder: Path) -> None:
        self._encode = encoder(folder)

    def map(self, requests: Iterable[R]) -> Iterator[tuple[R, Reply]]:
        """As Workers.map."""
        for request in requests:
            yield request, tokenise(self._encode, [text.decode() for text in request.texts])

    def __enter__(self) -> NoWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def start_workers(folder: Path, count: int) -> Workers | NoWorkers:
    """`count` of them; 0 is none beside this process."""
    return Workers(folder, count) if count else NoWorkers(folder)


def _finished(request: R, job: _Job) -> tuple[R, Reply]:
    job.done.wait()
    if job.error is not None:
        raise job.error
    assert job.reply is not None
    return request, job.reply


def _start(folder: Path) -> subprocess.Popen[bytes]:
    """A process of its own group, so that Ctrl-C reaches the build alone, which then stops its workers."""
    package = str(Path(bertworks.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "bertworks.corpus._worker", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
        process_group=0 if os.name == "posix" else None,
    )


def _died(process: subprocess.Popen[bytes], number: int, source: str) -> BertworksError:
    code = process.wait()
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    hint = "out of memory? try fewer `--workers`; " if code == -9 else ""
    return BertworksError(
        f"worker {number + 1} {how} while tokenising {source}",
        f"{hint}run the same command again: it goes on after the last whole shard",
        exit_code=1,
    )
