"""Messages between a build and its worker processes, over pipes: arrays with their lengths before them, no pickle.

A request is the UTF-8 of documents; a reply is their tokens, or an error.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from bertworks.base.errors import BertworksError

_LENGTH = struct.Struct("<Q")
_DONE, _FAILED = b"d", b"f"


@dataclass(frozen=True)
class Reply:
    """The tokens of one request's documents.

    ids                 (T,) `<u4`
    sentence_lengths    (S,) `<i8`, none 0
    document_sentences  (N,) `<i8`, 0 for a document in which no token was found
    """

    ids: npt.NDArray[Any]
    sentence_lengths: npt.NDArray[np.int64]
    document_sentences: npt.NDArray[np.int64]


def send_request(pipe: IO[bytes], texts: Sequence[bytes]) -> None:
    """Write documents to a worker."""
    lengths = np.fromiter(map(len, texts), dtype="<i8", count=len(texts))
    for part in (lengths.tobytes(), b"".join(texts)):
        _send(pipe, part)
    pipe.flush()


def receive_request(pipe: IO[bytes]) -> list[str] | None:
    """The next documents, or None when the build is over."""
    raw_lengths = _receive(pipe)
    if raw_lengths is None:
        return None
    raw = _receive(pipe)
    if raw is None:
        return None
    ends = np.cumsum(np.frombuffer(raw_lengths, dtype="<i8")).tolist()
    return [raw[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]


def send_reply(pipe: IO[bytes], reply: Reply) -> None:
    """Write tokens to the build."""
    pipe.write(_DONE)
    for values in (reply.ids, reply.sentence_lengths, reply.document_sentences):
        _send(pipe, values.tobytes())
    pipe.flush()


def send_error(pipe: IO[bytes], error: BertworksError) -> None:
    """Write an error to the build, which will raise it."""
    pipe.write(_FAILED)
    _send(pipe, json.dumps([error.message, error.hint, error.exit_code]).encode())
    pipe.flush()


def receive_reply(pipe: IO[bytes]) -> Reply | None:
    """The worker's answer, or None when the worker has ended. Raises the BertworksError that the worker sent."""
    kind = pipe.read(1)
    if kind == _FAILED:
        raw = _receive(pipe)
        if raw is None:
            return None
        message, hint, exit_code = json.loads(raw)
        raise BertworksError(message, hint, exit_code=exit_code)
    parts = [_receive(pipe) for _ in range(3)] if kind else [None]
    if any(part is None for part in parts):
        return None
    ids, lengths, counts = (part for part in parts if part is not None)
    return Reply(
        np.frombuffer(ids, dtype="<u4"), np.frombuffer(lengths, dtype="<i8"), np.frombuffer(counts, dtype="<i8")
    )


def _send(pipe: IO[bytes], part: bytes) -> None:
    pipe.write(_LENGTH.pack(len(part)))
    pipe.write(part)


def _receive(pipe: IO[bytes]) -> bytes | None:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    raw = pipe.read(length)
    return raw if len(raw) == length else None
