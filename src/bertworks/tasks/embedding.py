"""Texts → vectors whose cosine says how alike they are: a bi-encoder, learnt from scored pairs or from matches.

Letters: W windows, N rows, M texts of a row, E hidden size, K candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.tasks import task as promised
from bertworks.tasks.encode import check_truncation, encode_rows
from bertworks.tasks.labels import Labels
from bertworks.tasks.metrics import rank_metrics, score_metrics
from bertworks.tasks.split import BY_ROW, BY_SCORE, plain
from bertworks.tasks.task import MemberWindow, Row, Window, member_of, row_count, row_weights

if TYPE_CHECKING:
    import torch

    from bertworks.model.embedding import BertForEmbedding
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Tokenizer

ROLES = ("sentence1", "sentence2", "negative")  # of a row, in the order of its members; a single text is `text`
Kind = Literal["score", "rank"]


@dataclass(frozen=True, eq=False)
class EmbedAnswer:
    """The vectors of a row's texts, (M, E) float32."""

    vectors: np.ndarray

    @property
    def score(self) -> float:
        """Cosine of the first two."""
        first, second = self.vectors[:2].astype(np.float64)
        return float(first @ second / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-12))

    def to_json(self) -> dict[str, Any]:
        """{"vector"} of one text, {"score"} of a pair."""
        return {"vector": self.vectors[0].tolist()} if len(self.vectors) == 1 else {"score": self.score}

    def cells(self) -> dict[str, Any]:
        """`vector`, numbers with spaces between, or `prediction`."""
        if len(self.vectors) == 1:
            return {"vector": " ".join(f"{value:.6g}" for value in self.vectors[0])}
        return {"prediction": self.score}


