"""The words behind [MASK]: each mask by itself, and all of them one by one.

Letters: P masks of the text, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bertworks.base.errors import BertworksError
from bertworks.model.layout import pad_rows

if TYPE_CHECKING:
    from bertworks.model.bert import BertForPreTraining
    from bertworks.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Guess:
    """A token and its probability."""

    token: str
    score: float


@dataclass(frozen=True)
class Filling:
    """One way to fill all masks.

    tokens  one a mask, from left to right
    scores  the probability each had when it was taken
    score   their product: the probability of all together where each was taken given the ones before it, and otherwise
            what it would be if they were independent
    text    the text with the tokens in place, as its pieces read
    """

    tokens: list[str]
    scores: list[float]
    text: str

    @property
    def score(self) -> float:
        """Product of the scores."""
        return math.prod(self.scores)


@dataclass(frozen=True)
class Fill:
    """What a model says about the masks of one text.

    predictions  for each mask, from left to right, the likeliest tokens with all masks still masked
    independent  the best token of each mask, all taken at once
    one_by_one   the most confident mask is filled first, then the rest is asked again
    order        of the masks in one_by_one
    """

    predictions: list[list[Guess]]
    independent: Filling
    one_by_one: Filling
    order: list[int]

    def to_json(self) -> list[dict[str, Any]]:
        """The value of `fill --json` (docs/formats.md)."""
        return [
            {
                "mask": i,
                "predictions": [{"token": guess.token, "score": guess.score} for guess in guesses],
                "one_by_one": {"token": self.one_by_one.tokens[i], "score": self.one_by_one.scores[i]},
            }
            for i, guesses in enumerate(self.predictions)
        ]


def fill(model: BertForPreTraining, tokenizer: Tokenizer, text: str, *, top: int = 5) -> Fill:
    """Guess what stands behind every `[MASK]` of a text; other special strings in it are read as specials too.

    top  tokens named for each mask
    Raises BertworksError where there is no mask, or the text is longer than the model.
    """
    ids = tokenizer.encode([text], specials=True)[0]
    masks = np.flatnonzero(ids == tokenizer.mask_token_id)
    mask = tokenizer.tokens[tokenizer.mask_token_id]
    positions = model.config.max_position_embeddings
    if not len(masks):
        raise BertworksError(f"no `{mask}` in the text", f"write `{mask}` where a token is to be guessed")
    if len(ids) + 2 > positions:
        raise BertworksError(f"the text has {len(ids) + 2:,} tokens, the model takes {positions:,}", "shorten it")
    if top < 1:
        raise BertworksError(f"{top} guesses a mask were asked for", "ask for at least 1")
    first = mask_probabilities(model, tokenizer, ids, masks)
    best = np.argsort(-first, axis=1, kind="stable")[:, : min(top, first.shape[1])]
    predictions = [
        [Guess(tokenizer.tokens[j], float(probs[j])) for j in row.tolist()]
        for row, probs in zip(best, first, strict=True)
    ]
    independent = filling(tokenizer, ids, masks, best[:, 0], first.max(1))
    taken, scores, order = fill_one_by_one(model, tokenizer, ids, masks, first)
    return Fill(predictions, independent, filling(tokenizer, ids, masks, taken, scores), order)


def fill_one_by_one(
    model: BertForPreTraining, tokenizer: Tokenizer, ids: np.ndarray, masks: np.ndarray, first: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Fill the most confident mask, ask again, and so on: tokens (P,), their probabilities (P,), the order.

    first  (P, V) probabilities with all masks masked
    """
    ids, probs = ids.copy(), first
    left = list(range(len(masks)))
    taken, scores, order = np.empty(len(masks), np.int64), np.empty(len(masks)), []
    while True:
        chosen = int(probs.max(1).argmax())
        mask = left.pop(chosen)
        order.append(mask)
        taken[mask], scores[mask] = probs[chosen].argmax(), probs[chosen].max()
        ids[masks[mask]] = taken[mask]
        if not left:
            return taken, scores, order
        probs = mask_probabilities(model, tokenizer, ids, masks[left])


def mask_probabilities(
    model: BertForPreTraining, tokenizer: Tokenizer, ids: np.ndarray, masks: np.ndarray
) -> np.ndarray:
    """(P, V) probabilities of the tokens at `masks` (P,), places in `ids` (T,); no special token is ever guessed."""
    framed = np.concatenate([[tokenizer.cls_token_id], ids, [tokenizer.sep_token_id]])
    device = model.encoder.embeddings.word.device
    with torch.inference_mode():
        rows = pad_rows([framed], None).to(device)
        logits, _ = model(rows, torch.from_numpy(masks.astype(np.int64) + 1).to(device))
        probs: np.ndarray = torch.softmax(logits.float(), -1).cpu().numpy()
    probs[:, list(tokenizer.special_ids)] = 0
    return probs


def filling(
    tokenizer: Tokenizer, ids: np.ndarray, masks: np.ndarray, taken: np.ndarray, scores: Sequence[float] | np.ndarray
) -> Filling:
    """The tokens put in place."""
    whole = ids.copy()
    whole[masks] = taken
    tokens = [tokenizer.tokens[j] for j in taken.tolist()]
    return Filling(tokens, [float(score) for score in scores], tokenizer.decode(whole))
