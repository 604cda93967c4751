"""What stands between the encoder and the answer, where it is not BERT's own: a description, without weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bertworks.base.errors import BertworksError

POOLINGS = ("cls", "mean", "max", "last4", "weighted", "attention")
OF_TOKENS = ("cls", "last4", "weighted")  # those that give a vector for each token, for tags and answers
HEADS = ("linear", "mlp")


@dataclass(frozen=True)
class HeadShape:
    """How states become the vector that is classified, and what classifies it.

    pooling      "cls": the first token's last state through the pooler, as published (for tags and answers: each
                 token's last state); "mean", "max", "attention" over all tokens of the window, specials included;
                 "last4": the mean of the last four layers' states; "weighted": a learnt mix of all of them
                 (Peters et al. 2018, eq. 1)
    head         "linear", or "mlp": a hidden layer with tanh before it (the multilayer perceptron of d2l.ai, 16.7)
    hidden_size  of the mlp; None = the encoder's
    """

    pooling: str = "cls"
    head: str = "linear"
    hidden_size: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is BERT's own head, which every reader of such folders knows."""
        return self.pooling == "cls" and self.head == "linear"

    def describe(self) -> str:
        """`mean pooling, mlp of 64`."""
        size = "" if self.hidden_size is None else f" of {self.hidden_size}"
        return f"{self.pooling} pooling, {self.head}{size}"

    def to_json(self) -> dict[str, Any]:
        """For `bertworks.json`."""
        return {"pooling": self.pooling, "head": self.head, "hidden_size": self.hidden_size}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], where: str) -> HeadShape:
        """As `to_json` wrote it; raises BertworksError for what this version does not know."""
        pooling, head, size = content.get("pooling"), content.get("head"), content.get("hidden_size")
        if pooling not in POOLINGS or head not in HEADS or not (size is None or isinstance(size, int)):
            raise BertworksError(f"{where}: `head` is not what this version knows: {dict(content)}", "update bertworks")
        return cls(str(pooling), str(head), size)


PLAIN = HeadShape()
