"""A query and a passage, read together → how well the passage answers the query: a cross-encoder.

Letters: W windows, N rows, K passages of a query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.tasks import task as promised
from bertworks.tasks.embedding import score_of, score_or_none
from bertworks.tasks.encode import check_truncation, encode_rows
from bertworks.tasks.labels import Labels
from bertworks.tasks.metrics import ranking_metrics
from bertworks.tasks.split import BY_QUERY
from bertworks.tasks.task import MemberWindow, Row, Window, member_of, row_count, row_weights

if TYPE_CHECKING:
    import torch

    from bertworks.model.bert import BertForSentence
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class RerankAnswer:
    """What the model says about one row.

    logits   of each passage, in the order given
    is_list  whether the row was a query with a list of passages
    """

    logits: list[float]
    is_list: bool

    @property
    def scores(self) -> list[float]:
        """The logits between 0 and 1."""
        return [float(1 / (1 + np.exp(-logit))) for logit in self.logits]

    def to_json(self) -> dict[str, Any]:
        """{"score", "logit"} of a pair; {"ranking": [{"passage", "score", "logit"}, …]}, the best first, of a list."""
        pairs = list(zip(self.scores, self.logits, strict=True))
        if not self.is_list:
            return {"score": pairs[0][0], "logit": pairs[0][1]}
        order = sorted(range(len(pairs)), key=lambda place: -self.logits[place])
        return {"ranking": [{"passage": place, "score": pairs[place][0], "logit": pairs[place][1]} for place in order]}

    def cells(self) -> dict[str, Any]:
        """`prediction` and `logit`; of a list the places of the passages, the best first."""
        if not self.is_list:
            return {"prediction": self.scores[0], "logit": self.logits[0]}
        return {"prediction": " ".join(str(one["passage"]) for one in self.to_json()["ranking"])}


@dataclass(frozen=True)
class RerankTask:
    """Score passages for a query; see `task.Task` for what each method is for.

    low, high   of the gold scores: `low` is probability 0, `high` is 1; from the middle on a passage is relevant
    truncation  as of `SentenceTask`
    """

    low: float = 0.0
    high: float = 1.0
    truncation: str = "windows"

    def __post_init__(self) -> None:
        check_truncation(self.truncation)

    @property
    def name(self) -> str:
        """ "rerank"."""
        return "rerank"

    @property
    def metrics(self) -> tuple[str, ...]:
        """ndcg_at_10 first."""
        return ("ndcg_at_10", "mrr_at_10", "map", "accuracy")

    @property
    def labels(self) -> Labels:
        """None."""
        return Labels()

    @property
    def stratified_by(self) -> str:
        """Passages of one query stand on one side."""
        return BY_QUERY

    @property
    def num_outputs(self) -> int:
        """1, the logit."""
        return 1

    @property
    def network(self) -> type[BertForSentence]:
        """Pooler, dropout and a linear map to one number."""
        from bertworks.model.bert import BertForSentence

        return BertForSentence

    def check(self, table: Table) -> None:
        """Raise BertworksError, naming file and line, for rows without query and passage, or without a score."""
        if not table.is_pair and not {"text", "choices"} <= table.columns.keys():
            raise BertworksError(
                f"{table.path}: has no query and passage a row",
                "name them: `--columns sentence1=QUERY,sentence2=PASSAGE`",
            )
        if table.rows and not table.is_pair:
            raise BertworksError(f"{table.path}: has lists of passages without scores", "score one passage a row")
        for index, row in enumerate(table.rows):
            self.gold(row, table.where(index))

    def gold(self, row: Row, where: str) -> float:
        """The score of a row between 0 and 1. Raises BertworksError where there is none."""
        return (score_of(row, where) - self.low) / (self.high - self.low)

    def windows(self, rows: Sequence[Row], tokenizer: Tokenizer, max_length: int) -> list[Window]:
        """[CLS] query [SEP] passage [SEP] of each passage; see `encode.encode_rows`."""
        asked: list[Row] = []
        places: list[tuple[int, int]] = []
        for number, row in enumerate(rows):
            passages = row.get("choices")
            pairs = (
                [row] if passages is None else [{"sentence1": row.get("text"), "sentence2": one} for one in passages]
            )
            if not pairs:
                raise BertworksError(f"row {number + 1} has no passage", "give a list of one or more")
            asked.extend(pairs)
            places.extend((number, member) for member in range(len(pairs)))
        scores = map(score_or_none, asked)
        targets = [None if score is None else (score - self.low) / (self.high - self.low) for score in scores]
        found = encode_rows(asked, targets, tokenizer, max_length, pair=True, truncation=self.truncation)
        if all(member == 0 for _, member in places):
            return found
        return [
            MemberWindow(
                one.input_ids, one.token_type_ids, places[one.row][0], one.target, one.weight, one.covered, one.words,
                member=places[one.row][1],
            )
            for one in found
        ]  # fmt: skip

    def config_keys(self) -> dict[str, Any]:
        """As transformers' BertForSequenceClassification and sentence-transformers' CrossEncoder name them."""
        return {
            "architectures": ["BertForSequenceClassification"],
            "id2label": {"0": "LABEL_0"},
            "label2id": {"LABEL_0": 0},
            "sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"},
        }

    def targets(self, windows: Sequence[Window]) -> torch.Tensor:
        """(W,) float32 between 0 and 1. Raises BertworksError for a row without a score."""
        import torch

        for window in windows:
            if window.target is None:
                raise BertworksError(f"row {window.row + 1} has no score", "drop such rows first")
        return torch.tensor([window.target for window in windows], dtype=torch.float32)

    def weights(self, windows: Sequence[Window]) -> torch.Tensor:
        """(W,) float32."""
        return row_weights(windows)

    def loss_count(self, windows: Sequence[Window]) -> float:
        """The number of rows."""
        return row_count(windows)

    def loss_sum(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy in nats; logits (W, 1)."""
        from torch.nn import functional

        losses = functional.binary_cross_entropy_with_logits(logits.float().squeeze(-1), targets, reduction="none")
        return (losses * weights).sum()

    def decode(
        self, rows: Sequence[Row], windows: Sequence[Window], logits: Sequence[np.ndarray]
    ) -> list[RerankAnswer]:
        """Average the logits of each passage's windows; logits (W, 1)."""
        found: list[dict[int, list[float]]] = [{} for _ in rows]
        for window, output in zip(windows, logits, strict=True):
            found[window.row].setdefault(member_of(window), []).append(float(output[0]))
        return [
            RerankAnswer([float(np.mean(passages[member])) for member in sorted(passages)], "choices" in row)
            for row, passages in zip(rows, found, strict=True)
        ]

    def score(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> dict[str, float]:
        """ndcg_at_10, mrr_at_10, map over the queries with a relevant passage, accuracy over all rows."""
        if not rows or len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        logits = np.array([cast("RerankAnswer", answer).logits[0] for answer in answers])
        gold = np.array([self.gold(row, f"row {number}") for number, row in enumerate(rows, 1)])
        _, query = np.unique([str(row["sentence1"]) for row in rows], return_inverse=True)
        right = (logits >= 0) == (gold >= 0.5)
        return {**ranking_metrics(gold, logits, query), "accuracy": float(right.mean())}

    def confused(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> tuple[list[str], list[str]]:
        """Nothing."""
        return [], []

    def recounted(self, rows: Sequence[Row]) -> RerankTask:
        """Itself."""
        return self

    @property
    def has_threshold(self) -> bool:
        """No."""
        return False

    def tuned(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> RerankTask:
        """Itself."""
        return self

    def folded(self) -> RerankTask:
        """Itself."""
        return self

    def about(self) -> promised.About:
        """As sentence-transformers' cross-encoders."""
        answers = (
            "A score between 0 and 1 for each passage, and its logit; "
            f"{self.low:g} of the training data is 0, {self.high:g} is 1."
        )
        example = '[{"text": "a query", "choices": ["a passage", "another"]}]'
        return promised.About(
            "Passages for a query", answers, "text-ranking", "AutoModelForSequenceClassification", example
        )

    def describe(self) -> list[str]:
        """The task in a line."""
        return [f"task: rerank, a passage for a query; scores {self.low:g} to {self.high:g}, sigmoid"]

    def settings(self) -> dict[str, Any]:
        """All of it."""
        return {"task": "rerank", **vars(self)}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> RerankTask:
        """The task that `settings` came from."""
        return cls(settings["low"], settings["high"], settings["truncation"])
