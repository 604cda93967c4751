"""Random streams that are a function of a purpose and some numbers, never of what ran before."""

from __future__ import annotations

import hashlib
import operator

import numpy as np


def generator(purpose: str, *numbers: int) -> np.random.Generator:
    """A fresh stream for one use, the same on every machine, rank and restart.

    purpose  what the numbers are for ("mask", "segments"); two purposes never share a stream
    numbers  seed, epoch, index, …: any integers, of any size and sign
    Philox is counter-based, so a key is all its state: https://doi.org/10.1145/2063384.2063405
    """
    name = "\0".join([purpose, *(str(operator.index(number)) for number in numbers)])
    digest = hashlib.blake2b(name.encode(), digest_size=16, person=b"bertworks").digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8")))
