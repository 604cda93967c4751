"""`manifest.json`: what a corpus is. Written last, so a folder without one is no corpus yet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bertworks
from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json
from bertworks.corpus.holdout import HoldOut
from bertworks.corpus.shards import ShardInfo, token_dtype
from bertworks.text.tokenizer import Tokenizer

FORMAT = "bertworks-corpus"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer"
WORD_UNIT = "space"  # a word is what BERT's rules split: between spaces and marks, every Chinese character by itself


def make_manifest(
    tokenizer: Tokenizer,
    shards: Sequence[ShardInfo],
    holdout: HoldOut,
    dropped: Mapping[str, int],
    command: str,
) -> dict[str, Any]:
    """The manifest of a finished build. Nothing in it depends on time, machine or number of workers."""
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "fingerprint": "",
        "made_by": f"bertworks {bertworks.__version__}",
        "command": command,
        "tokenizer": {
            "folder": TOKENIZER,
            "fingerprint": tokenizer.fingerprint,
            "vocab_size": tokenizer.vocab_size,
            "lowercase": tokenizer.lowercase,
        },
        "token_dtype": token_dtype(tokenizer.vocab_size).name,
        "word_unit": WORD_UNIT,
        "counts": {
            name: sum(getattr(shard, name) for shard in shards)
            for name in ("documents", "sentences", "tokens", "unknown", "bytes")
        },
        "dropped": dict(sorted(dropped.items())),
        "holdout": holdout.to_json(),
        "shards": [shard.to_json() for shard in shards],
    }
    manifest["fingerprint"] = fingerprint(manifest)
    return manifest


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of what training reads: the shards' bytes, the vocabulary, the hold-out."""
    read = [manifest[name] for name in ("format_version", "tokenizer", "token_dtype", "word_unit", "holdout", "shards")]
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the corpus at `path`.

    Raises BertworksError, told apart: no folder, no corpus, an unfinished build, a newer format, a changed manifest.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise _no_manifest(path)
    manifest = read_json(file)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BertworksError(f"{file}: is not the manifest of a corpus", "make one with `bertworks corpus`")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise BertworksError(
            f"{file}: format {version}, this version reads {FORMAT_VERSION}", "install the bertworks that wrote it"
        )
    try:
        unchanged = manifest["fingerprint"] == fingerprint(manifest)
    except KeyError as error:
        raise BertworksError(f"{file}: has no entry {error}", "the file was changed; build the corpus again") from error
    if not unchanged:
        raise BertworksError(f"{file}: its entries do not fit its fingerprint", "the file was changed; build again")
    return manifest


def _no_manifest(path: Path) -> BertworksError:
    if not path.exists():
        return BertworksError(f"{path}: no such corpus", "make one with `bertworks corpus TEXT --vocab DIR --out DIR`")
    if path.is_dir() and (path / "build.json").is_file():
        return BertworksError(
            f"{path}: an unfinished corpus, it has no {MANIFEST}", "run the same `bertworks corpus` again to go on"
        )
    hint = "a corpus is a folder that `bertworks corpus` wrote"
    return BertworksError(f"{path}: is not a corpus, there is no {MANIFEST} in it", hint)
