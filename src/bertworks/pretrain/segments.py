"""One epoch's samples, planned for all documents at once: which token spans form segment A and segment B.

A plan is a function of (corpus, documents, seed, epoch, length) alone. Documents advance side by side: in each round
every document that still has sentences gives one sample, so the work is numpy over documents, never Python over tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bertworks.base.errors import BertworksError
from bertworks.base.randomness import generator
from bertworks.corpus.open import Corpus

Ints = NDArray[np.int64]

SHORT_PROBABILITY = 0.1  # create_pretraining_data.py: a document is cut to a random shorter length this often
PAIR_SPECIALS = 3  # [CLS] A [SEP] B [SEP]
SINGLE_SPECIALS = 2  # [CLS] A [SEP]


@dataclass(frozen=True)
class Plan:
    """Samples of one epoch in training order; every array is (N,).

    a_start, a_length, b_start, b_length  token spans in the corpus; b_length 0 means a single segment
    is_random                             B does not follow A (next_sentence_label 1)
    a_document, b_document                where the spans come from
    """

    a_start: Ints
    a_length: Ints
    b_start: Ints
    b_length: Ints
    is_random: NDArray[np.bool_]
    a_document: Ints
    b_document: Ints

    def __len__(self) -> int:
        return len(self.a_start)

    @property
    def lengths(self) -> Ints:
        """(N,) tokens of each sample with its specials."""
        specials = np.where(self.b_length > 0, PAIR_SPECIALS, SINGLE_SPECIALS)
        return self.a_length + self.b_length + specials

    def take(self, order: Ints) -> "Plan":
        """The samples at `order`, in that order."""
        return Plan(*(getattr(self, name)[order] for name in COLUMNS))


COLUMNS = ("a_start", "a_length", "b_start", "b_length", "is_random", "a_document", "b_document")


def plan_epoch(corpus: Corpus, documents: Ints, kind: str, *, seed: int, epoch: int, length: int) -> Plan:
    """All samples of an epoch over `documents`, shuffled.

    kind    `nsp` balanced pairs, `nsp-bert` pairs by the original's rules, `sop` swapped order, `none` single segments
    length  tokens of a full sample, specials included
    Raises BertworksError when pairs are asked of a single document, or there is nothing to plan.
    """
    require_documents(corpus, documents, kind)
    plan = PLANNERS[kind](corpus, documents, generator(f"segments {kind} {length}", seed, epoch), length)
    if len(plan) == 0:
        raise BertworksError(f"{corpus.path}: no sample of length {length} can be made", "is there text in it?")
    return plan.take(generator("order", seed, epoch, length).permutation(len(plan)))


def require_documents(corpus: Corpus, documents: Ints, kind: str) -> None:
    """Raise BertworksError where no plan of this kind can be made of the documents."""
    if kind not in PLANNERS:
        raise BertworksError(f"unknown segments `{kind}`", f"choose one of {', '.join(PLANNERS)}")
    if len(documents) == 0:
        raise BertworksError(f"{corpus.path}: no document to read", "the corpus is empty, or all of it is held out")
    if kind in ("nsp", "nsp-bert") and len(documents) < 2:
        raise BertworksError(
            f"{corpus.path}: next-sentence pairs need two documents, there is one",
            "separate documents by blank lines in the text, or train without pairs: `--segments none` (or `sop`)",
        )


@dataclass
class _Documents:
    """The sentence ranges being read: document k of the list holds sentences first[k] … last[k] - 1."""

    number: Ints
    first: Ints
    last: Ints
    offsets: Ints

    @classmethod
    def of(cls, corpus: Corpus, documents: Ints) -> "_Documents":
        bounds = np.asarray(corpus.document_sentences, np.int64)
        offsets = np.asarray(corpus.sentence_offsets, np.int64)
        chosen = _Documents(documents, bounds[documents], bounds[documents + 1], offsets)
        return chosen.longer_than(0)

    def longer_than(self, tokens: int) -> "_Documents":
        """Only the documents of more than so many tokens."""
        kept = self.offsets[self.last] - self.offsets[self.first] > tokens
        return _Documents(self.number[kept], self.first[kept], self.last[kept], self.offsets)

    def target_lengths(self, draw: np.random.Generator, limit: int) -> Ints:
        """(D,) tokens that a sample of each document aims at: `limit`, or now and then a random shorter one."""
        short = draw.random(len(self.number)) < SHORT_PROBABILITY
        return np.where(short, draw.integers(2, limit + 1, len(self.number)), limit)

    def chunk_ends(self, sentence: Ints, active: Ints, target: Ints) -> Ints:
        """First sentence border after `sentence` with at least `target` tokens before it, or the document's end."""
        wanted = self.offsets[sentence] + target
        ends = np.searchsorted(self.offsets, wanted, side="left")
        return np.minimum(np.maximum(ends, sentence + 1), self.last[active])