@dataclass(frozen=True)
class EmbedTask:
    """Give texts vectors; see `task.Task` for what each method is for.

    kind        what is learnt: "score", (cosine - score scaled to 0..1)²; "rank", the second text of a row is nearer to
                the first than the second and third ones of all rows of the update are (cross-entropy over cosines);
                texts equal to its match, or to a match of an equal first text, are not counted against it
    judged      how dev is scored: by scores, or by ranks
    low, high   of the scores: `low` is cosine 0, `high` is 1
    scale       of the cosines in the cross-entropy, 20 as sentence-transformers has it (a temperature of 0.05)
    truncation  what happens to a long text: "windows" (their vectors are averaged), "truncate", "head+tail"
    """

    kind: Kind
    judged: Kind
    low: float = 0.0
    high: float = 1.0
    scale: float = 20.0
    truncation: str = "windows"

    def __post_init__(self) -> None:
        check_truncation(self.truncation)

    @property
    def name(self) -> str:
        """ "embed"."""
        return "embed"

    @property
    def metrics(self) -> tuple[str, ...]:
        """spearman first, of cosines against scores; or mrr."""
        return ("spearman", "pearson") if self.judged == "score" else ("mrr", "recall_at_1")

    @property
    def labels(self) -> Labels:
        """None."""
        return Labels()

    @property
    def stratified_by(self) -> str:
        """Tenths of the scores, or nothing."""
        return BY_SCORE if self.kind == "score" else BY_ROW

    @property
    def num_outputs(self) -> int:
        """0: the vectors are as wide as the hidden states."""
        return 0

    @property
    def network(self) -> type[BertForEmbedding]:
        """The mean of the last states."""
        from bertworks.model.embedding import BertForEmbedding

        return BertForEmbedding

    def check(self, table: Table) -> None:
        """Raise BertworksError, naming file and line, for rows without texts, or labelled rows without a score."""
        if "text" not in table.columns and not table.is_pair:
            raise BertworksError(
                f"{table.path}: no column for one text or a pair of texts",
                "name it: `--columns text=…` or `--columns sentence1=…,sentence2=…`",
            )
        if table.rows and not table.is_pair:
            raise BertworksError(
                f"{table.path}: has one text a row, pairs are learnt from and scored", "name both texts"
            )
        for index, row in enumerate(table.rows):
            if self.judged == "score":
                score_of(row, table.where(index))

    def windows(self, rows: Sequence[Row], tokenizer: Tokenizer, max_length: int) -> list[Window]:
        """[CLS] text [SEP] of each text of a row; see `encode.encode_rows`."""
        texts = [
            (number, member, text)
            for number, row in enumerate(rows)
            for member, text in enumerate(texts_of(row, number))
        ]
        asked = [{"text": text} for _, _, text in texts]
        keys = [text_key(text) if self.kind == "rank" else 0 for _, _, text in texts]
        found = encode_rows(asked, [None] * len(asked), tokenizer, max_length, pair=False, truncation=self.truncation)
        members = np.bincount([number for number, _, _ in texts], minlength=len(rows))
        out: list[Window] = []
        for one in found:
            number, member, _ = texts[one.row]
            target, share = self._target(rows[number]), one.weight / int(members[number])
            across = self.kind == "rank"
            out.append(
                MemberWindow(
                    one.input_ids, one.token_type_ids, number, target, share, one.covered, one.words,
                    member=member, across=across, text=keys[one.row],
                )
            )  # fmt: skip
        return out

    def config_keys(self) -> dict[str, Any]:
        """As transformers' BertModel."""
        return {"architectures": ["BertModel"]}

    def targets(self, windows: Sequence[Window]) -> torch.Tensor:
        """(W, 4) float64: row, which text of it, scaled score, number of the text, which equal ones share.

        Raises BertworksError for a row without a score.
        """
        import torch

        for window in windows:
            if self.kind == "score" and window.target is None:
                raise BertworksError(f"row {window.row + 1} has no score", "drop such rows first")
        found = [
            (window.row, member_of(window), cast("float", window.target or 0.0), cast("MemberWindow", window).text)
            for window in windows
        ]
        return torch.tensor(found, dtype=torch.float64)

    def weights(self, windows: Sequence[Window]) -> torch.Tensor:
        """(W,) float32; those of a row add up to 1."""
        return row_weights(windows)

    def loss_count(self, windows: Sequence[Window]) -> float:
        """The number of rows."""
        return row_count(windows)

    def loss_sum(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Squared errors of the cosines, or cross-entropies over the candidates in nats; logits (W, E), the vectors."""
        import torch
        from torch.nn import functional

        values = logits.to(torch.promote_types(logits.dtype, torch.float32))
        _, row = torch.unique(targets[:, 0], return_inverse=True)
        number, cell = int(row.max()) + 1, 3 * row + targets[:, 1].long()
        counts = torch.bincount(cell, minlength=3 * number)
        sums = torch.zeros(3 * number, values.shape[1], dtype=values.dtype, device=values.device)
        vectors = (sums.index_add(0, cell, values) / counts.clamp(min=1)[:, None]).view(number, 3, -1)
        of_row = torch.zeros(number, dtype=values.dtype, device=row.device).index_add(0, row, weights.to(values.dtype))
        if self.kind == "score":
            gold = torch.zeros(number, dtype=values.dtype, device=row.device)
            gold = gold.index_copy(0, row, targets[:, 2].to(values.dtype))
            cosines = functional.cosine_similarity(vectors[:, 0], vectors[:, 1])
            return ((cosines - gold).square() * of_row).sum()
        unit, apart = functional.normalize(vectors, dim=-1), counts.view(number, 3)[:, 2] > 0
        candidates = torch.cat([unit[:, 1], unit[:, 2][apart]])  # (K, E)
        texts = torch.zeros(3 * number, dtype=targets.dtype, device=row.device).index_copy(0, cell, targets[:, 3])
        cosines = (unit[:, 0] @ candidates.T).masked_fill(matching(texts.view(number, 3), apart), -torch.inf)
        losses = functional.cross_entropy(
            self.scale * cosines, torch.arange(number, device=row.device), reduction="none"
        )
        return (losses * of_row).sum()

    def decode(self, rows: Sequence[Row], windows: Sequence[Window], logits: Sequence[np.ndarray]) -> list[EmbedAnswer]:
        """The mean of the vectors of each text's windows; logits (W, E)."""
        found: list[dict[int, list[np.ndarray]]] = [{} for _ in rows]
        for window, vector in zip(windows, logits, strict=True):
            found[window.row].setdefault(member_of(window), []).append(vector)
        return [
            EmbedAnswer(np.stack([np.mean(members[member], 0, dtype=np.float32) for member in sorted(members)]))
            for members in found
        ]

    def score(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> dict[str, float]:
        """spearman, pearson of cosines; or mrr, recall_at_1 of the second text among those of all rows."""
        if not rows or len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        given = [cast("EmbedAnswer", answer) for answer in answers]
        if self.judged == "score":
            gold = np.array([score_of(row, f"row {number}") for number, row in enumerate(rows, 1)])
            return score_metrics(gold, np.array([answer.score for answer in given]))
        return rank_metrics(ranks(given, rows))

    def confused(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> tuple[list[str], list[str]]:
        """Nothing."""
        return [], []

    def recounted(self, rows: Sequence[Row]) -> EmbedTask:
        """Itself."""
        return self

    @property
    def has_threshold(self) -> bool:
        """No."""
        return False

    def tuned(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> EmbedTask:
        """Itself."""
        return self

    def folded(self) -> EmbedTask:
        """Itself."""
        return self

    def about(self) -> promised.About:
        """As sentence-transformers' models."""
        answers = (
            "A vector for each text, the mean of its last hidden states; the cosine of two says how alike they are."
        )
        return promised.About(
            "Texts to vectors", answers, "sentence-similarity", "AutoModel", '["a text", "another text"]'
        )

    def describe(self) -> list[str]:
        """The task in a line."""
        if self.kind == "score":
            return [f"task: embed, cosine of two texts against a score; {self.low:g} is cosine 0, {self.high:g} is 1"]
        return [f"task: embed, a text nearer to its match than to those of other rows; cosines times {self.scale:g}"]

    def settings(self) -> dict[str, Any]:
        """All of it."""
        return {"task": "embed", **vars(self)}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> EmbedTask:
        """The task that `settings` came from."""
        return cls(*(settings[name] for name in ("kind", "judged", "low", "high", "scale", "truncation")))

    def _target(self, row: Row) -> float | None:
        score = None if self.kind == "rank" else score_or_none(row)
        return None if score is None else (score - self.low) / (self.high - self.low)


def text_key(text: str) -> int:
    """A number below 2^48, exact in float64; the same for texts equal apart from case, spaces and punctuation."""
    return int.from_bytes(blake2b(plain(text).encode("utf-8", "surrogatepass"), digest_size=6).digest(), "big")


def matching(texts: torch.Tensor, apart: torch.Tensor) -> torch.Tensor:
    """(N, K) bool: candidates that match a row's first text beside its own match, as `ranks` leaves them out.

    texts  (N, 3), the number of each text
    apart  (N,) bool, rows with a third text; candidates are all second texts, then the third ones of these
    """
    import torch

    first, second = texts[:, 0], texts[:, 1]
    candidates = torch.cat([second, texts[:, 2][apart]])
    same = (first[:, None] == first).float()  # (N, N)
    found = same @ (second[:, None] == candidates).float() > 0
    return found & ~torch.eye(len(texts), len(candidates), dtype=torch.bool, device=texts.device)


def texts_of(row: Row, number: int) -> list[str]:
    """The texts of a row: `text`, or `sentence1`, `sentence2` and, where there is one, `negative`."""
    found = (
        [row["text"]]
        if isinstance(row.get("text"), str)
        else [row[role] for role in ROLES if row.get(role) is not None]
    )
    if not found or not all(isinstance(text, str) for text in found):
        there = ", ".join(f"`{key}`" for key in row) or "nothing"
        raise BertworksError(
            f"row {number + 1} has no `text`, only {there}", "the model reads `text`, or a pair of texts"
        )
    return found


def score_of(row: Row, where: str) -> float:
    """The gold score of a pair. Raises BertworksError where there is none."""
    value = row.get("score", row.get("label"))
    try:
        number = float(cast("Any", value))
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number):
        raise BertworksError(f"{where}: `{value}` is not a score", "a number is needed in each row")
    return number


def score_or_none(row: Row) -> float | None:
    """`score_of`, None where there is none: to predict needs no gold."""
    try:
        return score_of(row, "")
    except BertworksError:
        return None


def ranks(answers: Sequence[EmbedAnswer], rows: Sequence[Row]) -> np.ndarray:
    """(N,) int64: the place, from 1, of each row's second text among the second and third texts of all rows.

    Equal texts are one candidate; matches of an equal first text are not counted against each other.
    """
    first: dict[str, int] = {}
    vectors: list[np.ndarray] = []
    own = np.empty(len(rows), np.int64)
    matches: dict[str, list[int]] = {}
    for number, (answer, row) in enumerate(zip(answers, rows, strict=True)):
        for role, vector in zip(ROLES[1:], answer.vectors[1:], strict=False):
            place = first.setdefault(plain(row[role]), len(vectors))
            if place == len(vectors):
                vectors.append(vector)
            if role == "sentence2":
                own[number] = place
                matches.setdefault(plain(row["sentence1"]), []).append(place)
    candidates = _unit(np.stack(vectors))  # (K, E)
    found = np.empty(len(rows), np.int64)
    for number, (answer, row) in enumerate(zip(answers, rows, strict=True)):
        cosines = candidates @ _unit(answer.vectors[:1])[0]
        right = cosines[own[number]]
        cosines[matches[plain(row["sentence1"])]] = -np.inf
        found[number] = 1 + int((cosines >= right).sum())  # a tie counts against
    return found


def _unit(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float64)
    whole: np.ndarray = wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)
    return whole
