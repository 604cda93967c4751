"""One text or a pair of texts to any number of labels, none included, each with a threshold of its own.

Letters: W windows, C labels, N rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.tasks import task as promised
from bertworks.tasks.encode import check_texts, check_truncation, encode_rows, pooled
from bertworks.tasks.labels import Labels, class_keys
from bertworks.tasks.metrics import several_metrics
from bertworks.tasks.split import BY_ROW
from bertworks.tasks.task import Row, Window, row_count, row_weights

if TYPE_CHECKING:
    import torch

    from bertworks.model.bert import BertForSentence
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Tokenizer

BETWEEN = re.compile(r"\s*[|;,]\s*")  # labels in one cell of a CSV


@dataclass(frozen=True)
class LabelsAnswer:
    """What the model says about one row.

    labels  those above their thresholds, in the order of the classes
    scores  label -> probability
    """

    labels: list[str]
    scores: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """{"labels", "scores"}."""
        return {"labels": self.labels, "scores": self.scores}

    def cells(self) -> dict[str, Any]:
        """`prediction`, a bar between the labels."""
        return {"prediction": "|".join(self.labels)}


@dataclass(frozen=True)
class LabelsTask:
    """Give a row its labels; see `task.Task` for what each method is for.

    pair        whether a row is two texts
    labels      in the order of the logits
    thresholds  a label is given where its probability is at least this, one a label
    truncation  as of `SentenceTask`
    """

    pair: bool
    labels: Labels
    thresholds: tuple[float, ...]
    truncation: str = "windows"

    def __post_init__(self) -> None:
        check_truncation(self.truncation)

    @property
    def name(self) -> str:
        """ "labels"."""
        return "labels"

    @property
    def metrics(self) -> tuple[str, ...]:
        """f1_micro first."""
        return ("f1_micro", "f1_macro", "f1_samples", "exact_match")

    @property
    def stratified_by(self) -> str:
        """Nothing."""
        return BY_ROW

    @property
    def num_outputs(self) -> int:
        """C."""
        return len(self.labels.names)

    @property
    def network(self) -> type[BertForSentence]:
        """Pooler, dropout and a linear map."""
        from bertworks.model.bert import BertForSentence

        return BertForSentence

    @property
    def has_threshold(self) -> bool:
        """Yes, one a label."""
        return True

    def check(self, table: Table) -> None:
        """Raise BertworksError, naming file and line, for a table of another shape or a label training did not see."""
        check_texts(table, pair=self.pair)
        if table.rows and "label" not in table.columns:
            raise BertworksError(f"{table.path}: no column for the labels", "name it: `--columns label=…`")
        for index, row in enumerate(table.rows):
            self.gold(row, table.where(index))

    def gold(self, row: Row, where: str) -> np.ndarray:
        """(C,) bool. Raises BertworksError for a label that training did not see."""
        found = np.zeros(self.num_outputs, bool)
        for label in names_of(row, where):
            found[self.labels.gold(label, where)] = True
        return found

    def windows(self, rows: Sequence[Row], tokenizer: Tokenizer, max_length: int) -> list[Window]:
        """As of `SentenceTask`; a window's target is a tuple of C zeros and ones."""
        targets = [self._target(row, f"row {number}") for number, row in enumerate(rows, 1)]
        return encode_rows(rows, targets, tokenizer, max_length, pair=self.pair, truncation=self.truncation)

    def config_keys(self) -> dict[str, Any]:
        """As transformers' BertForSequenceClassification names them."""
        return {
            "architectures": ["BertForSequenceClassification"],
            **class_keys(self.labels.names),
            "problem_type": "multi_label_classification",
        }

    def targets(self, windows: Sequence[Window]) -> torch.Tensor:
        """(W, C) float32 zeros and ones. Raises BertworksError where a row has no labels to learn from."""
        import torch

        for window in windows:
            if window.target is None:
                raise BertworksError(f"row {window.row + 1} has no labels that training knows", "drop such rows first")
        return torch.tensor([window.target for window in windows], dtype=torch.float32)

    def weights(self, windows: Sequence[Window]) -> torch.Tensor:
        """(W,) float32."""
        return row_weights(windows)

    def loss_count(self, windows: Sequence[Window]) -> float:
        """The number of rows, where all windows of each are here."""
        return row_count(windows)

    def loss_sum(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy in nats, the mean over the labels of a row; logits (W, C)."""
        from torch.nn import functional

        losses = functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none").mean(-1)
        return (losses * weights).sum()

    def decode(
        self, rows: Sequence[Row], windows: Sequence[Window], logits: Sequence[np.ndarray]
    ) -> list[LabelsAnswer]:
        """Average the logits of a row's windows; the labels whose probability reaches the threshold."""
        probs = 1 / (1 + np.exp(-pooled(windows, logits, len(rows), self.num_outputs)))
        names = self.labels.names
        return [
            LabelsAnswer(
                [name for name, is_there in zip(names, there, strict=True) if is_there],
                dict(zip(names, row, strict=True)),
            )
            for row, there in zip(probs.tolist(), (probs >= np.array(self.thresholds)).tolist(), strict=True)
        ]

    def score(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> dict[str, float]:
        """f1_micro, f1_macro, f1_samples, exact_match; see `several_metrics`."""
        if not rows or len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        said = np.zeros((len(rows), self.num_outputs), bool)
        for number, answer in enumerate(answers):
            said[number, [self.labels.number(name) for name in cast("LabelsAnswer", answer).labels]] = True
        return several_metrics(self._golds(rows), said)

    def tuned(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> LabelsTask:
        """The task with the threshold of each label that gives its best F1 on these rows; 0.5 where none is better.

        All stay at 0.5 where the rows' F1 over all labels together would fall by it.
        """
        if not rows:
            return self
        gold = self._golds(rows)
        probs = np.array([list(cast("LabelsAnswer", answer).scores.values()) for answer in answers])
        best = tuple(map(best_threshold, probs.T, gold.T))
        usual = (0.5,) * len(best)
        f1 = {each: several_metrics(gold, probs >= np.array(each))["f1_micro"] for each in (usual, best)}
        return replace(self, thresholds=best if f1[best] >= f1[usual] else usual)

    def confused(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> tuple[list[str], list[str]]:
        """Nothing: labels do not exclude each other."""
        return [], []

    def recounted(self, rows: Sequence[Row]) -> LabelsTask:
        """The same with the counts of other rows."""
        return replace(self, labels=replace(self.labels, counts=tuple(self._golds(rows).sum(0).tolist())))

    def folded(self) -> LabelsTask:
        """Itself."""
        return self

    def about(self) -> promised.About:
        """As transformers' text-classification."""
        texts = "Pairs of texts" if self.pair else "Texts"
        answers = f"Any number of the labels: {', '.join(f'`{name}`' for name in self.labels.names)}."
        example = '[("one text", "another text")]' if self.pair else '["a text"]'
        title = f"{texts} with up to {self.num_outputs} labels"
        return promised.About(title, answers, "text-classification", "AutoModelForSequenceClassification", example)

    def describe(self) -> list[str]:
        """The task in a line, then labels with their counts in training."""
        of = "a pair of texts" if self.pair else "one text"
        return [f"task: labels, {of}, any number of {self.num_outputs}", *self.labels.lines()]

    def settings(self) -> dict[str, Any]:
        """All of it."""
        return {
            "task": "labels",
            "pair": self.pair,
            "labels": self.labels.settings(),
            "thresholds": list(self.thresholds),
            "truncation": self.truncation,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> LabelsTask:
        """The task that `settings` came from."""
        labels = Labels.from_settings(settings["labels"])
        return cls(settings["pair"], labels, tuple(settings["thresholds"]), settings["truncation"])

    def _golds(self, rows: Sequence[Row]) -> np.ndarray:
        """(N, C) bool."""
        return np.array([self.gold(row, f"row {number}") for number, row in enumerate(rows, 1)])

    def _target(self, row: Row, where: str) -> tuple[int, ...] | None:
        """Zeros and ones; None where the row has no labels, or one that training did not see: nothing to learn from."""
        if "label" not in row or any(self.labels.number(name) < 0 for name in names_of(row, where)):
            return None
        return tuple(int(is_there) for is_there in self.gold(row, where))


def names_of(row: Row, where: str) -> list[str]:
    """The labels of a row, from a list, or from one cell with `|`, `;` or `,` between them; there may be none."""
    value = row.get("label")
    if isinstance(value, str):
        return [name for name in BETWEEN.split(value.strip()) if name]
    if isinstance(value, (list, tuple)) and all(isinstance(name, (str, int)) for name in value):
        return [str(name) for name in value]
    if value is None:
        return []
    raise BertworksError(
        f"{where}: the labels are {value!r:.60}", "a list of names is wanted, or names with `|` between"
    )


def best_threshold(probs: np.ndarray, gold: np.ndarray) -> float:
    """The threshold on probabilities (N,) with the best F1 against gold (N,) bool, half way to the next one below."""
    order = np.argsort(-probs, kind="stable")
    ranked, right = probs[order], np.cumsum(gold[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + gold.sum())
    f1[:-1][ranked[:-1] == ranked[1:]] = -1  # a threshold cannot split equal probabilities
    at_half = 2 * (gold & (probs >= 0.5)).sum() / max((probs >= 0.5).sum() + gold.sum(), 1)
    best = int(f1.argmax())
    if f1[best] <= at_half or not gold.any():
        return 0.5
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)