def _nsp(corpus: Corpus, documents: Ints, draw: np.random.Generator, length: int) -> Plan:
    """Balanced pairs: each sample goes on in the document or jumps to another one, by a coin.

    As in the original, the sentences of a chunk that a jump left unread are read again. Differences: no chunk is left
    with one sentence, except in a document of one, whose sentence is cut in two where the coin says to go on; B of a
    jump never comes from A's document.
    """
    return _pairs(corpus, documents, draw, length, balanced=True)


def _nsp_bert(corpus: Corpus, documents: Ints, draw: np.random.Generator, length: int) -> Plan:
    """Pairs by the rules of create_pretraining_data.py, which original.py follows draw by draw.

    Of one pass, equal in distribution: which spans make A and B, the label, what is cut off. Different: the draws
    themselves (numpy's, documents side by side), so that no sample depends on those before it.
    """
    return _pairs(corpus, documents, draw, length, balanced=False)


def _pairs(corpus: Corpus, documents: Ints, draw: np.random.Generator, length: int, *, balanced: bool) -> Plan:
    limit = length - PAIR_SPECIALS
    docs = _Documents.of(corpus, documents)
    target = docs.target_lengths(draw, limit)
    sentence = docs.first.copy()
    found: list[Plan] = []
    active = np.arange(len(docs.number))
    while len(active):
        at, last = sentence[active], docs.last[active]
        end = docs.chunk_ends(at, active, target[active])
        if balanced:
            end = _without_lone_sentence(at, end, last)
        n = end - at
        a_start = docs.offsets[at]
        middle = at + _some_sentences(draw, n)
        jump = (draw.random(len(active)) < 0.5) | _forced_to_jump(docs, at, n, balanced)
        if balanced:  # a jump that would leave one sentence of the document alone takes it along
            middle = np.where(jump & (last - middle == 1), end, middle)
        a_stop = docs.offsets[middle]
        if balanced:
            a_stop = np.where(jump | (n > 1), a_stop, _inside(draw, a_start, a_stop))
        other = _other_documents(draw, len(docs.number), active, 1 if balanced else 10, certain=balanced)
        b_first, b_end = _random_spans(draw, docs, other, target[active] - (a_stop - a_start))
        b_start = np.where(jump, docs.offsets[b_first], a_stop)
        b_stop = np.where(jump, docs.offsets[b_end], docs.offsets[end])
        numbers = docs.number[active], docs.number[np.where(jump, other, active)]
        found.append(_truncated(draw, limit, a_start, a_stop - a_start, b_start, b_stop - b_start, jump, *numbers))
        sentence[active] = np.where(jump, middle, end)
        active = active[sentence[active] < docs.last[active]]
    return _joined(found)


def _without_lone_sentence(at: Ints, end: Ints, last: Ints) -> Ints:
    """Chunk ends moved by a sentence where the chunk, or what is left of the document, would be one sentence."""
    two = np.minimum(np.maximum(end, at + 2), last)
    return np.asarray(np.where(last - two == 1, last, two))


def _some_sentences(draw: np.random.Generator, n: Ints) -> Ints:
    """Of n sentences the first 1 … n - 1, uniformly; 1 of 1."""
    return np.asarray(1 + (draw.random(len(n)) * np.maximum(n - 1, 1)).astype(np.int64))


def _forced_to_jump(docs: "_Documents", at: Ints, n: Ints, balanced: bool) -> NDArray[np.bool_]:
    """Chunks that cannot be parted: of one sentence, and where a sentence may be cut, of one token."""
    tokens = docs.offsets[at + n] - docs.offsets[at]
    return np.asarray((tokens < 2) if balanced else (n == 1))


def _inside(draw: np.random.Generator, start: Ints, stop: Ints) -> Ints:
    """A token border inside each span start … stop, uniformly; spans of one token are not cut."""
    return np.asarray(start + 1 + (draw.random(len(start)) * np.maximum(stop - start - 1, 1)).astype(np.int64))


def _sop(corpus: Corpus, documents: Ints, draw: np.random.Generator, length: int) -> Plan:
    """Sentence order prediction (ALBERT, arXiv 1909.11942): two consecutive segments, half of the pairs swapped."""
    plan = _consecutive_pairs(corpus, documents, draw, length)
    swap = draw.random(len(plan)) < 0.5
    return Plan(
        np.where(swap, plan.b_start, plan.a_start),
        np.where(swap, plan.b_length, plan.a_length),
        np.where(swap, plan.a_start, plan.b_start),
        np.where(swap, plan.a_length, plan.b_length),
        swap,
        plan.a_document,
        plan.b_document,
    )


