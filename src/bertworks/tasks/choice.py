"""A text, a question and some options → the option that fits: SWAG, CODAH, DREAM, RACE.

One sequence an option, a head of one output on [CLS], softmax over a row's options. Only the text is cut or read in
windows, never an option; all options of a row are read beside the same parts of the text.

Letters: W windows, T tokens of one window, N rows, K options of a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.tasks import task as promised
from bertworks.tasks.encode import check_truncation
from bertworks.tasks.labels import Labels, canonical, is_whole
from bertworks.tasks.split import BY_ROW
from bertworks.tasks.task import MemberWindow, Row, Window, member_of, row_count, row_weights
from bertworks.tasks.windows import LEAST_LENGTH, head, head_and_tail, parts

if TYPE_CHECKING:
    import torch

    from bertworks.model.bert import BertForSentence
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Tokenizer

LETTERS = "ABCDEFGHIJ"
GAP = "_"  # in a question: where the option goes, as RACE writes it
LEAST_ROOM = 8  # tokens of the text beside the longest option
NUMBERINGS = {
    "0": "numbers from 0",
    "1": "numbers from 1",
    "letter": "letters from A",
    "text": "the right option itself",
}


@dataclass(frozen=True)
class ChoiceAnswer:
    """What the model says about one row.

    choice  index of the likeliest option, from 0
    option  its text
    scores  the probability of each option
    """

    choice: int
    option: str
    scores: list[float]

    def to_json(self) -> dict[str, Any]:
        """{"choice", "scores"}."""
        return {"choice": self.choice, "scores": self.scores}

    def cells(self) -> dict[str, Any]:
        """`prediction`, `option` and `probability`."""
        return {"prediction": self.choice, "option": self.option, "probability": self.scores[self.choice]}


@dataclass(frozen=True)
class ChoiceTask:
    """Choose one of a row's options; see `task.Task` for what each method is for.

    numbering   how labels name the right option, of `NUMBERINGS`
    truncation  what happens to a long text: "windows" (an option's logits are averaged), "truncate", "head+tail"
    """

    numbering: str = "0"
    truncation: str = "windows"

    def __post_init__(self) -> None:
        check_truncation(self.truncation)
        if self.numbering not in NUMBERINGS:
            raise BertworksError(
                f"numbering `{self.numbering}` is unknown",
                did_you_mean(self.numbering, NUMBERINGS) or f"known: {', '.join(NUMBERINGS)}",
            )

    @property
    def name(self) -> str:
        """ "choice"."""
        return "choice"

    @property
    def metrics(self) -> tuple[str, ...]:
        """accuracy."""
        return ("accuracy",)

    @property
    def labels(self) -> Labels:
        """None: the options are each row's own."""
        return Labels()

    @property
    def stratified_by(self) -> str:
        """Nothing; questions on one text stand on one side."""
        return BY_ROW

    @property
    def num_outputs(self) -> int:
        """1, how well the option fits."""
        return 1

    @property
    def network(self) -> type[BertForSentence]:
        """Pooler, dropout and a linear map to one number."""
        from bertworks.model.bert import BertForSentence

        return BertForSentence

    def check(self, table: Table) -> None:
        """Raise BertworksError, naming file and line, for rows without a text, two options, or a label among them."""
        if "choices" not in table.columns:
            raise BertworksError(f"{table.path}: no column for the options", "name it: `--columns choices=…`")
        if not {"context", "text", "question"} & table.columns.keys():
            raise BertworksError(f"{table.path}: no column for the text", "name it: `--columns context=…`")
        for index, row in enumerate(table.rows):
            self.gold(row, table.where(index))

    def gold(self, row: Row, where: str) -> int:
        """Index of the right option. Raises BertworksError where there is none."""
        options, label = options_of(row, where), row.get("label")
        if label is None:
            raise BertworksError(f"{where}: no label", "drop the row, or fill in the right option")
        number = number_of(str(label), options, self.numbering)
        if number < 0:
            raise BertworksError(
                f"{where}: label `{label!s:.60}` names none of the {len(options)} options",
                f"in training the labels were {NUMBERINGS[self.numbering]}",
            )
        return number

    def windows(self, rows: Sequence[Row], tokenizer: Tokenizer, max_length: int) -> list[Window]:
        """[CLS] text [SEP] question option [SEP], one for each option and each part of the text.

        max_length  T of the longest window, specials included
        Where a question with its longest option leaves the text less than 8 tokens, the question's beginning is cut.
        Raises BertworksError for a row without text or options, or a max_length that leaves no room.
        """
        if max_length < LEAST_LENGTH + LEAST_ROOM:
            raise BertworksError(
                f"max_length {max_length} leaves no room for text", f"{LEAST_LENGTH + LEAST_ROOM} is the least"
            )
        asked = [texts_of(row, f"row {number}") for number, row in enumerate(rows, 1)]
        firsts = tokenizer.encode([first for first, _ in asked])
        seconds = iter(tokenizer.encode([second for _, found in asked for second in found]))
        out: list[Window] = []
        for number, (row, first, (_, found)) in enumerate(zip(rows, firsts, asked, strict=True)):
            label = row.get("label")
            target = number_of(str(label), options_of(row, ""), self.numbering) if label is not None else -1
            pairs = (first, [next(seconds) for _ in found])
            out.extend(self._row_windows(number, None if target < 0 else target, pairs, tokenizer, max_length))
        return out

    def config_keys(self) -> dict[str, Any]:
        """As transformers' BertForMultipleChoice names them."""
        return {"architectures": ["BertForMultipleChoice"]}

    def targets(self, windows: Sequence[Window]) -> torch.Tensor:
        """(W, 3) int64: row, option, and the right option of the row. Raises BertworksError for a row without label."""
        import torch

        for window in windows:
            if window.target is None:
                raise BertworksError(f"row {window.row + 1} has no label among its options", "drop such rows first")
        found = [(window.row, member_of(window), int(cast("int", window.target))) for window in windows]
        return torch.tensor(found, dtype=torch.int64)

    def weights(self, windows: Sequence[Window]) -> torch.Tensor:
        """(W,) float32; those of a row add up to 1."""
        return row_weights(windows)

    def loss_count(self, windows: Sequence[Window]) -> float:
        """The number of rows."""
        return row_count(windows)

    def loss_sum(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Cross-entropy over each row's options, in nats; logits (W, 1), an option's averaged over its windows."""
        import torch

        values = logits.squeeze(-1) if logits.dtype == torch.float64 else logits.squeeze(-1).float()
        _, row = torch.unique(targets[:, 0], return_inverse=True)
        number, most = int(row.max()) + 1, int(targets[:, 1].max()) + 1
        cell = row * most + targets[:, 1]
        counts = torch.bincount(cell, minlength=number * most)
        sums = torch.zeros(number * most, dtype=values.dtype, device=values.device).index_add(0, cell, values)
        table = (sums / counts.clamp(min=1)).masked_fill(counts == 0, -torch.inf).view(number, most)  # (N, most K)
        gold = torch.zeros(number, dtype=torch.int64, device=row.device).index_copy(0, row, targets[:, 2])
        of_row = torch.zeros(number, dtype=values.dtype, device=row.device).index_add(0, row, weights.to(values.dtype))
        losses = torch.logsumexp(table, -1) - table.gather(1, gold[:, None]).squeeze(1)
        return (losses * of_row).sum()

    def decode(
        self, rows: Sequence[Row], windows: Sequence[Window], logits: Sequence[np.ndarray]
    ) -> list[ChoiceAnswer]:
        """Average the logits of an option's windows, softmax over the row's options; logits (W, 1)."""
        found: list[dict[int, list[float]]] = [{} for _ in rows]
        for window, output in zip(windows, logits, strict=True):
            found[window.row].setdefault(member_of(window), []).append(float(output[0]))
        answers = []
        for number, (row, members) in enumerate(zip(rows, found, strict=True), 1):
            means = np.array([np.mean(members[member]) for member in sorted(members)])  # (K,)
            odds = np.exp(means - means.max())
            best = int(means.argmax())
            answers.append(ChoiceAnswer(best, options_of(row, f"row {number}")[best], (odds / odds.sum()).tolist()))
        return answers

    def score(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> dict[str, float]:
        """accuracy. Raises BertworksError for a row without gold."""
        if not rows or len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        gold = [self.gold(row, f"row {number}") for number, row in enumerate(rows, 1)]
        right = [cast("ChoiceAnswer", answer).choice == there for answer, there in zip(answers, gold, strict=True)]
        return {"accuracy": float(np.mean(right))}

    def confused(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> tuple[list[str], list[str]]:
        """Nothing: an option's place says nothing of it."""
        return [], []

    def recounted(self, rows: Sequence[Row]) -> ChoiceTask:
        """Itself."""
        return self

    @property
    def has_threshold(self) -> bool:
        """No."""
        return False

    def tuned(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> ChoiceTask:
        """Itself."""
        return self

    def folded(self) -> ChoiceTask:
        """Itself."""
        return self

    def about(self) -> promised.About:
        """As transformers' multiple choice."""
        example = '[{"context": "a text", "question": "what?", "choices": ["this", "that"]}]'
        answers = (
            "The index of the likeliest option, from 0, and a probability for each; rows may differ in their number."
        )
        return promised.About(
            "One of several options", answers, "multiple-choice", "AutoModelForMultipleChoice", example
        )

    def describe(self) -> list[str]:
        """The task in a line."""
        return [f"task: choice, one of a row's options; labels are {NUMBERINGS[self.numbering]}"]

    def settings(self) -> dict[str, Any]:
        """All of it."""
        return {"task": "choice", "numbering": self.numbering, "truncation": self.truncation}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> ChoiceTask:
        """The task that `settings` came from."""
        return cls(settings["numbering"], settings["truncation"])

    def _row_windows(
        self,
        number: int,
        target: int | None,
        pair: tuple[np.ndarray, Sequence[np.ndarray]],
        tokenizer: Tokenizer,
        max_length: int,
    ) -> Iterator[Window]:
        first, seconds = pair
        begins = ~tokenizer.continuation
        longest = max_length - 3 - LEAST_ROOM
        kept = [second[max(0, len(second) - longest) :] for second in seconds]
        pieces = self._pieces(first, begins[first], max_length - 3 - max(map(len, kept)))
        words = int(begins[first].sum()) + sum(int(begins[second].sum()) for second in seconds)
        cls, sep = (np.array([token], np.int32) for token in (tokenizer.cls_token_id, tokenizer.sep_token_id))
        share = 1 / (len(kept) * len(pieces))
        for member, second in enumerate(kept):
            for index, (ids, seen) in enumerate(pieces):
                input_ids = np.concatenate([cls, ids, sep, second, sep] if len(second) else [cls, ids, sep])
                types = np.zeros(len(input_ids), np.int8)
                types[len(ids) + 2 :] = 1
                covered = (0 if member else seen) + (0 if index else int(begins[second].sum()))
                in_row = 0 if member or index else words
                yield MemberWindow(input_ids, types, number, target, share, covered, in_row, member=member)

    def _pieces(self, ids: np.ndarray, starts: np.ndarray, room: int) -> list[tuple[np.ndarray, int]]:
        """What each window reads of the text, and the words it owns."""
        if self.truncation == "windows" or len(ids) <= room:
            return [(ids[part.start : part.end], part.words) for part in parts(starts, room)]
        if self.truncation == "truncate":
            return [(ids[:room], head(starts, room).words)]
        at, words = head_and_tail(starts, room)
        return [(ids[at], words)]


def options_of(row: Row, where: str) -> list[str]:
    """The options of a row. Raises BertworksError where there are not two texts or more."""
    options = row.get("choices")
    if not isinstance(options, (list, tuple)) or not all(isinstance(option, str) for option in options):
        raise BertworksError(f"{where}: `choices` is {options!r:.60}, not a list of texts", 'give ["one", "another"]')
    if len(options) < 2:
        raise BertworksError(f"{where}: has {len(options)} options", "two are the least to choose from")
    return list(options)


def texts_of(row: Row, where: str) -> tuple[str, list[str]]:
    """What stands first in every sequence of a row, and what stands second in each: question and option.

    Without a context the question stands first and the option alone second. A `_` in a question beside a context is
    where the option goes, as in RACE; else the option follows the question.
    """
    options = options_of(row, where)
    context, question = row.get("context", row.get("text")), row.get("question")
    if context is None and question is None:
        there = ", ".join(f"`{key}`" for key in row)
        raise BertworksError(f"{where} has no `context` or `question`, only {there}", "the model reads one or both")
    if context is None or not question:
        return str(question if context is None else context), options
    if GAP in question:
        return str(context), [question.replace(GAP, option) for option in options]
    return str(context), [f"{question} {option}" for option in options]


def number_of(label: str, options: Sequence[str], numbering: str) -> int:
    """Index of the option that a label names, -1 where it names none."""
    if numbering == "text":
        there = [option.strip() for option in options]
        return there.index(label.strip()) if label.strip() in there else -1
    if numbering == "letter":
        number = LETTERS.find(label.upper()) if len(label) == 1 else -1
    else:
        number = int(canonical(label)) - int(numbering) if is_whole(label) else -1
    return number if 0 <= number < len(options) else -1


def numbering_of(table: Table) -> str:
    """How the labels of a training table name the right option.

    Raises BertworksError, naming the line, where no way fits all rows, or numbers may be options themselves, or may
    count from 0 and from 1.
    """
    labels = [str(row.get("label", "")) for row in table.rows]
    options = [options_of(row, table.where(index)) for index, row in enumerate(table.rows)]

    def misfit(numbering: str) -> int:
        """The first row that a way does not fit; the number of rows where it fits all."""
        rows = zip(labels, options, strict=True)
        return next((i for i, (label, there) in enumerate(rows) if number_of(label, there, numbering) < 0), len(labels))

    fitting = [numbering for numbering in NUMBERINGS if misfit(numbering) == len(labels)]
    if not fitting:
        index = max(misfit(numbering) for numbering in NUMBERINGS)
        raise BertworksError(
            f"{table.where(index)}: label `{labels[index]:.60}` names none of the {len(options[index])} options",
            f"labels of all rows are {', or '.join(NUMBERINGS.values())}",
        )
    if "text" in fitting and len(fitting) > 1:
        raise BertworksError(
            f"{table.path}: the labels may be options, or {NUMBERINGS[fitting[0]]}", "write them as letters, A, B, C …"
        )
    if fitting[:2] == ["0", "1"]:  # no row tells, perhaps the columns' names do
        told = re.search(r"(?<!\d)([01]) …", table.columns["choices"])
        if told is None:
            raise BertworksError(
                f"{table.path}: the labels may be {NUMBERINGS['0']} or {NUMBERINGS['1']}, all rows fit both",
                "write them as letters, A, B, C …",
            )
        return told[1]
    return fitting[0]
