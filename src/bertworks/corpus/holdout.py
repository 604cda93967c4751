"""Which documents are held out: a rule over their hashes, so the same documents however the corpus is cut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bertworks.corpus.duplicates import Hashes

FEWEST_DOCUMENTS = 20  # fewer tell nothing about a loss
LARGEST_SHARE = 0.1  # of the documents, when the rule is widened to reach FEWEST_DOCUMENTS
_NUMBERS = 1 << 64


@dataclass(frozen=True)
class HoldOut:
    """The rule of one corpus: a document is held out when its hash's number is smaller than `below`.

    share      asked for, 0.005 = one document in 200
    below      0 … 2^64
    documents  that it holds out
    widened    fewer than 20 fell under the share, so `below` depends on the documents there are
    """

    share: float
    below: int
    documents: int
    widened: bool

    def holds(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """True for the documents held out, (n,)."""
        if self.below >= _NUMBERS:
            return np.ones(len(hashes), dtype=bool)
        below: npt.NDArray[np.bool_] = hash_numbers(hashes) < np.uint64(self.below)
        return below

    def to_json(self) -> dict[str, object]:
        """The entry `holdout` of the manifest; `below` in hex, as JSON readers lose digits of large integers."""
        return {
            "share": self.share,
            "below": f"0x{self.below:016x}",
            "documents": self.documents,
            "widened": self.widened,
        }

    @staticmethod
    def from_json(entry: dict[str, object]) -> HoldOut:
        """The rule in a manifest."""
        return HoldOut(
            float(str(entry["share"])),
            int(str(entry["below"]), 16),
            int(str(entry["documents"])),
            bool(entry["widened"]),
        )


def hash_numbers(hashes: Hashes) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of each hash as a big-endian number, (n,)."""
    return np.frombuffer(hashes.tobytes(), dtype=">u8").reshape(-1, 2)[:, 0].astype(np.uint64)


def choose_holdout(share: float, shards: Iterable[Hashes]) -> HoldOut:
    """The rule for a corpus whose documents have these hashes.

    `share` of 2^64 is the limit. If fewer than 20 documents fall under it, the smallest 20 do, but at most a tenth of
    all; at least one of two documents, never all, and none when `share` is 0.
    """
    limit = round(share * _NUMBERS)
    total = under = 0
    smallest: list[int] = []
    for hashes in shards:
        numbers = hash_numbers(hashes)
        total += len(numbers)
        under += int(np.count_nonzero(numbers < np.uint64(limit))) if limit < _NUMBERS else len(numbers)
        smallest = sorted([*smallest, *np.sort(numbers)[: FEWEST_DOCUMENTS + 1].tolist()])[: FEWEST_DOCUMENTS + 1]
    if share == 0 or under >= FEWEST_DOCUMENTS:
        return HoldOut(share, limit, under, widened=False)
    wanted = max(under, min(FEWEST_DOCUMENTS, int(total * LARGEST_SHARE)), 1)
    wanted = min(wanted, max(total - 1, 0))
    if wanted == under:
        return HoldOut(share, limit, under, widened=False)
    return HoldOut(share, smallest[wanted - 1] + 1 if wanted else 0, wanted, widened=True)
