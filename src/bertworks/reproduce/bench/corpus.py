"""Building a corpus, files in to shards out, against the bare tokenizer library on text that is in memory already.

The rival is `encode_batch` over whole documents in one process with all its threads, 200 documents a call: it reads
nothing, splits no sentences, drops no duplicates and writes nothing.
"""

import argparse
import json
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.corpus.build import available_cores, build
from bertworks.read.documents import read_documents
from bertworks.reproduce.bench.rounds import Contender, Work, race

TEXT_BYTES = 30_000_000  # from the start of the input: half a minute of two slow cores
DOCUMENTS_A_CALL = 200


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """`bench corpus TEXT --vocab DIR`: bytes of text a second."""
    if not options.text or not options.vocab:
        raise BertworksError("bench corpus: needs text and a vocabulary", "bertworks bench corpus TEXT --vocab DIR")
    workers = options.threads or available_cores()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text.jsonl")
        text_bytes = _copy(options.text, text)
        settings = {"text": str(text), "bytes": text_bytes, "vocab": options.vocab, "workers": workers}
        field = [
            Contender(f"bertworks corpus, {workers} workers", ours, settings),
            Contender("tokenizers encode_batch, documents", theirs, {**settings, "call": "encode_batch"}),
            Contender("tokenizers encode_batch_fast, documents", theirs, {**settings, "call": "encode_batch_fast"}),
        ]
        raced = race(field, unit="bytes", rounds=options.rounds, seconds=min(options.seconds, 1.0))
    return raced.result(field[0].name)


def _copy(paths: list[str], target: Path) -> int:
    """The first documents of the input as JSON lines; returns the bytes of their text."""
    text_bytes = 0
    with target.open("w", encoding="utf-8") as handle:
        for document in read_documents(paths):
            handle.write(json.dumps({"text": document.text}, ensure_ascii=False) + "\n")
            text_bytes += len(document.text.encode())
            if text_bytes >= TEXT_BYTES:
                break
    return text_bytes


def ours(settings: dict[str, Any]) -> Work:
    """The whole build, its worker processes' start included."""
    folder = tempfile.TemporaryDirectory()

    def work() -> float:
        out = Path(folder.name, "corpus")
        build([settings["text"]], settings["vocab"], out, workers=settings["workers"], overwrite=True, max_unknown=1)
        return float(settings["bytes"])

    return work


def theirs(settings: dict[str, Any]) -> Work:
    """The library's call over all documents, which are in memory."""
    from tokenizers import Tokenizer as Library

    from bertworks.text.tokenizer import Tokenizer

    with tempfile.TemporaryDirectory() as folder:
        Tokenizer.load(settings["vocab"]).save(folder)
        library = Library.from_file(str(Path(folder, "tokenizer.json")))
    encode = getattr(library, settings["call"])
    texts = [document.text for document in read_documents([settings["text"]])]

    def work() -> float:
        left = iter(texts)
        while batch := list(islice(left, DOCUMENTS_A_CALL)):
            for encoding in encode(batch, add_special_tokens=False):
                len(encoding.ids)
        return float(settings["bytes"])

    return work
