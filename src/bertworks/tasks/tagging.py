"""A tag for each word of a row: names of persons, parts of speech, slots.

A word's tag is read at its first piece, as in the original (paper, section 5.3); scores are of words, gold untouched.

Letters: W windows, T tokens of one window, M words that a window owns, P those of several windows, C tags, N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.tasks import task as promised
from bertworks.tasks.crf import Transitions, marginals, negative_log_likelihood
from bertworks.tasks.labels import Labels, class_keys
from bertworks.tasks.metrics import class_metrics, span_metrics
from bertworks.tasks.schemes import OUTSIDE, Span, is_of_another, rewritten, spans_of, split_tag, strict_spans, tags_of
from bertworks.tasks.split import BY_ROW
from bertworks.tasks.tag_windows import UNKNOWN, TagWindow, check_room, encode_words, row_windows, surroundings
from bertworks.tasks.task import TRUNCATIONS, Row, Window
from bertworks.tasks.viterbi import legal_tags
from bertworks.tasks.words import split_text

if TYPE_CHECKING:
    import torch

    from bertworks.model.bert import BertForTokens
    from bertworks.read.tables import Table
    from bertworks.text.tokenizer import Tokenizer

DECODERS = ("viterbi", "argmax", "crf")


@dataclass(frozen=True)
class TagAnswer:
    """What the model says about one row.

    words      the row's words
    offsets    start and end of each in the row's text; of a row in words, in the words joined by `joint`
    tags       one a word
    scores     probability of each tag
    spans      what the tags mark; empty for plain tags
    """

    words: Sequence[str]
    offsets: Sequence[tuple[int, int]]
    text: str
    tags: list[str]
    scores: list[float]
    spans: list[Span] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """{"tokens", "tags", "entities"}; an entity's start and end (exclusive) count code points of the text."""
        entities = []
        for span in self.spans:
            start, end = self.offsets[span.start][0], self.offsets[span.end - 1][1]
            score = min(self.scores[span.start : span.end])
            what = {"start": start, "end": end, "label": span.type, "text": self.text[start:end], "score": score}
            entities.append(what)
        return {"tokens": list(self.words), "tags": self.tags, "entities": entities}

    def cells(self) -> dict[str, Any]:
        """`prediction`: the tags, a space between; `entities`: what they mark, as `PER Ann Lee; LOC Rome`."""
        marked = [f"{one['label']} {one['text']}" for one in self.to_json()["entities"]]
        return {"prediction": " ".join(self.tags), "entities": "; ".join(marked)}


