"""Small texts and vocabularies for the tests of reading and building."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import zstandard

from bertworks.corpus.workers import NoWorkers

SENTENCE = "the cat sat on a mat while dogs ran far away from them in winter days of old towns"
WORDS = SENTENCE.split()
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def vocabulary(folder: Path) -> Path:
    """A `vocab.txt` that can spell any ASCII text, with a few whole words and Chinese characters."""
    chars = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [f"##{char}" for char in chars if char.isalnum()]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *chars, *pieces, *WORDS[:-4], *"我爱你。，"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(tokens)) + "\n", encoding="utf-8")
    return folder


def make_documents(count: int, *, seed: int = 0, sentences: int = 6) -> list[str]:
    """Different documents of some sentences each."""
    draw = random.Random(seed)
    return [
        " ".join(
            " ".join(draw.choices(WORDS, k=draw.randint(2, 12))).capitalize() + f" {number}{draw.choice('.!?')}"
            for _ in range(draw.randint(1, sentences))
        )
        for number in range(count)
    ]


def write_jsonl(path: Path, documents: Iterable[str]) -> Path:
    """One object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
    return path


def contents(folder: Path) -> dict[str, str]:
    """Every file under a folder with the digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def no_workers(folder: Path, count: int) -> NoWorkers:
    """Stands for `start_workers` where a test is about the writer."""
    return NoWorkers(folder)
