"""Which tokens of a sample are predicted, and what stands in their place.

Masks are a function of (seed, epoch, index): samples come in blocks of BLOCK, a block's draws come from one generator
of its own, so a sample's masks are the same whatever batch, worker or rank asks, at numpy speed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertworks.base.errors import BertworksError
from bertworks.base.randomness import generator

BLOCK = 256  # samples a generator serves: enough to be vectorised, few enough that one sample alone costs little

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
    rule: MaskRule, lengths: Ints, allowed: NDArray[np.bool_], words: int, *, seed: int, epoch: int, block: int
) -> Masks:
    """Choose the places of all samples of one block.

    lengths  (n,) tokens of each sample, n <= BLOCK
    allowed  (sum of lengths,) True where a token may be chosen (not a special)
    words    size of the replacement vocabulary
    """
    draw = generator("mask", seed, epoch, block)
    n = len(lengths)
    width = 1 << int(np.ceil(np.log2(max(2, lengths.max()))))
    starts = np.cumsum(lengths) - lengths
    rows = np.repeat(np.arange(n), lengths)
    columns = np.arange(len(allowed)) - starts[rows]
    open_places = np.zeros((n, width), bool)
    open_places[rows, columns] = allowed
    ranks = draw.integers(0, 1 << 32, (n, width), dtype=np.uint32)
    ranks = (ranks & np.uint32(0xFFFFFFFF ^ (width - 1))) | np.arange(width, dtype=np.uint32)  # the place breaks ties
    ranks[~open_places] = np.uint32(0xFFFFFFFF)
    counts = np.minimum(rule.counts(lengths), open_places.sum(axis=1))
    thresholds = np.sort(ranks, axis=1)[np.arange(n), np.maximum(counts, 1) - 1]
    chosen = (ranks <= thresholds[:, None]) & open_places
    chosen_rows, chosen_columns = np.nonzero(chosen)
    draws = draw.random((n, width), dtype=np.float32)[chosen]
    new_words = draw.integers(0, words, (n, width), dtype=np.int32)[chosen]
    borders = np.searchsorted(chosen_rows, np.arange(n + 1))
    return Masks(starts[chosen_rows] + chosen_columns, borders, draws, new_words)


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
