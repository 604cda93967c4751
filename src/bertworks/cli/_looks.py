"""Vocabularies, models, runs and texts in a few figures each, without loading weights or torch."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json

if TYPE_CHECKING:
    from bertworks.read.documents import Reading

EXAMPLES = 3
EXAMPLE_TOKENS = 8
EXAMPLE_CHARS = 100
SIZES = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "hidden_act",
)


def is_model(path: Path) -> bool:
    """Whether a folder is a model directory."""
    return any((path / name).is_file() for name in ("config.json", "bert_config.json"))


def is_run(path: Path) -> bool:
    """Whether a folder is the run of a training command."""
    return (path / "recipe.toml").is_file() or (path / "metrics.jsonl").is_file()


def describe_model(path: Path) -> dict[str, Any]:
    """Sizes, weights and labels of a model directory, from its JSON files and the header of its weights."""
    file = next(path / name for name in ("config.json", "bert_config.json") if (path / name).is_file())
    config = read_json(file)
    told: dict[str, Any] = {
        "kind": "model",
        "path": str(path),
        "architecture": ", ".join(config.get("architectures") or []) or None,
        **{name: config[name] for name in SIZES if name in config},
    }
    weights = path / "model.safetensors"
    if weights.is_file():
        told |= _weights(weights)
    labels = config.get("id2label")
    if isinstance(labels, dict):
        told["labels"] = [labels[key] for key in sorted(labels, key=int)]
    settings = path / "bertworks.json"
    if settings.is_file():
        told["settings"] = {name: value for name, value in read_json(settings).items() if _is_short(value)}
    told["tokenizer_files"] = [
        name for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json") if (path / name).is_file()
    ]
    return told


def describe_run(path: Path) -> dict[str, Any]:
    """How far a run is, its last figures, its result and its model."""
    told: dict[str, Any] = {"kind": "run", "path": str(path), "finished": (path / "result.json").is_file()}
    for word in ("seed", "fold"):
        told[f"{word}s"] = sorted(entry.name for entry in path.glob(f"{word}-*") if entry.is_dir()) or None
    checkpoints = [entry.name for entry in (path / "checkpoints").glob("*") if entry.is_dir() and entry.name[0] != "."]
    told["checkpoints"] = sorted(checkpoints, key=lambda name: (len(name), name))
    training, evaluation = _last_figures(path / "metrics.jsonl")
    told["last_training"], told["last_evaluation"] = training, evaluation
    if told["finished"]:
        told["result"] = {name: value for name, value in read_json(path / "result.json").items() if _is_short(value)}
    told["models"] = [name for name in ("best", "last") if is_model(path / name)]
    return {name: value for name, value in told.items() if value is not None}


def is_vocabulary(path: Path) -> bool:
    """Whether a folder holds a vocabulary."""
    return any((path / name).is_file() for name in ("vocab.txt", "tokenizer.json"))


def describe_vocabulary(path: Path) -> dict[str, Any]:
    """Size, rules and some tokens of a vocabulary."""
    from bertworks.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(path)
    special = [tokenizer.tokens[token_id] for token_id in tokenizer.special_ids]
    return {
        "kind": "vocabulary",
        "path": str(path),
        "tokens": tokenizer.vocab_size,
        "casing": "lower-cased" if tokenizer.lowercase else "cased",
        "special": " ".join(special),
        "continue_words": int(tokenizer.continuation.sum()),
        "last": " ".join(tokenizer.tokens[-EXAMPLE_TOKENS:]),
        "fingerprint": tokenizer.fingerprint,
    }


def describe_documents(path: Path, how: Reading) -> dict[str, Any]:
    """Documents of a file or folder: how many, how long, the first ones, and what would be left out."""
    from bertworks.read.documents import ReadReport, read_documents
    from bertworks.text.sentences import split

    report = ReadReport()
    chars = sentences = longest = 0
    first: list[str] = []
    for document in read_documents([path], how, report):
        chars += len(document.text)
        longest = max(longest, len(document.text))
        sentences += len(split(document.text))
        if len(first) < EXAMPLES:
            first.append(" ".join(document.text.split())[:EXAMPLE_CHARS])
    if not report.documents:
        raise BertworksError(f"{path}: no document with text", "give a file or folder with text")
    return {
        "kind": "documents",
        "path": str(path),
        "files": len(report.files),
        "read_as": sorted(set(report.files.values())),
        "documents": report.documents,
        "sentences": sentences,
        "characters": chars,
        "longest_characters": longest,
        "dropped": report.dropped,
        "first": first,
    }


def _weights(file: Path) -> dict[str, Any]:
    """Parameters and types in a safetensors file: 8 bytes of length, then a JSON header."""
    with file.open("rb") as handle:
        head = handle.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        try:
            header = json.loads(handle.read(length)) if 0 < length < file.stat().st_size else None
        except ValueError:
            header = None
    if not isinstance(header, dict):
        raise BertworksError(f"{file}: is cut off or damaged", "copy the file again")
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    return {
        "parameters": sum(math.prod(entry["shape"]) for entry in tensors),
        "tensors": len(tensors),
        "dtype": ", ".join(sorted({entry["dtype"] for entry in tensors})),
    }


def _last_figures(file: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The last training line and the last evaluation of metrics.jsonl; a line cut off by a kill is passed over."""
    training = evaluation = None
    if file.is_file():
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if "split" in entry:
                evaluation = entry
            else:
                training = entry
    return training, evaluation


def _is_short(value: object) -> bool:
    return not isinstance(value, dict | list) or len(json.dumps(value)) <= 200
