"""For each word of the training rows another one, drawn from what the start's masked-token head expects in its place.

Made once, before training, from `train.seed`; training then takes them with a probability, other ones every epoch.

Letters: T tokens of one window, P masked places of a batch, V vocabulary.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bertworks.base.errors import BertworksError
from bertworks.base.randomness import generator
from bertworks.finetune.start import Start
from bertworks.finetune.words import Substitutes, word_numbers
from bertworks.model.bert import BertForPreTraining
from bertworks.model.layout import pad_rows
from bertworks.model.pretrained import load_pre_training
from bertworks.predict.batches import length_batches, padded_length
from bertworks.tasks.task import Window
from bertworks.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

ROUNDS = 7  # of masking: each word is guessed while about a seventh of the words is hidden, as in pre-training
TOKENS = 2048  # of a batch: its logits take 4 bytes · TOKENS / ROUNDS · V, 36 MB at 30,522 tokens


@dataclass(frozen=True)
class Masked:
    """A window with some words masked.

    places   (P,) int64 of the masks
    chances  (P,) float64 in [0, 1), which of the expected tokens is taken
    """

    window: int
    input_ids: np.ndarray
    places: np.ndarray
    chances: np.ndarray


def guesser(start: Start) -> BertForPreTraining:
    """The start with its masked-token head. Raises BertworksError where it has none."""
    told = f"data.replace_words: {start.name} has no masked-token head to guess words with"
    hint = "start from a pre-trained checkpoint, or use `data.mask_words`"
    if start.path is None:
        raise BertworksError(told, hint)
    model, _, report = load_pre_training(start.path)
    if "masked_head" in report.heads_not_found:
        raise BertworksError(told, hint)
    return model.eval()


def substitutes(
    model: BertForPreTraining, tokenizer: Tokenizer, windows: Sequence[Sequence[Window]], seed: int
) -> Substitutes:
    """For each token of each window (T,) int64 another one, -1 where the word has several pieces or is special.

    A substitute is a word of one piece, never the word itself, drawn by its probability given the rest of the window.
    """
    flat = [window for row in windows for window in row]
    found = [np.full(len(window.input_ids), -1, np.int64) for window in flat]
    masked = list(masked_windows(flat, tokenizer, seed))
    never = np.zeros(model.config.vocab_size, bool)
    never[: len(tokenizer.continuation)] = tokenizer.continuation
    never[list(tokenizer.special_ids)] = True
    never[len(tokenizer.continuation) :] = True
    lengths = np.fromiter((len(one.input_ids) for one in masked), np.int64, len(masked))
    with torch.inference_mode():
        for members in length_batches(lengths, token_budget=TOKENS) if len(masked) else ():
            part = [masked[i] for i in members.tolist()]
            guessed = guesses(model, part, [flat[one.window] for one in part], torch.from_numpy(never))
            for one, tokens in zip(part, guessed, strict=True):
                found[one.window][one.places] = tokens
    made, in_all = (sum(int((ids >= least).sum()) for ids in found) for least in (0, -1))
    log.info("replace_words: substitutes for %s of %s tokens of training windows", f"{made:,}", f"{in_all:,}")
    remaining = iter(found)
    return [[next(remaining) for _ in row] for row in windows]


def masked_windows(windows: Sequence[Window], tokenizer: Tokenizer, seed: int) -> Iterator[Masked]:
    """Each window up to ROUNDS times, each of its words of one piece masked in one of them."""
    is_special = np.zeros(tokenizer.vocab_size, bool)
    is_special[list(tokenizer.special_ids)] = True
    for number, window in enumerate(windows):
        ids = window.input_ids
        words = word_numbers(ids, tokenizer.continuation, is_special)
        pieces = np.bincount(words[words >= 0], minlength=1)
        places = np.flatnonzero((words >= 0) & (pieces[words] == 1) & ~tokenizer.continuation[ids])
        draw = generator("finetune substitutes", seed, number)
        rounds, chances = draw.permutation(len(places)) % ROUNDS, draw.random(len(places))
        for one in np.unique(rounds).tolist():
            masks = places[rounds == one]
            hidden = ids.copy()
            hidden[masks] = tokenizer.mask_token_id
            yield Masked(number, hidden, masks, chances[rounds == one])


def guesses(
    model: BertForPreTraining, masked: Sequence[Masked], windows: Sequence[Window], never: Tensor
) -> list[np.ndarray]:
    """Tokens for the masks of each; `never` (V,) are not drawn, nor what stood there."""
    length = padded_length(max(len(one.input_ids) for one in masked))
    rows = pad_rows([one.input_ids for one in masked], [one.token_type_ids for one in windows], length)
    places = np.concatenate([row * length + one.places for row, one in enumerate(masked)])
    before = np.concatenate([window.input_ids[one.places] for one, window in zip(masked, windows, strict=True)])
    device = model.encoder.embeddings.word.device
    logits, _ = model(rows.to(device), torch.from_numpy(places).to(device))
    logits = logits.float().cpu().masked_fill(never, -torch.inf)
    logits.scatter_(1, torch.from_numpy(before.astype(np.int64))[:, None], -torch.inf)
    mass = torch.softmax(logits, -1).double().cumsum(-1)  # (P, V)
    chances = torch.from_numpy(np.concatenate([one.chances for one in masked]))
    drawn = torch.searchsorted(mass, (chances * mass[:, -1])[:, None], right=True).squeeze(1)
    tokens = drawn.clamp_max(mass.shape[1] - 1).numpy()
    return np.split(tokens, np.cumsum([len(one.places) for one in masked])[:-1])