@dataclass(frozen=True)
class TagTask:
    """Tag the words of a row; see `task.Task` for what each method is for.

    labels      tags, in the order of the logits
    scheme      of `schemes.SCHEMES`: how the tags mark spans, "plain" where they mark none
    unit        of `words.UNITS`: how a text is split where rows are given as text
    decoder     "viterbi": the likeliest legal tags; "argmax": each word's likeliest tag, as in the paper; "crf": the
                likeliest legal tags where neighbours count too, in training as well
    truncation  what happens to a long row: "windows", "truncate"
    written     the scheme of the training file, which gold is taken to be written in
    context     tokens of the row's document that are read before it, and as many after it
    transitions of the decoder "crf", counted in training; None for the others
    """

    labels: Labels
    scheme: str = "bio"
    unit: str = "word"
    decoder: str = "viterbi"
    truncation: str = "windows"
    written: str = "bio"
    context: int = 0
    transitions: Transitions | None = None

    def __post_init__(self) -> None:
        allowed = [way for way in TRUNCATIONS if way != "head+tail"]
        for what, value, known in (("truncation", self.truncation, allowed), ("decoder", self.decoder, DECODERS)):
            if value not in known:
                hint = did_you_mean(value, known) or f"of tags: {', '.join(known)}"
                raise BertworksError(f"{what} `{value}` is unknown", hint)

    @property
    def name(self) -> str:
        """ "tag"."""
        return "tag"

    @property
    def metrics(self) -> tuple[str, ...]:
        """f1 of spans first, or accuracy of plain tags."""
        if self.scheme == "plain":
            return ("accuracy", "f1_macro")
        return ("f1", "precision", "recall", "f1_exact", "accuracy")

    @property
    def stratified_by(self) -> str:
        """Nothing."""
        return BY_ROW

    @property
    def num_outputs(self) -> int:
        """C."""
        return len(self.labels.names)

    @property
    def network(self) -> type[BertForTokens]:
        """Dropout and a linear map on each word's first piece."""
        from bertworks.model.bert import BertForTokens

        return BertForTokens

    def check(self, table: Table) -> None:
        """Raise BertworksError, naming file and line, for rows without words or tags, or not one tag a word."""
        if not {"tokens", "text"} & table.columns.keys():
            raise BertworksError(f"{table.path}: no column for words or a text", "name it: `--columns tokens=…`")
        if table.rows and not {"tags", "spans"} & table.columns.keys():
            raise BertworksError(f"{table.path}: no column for the tags", "name it: `--columns tags=…`")
        for index, row in enumerate(table.rows):
            self.gold(row, table.where(index))

    def gold(self, row: Row, where: str) -> list[str]:
        """The gold tags in the task's scheme. Raises BertworksError where there are none, or not one a word."""
        words, offsets, text = self.words(row, where)
        if "tags" not in row and "spans" in row:
            return self.tags_of_marks(row["spans"], offsets, text, where)
        tags = row.get("tags")
        if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
            raise BertworksError(f"{where}: the tags are {tags!r:.60}", "a list of words is wanted, one tag a word")
        if len(tags) != len(words):
            raise BertworksError(f"{where}: {len(words)} words and {len(tags)} tags", "one tag a word is needed")
        return self.in_scheme(tags)

    def tags_of_marks(
        self, marks: Sequence[tuple[int, int, str]], offsets: Sequence[tuple[int, int]], text: str, where: str
    ) -> list[str]:
        """Tags of the words that marked stretches touch; one that ends inside a word takes the whole of it.

        Raises BertworksError for a stretch outside the text, and for spans where the tags mark none.
        """
        if self.scheme == "plain":
            raise BertworksError(f"{where}: marks stretches of the text, the model gives each word a tag of its own")
        spans = []
        for start, end, label in marks:
            if not 0 <= start < end <= len(text):
                raise BertworksError(f"{where}: `{label}` marks {start} to {end} of {len(text)} characters", "mend it")
            touched = [number for number, (left, right) in enumerate(offsets) if left < end and start < right]
            if touched:
                spans.append(Span(touched[0], touched[-1] + 1, label))
        return tags_of(spans, len(offsets), self.scheme)

    def in_scheme(self, tags: Sequence[str]) -> list[str]:
        """Tags as this task writes them."""
        if self.scheme == "plain":
            return list(tags)
        is_own = self.written == self.scheme and not any(is_of_another(tag, self.scheme) for tag in tags)
        return list(tags) if is_own else rewritten(tags, self.scheme)

    def words(self, row: Row, where: str) -> tuple[Sequence[str], list[tuple[int, int]], str]:
        """The row's words, their offsets, and the text these count in. Raises BertworksError for a row without any."""
        tokens, text = row.get("tokens"), row.get("text")
        if isinstance(tokens, (list, tuple)) and all(isinstance(token, str) for token in tokens):
            joint = " " if self.unit == "word" else ""
            starts = np.cumsum([0, *(len(token) + len(joint) for token in tokens)]).tolist()
            offsets = [(start, start + len(token)) for start, token in zip(starts, tokens, strict=False)]
            return tokens, offsets, joint.join(tokens)
        if isinstance(text, str):
            offsets = split_text(text, self.unit)
            return [text[start:end] for start, end in offsets], offsets, text
        there = ", ".join(f"`{key}`" for key in row) or "nothing"
        raise BertworksError(f"{where} has no words, only {there}", "the model reads `tokens`, a list, or `text`")

    def windows(self, rows: Sequence[Row], tokenizer: Tokenizer, max_length: int) -> list[Window]:
        """Encode rows, word by word; a row that fits is one window.

        max_length  T of the longest window, specials included
        Raises BertworksError for a row without words, or a max_length that leaves no room.
        """
        check_room(max_length)
        split = [self.words(row, f"row {number}")[0] for number, row in enumerate(rows, 1)]
        sentences = encode_words(split, tokenizer)
        documents = [row.get("document") for row in rows]
        around = surroundings(sentences, documents, self.context, max_length) if self.context else [None] * len(rows)
        is_cut = self.truncation == "truncate"
        return [
            window
            for number, (row, words) in enumerate(zip(rows, split, strict=True))
            for window in row_windows(
                number, sentences[number], self._numbers(row, words), tokenizer, max_length,
                is_cut=is_cut, around=around[number],
            )
        ]  # fmt: skip

    def config_keys(self) -> dict[str, Any]:
        """As transformers' BertForTokenClassification names them."""
        return {
            "architectures": ["BertForTokenClassification"],
            **class_keys(self.labels.names),
        }

    def targets(self, windows: Sequence[Window]) -> torch.Tensor:
        """(P,) int64, UNKNOWN where there is nothing to learn from.

        For "crf" (P, 4): the tag, the window's number, whether its words begin the row, whether they end it.
        """
        import torch

        own = [cast("TagWindow", window) for window in windows]
        tags = np.concatenate([window.tags for window in own])
        if self.transitions is None:
            return torch.from_numpy(tags)
        about = np.array([(number, window.begins, window.ends) for number, window in enumerate(own)], np.int64)
        return torch.from_numpy(np.column_stack([tags, about.repeat([len(window.tags) for window in own], axis=0)]))

    def weights(self, windows: Sequence[Window]) -> torch.Tensor:
        """(P,) float32: 1 for each word that has a tag."""
        import torch

        tags = np.concatenate([cast("TagWindow", window).tags for window in windows])
        return torch.from_numpy((tags >= 0).astype(np.float32))

    def loss_count(self, windows: Sequence[Window]) -> float:
        """The number of words that have a tag."""
        return float(sum((cast("TagWindow", window).tags >= 0).sum() for window in windows))

    def loss_sum(self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Cross-entropy in nats, or the row's negative log-likelihood for "crf"; logits (P, C)."""
        from torch.nn import functional

        if self.transitions is not None:
            return negative_log_likelihood(self.transitions, logits, targets[:, 0], targets[:, 1:])
        return (functional.cross_entropy(logits.float(), targets.clamp_min(0), reduction="none") * weights).sum()

    def decode(self, rows: Sequence[Row], windows: Sequence[Window], logits: Sequence[np.ndarray]) -> list[TagAnswer]:
        """The likeliest legal tags of each row, windows put together; a word that no window read has `O`, or tag 0.

        logits  (M, C) float32 of each window
        """
        read = [self.words(row, f"row {number}") for number, row in enumerate(rows, 1)]
        missing = np.zeros(self.num_outputs)
        missing[max(self.labels.number(OUTSIDE), 0)] = 1e3  # certain, so that nothing is invented there
        scores = [np.tile(missing, (len(words), 1)) for words, _, _ in read]
        for window, output in zip(windows, logits, strict=True):
            scores[window.row][cast("TagWindow", window).words_read] = output
        scheme = "plain" if self.decoder == "argmax" else self.scheme
        numbers = legal_tags(scores, self.labels.names, scheme, self.transitions)
        answers = []
        for (words, offsets, text), row_scores, path in zip(read, scores, numbers, strict=True):
            probs = self._probabilities(row_scores)[np.arange(len(path)), path].tolist()
            tags = [self.labels.names[tag] for tag in path.tolist()]
            spans = [] if self.scheme == "plain" else spans_of(tags)
            answers.append(TagAnswer(words, offsets, text, tags, probs, spans))
        return answers

    def _probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Of each word's tags, (words, C): softmax, or the marginals of "crf"."""
        if self.transitions is not None:
            return marginals(self.transitions, scores)
        odds = np.exp(scores - scores.max(-1, keepdims=True))
        probs: np.ndarray = odds / odds.sum(-1, keepdims=True)
        return probs

    def score(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> dict[str, float]:
        """f1, precision, recall of spans, f1_exact by the strict rule, accuracy of words; or accuracy and f1_macro."""
        if not rows or len(answers) != len(rows):
            raise ValueError(f"{len(answers)} answers for {len(rows)} rows")
        said = [cast("TagAnswer", answer).tags for answer in answers]
        gold = [self.gold(row, f"row {number}") for number, row in enumerate(rows, 1)]
        names = {tag: number for number, tag in enumerate(sorted({tag for tags in (*gold, *said) for tag in tags}))}
        flat = [np.array([names[tag] for tags in side for tag in tags], np.int64) for side in (gold, said)]
        words = class_metrics(*flat) if len(flat[0]) else {"accuracy": 0.0, "f1_macro": 0.0}
        if self.scheme == "plain":
            return {"accuracy": words["accuracy"], "f1_macro": words["f1_macro"]}
        lenient = span_metrics([spans_of(tags) for tags in gold], [spans_of(tags) for tags in said])
        strict = span_metrics(*([strict_spans(tags, self.scheme) for tags in side] for side in (gold, said)))
        return {**lenient, "f1_exact": strict["f1"], "accuracy": words["accuracy"]}

    def describe(self) -> list[str]:
        """The task in a line, then tags with their counts in training."""
        marks = "plain tags" if self.scheme == "plain" else f"spans written in {self.scheme.upper()}"
        split = "words" if self.unit == "word" else "characters"
        around = f", {self.context} tokens of the document on each side" if self.context else ""
        return [f"task: tag, {split}, {self.num_outputs} tags, {marks}; {self.decoder}{around}", *self.labels.lines()]

    def settings(self) -> dict[str, Any]:
        """All of it."""
        return {
            "task": "tag",
            "labels": self.labels.settings(),
            "scheme": self.scheme,
            "unit": self.unit,
            "decoder": self.decoder,
            "truncation": self.truncation,
            "written": self.written,
            "context": self.context,
            "transitions": None if self.transitions is None else self.transitions.settings(),
        }

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> TagTask:
        """The task that `settings` came from."""
        plain = {name: settings[name] for name in ("scheme", "unit", "decoder", "truncation", "written")}
        stored = settings.get("transitions")  # as `context`, not in models of the first version
        transitions = None if stored is None else Transitions.from_settings(stored)
        labels = Labels.from_settings(settings["labels"])
        return cls(labels, **plain, context=settings.get("context", 0), transitions=transitions)

    @property
    def has_threshold(self) -> bool:
        """No."""
        return False

    def tuned(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> TagTask:
        """Itself: there is no threshold."""
        return self

    def folded(self) -> TagTask:
        """Itself: nothing of it moves into the weights."""
        return self

    def recounted(self, rows: Sequence[Row]) -> TagTask:
        """The same with the counts of other rows, of tags and of their transitions."""
        numbers = [self._numbers(row, self.words(row, f"row {number}")[0]) for number, row in enumerate(rows, 1)]
        counts = np.bincount(np.concatenate(numbers), minlength=self.num_outputs)
        labels = replace(self.labels, counts=tuple(counts.tolist()))
        sequences = [each.tolist() for each in numbers]
        transitions = Transitions.counted(sequences, self.num_outputs) if self.decoder == "crf" else None
        return replace(self, labels=labels, transitions=transitions)

    def confused(self, answers: Sequence[promised.Answer], rows: Sequence[Row]) -> tuple[list[str], list[str]]:
        """Types of the words, the prefixes left out, or plain tags."""
        gold = [tag for number, row in enumerate(rows, 1) for tag in self.gold(row, f"row {number}")]
        said = [tag for answer in answers for tag in cast("TagAnswer", answer).tags]
        if self.scheme == "plain":
            return gold, said
        types = {tag: tag if tag == OUTSIDE else split_tag(tag)[1] or tag for tag in {*gold, *said}}
        return [types[tag] for tag in gold], [types[tag] for tag in said]

    def about(self) -> promised.About:
        """As transformers' token-classification."""
        what = "Words" if self.unit == "word" else "Characters"
        names = dict.fromkeys(split_tag(tag)[1] or tag for tag in self.labels.names if tag != OUTSIDE)
        marked = self.labels.names if self.scheme == "plain" else tuple(names)
        title = f"{what} tagged with {len(marked)} {'tags' if self.scheme == 'plain' else 'types of spans'}"
        answers = f"{'Tags' if self.scheme == 'plain' else 'Types'}: {', '.join(f'`{name}`' for name in marked)}."
        return promised.About(title, answers, "token-classification", "AutoModelForTokenClassification", '["a text"]')

    def _numbers(self, row: Row, words: Sequence[str]) -> np.ndarray:
        """Tags of a row as numbers (words,), UNKNOWN where it has none or training did not see it."""
        if "tags" not in row and "spans" not in row:
            return np.full(len(words), UNKNOWN, np.int64)
        return np.array([self.labels.number(tag) for tag in self.gold(row, "row")], np.int64)
