"""Which tokens moved an answer: integrated gradients on the embeddings of word tokens.

Sundararajan, Taly and Yan 2017, eq. 1: attribution_i = (x_i - b_i) · ∫ ∂f/∂x_i (b + α (x - b)) dα, here summed over the
embedding's width. The path starts where every token but [CLS] and [SEP] is [MASK]: pre-training taught the network
that a word stands there and is not known, while the vector of [PAD] is never read, so nothing was ever learnt about it.
The integral is a Gauss-Legendre sum, its nodes doubled until the attributions add up to f(x) - f(b).

Letters: W windows of a row, T tokens of them together, P tokens read by the head, A places on the path, C outputs,
E hidden size.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bertworks.model.layout import pad_rows
from bertworks.tasks.task import Window

if TYPE_CHECKING:
    from bertworks.text.tokenizer import Tokenizer

FIRST_STEPS, MOST_STEPS = 16, 512  # nodes of the sum: the first try, and where doubling ends
TOLERANCE = 0.01  # of completeness: the gap over the change it should add up to
LEAST_CHANGE = 0.1  # a smaller change of f, in nats or in the score's units, is measured against this
BATCH_TOKENS = 4096  # computed at a time

Answered = Callable[[Tensor], Tensor]
"""What is explained: the head's outputs of a row's windows, (A, P, C) -> (A,)."""


@dataclass(frozen=True)
class Explanation:
    """The share of each token in an answer.

    of          what is explained: "log odds of `card_arrival`"
    tokens      of all windows in order, [CLS] and [SEP] included; a long row has its overlaps twice
    values      of each token; above 0 speaks for the answer, [CLS] and [SEP] have 0
    value, baseline  f of the row, and of the row with all its words masked; the values add up to their difference
    gap         what the sum misses of it, over the difference (over 0.1 where that is greater)
    steps       places on the path that were looked at
    """

    of: str
    tokens: list[str]
    values: list[float]
    value: float
    baseline: float
    gap: float
    steps: int

    @property
    def is_complete(self) -> bool:
        """Whether the values add up within 1 %."""
        return self.gap <= TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """The key `attributions` of `predict --explain` (docs/formats.md)."""
        return dict(vars(self))


@dataclass(frozen=True)
class Question:
    """One row and what of its answer is to be explained.

    windows  of the row, all of them
    answer   see `Answered`
    of       in words
    """

    windows: Sequence[Window]
    answer: Answered
    of: str


def integrated_gradients(
    model: nn.Module,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    *,
    tolerance: float = TOLERANCE,
    seconds: float = math.inf,
) -> list[Explanation | None]:
    """Explain answers, one a question; None for those that `seconds` left no time for.

    model      takes Rows, in float32 or float64, without dropout
    tolerance  of the gap; its nodes are doubled from 16 until it holds, at most 512: the gap left is in the answer
    """
    until = time.monotonic() + seconds
    found: list[Explanation | None] = [None] * len(questions)
    pending, steps = list(range(len(questions))), FIRST_STEPS
    while pending and steps <= MOST_STEPS:
        waiting = []
        for group in batches([questions[i] for i in pending], steps):
            if time.monotonic() > until:
                break
            members = [pending[i] for i in group]
            for i, one in zip(members, walked(model, tokenizer, [questions[i] for i in members], steps), strict=True):
                found[i] = one
                if one.gap > tolerance:
                    waiting.append(i)
        pending, steps = waiting, 2 * steps
    return found


def batches(questions: Sequence[Question], steps: int) -> Iterator[list[int]]:
    """Neighbours that fit into a batch together; one that does not fit is alone."""
    group: list[int] = []
    tokens = 0
    for i, question in enumerate(questions):
        here = (steps + 2) * tokens_of(question)
        if group and tokens + here > BATCH_TOKENS:
            yield group
            group, tokens = [], 0
        group.append(i)
        tokens += here
    if group:
        yield group


def tokens_of(question: Question) -> int:
    """T."""
    return sum(len(window.input_ids) for window in question.windows)


def walked(model: nn.Module, tokenizer: Tokenizer, questions: Sequence[Question], steps: int) -> list[Explanation]:
    """The sum over `steps` nodes for some rows at once; the two ends of the path are looked at beside."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    places = np.concatenate([[1.0, 0.0], (nodes + 1) / 2])  # on [0, 1], both ends first
    weights = np.concatenate([[0.0, 0.0], weights / 2])
    at_once = max(1, BATCH_TOKENS // max(map(tokens_of, questions)))
    chunks = [slice(i, i + at_once) for i in range(0, len(places), at_once)] if len(questions) == 1 else [slice(None)]
    ends = [Path(model, tokenizer, question) for question in questions]
    sums = [torch.zeros_like(path.change) for path in ends]
    values: list[list[float]] = [[] for _ in questions]
    for chunk in chunks:
        gradients, found = gradients_at(model, ends, places[chunk])
        share = torch.from_numpy(weights[chunk]).to(sums[0])
        for i, gradient in enumerate(gradients):
            sums[i] += torch.einsum("a,ate->te", share, gradient)
            values[i].extend(found[i])
    return [explained(path, total, told, steps) for path, total, told in zip(ends, sums, values, strict=True)]


class Path:
    """The straight way of one row from its masked words to its words.

    start, change  (T, E) vectors of the masked row, and what is added to them on the way
    """

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, question: Question) -> None:
        self.question = question
        self.ids = np.concatenate([window.input_ids for window in question.windows])
        self.tokens = [tokenizer.tokens[token] for token in self.ids.tolist()]
        kept = np.isin(self.ids, [tokenizer.cls_token_id, tokenizer.sep_token_id])
        masked = np.where(kept, self.ids, tokenizer.mask_token_id)
        table = model.get_parameter(WORD_TABLE).detach()
        self.start = table[torch.from_numpy(masked).long().to(table.device)]
        self.change = table[torch.from_numpy(self.ids).long().to(table.device)] - self.start


