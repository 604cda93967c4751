"""Samples as a pure function: the same (seed, epoch, index) gives the same segments, masks and order anywhere.

A cursor is (epoch, batch). Batches are runs of consecutive samples of the epoch's order, each an equal share of its
tokens, so any batch is found by arithmetic and a resume reads nothing that came before it.
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertworks.base.randomness import generator
from bertworks.corpus.masking import BLOCK, Ids, Ints, MaskRule, apply_masks, draw_masks, replacement_ids
from bertworks.corpus.open import Corpus
from bertworks.pretrain.segments import Plan, plan_epoch
from bertworks.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Sample:
    """One training sample with its specials.

    input_ids (T,), token_type_ids (T,) 0/1; masked_positions (P,) into T, masked_labels (P,)
    is_random 1 where B does not follow A; documents: numbers of A's and B's document
    """

    input_ids: Ids
    token_type_ids: Ids
    masked_positions: Ints
    masked_labels: Ids
    is_random: bool
    is_pair: bool
    documents: tuple[int, int]
    index: int


class Samples:
    """The samples of a set of a corpus's documents under one rule for segments and one for masks.

    documents  numbers of the documents read, such as all that are not held out
    segments   `nsp`, `nsp-bert`, `sop` or `none`
    length     tokens of a full sample, specials included
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Tokenizer,
        documents: NDArray[np.int64],
        *,
        segments: str,
        length: int,
        masks: MaskRule,
        seed: int,
    ) -> None:
        self.corpus, self.tokenizer, self.documents = corpus, tokenizer, documents
        self.segments, self.length, self.masks, self.seed = segments, length, masks, seed
        self._replacements = replacement_ids(tokenizer, whole_vocabulary=segments == "nsp-bert")
        self._never_chosen = np.zeros(tokenizer.vocab_size, bool)
        self._never_chosen[list(tokenizer.special_ids)] = True
        self._never_chosen[tokenizer.unk_token_id] = segments != "nsp-bert"  # the original predicts [UNK] like any word
        self._plan: tuple[int, Plan, Ints] | None = None
        self._blocks: OrderedDict[tuple[int, int], list[Sample]] = OrderedDict()

    def plan(self, epoch: int) -> Plan:
        """The epoch's plan; the last one asked for is kept."""
        return self._planned(epoch)[0]

    def sample(self, epoch: int, index: int) -> Sample:
        """Sample `index` of the epoch's order."""
        self._planned(epoch)
        block, within = divmod(index, BLOCK)
        key = self._pass(epoch), block
        if key not in self._blocks:
            self._blocks[key] = self._make_block(*key)
            while len(self._blocks) > 2:
                self._blocks.popitem(last=False)
        return self._blocks[key][within]

    def number_of_batches(self, epoch: int, batch_tokens: int) -> int:
        """Batches of about `batch_tokens` in the epoch: its tokens are divided evenly, so that no small rest is left,
        which would weigh as much as a whole batch."""
        total = int(self._planned(epoch)[1][-1])
        return max(1, min(round(total / batch_tokens), total // self.length))

    def batch(self, epoch: int, batch: int, batch_tokens: int) -> list[Sample]:
        """The samples whose first token falls into the batch's equal share of the epoch's token stream."""
        total, batches = int(self._planned(epoch)[1][-1]), self.number_of_batches(epoch, batch_tokens)
        return self._between(epoch, total * batch // batches, total * (batch + 1) // batches)

    def first(self, epoch: int, tokens: int) -> list[Sample]:
        """The samples that begin within the epoch's first `tokens` tokens."""
        return self._between(epoch, 0, tokens)

    def _between(self, epoch: int, first_token: int, last_token: int) -> list[Sample]:
        starts = self._planned(epoch)[1][:-1]
        first, last = np.searchsorted(starts, [first_token, last_token])
        return [self.sample(epoch, index) for index in range(int(first), int(last))]

    def _pass(self, epoch: int) -> int:
        """The epoch that this one repeats: itself, or with k static copies one of the first k."""
        return epoch % self.masks.copies if self.masks.copies else epoch

    def _planned(self, epoch: int) -> tuple[Plan, Ints]:
        """The plan, and (N + 1,) where each sample starts in the epoch's token stream."""
        epoch = self._pass(epoch)
        if self._plan is None or self._plan[0] != epoch:
            plan = plan_epoch(
                self.corpus, self.documents, self.segments, seed=self.seed, epoch=epoch, length=self.length
            )
            self._plan = epoch, plan, np.concatenate([[0], np.cumsum(plan.lengths)])
        return self._plan[1:]

    def _make_block(self, epoch: int, block: int) -> list[Sample]:
        whole = self.plan(epoch)
        plan = whole.take(np.arange(block * BLOCK, min(len(whole), (block + 1) * BLOCK)))
        input_ids, token_type_ids, lengths = assemble(self.corpus, self.tokenizer, plan)
        allowed = ~self._never_chosen[input_ids]
        draw = generator("mask", self.seed, epoch, block)
        masks = draw_masks(self.masks, lengths, allowed, len(self._replacements), draw)
        labels = apply_masks(self.masks, input_ids, masks, self.tokenizer.mask_token_id, self._replacements)
        ends = np.cumsum(lengths)
        samples = []
        for i, (start, end) in enumerate(zip(ends - lengths, ends, strict=True)):
            places = slice(masks.borders[i], masks.borders[i + 1])
            samples.append(
                Sample(
                    input_ids[start:end],
                    token_type_ids[start:end],
                    masks.positions[places] - start,
                    labels[places],
                    bool(plan.is_random[i]),
                    bool(plan.b_length[i] > 0),
                    (int(plan.a_document[i]), int(plan.b_document[i])),
                    block * BLOCK + i,
                )
            )
        return samples


def assemble(corpus: Corpus, tokenizer: Tokenizer, plan: Plan) -> tuple[Ids, Ids, Ints]:
    """[CLS] A [SEP] (B [SEP]) of all samples of a plan, one after the other.

    Returns input_ids (T,), token_type_ids (T,), lengths (n,).
    """
    lengths = plan.lengths
    is_pair = plan.b_length > 0
    starts = np.cumsum(lengths) - lengths
    a_from, b_from = starts + 1, starts + 2 + plan.a_length
    input_ids = np.full(int(lengths.sum()), tokenizer.sep_token_id, np.int32)
    token_type_ids = np.zeros(len(input_ids), np.int32)
    input_ids[starts] = tokenizer.cls_token_id
    input_ids[spread(a_from, plan.a_length)] = corpus.gather(plan.a_start, plan.a_length)
    if is_pair.any():
        pair_b = spread(b_from[is_pair], plan.b_length[is_pair])
        input_ids[pair_b] = corpus.gather(plan.b_start[is_pair], plan.b_length[is_pair])
        token_type_ids[pair_b] = 1
        token_type_ids[(starts + lengths - 1)[is_pair]] = 1
    return input_ids, token_type_ids, lengths


def spread(starts: Ints, lengths: Ints) -> Ints:
    """All indexes start … start + length - 1 of every span, one span after the other."""
    begins = np.cumsum(lengths) - lengths
    return np.asarray(np.arange(int(lengths.sum())) + np.repeat(starts - begins, lengths))
