"""What every task offers, and what passes between a task and the loops that run it.

Letters: W windows, T tokens of one window, M tokens of it that the head reads, P those of several windows together,
C outputs a token read (1 for a score).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

    from bertworks.model.bert import TaskNetwork
    from bertworks.read.tables import Table
    from bertworks.tasks.labels import Labels
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
                    (tasks on tokens keep theirs in fields of their own)
    weight          share of the row's loss that this window carries, 1 / windows of the row: every row counts once
    covered         words that this window owns; over the windows of a row they add up to the words read
    words           words of the whole row in the row's first window, 0 in the later ones
    read            (M,) int32 places of the tokens whose states the head gets; None: the first one, [CLS]
    """

    input_ids: np.ndarray
    token_type_ids: np.ndarray
    row: int
    target: int | float | tuple[int, ...] | None
    weight: float
    covered: int
    words: int
    read: np.ndarray | None = None

    @property
    def places(self) -> np.ndarray:
        """(M,) int32, `read`, or the first place."""
        return FIRST if self.read is None else self.read


FIRST = np.zeros(1, np.int32)


@dataclass(frozen=True, eq=False)
class MemberWindow(Window):
    """A window of a row whose loss joins several texts: the options of a question, the two sentences of a pair.

    member  which of the row's texts it reads, from 0
    across  False: all windows of a row stay in one micro-batch, the loss needs them together; True: the loss joins the
            rows of the whole update as well (negatives of the batch), see `finetune.objective.Objective.look_ahead`
    text    a number below 2^48 that equal texts share, where the loss must know them; else 0
    """

    member: int = 0
    across: bool = False
    text: int = 0


def member_of(window: Window) -> int:
    """Which of its row's texts a window reads."""
    return window.member if isinstance(window, MemberWindow) else 0


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


@dataclass(frozen=True)
class About:
    """What a model card says of a task.

    title         "texts into 77 classes"
    answers       a sentence on what comes out
    pipeline_tag  the Hub's word for the task
    opened_by     transformers' class that opens the folder
    example       a first argument for `predict`, as Python
    """

    title: str
    answers: str
    pipeline_tag: str
    opened_by: str
    example: str


class Answer(Protocol):
    """What a task says about one row; `sentence.Answer` is one."""

    def to_json(self) -> dict[str, Any]:
        """The line of `predict --json` (docs/formats.md)."""
        ...

    def cells(self) -> dict[str, Any]:
        """Column -> value, for a table of answers."""
        ...


class Task(Protocol):
    """One job, without loop, device or command line.

    Training calls `windows`, `network`, `targets`, `loss_sum`; prediction `windows`, `decode`; evaluation also
    `score`. Everything prediction needs beside the weights is in `settings()`, which is stored in `bertworks.json`.
    """

    @property
    def name(self) -> str:
        """The word of `--task`: `classify`, `score` …"""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what `score` gives; the first one chooses the best evaluation. More is better."""
        ...

    @property
    def labels(self) -> Labels:
        """Classes or tags in the order of the logits, with their counts in training; empty for a score."""
        ...

    @property
    def stratified_by(self) -> str:
        """How dev is cut from train: "class by class", …; `split_rows` knows them."""
        ...

    @property
    def num_outputs(self) -> int:
        """C, the width of the head's last layer."""
        ...

    @property
    def network(self) -> type[TaskNetwork]:
        """What stands on the encoder: BertForSentence, BertForTokens or BertForSpan."""
        ...

    def check(self, table: Table) -> None:
        """Raise BertworksError, naming file and line, where a row does not fit: another label, no second text."""
        ...

    def windows(self, rows: Sequence[Row], tokenizer: Tokenizer, max_length: int) -> list[Window]:
        """Encode rows, in order; every row has at least one window. Raises BertworksError for an unknown label."""
        ...

    def config_keys(self) -> dict[str, Any]:
        """Keys that a saved `config.json` needs beside the encoder's: `architectures`, `id2label`, `label2id` …"""
        ...

    def targets(self, windows: Sequence[Window]) -> torch.Tensor:
        """Targets of labelled windows as the tensor that `loss_sum` takes, (P, …): an entry for each token read."""
        ...

    def weights(self, windows: Sequence[Window]) -> torch.Tensor:
        """What each of them weighs in the loss, (P,) float32."""
        ...

    def loss_count(self, windows: Sequence[Window]) -> float:
        """What the sum of losses is divided by: the sum of the weights, known before the first backward pass."""
        ...

    def loss_sum(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Sum, not mean, of the losses of logits (P, C) times the weights; () in float32."""
        ...

    def decode(self, rows: Sequence[Row], windows: Sequence[Window], logits: Sequence[np.ndarray]) -> Sequence[Answer]:
        """Answers, one a row, in the rows' order; logits (M, C) float32 of each window, (C,) where `read` is None."""
        ...

    def score(self, answers: Sequence[Answer], rows: Sequence[Row]) -> dict[str, float]:
        """Metrics by the names of docs/formats.md, each a fraction, gold untouched by truncation."""
        ...

    def confused(self, answers: Sequence[Answer], rows: Sequence[Row]) -> tuple[list[str], list[str]]:
        """Gold and predicted labels side by side, for a confusion matrix; two empty lists where there are no labels."""
        ...

    def recounted(self, rows: Sequence[Row]) -> Task:
        """The task with the label counts of other rows, after dev was cut from train."""
        ...

    @property
    def has_threshold(self) -> bool:
        """Whether `tuned` has anything to choose."""
        ...

    def tuned(self, answers: Sequence[Answer], rows: Sequence[Row]) -> Task:
        """The task with what is best for these answers of dev, such as a threshold; stored with the model."""
        ...

    def folded(self) -> Task:
        """The task as saved, where a part of it moves into the weights of the head."""
        ...

    def about(self) -> About:
        """For the model card."""
        ...

    def describe(self) -> list[str]:
        """Lines a human reads before training: what is predicted, labels and counts."""
        ...

    def settings(self) -> dict[str, Any]:
        """What `from_settings` of the same class needs to build an equal task; JSON types only."""
        ...


def coverage(windows: Sequence[Window]) -> Coverage:
    """Add up what windows read."""
    texts = Counter((window.row, member_of(window)) for window in windows)
    rows = {row for row, _ in texts}
    seen = sum(window.covered for window in windows)
    words = sum(window.words for window in windows)
    return Coverage(seen, words, len(rows), len({row for (row, _), count in texts.items() if count > 1}))


def row_weights(windows: Sequence[Window]) -> torch.Tensor:
    """(W,) float32, what each window carries of its row's loss: the `weights` of tasks with one target a window."""
    import torch

    return torch.tensor([window.weight for window in windows], dtype=torch.float32)


def row_count(windows: Sequence[Window]) -> float:
    """The number of rows, where all windows of each are here: the `loss_count` of most tasks."""
    return float(sum(window.weight for window in windows))
