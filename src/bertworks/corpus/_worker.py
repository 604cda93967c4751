"""A worker process of a build: documents come in on standard input, their tokens go out on standard output.

It ends when its input ends, so it never outlives the build, however that ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bertworks.base.errors import BertworksError
from bertworks.corpus._known_words import KnownWords, cuts_at_marks
from bertworks.corpus._wire import Reply, receive_request, send_error, send_reply
from bertworks.text.sentences import split
from bertworks.text.tokenizer import Tokenizer

Encode = Callable[[Sequence[str]], tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]]


def tokenise(encode: Encode, texts: Sequence[str]) -> Reply:
    """Sentences and tokens of documents; sentences without a token (a lone zero-width space) are left out."""
    sentences: list[str] = []
    per_document: list[int] = []
    for text in texts:
        spans = split(text)
        sentences.extend(text[start:end] for start, end in spans)
        per_document.append(len(spans))
    ids, lengths = encode(sentences)
    document_of = np.repeat(np.arange(len(texts)), per_document)
    filled = np.bincount(document_of[lengths > 0], minlength=len(texts)).astype("<i8")
    return Reply(ids.astype("<u4"), lengths[lengths > 0].astype("<i8"), filled)


def encoder(folder: Path) -> Encode:
    """How the tokenizer in `folder` is used: word by word where its rules allow it, else sentence by sentence."""
    tokenizer = Tokenizer.load(folder)
    if cuts_at_marks(folder):
        return KnownWords(tokenizer).encode

    def encode(sentences: Sequence[str]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        encoded = tokenizer.encode(sentences)
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return np.concatenate([np.zeros(0, dtype=np.int32), *encoded]), lengths

    return encode


def serve(folder: str) -> None:
    """Answer requests until there are no more."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not end up among the replies
    requests = sys.stdin.buffer
    encode = encoder(Path(folder))
    for texts in _requests(requests):
        try:
            reply = tokenise(encode, texts)
        except BertworksError as error:
            send_error(replies, error)
        else:
            send_reply(replies, reply)


def _requests(pipe: object) -> Iterator[list[str]]:
    while (texts := receive_request(pipe)) is not None:  # type: ignore[arg-type]
        yield texts


if __name__ == "__main__":
    try:
        serve(sys.argv[1])
    except BrokenPipeError:  # the build has ended, and with it the reason to write
        os._exit(0)
