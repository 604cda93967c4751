"""Which tokens of a sample are predicted, and what stands in their place.

Masks are a function of (seed, epoch, index): pre-training's samples come in blocks of BLOCK, a block's draws come from
one generator of its own, so a sample's masks are the same whatever batch, worker or rank asks, at numpy speed.
Fine-tuning masks the windows of an update as one block.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertworks.base.errors import BertworksError
from bertworks.text.tokenizer import Tokenizer

BLOCK = 256  # samples a generator serves: enough to be vectorised, few enough that one sample alone costs little

_NEVER = np.uint32(0xFFFFFFFF)  # the rank of what may not be chosen

Ints = NDArray[np.int64]
Ids = NDArray[np.int32]


@dataclass(frozen=True)
class MaskRule:
    """How tokens are chosen and replaced.

    probability     share of the sample's tokens that is predicted, specials counted in the total as in the original
    masked, kept    of the chosen tokens, the shares that become [MASK] and that stay; the rest become random tokens
    max_predictions 0 = no cap
    copies          0 = new samples and masks every epoch; k = those of epoch % k (the original's static duplicates)
    """

    probability: float = 0.15
    masked: float = 0.8
    kept: float = 0.1
    max_predictions: int = 0
    copies: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise BertworksError(f"mask probability is {self.probability}, must lie between 0 and 1")
        if self.masked < 0 or self.kept < 0 or self.masked + self.kept > 1 + 1e-9:
            shares = f"mask shares {self.masked} and {self.kept}"
            raise BertworksError(f"{shares} must not be negative nor sum to more than 1")

    def counts(self, lengths: Ints) -> Ints:
        """(N,) predictions of samples of these lengths: max(1, round(length x probability)), half to even, capped."""
        wanted = np.maximum(1, np.rint(lengths * self.probability)).astype(np.int64)
        return np.asarray(np.minimum(wanted, self.max_predictions) if self.max_predictions else wanted)


@dataclass(frozen=True)
class Masks:
    """Chosen places of a block of samples, all samples one after the other.

    positions  (P,) into the block's flat ids, ascending
    borders    (n + 1,) sample i has the places borders[i] … borders[i + 1] - 1
    draws      (P,) in [0, 1), says what replaces the token
    words      (P,) random indexes into the replacement vocabulary
    """

    positions: Ints
    borders: Ints
    draws: NDArray[np.float32]
    words: Ids


def draw_masks(
    rule: MaskRule, lengths: Ints, allowed: NDArray[np.bool_], words: int, draw: np.random.Generator
) -> Masks:
    """Choose the places of all samples of one block.

    lengths  (n,) tokens of each sample
    allowed  (sum of lengths,) True where a token may be chosen (not a special)
    words    size of the replacement vocabulary
    draw     of this block alone
    """
    n, width = len(lengths), 1 << int(np.ceil(np.log2(max(2, lengths.max()))))
    to_grid = np.arange(n) * width - (np.cumsum(lengths) - lengths)  # from a place among the ids to one of n rows
    places = (np.arange(len(allowed)) + np.repeat(to_grid, lengths))[allowed]
    ranks = np.full(n * width, _NEVER)
    ranks[places] = _distinct_ranks(draw, places, width)
    grid = ranks.reshape(n, width)
    counts = np.minimum(rule.counts(lengths), (grid != _NEVER).sum(axis=1))
    bounds = np.sort(grid, axis=1)[np.arange(n), np.minimum(counts, width - 1)]
    bounds[counts == width] = _NEVER
    chosen = np.flatnonzero(grid < bounds[:, None])
    return Masks(
        chosen - np.repeat(to_grid, counts),
        np.concatenate([[0], np.cumsum(counts)]),
        draw.random(len(chosen), dtype=np.float32),
        draw.integers(0, words, len(chosen), dtype=np.int32),
    )


def _distinct_ranks(draw: np.random.Generator, places: Ints, width: int) -> NDArray[np.uint32]:
    """A random number below _NEVER for each place; the low bits are the place in its row, so no two of a row tie."""
    low = np.uint32(width - 1)
    raw = draw.bit_generator.random_raw((len(places) + 1) // 2).view(np.uint32)[: len(places)]
    return np.asarray((raw >> np.uint32(1)) & ~low | places.astype(np.uint32) & low)


def apply_masks(rule: MaskRule, input_ids: Ids, masks: Masks, mask_token_id: int, replacements: Ids) -> Ids:
    """Replace the chosen tokens of a block in place: [MASK], the token itself, or a random one.

    input_ids     (T,) the block's flat ids
    replacements  ids that a random token is drawn from
    Returns the labels (P,): the ids that stood there.
    """
    labels = input_ids[masks.positions]
    is_masked = masks.draws < rule.masked
    is_random = masks.draws >= rule.masked + rule.kept
    input_ids[masks.positions[is_masked]] = mask_token_id
    input_ids[masks.positions[is_random]] = replacements[masks.words[is_random]]
    return labels


def replacement_ids(tokenizer: Tokenizer, *, whole_vocabulary: bool) -> Ids:
    """Ids a random replacement is drawn from: all but specials and [unusedN]; the original's are all of the file."""
    ids = np.arange(tokenizer.vocab_size, dtype=np.int32)
    if whole_vocabulary:
        return ids
    unused = np.array([token.startswith("[unused") for token in tokenizer.tokens])
    unused[list(tokenizer.special_ids)] = True
    return np.asarray(ids[~unused])
