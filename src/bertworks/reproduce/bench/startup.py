"""Seconds from pressing return: whole processes, ours beside transformers' own command and imports."""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bertworks.reproduce.bench.rounds import machine

OURS = [sys.executable, "-m", "bertworks"]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """`bench startup`: every process in turns, `--rounds` times after one that is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        processes = commands(Path(folder), options.model)
        times: dict[str, list[float]] = {name: [] for name in processes}
        for turn in range(options.rounds + 1):
            for name, command in processes.items():
                start = time.perf_counter()
                subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
                if turn:
                    times[name].append(time.perf_counter() - start)
    contenders = [
        {"name": name, "median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}
        for name, seconds in times.items()
    ]
    return {
        "machine": machine(),
        "unit": "seconds",
        "others_cpu": {"median": 0.0, "max": 0.0},
        "contenders": contenders,
        "ratios": [],
    }


def commands(folder: Path, model: str | None) -> dict[str, list[str]]:
    """What is started: help, a recipe's error, a command that only tokenises, first work with a model."""
    (folder / "wrong.toml").write_text("[model]\nhiden_size = 256\n")
    (folder / "text.txt").write_text("One line.\n")
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "one", "line", "."]) + "\n"
    )
    corpus = ["corpus", str(folder / "text.txt"), "--vocab", str(folder / "vocab.txt"), "--out", str(folder / "corpus")]
    chosen = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "bertworks --help": [*OURS, "--help"],
        "bertworks pretrain, wrong recipe": [
            *OURS,
            "pretrain",
            str(folder / "wrong.toml"),
            "--out",
            str(folder / "run"),
        ],
        "bertworks corpus, one line": [*OURS, *corpus, "--overwrite"],
    }
    if model:
        chosen["bertworks fill, one sentence"] = [*OURS, "fill", model, "One [MASK] line."]
    chosen["import transformers' model and tokenizer"] = [
        sys.executable,
        "-c",
        "from transformers import BertForMaskedLM, AutoTokenizer",
    ]
    return chosen
