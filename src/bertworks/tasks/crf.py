"""A conditional random field on the tags of a row, its transitions counted in the training tags and then fixed.

Lafferty et al. 2001. Transitions that are learnt beside BERT come out no better than counted ones (bert4torch, People's
Daily: F1 96.05 learnt, 96.13 counted), and counted ones leave the network a plain token classifier.

Letters: N sequences, L words of the longest, C tags, P words of several sequences together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

SMOOTHING = 0.1  # added to every count: what training never saw is unlikely, not impossible
NOT_THIS = -1e9  # added to the scores of other tags where the tag is known
DIGITS = 4  # of a stored log-probability


@dataclass(frozen=True)
class Transitions:
    """Log-probabilities: of the first tag (C,), of the end after a tag (C,), of a tag after another (C, C)."""

    first: tuple[float, ...]
    last: tuple[float, ...]
    follow: tuple[tuple[float, ...], ...]

    @classmethod
    def counted(cls, sequences: Sequence[Sequence[int]], tags: int) -> Transitions:
        """From the tags of training rows, as numbers below `tags`."""
        first, last = np.full(tags, SMOOTHING), np.full(tags, SMOOTHING)
        follow = np.full((tags, tags), SMOOTHING)
        for sequence in sequences:
            if len(sequence):
                first[sequence[0]] += 1
                last[sequence[-1]] += 1
                np.add.at(follow, (np.asarray(sequence[:-1], np.int64), np.asarray(sequence[1:], np.int64)), 1)
        leaving = follow.sum(1) + last
        rows = (np.log(first / first.sum()), np.log(last / leaving), *np.log(follow / leaving[:, None]))
        rounded = [tuple(np.round(row, DIGITS).tolist()) for row in rows]
        return cls(rounded[0], rounded[1], tuple(rounded[2:]))

    def settings(self) -> dict[str, Any]:
        """All of it, as JSON types."""
        return {"first": list(self.first), "last": list(self.last), "follow": [list(row) for row in self.follow]}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Transitions:
        """The transitions that `settings` came from."""
        follow = tuple(tuple(row) for row in settings["follow"])
        return cls(tuple(settings["first"]), tuple(settings["last"]), follow)


def negative_log_likelihood(
    transitions: Transitions, logits: torch.Tensor, tags: torch.Tensor, marks: torch.Tensor
) -> torch.Tensor:
    """Sum over sequences of -log p(tags | words), in nats; () in float32, or in float64 where the logits are.

    logits  (P, C)
    tags    (P,) int64, below 0 where a word has none: all tags are summed over there
    marks   (P, 3) int64: the sequence's number, rising; whether its row begins here, or ends here
    """
    import torch

    logits = logits if logits.dtype == torch.float64 else logits.float()
    counts = [count for count in torch.bincount(marks[:, 0]).tolist() if count]

    def padded(values: torch.Tensor) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(list(torch.split(values, counts)), batch_first=True)

    known = torch.nn.functional.one_hot(tags.clamp_min(0), logits.shape[1])
    others = torch.where((tags >= 0)[:, None] & (known == 0), NOT_THIS, 0.0).to(logits)
    lengths = torch.tensor(counts, device=logits.device)
    ends = padded(marks)  # (N, L, 3)
    begins_row, ends_row = ends[:, :, 1].amax(1), ends[:, :, 2].amax(1)
    free = _log_sum(transitions, padded(logits), lengths, begins_row, ends_row)
    fixed = _log_sum(transitions, padded(logits + others), lengths, begins_row, ends_row)
    return (free - fixed).sum()


def _log_sum(
    transitions: Transitions, scores: torch.Tensor, lengths: torch.Tensor, begins: torch.Tensor, ends: torch.Tensor
) -> torch.Tensor:
    """Log of the sum over all tag sequences of exp(score), (N,); scores (N, L, C)."""
    import torch

    def constant(values: Sequence[Any]) -> torch.Tensor:
        return torch.tensor(values, dtype=scores.dtype, device=scores.device)

    follow = constant(transitions.follow)
    reached = scores[:, 0] + begins[:, None] * constant(transitions.first)
    for place in range(1, scores.shape[1]):
        further = torch.logsumexp(reached[:, :, None] + follow, 1) + scores[:, place]
        reached = torch.where((lengths > place)[:, None], further, reached)
    return torch.logsumexp(reached + ends[:, None] * constant(transitions.last), -1)


def marginals(transitions: Transitions, scores: np.ndarray) -> np.ndarray:
    """Probability of each tag at each word of one row, by forward and backward sums; (L, C) -> (L, C) float64."""
    first, last, follow = (np.asarray(part) for part in (transitions.first, transitions.last, transitions.follow))
    forward, backward = scores.astype(np.float64), np.zeros(scores.shape)
    if not len(scores):
        return backward
    forward[0] += first
    for place in range(1, len(scores)):
        forward[place] += np.logaddexp.reduce(forward[place - 1][:, None] + follow, axis=0)
    backward[-1] = last
    for place in range(len(scores) - 2, -1, -1):
        backward[place] = np.logaddexp.reduce(follow + scores[place + 1] + backward[place + 1], axis=1)
    both = forward + backward
    odds = np.exp(both - both.max(-1, keepdims=True))
    probs: np.ndarray = odds / odds.sum(-1, keepdims=True)
    return probs