WORD_TABLE = "encoder.embeddings.word"


def gradients_at(model: nn.Module, paths: Sequence[Path], places: np.ndarray) -> tuple[list[Tensor], list[list[float]]]:
    """∂f/∂x (A, T, E) of each row at places on its path, and f there.

    Every token of the batch gets a word of its own: the word table of this one call is the batch's vectors.
    """
    alphas = torch.from_numpy(places).to(paths[0].change)
    vectors = [(path.start + alphas[:, None, None] * path.change).flatten(0, 1) for path in paths]  # (A T, E)
    table = torch.cat(vectors).requires_grad_()
    windows = [window for path in paths for _ in places for window in path.question.windows]
    lengths = np.array([len(window.input_ids) for window in windows])
    ids = np.split(np.arange(lengths.sum()), np.cumsum(lengths)[:-1])
    rows = pad_rows(ids, [window.token_type_ids for window in windows]).reading([window.places for window in windows])
    with torch.enable_grad():
        logits = functional_call(model, {WORD_TABLE: table}, (rows.to(table.device),))
        reads = [sum(len(window.places) for window in path.question.windows) for path in paths]
        outputs = torch.split(logits, [len(places) * n for n in reads])
        found = [
            path.question.answer(output.view(len(places), n, -1))
            for path, output, n in zip(paths, outputs, reads, strict=True)
        ]
        (gradient,) = torch.autograd.grad(torch.cat(found).sum(), table)
    parts = torch.split(gradient, [len(vector) for vector in vectors])
    shaped = [part.view(len(places), len(path.ids), -1) for part, path in zip(parts, paths, strict=True)]
    return shaped, [one.detach().tolist() for one in found]


def explained(path: Path, mean_gradient: Tensor, found: Sequence[float], steps: int) -> Explanation:
    """Multiply and add up; `found` is f at the end, at the start, and between."""
    values = (path.change * mean_gradient).sum(-1).double().tolist()
    value, baseline = found[0], found[1]
    gap = abs(math.fsum(values) - (value - baseline)) / max(abs(value - baseline), LEAST_CHANGE)
    return Explanation(path.question.of, path.tokens, values, value, baseline, gap, steps)
