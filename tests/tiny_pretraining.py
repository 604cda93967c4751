"""A corpus of a few thousand tokens on disk, recipes that train on it in seconds, and what a run left."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from bertworks.base.recipe import load
from bertworks.corpus.build import build
from bertworks.engine.checkpoint import checkpoints, load_checkpoint
from bertworks.pretrain.recipe import PretrainRecipe
from bertworks.text.learn import learn

DOCUMENTS = 60
TIMES = {"seconds", "tokens_per_second"}

SETTINGS: dict[str, object] = {
    "model.hidden_size": 16,
    "model.num_hidden_layers": 2,
    "model.num_attention_heads": 2,
    "model.intermediate_size": 24,
    "model.max_position_embeddings": 40,
    "train.length": 32,
    "train.batch_tokens": 300,
    "train.steps": 40,
    "train.lr": 0.01,
    "train.checkpoint_every": 3,
    "train.evaluate_every": 10,
    "train.evaluation_tokens": 400,
    "train.log_every": 5,
    "machine.device": "cpu",
    "machine.dtype": "float32",
    "machine.threads": 1,
    "machine.micro_tokens": 128,
    "machine.keep_memory": False,
}


def texts(documents: int = DOCUMENTS) -> list[str]:
    """Documents of three to eight sentences, each about a few words of its own."""
    draw = random.Random(7)
    words = [a + b for a in ("ka", "lo", "mi", "ru", "se", "to") for b in ("n", "ral", "vi", "zum", "p", "gos")]
    made = []
    for _ in range(documents):
        own = draw.sample(words, 6)
        sentences = [" ".join(draw.choices(own, k=draw.randint(3, 9))) for _ in range(draw.randint(3, 8))]
        made.append(" ".join(sentence.capitalize() + "." for sentence in sentences))
    return made


@cache
def tiny_corpus(folder: Path) -> Path:
    """The corpus, built in `folder` once a session."""
    folder.mkdir(exist_ok=True)
    text = folder / "text.txt"
    text.write_text("\n\n".join(texts()) + "\n")
    learn(texts(), size=120).save(folder / "vocab")
    build([text], folder / "vocab", folder / "corpus", workers=1, holdout=0.1)
    return folder / "corpus"


def recipe_of(corpus: Path, **overrides: object) -> PretrainRecipe:
    """A recipe of SETTINGS; keys as in `train__steps`."""
    changed = {name.replace("__", "."): value for name, value in overrides.items()}
    given = {"data.corpus": str(corpus), **SETTINGS, **changed}
    if {"train.tokens", "train.hours"} & changed.keys():
        del given["train.steps"]
    return load(PretrainRecipe, None, given)


def flags_of(corpus: Path, **overrides: object) -> list[str]:
    """The same as words of the command line."""
    changed = {name.replace("__", "."): value for name, value in overrides.items()}
    given = {"data.corpus": str(corpus), **SETTINGS, **changed}
    return [
        word
        for name, value in given.items()
        for word in (f"--{name}", str(value).lower() if value is False else str(value))
    ]


def left_by(run: Path) -> dict[str, Any]:
    """All that a run left, without the clock: tensors by file and name, metrics, result, the cursor."""
    newest = load_checkpoint(checkpoints(run)[-1])
    state = {name: value for name, value in newest.state.items() if name != "cursor"}
    state |= {name: value for name, value in newest.state["cursor"].items() if name not in TIMES}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found: dict[str, Any] = {
        "model": newest.model,
        "optimizer": newest.optimizer,
        "state": state,
        "metrics": [without_times(line) for line in lines],
    }
    for name in ("best", "last"):
        if (run / name).exists():
            found[name] = safetensors.torch.load_file(run / name / "model.safetensors")
    if (run / "result.json").exists():
        found["result"] = without_times(json.loads((run / "result.json").read_text()))
    return found


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    """A line of metrics without what the clock decides."""
    return {name: value for name, value in line.items() if name not in TIMES}


def assert_same(found: Any, wanted: Any, where: str = "run") -> None:
    """Equal to the bit, told by the first place that differs."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for name, value in wanted.items():
            assert_same(found[name], value, f"{where}.{name}")
    elif isinstance(wanted, torch.Tensor):
        assert torch.equal(found, wanted), where
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert_same(one, other, f"{where}[{number}]")
    else:
        assert found == wanted, where
