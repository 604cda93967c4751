"""A question on a text → the stretch of the text that answers it, or no answer: SQuAD 1.1 and 2.0, CMRC.

The features and the choice of the answer are those of the original's `run_squad.py`; the answer is cut from the text by
its code points, so it always stands there.

Letters: W windows, T tokens of one window, n tokens of a context, P tokens of several windows together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.tasks import task as promised
from bertworks.tasks.answer_metrics import RULES, best_threshold
from bertworks.tasks.labels import Labels
from bertworks.tasks.span_loss import span_log_probs
from bertworks.tasks.split import BY_ROW
from bertworks.tasks.strides import owners, stretches
from bertworks.tasks.task import Row, Window, row_count

if TYPE_CHECKING:
    import torch

    from bertworks.model.bert import BertForSpan
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Encoding, Tokenizer

MOST_QUESTION = 64  # tokens of a question; the rest is cut, as in the original
LEAST_ROOM = 16  # tokens of the text in a window, beside the question


class Candidate(NamedTuple):
    """A possible answer: code points [start, end) of the text, and the sum of its two logits."""

    score: float
    start: int
    end: int


@dataclass(frozen=True)
class SpanAnswer:
    """What the model says about one question.

    answer       a stretch of the text; "" where there is none
    start, end   its code points, end exclusive; None where there is none
    score        its probability among the best candidates
    null_score   logits of no answer less those of the best answer
    best         the best answer, given or not
    is_ordered   whether the likeliest start and end, each taken alone, make a stretch of the text: the notes' second
                 way to say "no answer" is that they do not, the start standing behind the end
    """

    id: str
    answer: str
    start: int | None
    end: int | None
    score: float
    null_score: float
    best: str
    is_ordered: bool = True

    def to_json(self) -> dict[str, Any]:
        """{"id", "answer", "start", "end", "score", "null_score"}."""
        return {name: value for name, value in vars(self).items() if name not in ("best", "is_ordered")}

    def cells(self) -> dict[str, Any]:
        """`prediction` and `probability`."""
        return {"prediction": self.answer, "probability": self.score}


@dataclass(frozen=True, eq=False)
class SpanWindow(Window):
    """A window on a context; its head reads all its tokens.

    begin      place of the first token of the context
    offsets    (n, 2) int32 code points of the context's tokens in this window
    owned      (n,) bool, whether no other window has more of the text around the token
    start, end places of the answer's first and last token, 0 = no answer here
    """

    begin: int = 0
    offsets: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int32))
    owned: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class SpanTask:
    """Answer questions; see `task.Task` for what each method is for.

    threshold   no answer where the null score is above it; None = every question has an answer
    rule        of `answer_metrics.RULES`: "squad", or "cmrc" for Chinese
    most_tokens, n_best  of an answer, and candidates looked at
    """

    threshold: float | None = None
    rule: str = "squad"
    most_tokens: int = 30
    n_best: int = 20

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise BertworksError(f"rule `{self.rule}` is unknown", did_you_mean(self.rule, RULES) or "squad or cmrc")

    @property
    def name(self) -> str:
        """ "qa"."""
        return "qa"

    @property
    def metrics(self) -> tuple[str, ...]:
        """f1 first; with questions that have no answer also by kind, and the best over all thresholds."""
        return (
            ("f1", "exact_match")
            if self.threshold is None
            else ("f1", "exact_match", "f1_answered", "no_answer", "best_f1", "f1_by_order")
        )

    @property
    def labels(self) -> Labels:
        """None."""
        return Labels()

    @property
    def stratified_by(self) -> str:
        """Nothing; questions on one text stand on one side."""
        return BY_ROW

    @property
    def num_outputs(self) -> int:
        """C: start and end."""
        return 2

    @property
    def network(self) -> type[BertForSpan]:
        """A linear map on each token."""
        from bertworks.model.bert import BertForSpan

        return BertForSpan

    def check(self, table: Table) -> None:
        """Raise BertworksError, naming the file and the row, for rows without a question, a text, or answers."""
        for role in ("question", "context"):
            if role not in table.columns:
                raise BertworksError(f"{table.path}: no column for the {role}", f"name it: `--columns {role}=…`")
        if table.rows and "answers" not in table.columns:
            raise BertworksError(f"{table.path}: no column for the answers", "name it: `--columns answers=…`")
        for index, row in enumerate(table.rows):
            if self.threshold is None and not row["answers"]:
                raise BertworksError(
                    f"{table.where(index)}: has no answer, the model was trained to answer every question",
                    "train on questions without an answer too, or leave such rows out",
                )

    def windows(self, rows: Sequence[Row], tokenizer: Tokenizer, max_length: int) -> list[Window]:
        """[CLS] question [SEP] a part of the text [SEP], as many as the text needs.

        max_length  T of the longest window, specials included
        Raises BertworksError for a row without question or text, or a max_length that leaves no room.
        """
        longest = max_length - 3 - LEAST_ROOM
        if longest < 1:
            raise BertworksError(f"max_length {max_length} leaves no room for text", "384 is usual")
        questions = tokenizer.encode([_text(row, "question", number) for number, row in enumerate(rows, 1)])
        contexts = tokenizer.encode_with_offsets([_text(row, "context", number) for number, row in enumerate(rows, 1)])
        out: list[Window] = []
        for number, (row, question, context) in enumerate(zip(rows, questions, contexts, strict=True)):
            cut = question[: min(MOST_QUESTION, longest)]
            out.extend(self._row_windows(number, row, cut, context, tokenizer, max_length))
        return out

    def config_keys(self) -> dict[str, Any]:
        """As transformers' BertForQuestionAnswering names them."""
        return {"architectures": ["BertForQuestionAnswering"]}

    def targets(self, windows: Sequence[Window]) -> torch.Tensor:
        """(P, 3) int64: the window's number, whether the answer begins here, whether it ends here."""
        import torch

        found = np.zeros((sum(len(window.input_ids) for window in windows), 3), np.int64)
        at = 0
        for number, window in enumerate(windows):
            span = cast("SpanWindow", window)
            found[at : at + len(window.input_ids), 0] = number
            found[at + span.start, 1] = found[at + span.end, 2] = 1
            at += len(window.input_ids)
        return torch.from_numpy(found)

    def weights(self, windows: Sequence[Window]) -> torch.Tensor:
        """(P,) float32, the window's weight at each of its tokens."""
        import torch

        lengths = [len(window.input_ids) for window in windows]
        return torch.from_numpy(np.repeat([window.weight for window in windows], lengths).astype(np.float32))

    def loss_count(self, windows: Sequence[Window]) -> float:
        """The number of windows: each counts as one, as in the original."""
        return row_count(windows)

    def loss_sum(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Mean of the cross-entropies of start and end over each window's tokens, in nats; logits (P, 2)."""
        _, chosen, firsts = span_log_probs(logits, targets)
        return -(chosen.mean(-1) * weights[firsts]).sum()

    def decode(self, rows: Sequence[Row], windows: Sequence[Window], logits: Sequence[np.ndarray]) -> list[SpanAnswer]:
        """The best stretch of each text, or none.

        logits  (T, 2) float32 of each window
        """
        candidates: list[list[Candidate]] = [[] for _ in rows]
        null = np.full(len(rows), np.inf)
        ordered = [(-np.inf, True)] * len(rows)
        for window, output in zip(windows, logits, strict=True):
            span = cast("SpanWindow", window)
            null[window.row] = min(null[window.row], float(output[0, 0] + output[0, 1]))
            candidates[window.row].extend(self._candidates(span, output))
            ordered[window.row] = max(ordered[window.row], unconstrained(span, output))
        return [
            self._answer(row, sorted(found, key=lambda one: -one.score), float(none), is_ordered=is_ordered)
            for row, found, none, (_, is_ordered) in zip(rows, candidates, null, ordered, strict=True)
        ]

    def score(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> dict[str, float]:
        """The official scripts' figures over all rows; see docs/formats.md."""
        if not rows or len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        given = [cast("SpanAnswer", answer) for answer in answers]
        right = [RULES[self.rule](one.answer, _golds(row)) for one, row in zip(given, rows, strict=True)]
        found = {"f1": _mean([one.f1 for one in right]), "exact_match": _mean([one.exact for one in right])}
        if self.threshold is None:
            return found
        has = [bool(_golds(row)) for row in rows]
        found["f1_answered"] = _mean([one.f1 for one, is_there in zip(right, has, strict=True) if is_there])
        found["no_answer"] = _mean([one.f1 for one, is_there in zip(right, has, strict=True) if not is_there])
        said = [one.best if one.is_ordered else "" for one in given]
        by_order = [RULES[self.rule](text, _golds(row)).f1 for text, row in zip(said, rows, strict=True)]
        return {**found, "best_f1": self._best(given, rows)[0], "f1_by_order": _mean(by_order)}

    @property
    def has_threshold(self) -> bool:
        """Whether questions may have no answer."""
        return self.threshold is not None

    def tuned(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> SpanTask:
        """The task with the threshold that gives the best F1 on these rows."""
        if self.threshold is None or not rows:
            return self
        return replace(self, threshold=self._best([cast("SpanAnswer", answer) for answer in answers], rows)[1])

    def confused(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> tuple[list[str], list[str]]:
        """Nothing."""
        return [], []

    def recounted(self, rows: Sequence[Row]) -> SpanTask:
        """Itself."""
        return self

    def folded(self) -> SpanTask:
        """Itself."""
        return self

    def about(self) -> promised.About:
        """As transformers' question-answering."""
        none = ", or none" if self.threshold is not None else ""
        example = '[{"question": "who?", "context": "a text"}]'
        answers = f"A stretch of the text of at most {self.most_tokens} tokens{none}."
        return promised.About(
            "Answers to questions on a text", answers, "question-answering", "AutoModelForQuestionAnswering", example
        )

    def describe(self) -> list[str]:
        """The task in a line."""
        none = "" if self.threshold is None else f", none where the null score is above {self.threshold:.3g}"
        return [f"task: qa, a question on a text{none}; scored by {self.rule}'s rule"]

    def settings(self) -> dict[str, Any]:
        """All of it."""
        return {"task": "qa", **vars(self)}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> SpanTask:
        """The task that `settings` came from."""
        return cls(*(settings[name] for name in ("threshold", "rule", "most_tokens", "n_best")))

    def _best(self, answers: Sequence[SpanAnswer], rows: Sequence[Row]) -> tuple[float, float]:
        """The best mean F1 over thresholds, and its threshold."""
        golds = [_golds(row) for row in rows]
        scores = [RULES[self.rule](one.best, gold).f1 for one, gold in zip(answers, golds, strict=True)]
        said, null = [one.best for one in answers], [one.null_score for one in answers]
        return best_threshold(scores, [bool(gold) for gold in golds], said, null)

    def _candidates(self, window: SpanWindow, logits: np.ndarray) -> Iterator[Candidate]:
        """Of the likeliest starts and ends those that make a stretch of the context; starts the window owns."""
        starts, ends = (np.argsort(-logits[:, side], kind="stable")[: self.n_best] - window.begin for side in (0, 1))
        number = len(window.offsets)
        for start in starts.tolist():
            if not 0 <= start < number or not window.owned[start]:
                continue
            for end in ends.tolist():
                if start <= end < min(number, start + self.most_tokens):
                    score = float(logits[start + window.begin, 0] + logits[end + window.begin, 1])
                    yield Candidate(score, int(window.offsets[start, 0]), int(window.offsets[end, 1]))

    def _answer(self, row: Row, found: Sequence[Candidate], null: float, *, is_ordered: bool) -> SpanAnswer:
        context, name = str(row["context"]), str(row.get("id", ""))
        kept: dict[str, Candidate] = {}
        for one in found:
            if len(kept) < self.n_best:
                kept.setdefault(context[one.start : one.end], one)
        if not kept:
            return SpanAnswer(name, "", None, None, 1.0, float("inf"), "")
        best, first = next(iter(kept.items()))
        scores = [one.score for one in kept.values()] + ([] if self.threshold is None else [null])
        odds = np.exp(np.array(scores) - max(scores))
        probs = odds / odds.sum()
        is_none = self.threshold is not None and null - first.score > self.threshold
        if is_none:
            return SpanAnswer(name, "", None, None, float(probs[-1]), null - first.score, best, is_ordered)
        return SpanAnswer(name, best, first.start, first.end, float(probs[0]), null - first.score, best, is_ordered)

    def _row_windows(
        self,
        number: int,
        row: Row,
        question: np.ndarray,
        context: Encoding,
        tokenizer: Tokenizer,
        max_length: int,
    ) -> Iterator[Window]:
        cls, sep = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
        begin = len(question) + 2
        parts = stretches(len(context.input_ids), max_length - begin - 1)
        owner = owners(len(context.input_ids), parts)
        gold = _gold_tokens(row, context.offset_mapping)
        words = context.word_ids
        is_first = np.diff(words, prepend=-2) != 0
        for index, (left, right) in enumerate(parts):
            ids = np.concatenate([cls, question, sep, context.input_ids[left:right], sep]).astype(np.int32)
            types = np.zeros(len(ids), np.int8)
            types[begin:] = 1
            owned = owner[left:right] == index
            is_inside = gold is not None and left <= gold[0] and gold[1] < right
            start, end = (begin + gold[0] - left, begin + gold[1] - left) if gold is not None and is_inside else (0, 0)
            seen = int((owned & is_first[left:right]).sum())
            yield SpanWindow(
                ids, types, number, None, 1.0, seen, 0 if index else int(is_first.sum()),
                np.arange(len(ids), dtype=np.int32), begin, context.offset_mapping[left:right], owned, start, end,
            )  # fmt: skip


def unconstrained(window: SpanWindow, logits: np.ndarray) -> tuple[float, bool]:
    """The sum of a window's greatest start and end logits, (T, 2), and whether they make a stretch of its text."""
    start, end = logits.argmax(0).tolist()
    is_ordered = window.begin <= start <= end < window.begin + len(window.offsets)
    return float(logits[start, 0] + logits[end, 1]), is_ordered


def _gold_tokens(row: Row, offsets: np.ndarray) -> tuple[int, int] | None:
    """First and last token of the first answer; None without one, or where its text does not stand at its place."""
    for text, start in row.get("answers") or ():
        end = start + len(text)
        if start < 0 or not text.strip() or str(row["context"])[start:end] != text:
            return None
        touched = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start))
        return (int(touched[0]), int(touched[-1])) if len(touched) else None
    return None


def _golds(row: Row) -> list[str]:
    return [text for text, _ in row.get("answers") or ()]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


def _text(row: Row, role: str, number: int) -> str:
    value = row.get(role)
    if not isinstance(value, str):
        there = ", ".join(f"`{key}`" for key in row) or "nothing"
        raise BertworksError(f"row {number} has no `{role}`, only {there}", "the model reads `question` and `context`")
    return value
