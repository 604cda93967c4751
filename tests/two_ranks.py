"""Run a function of a test module in several processes that talk through gloo, as torchrun would start them."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 120  # then something hangs


def in_ranks(module: str, function: str, *arguments: Any, world: int = 2) -> list[Any]:
    """What `module.function(*arguments)` returns in each of `world` ranks; arguments and results travel as JSON."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, str(Path(__file__)), module, function, json.dumps(arguments)]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    children = [
        subprocess.Popen(
            words,
            env={**os.environ, **group, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    try:
        outputs = [child.communicate(timeout=SECONDS) for child in children]
    finally:
        for child in children:
            child.kill()
    for child, (_, errors) in zip(children, outputs, strict=True):
        assert child.returncode == 0, errors
    return [json.loads(out.splitlines()[-1]) for out, _ in outputs]


def main() -> None:
    """The child: import, call, print."""
    module, function, arguments = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module(module), function)(*json.loads(arguments))))


if __name__ == "__main__":
    main()
