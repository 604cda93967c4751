"""What every task offers, and what passes between a task and the loops that run it.

Letters: W windows, T tokens of one window, C classes (1 for a score), R rows of a batch, L its width, E hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bertworks.model.config import BertConfig
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Tokenizer

Row = Mapping[str, Any]
"""One row of a table, keyed by role: `text`, `sentence1`, `sentence2`, `label`, `score`, `id` …"""

TRUNCATIONS = ("windows", "truncate", "head+tail")
"""What happens to a text longer than the model: `windows` reads all of it; `truncate` keeps the head, as BERT does."""


@dataclass(frozen=True, eq=False)
class Window:
    """One sequence for the encoder: a whole row, or the part of a long row that this window reads.

    input_ids       (T,) int32, [CLS] and [SEP] included, T <= max_length
    token_type_ids  (T,) int8, 0 = first text, 1 = second
    row             index of the row in the list given to `windows`; windows of one row stand together, in order
    target          what the loss compares with: class number, scaled score, or None where the row has no label
    weight          share of the row's loss that this window carries, 1 / windows of the row: every row counts once
    covered         words that this window owns; over the windows of a row they add up to the words read
    words           words of the whole row in the row's first window, 0 in the later ones
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    row: int
    target: int | float | None
    weight: float
    covered: int
    words: int


@dataclass(frozen=True)
class Coverage:
    """How much of the text was read: words seen of words there, and rows longer than one window."""

    seen: int
    words: int
    rows: int
    long_rows: int

    @property
    def share(self) -> float:
        """Words seen over words there; 1 where there are no words at all."""
        return self.seen / self.words if self.words else 1.0


class Answer(Protocol):
    """What a task says about one row; `sentence.Answer` is one."""

    def to_json(self) -> dict[str, Any]:
        """The line of `predict --json` (docs/formats.md)."""
        ...


class Task(Protocol):
    """One job, without loop, device or command line.

    Training calls `windows`, `head`, `targets`, `loss_sum`; prediction `windows`, `head`, `decode`; evaluation also
    `score`. Everything prediction needs beside the weights is in `settings()`, which is stored in `bertworks.json`.
    """

    @property
    def name(self) -> str:
        """The word of `--task`: `classify`, `score` …"""
        ...

    @property
    def main_metric(self) -> str:
        """The metric that chooses the best evaluation; more is better."""
        ...

    @property
    def num_outputs(self) -> int:
        """C, the width of the head's last layer."""
        ...

    def check(self, table: Table) -> None:
        """Raise BertworksError, naming file and line, where a row does not fit: another label, no second text."""
        ...

    def windows(self, rows: Sequence[Row], tokenizer: Tokenizer, max_length: int) -> list[Window]:
        """Encode rows, in order; every row has at least one window. Raises BertworksError for an unknown label."""
        ...

    def head(self, config: BertConfig, generator: torch.Generator | None = None) -> nn.Module:
        """A new head with random weights, to stand on the pooled vector; its output has one entry per window."""
        ...

    def config_keys(self) -> dict[str, Any]:
        """Keys that a saved `config.json` needs beside the encoder's: `architectures`, `id2label`, `label2id` …"""
        ...

    def targets(self, windows: Sequence[Window]) -> torch.Tensor:
        """Targets of labelled windows as the tensor that `loss_sum` takes, (W,) for one class or one score a window."""
        ...

    def weights(self, windows: Sequence[Window]) -> torch.Tensor:
        """Weights of the windows, (W,) float32; all ones unless some row is longer than one window."""
        ...

    def loss_count(self, windows: Sequence[Window]) -> float:
        """What the sum of losses is divided by: the sum of the weights, known before the first backward pass."""
        ...

    def loss_sum(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Sum, not mean, of the losses times the weights; () in float32."""
        ...

    def decode(self, rows: Sequence[Row], windows: Sequence[Window], logits: Sequence[np.ndarray]) -> Sequence[Answer]:
        """Answers, one a row, in the rows' order; logits are the head's float32 outputs in the windows' order."""
        ...

    def score(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, float]:
        """Metrics by the names of docs/formats.md, each a fraction, gold untouched by truncation."""
        ...

    def describe(self) -> list[str]:
        """Lines a human reads before training: what is predicted, labels and counts."""
        ...

    def settings(self) -> dict[str, Any]:
        """What `from_settings` of the same class needs to build an equal task; JSON types only."""
        ...


def coverage(windows: Sequence[Window]) -> Coverage:
    """Add up what windows read."""
    rows: dict[int, int] = {}
    for window in windows:
        rows[window.row] = rows.get(window.row, 0) + 1
    seen = sum(window.covered for window in windows)
    words = sum(window.words for window in windows)
    return Coverage(seen, words, len(rows), sum(count > 1 for count in rows.values()))
