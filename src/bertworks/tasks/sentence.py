"""One text or a pair of texts, to a class or to a score.

Letters: W windows, T tokens of one window, C classes (1 for a score), N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.tasks import task as promised
from bertworks.tasks.encode import check_texts, check_truncation, encode_rows, pooled
from bertworks.tasks.labels import Labels, class_keys
from bertworks.tasks.metrics import class_metrics, score_metrics
from bertworks.tasks.split import BY_CLASS, BY_SCORE
from bertworks.tasks.task import Row, Window, row_count, row_weights

if TYPE_CHECKING:
    import torch

    from bertworks.model.bert import BertForSentence
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Tokenizer

Kind = Literal["classify", "score"]


@dataclass(frozen=True)
class Answer:
    """What the model says about one row.

    label   the likeliest class; None for a score
    score   the class's probability, or the predicted score
    scores  class -> probability, in the order of the labels; None for a score
    """

    label: str | None
    score: float
    scores: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """{"label", "score", "scores"}, or {"score"}."""
        return {"score": self.score} if self.label is None else dict(vars(self))

    def cells(self) -> dict[str, Any]:
        """`prediction` and `probability`; of a score the first alone."""
        return (
            {"prediction": self.score} if self.label is None else {"prediction": self.label, "probability": self.score}
        )


@dataclass(frozen=True)
class SentenceTask:
    """Classify a row, or give it a score; see `task.Task` for what each method is for.

    kind        "classify" or "score"
    pair        whether a row is two texts
    labels      classes, in the order of the logits; no classes for a score
    truncation  what happens to a long text: "windows" (their logits are averaged), "truncate", "head+tail"
    center, scale  a score is center + scale · logit; training's mean and standard deviation
    """

    kind: Kind
    pair: bool
    labels: Labels = field(default_factory=Labels)
    truncation: str = "windows"
    center: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_truncation(self.truncation)

    @property
    def name(self) -> str:
        """ "classify" or "score"."""
        return self.kind

    @property
    def metrics(self) -> tuple[str, ...]:
        """accuracy first, or pearson."""
        return ("accuracy", "f1_macro", "f1_micro", "mcc") if self.kind == "classify" else ("pearson", "spearman")

    @property
    def stratified_by(self) -> str:
        """Classes, or tenths of the scores."""
        return BY_CLASS if self.kind == "classify" else BY_SCORE

    @property
    def num_outputs(self) -> int:
        """C."""
        return len(self.labels.names) if self.kind == "classify" else 1

    @property
    def network(self) -> type[BertForSentence]:
        """Pooler, dropout and a linear map, weights N(0, 0.02) cut at two deviations, bias 0."""
        from bertworks.model.bert import BertForSentence

        return BertForSentence

    def check(self, table: Table) -> None:
        """Raise BertworksError, naming file and line, for a table of another shape or a label training did not see."""
        check_texts(table, pair=self.pair)
        for index, row in enumerate(table.rows):
            self.gold(row, table.where(index))

    def gold(self, row: Row, where: str) -> int | float:
        """The gold class's number or the gold score. Raises BertworksError where there is none."""
        if self.kind == "classify":
            return self.labels.gold(row.get("label", row.get("label_text")), where)
        value = row.get("score", row.get("label"))
        if value is None or not _is_number(value):
            found = "no score" if value is None else f"`{value}` is not a score"
            raise BertworksError(f"{where}: {found}", "a number is needed in each row")
        return float(value)

    def windows(self, rows: Sequence[Row], tokenizer: Tokenizer, max_length: int) -> list[Window]:
        """Encode rows; a row that fits is one window.

        max_length  T of the longest window, specials included
        Raises BertworksError for a row without its texts, or a max_length that leaves no room.
        """
        targets = [self._target(row) for row in rows]
        return encode_rows(rows, targets, tokenizer, max_length, pair=self.pair, truncation=self.truncation)

    def config_keys(self) -> dict[str, Any]:
        """As transformers' BertForSequenceClassification names them."""
        names = self.labels.names if self.kind == "classify" else ("score",)
        return {
            "architectures": ["BertForSequenceClassification"],
            **class_keys(names),
            "problem_type": "single_label_classification" if self.kind == "classify" else "regression",
        }

    def targets(self, windows: Sequence[Window]) -> torch.Tensor:
        """(W,) int64 classes, or float32 scaled scores. Raises BertworksError where a row has no gold label."""
        import torch

        for window in windows:
            if window.target is None:
                raise BertworksError(f"row {window.row + 1} has no label that training knows", "drop such rows first")
        dtype = torch.int64 if self.kind == "classify" else torch.float32
        return torch.tensor([window.target for window in windows], dtype=dtype)

    def weights(self, windows: Sequence[Window]) -> torch.Tensor:
        """(W,) float32."""
        return row_weights(windows)

    def loss_count(self, windows: Sequence[Window]) -> float:
        """The number of rows, where all windows of each are here."""
        return row_count(windows)

    def loss_sum(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Cross-entropy in nats, or the squared error of the scaled score; logits (W, C)."""
        from torch.nn import functional

        logits = logits.float()
        if self.kind == "classify":
            losses = functional.cross_entropy(logits, targets, reduction="none")
        else:
            losses = (logits.squeeze(-1) - targets).square()
        return (losses * weights).sum()

    def decode(self, rows: Sequence[Row], windows: Sequence[Window], logits: Sequence[np.ndarray]) -> list[Answer]:
        """Average the logits of a row's windows; softmax, or the score on its own scale.

        logits  (W, C) float32
        """
        means = pooled(windows, logits, len(rows), self.num_outputs)  # (N, C)
        if self.kind == "score":
            return [Answer(None, value) for value in (self.center + self.scale * means[:, 0]).tolist()]
        odds = np.exp(means - means.max(-1, keepdims=True))
        probs = odds / odds.sum(-1, keepdims=True)
        names = self.labels.names
        return [
            Answer(names[best], row[best], dict(zip(names, row, strict=True)))
            for best, row in zip(probs.argmax(-1).tolist(), probs.tolist(), strict=True)
        ]

    def score(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> dict[str, float]:
        """accuracy, f1_macro, f1_micro, mcc; or pearson, spearman. Raises BertworksError for a row without gold."""
        if not rows or len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        given = cast("Sequence[Answer]", answers)
        gold = np.array([self.gold(row, f"row {number}") for number, row in enumerate(rows, 1)])
        if self.kind == "score":
            return score_metrics(gold, np.array([answer.score for answer in given]))
        return class_metrics(gold, np.array([self.labels.number(answer.label or "") for answer in given]))

    def describe(self) -> list[str]:
        """The task in a line, then labels with their counts in training."""
        of = "a pair of texts" if self.pair else "one text"
        if self.kind == "score":
            return [f"task: score, {of}; scores have mean {self.center:.4g}, sd {self.scale:.4g}"]
        return [f"task: classify, {of}, {self.num_outputs} classes", *self.labels.lines()]

    def settings(self) -> dict[str, Any]:
        """All of it."""
        return {
            "task": self.kind,
            "pair": self.pair,
            "labels": self.labels.settings(),
            "truncation": self.truncation,
            "center": self.center,
            "scale": self.scale,
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> SentenceTask:
        """The task that `settings` came from."""
        return cls(
            settings["task"],
            settings["pair"],
            Labels.from_settings(settings["labels"]),
            settings["truncation"],
            settings["center"],
            settings["scale"],
        )

    def confused(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> tuple[list[str], list[str]]:
        """Gold and predicted classes."""
        if self.kind == "score":
            return [], []
        names = self.labels.names
        gold = [names[int(self.gold(row, f"row {number}"))] for number, row in enumerate(rows, 1)]
        return gold, [str(cast("Answer", answer).label) for answer in answers]

    def recounted(self, rows: Sequence[Row]) -> SentenceTask:
        """The task with label counts of other rows."""
        if self.kind != "classify":
            return self
        counts = [0] * self.num_outputs
        for number, row in enumerate(rows, 1):
            counts[int(self.gold(row, f"row {number}"))] += 1
        return replace(self, labels=replace(self.labels, counts=tuple(counts)))

    def about(self) -> promised.About:
        """As transformers' text-classification."""
        texts = "pairs of texts" if self.pair else "texts"
        if self.kind == "score":
            title = f"Scores for {texts}"
            scale = f"mean {self.center:.4g}, sd {self.scale:.4g}"
            answers = f"One number a row, on the scale of the training data ({scale})."
        else:
            title = f"{texts.capitalize()} into {self.num_outputs} classes"
            answers = f"Classes: {', '.join(f'`{name}`' for name in self.labels.names)}."
        example = '[("one text", "another text")]' if self.pair else '["a text"]'
        return promised.About(title, answers, "text-classification", "AutoModelForSequenceClassification", example)

    @property
    def has_threshold(self) -> bool:
        """No."""
        return False

    def tuned(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> SentenceTask:
        """Itself: there is no threshold."""
        return self

    def folded(self) -> SentenceTask:
        """The task of a model whose classifier gives scores on their own scale.

        With weight · scale and bias · scale + center, any loader of the directory reads scores, not scaled ones.
        """
        return replace(self, center=0.0, scale=1.0)

    def _target(self, row: Row) -> int | float | None:
        """What the loss compares with; None without a gold label that training knows."""
        if self.kind == "score":
            value = row.get("score", row.get("label"))
            return None if value is None or not _is_number(value) else (float(value) - self.center) / self.scale
        label = row.get("label", row.get("label_text"))
        number = self.labels.number(label) if isinstance(label, str) else -1
        return None if number < 0 else number


def _is_number(value: object) -> bool:
    try:
        return bool(np.isfinite(float(cast("Any", value))))
    except (TypeError, ValueError):
        return False