def _consecutive_pairs(corpus: Corpus, documents: Ints, draw: np.random.Generator, length: int) -> Plan:
    """Two segments that follow each other, document by document; a document of one sentence is cut inside it."""
    limit = length - PAIR_SPECIALS
    docs = _Documents.of(corpus, documents).longer_than(1)
    target = docs.target_lengths(draw, limit)
    sentence = docs.first.copy()
    found: list[Plan] = []
    active = np.arange(len(docs.number))
    while len(active):
        at, last = sentence[active], docs.last[active]
        end = _without_lone_sentence(at, docs.chunk_ends(at, active, target[active]), last)
        a_start, stop = docs.offsets[at], docs.offsets[end]
        border = docs.offsets[at + _some_sentences(draw, end - at)]
        b_start = np.where(end - at > 1, border, _inside(draw, a_start, stop))
        no = np.zeros(len(active), bool)
        number = docs.number[active]
        found.append(_truncated(draw, limit, a_start, b_start - a_start, b_start, stop - b_start, no, number, number))
        sentence[active] = end
        active = active[end < last]
    return _joined(found)


def _singles(corpus: Corpus, documents: Ints, draw: np.random.Generator, length: int) -> Plan:
    """Whole documents, cut at sentence borders into segments that fill the length; a longer sentence is cut inside."""
    limit = length - SINGLE_SPECIALS
    docs = _Documents.of(corpus, documents)
    starts: list[Ints] = []
    lengths: list[Ints] = []
    numbers: list[Ints] = []
    sentence = docs.first.copy()
    active = np.arange(len(docs.number))
    while len(active):
        at = sentence[active]
        fits = np.searchsorted(docs.offsets, docs.offsets[at] + limit, side="right") - 1
        end = np.minimum(np.maximum(fits, at + 1), docs.last[active])
        starts.append(docs.offsets[at])
        lengths.append(docs.offsets[end] - docs.offsets[at])
        numbers.append(docs.number[active])
        sentence[active] = end
        active = active[end < docs.last[active]]
    if not starts:
        return _joined([])
    start, total, number = (np.concatenate(parts) for parts in (starts, lengths, numbers))
    pieces = -(-total // limit)
    piece = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    cut_start = np.repeat(start, pieces) + piece * limit
    cut_length = np.minimum(np.repeat(start + total, pieces) - cut_start, limit)
    owner = np.repeat(number, pieces)
    none = np.zeros(len(owner), np.int64)
    return Plan(cut_start, cut_length, none, none, none.astype(bool), owner, owner)


def _other_documents(draw: np.random.Generator, count: int, active: Ints, tries: int, *, certain: bool) -> Ints:
    """For each active document another one, uniformly; unless `certain`, one that `tries` draws missed gives itself."""
    if certain:
        other = draw.integers(0, count - 1, len(active))
        return other + (other >= active)
    drawn = draw.integers(0, count, (tries, len(active)))
    is_other = drawn != active
    first = drawn[is_other.argmax(axis=0), np.arange(len(active))]
    return np.where(is_other.any(axis=0), first, active)


def _random_spans(draw: np.random.Generator, docs: _Documents, chosen: Ints, wanted: Ints) -> tuple[Ints, Ints]:
    """From a random sentence of each chosen document on, sentences until there are `wanted` tokens, or its end."""
    first, last = docs.first[chosen], docs.last[chosen]
    start = first + (draw.random(len(chosen)) * (last - first)).astype(np.int64)
    return start, docs.chunk_ends(start, chosen, np.maximum(wanted, 1))


def _truncated(
    draw: np.random.Generator,
    limit: int,
    a_start: Ints,
    a_length: Ints,
    b_start: Ints,
    b_length: Ints,
    is_random: NDArray[np.bool_],
    a_document: Ints,
    b_document: Ints,
) -> Plan:
    """Cut pairs to `limit` tokens as truncate_seq_pair does: always the longer one (a tie: B), each token from the
    front or the back by a coin. The number cut from each side follows from the lengths; the front share is binomial."""
    excess = np.maximum(a_length + b_length - limit, 0)
    level = np.minimum(excess, np.abs(a_length - b_length))
    rest = excess - level
    a_cut = np.where(a_length > b_length, level, 0) + rest // 2
    b_cut = np.where(a_length > b_length, 0, level) + rest - rest // 2
    a_front, b_front = draw.binomial(a_cut, 0.5), draw.binomial(b_cut, 0.5)
    return Plan(
        a_start + a_front, a_length - a_cut, b_start + b_front, b_length - b_cut, is_random, a_document, b_document
    )


def _joined(plans: list[Plan]) -> Plan:
    empty = np.empty(0, np.int64)
    if not plans:
        return Plan(empty, empty, empty, empty, empty.astype(bool), empty, empty)
    return Plan(*(np.concatenate([getattr(plan, name) for plan in plans]) for name in COLUMNS))


PLANNERS: dict[str, Callable[[Corpus, Ints, np.random.Generator, int], Plan]] = {
    "nsp": _nsp,
    "nsp-bert": _nsp_bert,
    "sop": _sop,
    "none": _singles,
}
