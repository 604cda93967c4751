"""What a request wants and the words that say with what: one class and a tag a word, learnt together.

As JointBERT (Chen et al. 2019): one encoder, the class read at [CLS], a tag at each word's first piece; both heads are
one linear map, whose first columns are the classes. Metrics follow the papers on ATIS and Snips.

Letters: W windows, M words that a window owns, P tokens read of several windows, C classes and tags together, N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.tasks import task as promised
from bertworks.tasks.encode import pooled
from bertworks.tasks.labels import Labels, canonical, class_keys
from bertworks.tasks.split import BY_CLASS
from bertworks.tasks.tag_windows import UNKNOWN, TagWindow
from bertworks.tasks.tagging import TagAnswer, TagTask
from bertworks.tasks.task import Row, Window, row_count

if TYPE_CHECKING:
    import torch

    from bertworks.model.bert import BertForTokens
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Tokenizer

INTENT, SLOT = 0, 1  # which of the two a token that is read tells


@dataclass(frozen=True)
class FrameAnswer:
    """What the model says about one row.

    label, score  the likeliest class and its probability
    scores        class -> probability
    slots         the tags of its words
    """

    label: str
    score: float
    scores: dict[str, float]
    slots: TagAnswer

    def to_json(self) -> dict[str, Any]:
        """{"label", "score", "scores", "tokens", "tags", "entities"}."""
        return {"label": self.label, "score": self.score, "scores": self.scores, **self.slots.to_json()}

    def cells(self) -> dict[str, Any]:
        """`prediction`: the class; `probability`; `predicted_tags`; `entities`."""
        slots = self.slots.cells()
        return {
            "prediction": self.label, "probability": self.score, "predicted_tags": slots["prediction"],
            "entities": slots["entities"],
        }  # fmt: skip


@dataclass(frozen=True)
class FrameTask:
    """Classify a row and tag its words; see `task.Task` for what each method is for.

    intents  the classes, in the order of the first logits
    slots    the tags, whose logits come behind
    """

    intents: Labels
    slots: TagTask

    def __post_init__(self) -> None:
        if self.slots.decoder == "crf":
            raise BertworksError("decoder `crf` is of tags alone", "intent and slots take viterbi or argmax")

    @property
    def name(self) -> str:
        """ "intent-slots"."""
        return "intent-slots"

    @property
    def metrics(self) -> tuple[str, ...]:
        """frame_accuracy first: class and all tags right; then f1 of the slots, and accuracy of the classes."""
        return ("frame_accuracy", "f1", "precision", "recall", "f1_exact", "accuracy")

    @property
    def labels(self) -> Labels:
        """The classes."""
        return self.intents

    @property
    def stratified_by(self) -> str:
        """Classes."""
        return BY_CLASS

    @property
    def num_outputs(self) -> int:
        """C."""
        return len(self.intents.names) + self.slots.num_outputs

    @property
    def network(self) -> type[BertForTokens]:
        """Dropout and a linear map on [CLS] and on each word's first piece."""
        return self.slots.network

    @property
    def has_threshold(self) -> bool:
        """No."""
        return False

    def check(self, table: Table) -> None:
        """Raise BertworksError, naming file and line, for rows without a class, words or tags.

        A class that training did not see is no fault here, as in ATIS: it counts as missed.
        """
        self.slots.check(table)
        for index, row in enumerate(table.rows):
            self.gold(row, table.where(index))

    def gold(self, row: Row, where: str) -> int:
        """The gold class's number, UNKNOWN where training did not see it. Raises BertworksError where there is none."""
        return self.intents.number(_class(row, where))

    def windows(self, rows: Sequence[Row], tokenizer: Tokenizer, max_length: int) -> list[Window]:
        """As of `TagTask`; each window's head also reads [CLS], first."""
        intents = [self._intent(row, f"row {number}") for number, row in enumerate(rows, 1)]
        return [
            replace(window, read=np.concatenate([[0], window.places]).astype(np.int32), target=intents[window.row])
            for window in self.slots.windows(rows, tokenizer, max_length)
        ]

    def config_keys(self) -> dict[str, Any]:
        """As transformers' BertForTokenClassification names them; the classes stand as `intent=NAME`."""
        names = [*(f"intent={name}" for name in self.intents.names), *self.slots.labels.names]
        return {
            "architectures": ["BertForTokenClassification"],
            **class_keys(names),
        }

    def targets(self, windows: Sequence[Window]) -> torch.Tensor:
        """(P, 2) int64: the class or tag, and which of the two. Raises BertworksError where a row has none."""
        import torch

        found: list[np.ndarray] = []
        for window in windows:
            if window.target is None:
                raise BertworksError(f"row {window.row + 1} has no class", "drop such rows first")
            tags = cast("TagWindow", window).tags
            numbers = np.concatenate([[window.target], tags]).astype(np.int64)
            found.append(np.column_stack([numbers, [INTENT] + [SLOT] * len(tags)]))
        return torch.from_numpy(np.concatenate(found))

    def weights(self, windows: Sequence[Window]) -> torch.Tensor:
        """(P,) float32: of each row's classes 1 in all, and of its tags 1 in all, so that every row counts once."""
        import torch

        found: list[np.ndarray] = []
        for window in windows:
            tags = cast("TagWindow", window).tags
            known = (tags >= 0).astype(np.float32)
            intent = 0.0 if window.target == UNKNOWN else window.weight
            found.append(np.concatenate([[intent], known * (window.weight / max(1, known.sum()))]))
        return torch.from_numpy(np.concatenate(found).astype(np.float32))

    def loss_count(self, windows: Sequence[Window]) -> float:
        """The number of rows, where all windows of each are here."""
        return row_count(windows)

    def loss_sum(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the class and mean cross-entropy of the tags, in nats, of each row; logits (P, C)."""
        from torch.nn import functional

        logits, number = logits.float(), len(self.intents.names)
        is_slot = targets[:, 1] == SLOT
        total = logits.new_zeros(())
        for part, own in ((logits[:, :number], ~is_slot), (logits[:, number:], is_slot)):
            losses = functional.cross_entropy(part[own], targets[own, 0].clamp_min(0), reduction="none")
            total = total + (losses * weights[own]).sum()
        return total

    def decode(self, rows: Sequence[Row], windows: Sequence[Window], logits: Sequence[np.ndarray]) -> list[FrameAnswer]:
        """The likeliest class, windows averaged, and the tags by the decoder of the slots.

        logits  (1 + M, C) float32 of each window
        """
        number = len(self.intents.names)
        slots = self.slots.decode(rows, windows, [output[1:, number:] for output in logits])
        means = pooled(windows, [output[0, :number] for output in logits], len(rows), number)
        odds = np.exp(means - means.max(-1, keepdims=True))
        answers = []
        for probs, tags in zip((odds / odds.sum(-1, keepdims=True)).tolist(), slots, strict=True):
            best = int(np.argmax(probs))
            scores = dict(zip(self.intents.names, probs, strict=True))
            answers.append(FrameAnswer(self.intents.names[best], probs[best], scores, tags))
        return answers

    def score(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> dict[str, float]:
        """frame_accuracy, f1 and its parts of the slots, accuracy of the classes."""
        said = [cast("FrameAnswer", answer) for answer in answers]
        slots = self.slots.score([answer.slots for answer in said], rows)
        pairs = zip(said, rows, strict=True)
        classes = [self.intents.number(answer.label) == self.gold(row, "row") for answer, row in pairs]
        frames = [
            right and answer.slots.tags == self.slots.gold(row, "row")
            for right, answer, row in zip(classes, said, rows, strict=True)
        ]
        found = {"frame_accuracy": float(np.mean(frames)), **slots, "accuracy": float(np.mean(classes))}
        return {name: found[name] for name in self.metrics}

    def confused(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> tuple[list[str], list[str]]:
        """Of the classes."""
        gold = [canonical(_class(row, "row")) for row in rows]
        return gold, [cast("FrameAnswer", answer).label for answer in answers]

    def recounted(self, rows: Sequence[Row]) -> FrameTask:
        """The same with the counts of other rows."""
        numbers = [self.gold(row, f"row {number}") for number, row in enumerate(rows, 1)]
        counts = np.bincount(numbers, minlength=len(self.intents.names))
        return FrameTask(replace(self.intents, counts=tuple(counts.tolist())), self.slots.recounted(rows))

    def tuned(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> FrameTask:
        """Itself."""
        return self

    def folded(self) -> FrameTask:
        """Itself."""
        return self

    def about(self) -> promised.About:
        """As transformers' token-classification, which knows no classes of whole texts."""
        slots = self.slots.about()
        title = f"Requests: {len(self.intents.names)} intents, {slots.title[0].lower()}{slots.title[1:]}"
        answers = f"Intents: {', '.join(f'`{name}`' for name in self.intents.names)}. {slots.answers}"
        return replace(slots, title=title, answers=answers)

    def describe(self) -> list[str]:
        """The task in a line, then classes and tags with their counts in training."""
        slots, *tags = self.slots.describe()
        of = slots.removeprefix("task: tag, ")
        return [f"task: intent-slots, {len(self.intents.names)} intents; {of}", *self.intents.lines(), *tags]

    def settings(self) -> dict[str, Any]:
        """All of it."""
        return {"task": "intent-slots", "intents": self.intents.settings(), "slots": self.slots.settings()}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> FrameTask:
        """The task that `settings` came from."""
        return cls(Labels.from_settings(settings["intents"]), TagTask.from_settings(settings["slots"]))

    def _intent(self, row: Row, where: str) -> int | None:
        return None if row.get("label", row.get("label_text")) is None else self.gold(row, where)


def _class(row: Row, where: str) -> str:
    """The class as written. Raises BertworksError where there is none."""
    label = row.get("label", row.get("label_text"))
    if not isinstance(label, str) or not label.strip():
        raise BertworksError(f"{where}: the class is {label!r:.60}", "a name is needed in each row")
    return label
