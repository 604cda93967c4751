"""Contenders in turns, A B A B …, each in a process of its own that stays warm; ratios are taken round by round.

A machine's speed drifts and neighbours come and go, so a figure counts only beside its rival's of the same minute.
"""

import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.base.progress import Progress

Work = Callable[[], float]  # does some work and returns how many units of it were done


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    prepare  a function of a module, called once in the contender's own process with `settings`; returns the work
    """

    name: str
    prepare: Callable[[dict[str, Any]], Work]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Race:
    """What was measured: units a second of each contender in each round, and others' share of the processors."""

    unit: str
    rates: dict[str, list[float]]
    others_cpu: list[float]

    def result(self, first: str) -> dict[str, Any]:
        """The shape of `bench --json`: contenders with median, min, max; ratios of `first` to each, paired by round."""
        contenders = [
            {"name": name, "median": statistics.median(rates), "min": min(rates), "max": max(rates)}
            for name, rates in self.rates.items()
        ]
        ratios = []
        for name, rates in self.rates.items():
            if name != first:
                pairs = [ours / theirs for ours, theirs in zip(self.rates[first], rates, strict=True)]
                ratios.append(
                    {
                        "of": first,
                        "to": name,
                        "median": statistics.median(pairs),
                        "min": min(pairs),
                        "max": max(pairs),
                        "rounds": len(pairs),
                    }
                )
        return {
            "machine": machine(),
            "unit": f"{self.unit}/s",
            "others_cpu": {"median": statistics.median(self.others_cpu), "max": max(self.others_cpu)},
            "contenders": contenders,
            "ratios": ratios,
        }


def race(contenders: Sequence[Contender], *, unit: str, rounds: int, seconds: float, warm_up: int = 1) -> Race:
    """Run the contenders in turns, `rounds` rounds of about `seconds` each; the first `warm_up` are not counted.

    Raises BertworksError when a contender fails, with what it said.
    """
    context = multiprocessing.get_context("spawn")
    workers = []
    for contender in contenders:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(contender, theirs), daemon=True)
        process.start()
        _answer(ours, contender.name)  # ready
        workers.append((contender.name, ours, process))
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    others: list[float] = []
    bar = Progress((rounds + warm_up) * len(workers), "turns", "bench")
    for turn in range(rounds + warm_up):
        for name, pipe, process in workers:
            before, pid = _busy(), process.pid or 0
            own = _own_seconds(pid)
            pipe.send(seconds)
            done, took = _answer(pipe, name)
            bar.update(1)
            if turn >= warm_up:
                rates[name].append(done / took)
                busy = _busy() - before - (_own_seconds(pid) - own)
                others.append(max(0.0, busy) / (took * (os.cpu_count() or 1)))
    bar.close()
    for _, pipe, process in workers:
        pipe.send(None)
        process.join(timeout=10)
    return Race(unit, rates, others)


def _serve(contender: Contender, pipe: Connection) -> None:
    """In the contender's process: prepare, then work for as long as each message asks."""
    try:
        work = contender.prepare(contender.settings)
        pipe.send((0.0, 0.0))
        while (seconds := pipe.recv()) is not None:
            done, start = 0.0, time.perf_counter()
            while (took := time.perf_counter() - start) < seconds:
                done += work()
            pipe.send((done, took))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def _answer(pipe: Connection, name: str) -> tuple[float, float]:
    try:
        answer = pipe.recv()
    except EOFError:
        raise BertworksError(f"contender `{name}` died", "is there enough memory?", exit_code=1) from None
    if isinstance(answer, str):
        raise BertworksError(f"contender `{name}` failed: {answer}", "is the extra `bench` installed?", exit_code=1)
    done, took = answer
    return done, took


def _busy() -> float:
    """Seconds that all processors together have spent working since the start; 0 where the system does not say."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, irq, soft = map(int, fields[:7])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def _own_seconds(pid: int) -> float:
    """Processor seconds of one process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("torch", "transformers", "tokenizers", "onnxruntime"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"processor": processor(), "processors": os.cpu_count(), "system": platform.platform(), **versions}


def processor() -> str:
    """The processor's name with the vector instructions that matter here."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    found = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    values = {name.strip(): value.strip() for name, value in found.items()}
    flags = set(values.get("flags", "").split())
    known = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{values.get('model name', platform.processor())} ({' '.join(known)})"
