"""Plans: the right spans, the right shares, the original's distribution, and the same again for the same key."""

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bertworks.base.errors import BertworksError
from bertworks.base.randomness import generator
from bertworks.pretrain.original import Settings, document_pairs
from bertworks.pretrain.segments import COLUMNS, PLANNERS, Plan, _Documents, _other_documents, _truncated, plan_epoch
from memory_corpus import MemoryCorpus, random_corpus

KINDS = ("nsp", "nsp-bert", "sop", "none")
PAIRS = ("nsp", "nsp-bert", "sop")


def plan_of(corpus: MemoryCorpus, kind: str, *, seed: int = 1, epoch: int = 0, length: int = 40) -> Plan:
    return plan_epoch(corpus, np.arange(corpus.number_of_documents), kind, seed=seed, epoch=epoch, length=length)


@pytest.fixture(scope="module")
def corpus() -> MemoryCorpus:
    return random_corpus(600)


@pytest.mark.parametrize("length", [8, 40, 64, 512])
@pytest.mark.parametrize("kind", KINDS)
def test_spans_lie_in_their_documents_and_under_the_limit(corpus: MemoryCorpus, kind: str, length: int) -> None:
    plan = plan_of(corpus, kind, length=length)
    assert len(plan) > 600 * 0.9
    assert plan.lengths.max() <= length
    assert plan.lengths.max() == length or length == 512
    for starts, lengths, documents in (
        (plan.a_start, plan.a_length, plan.a_document),
        (plan.b_start, plan.b_length, plan.b_document),
    ):
        real = lengths > 0
        assert np.array_equal(corpus.document_of(starts[real]), documents[real])
        assert np.array_equal(corpus.document_of((starts + lengths)[real] - 1), documents[real])
    assert plan.a_length.min() >= 1
    assert plan.b_length.min() >= (0 if kind == "none" else 1)
    assert (plan.b_length == 0).all() == (kind == "none")


def test_balanced_pairs_are_balanced_and_never_jump_home() -> None:
    """20,000 coins within 5 sd; documents of one sentence included, of which the original would always jump."""
    corpus = random_corpus(4000, seed=3)
    assert (np.diff(corpus.document_sentences) == 1).sum() > 100
    plans = [plan_of(corpus, "nsp", epoch=epoch, length=64) for epoch in range(2)]
    jumps = np.concatenate([plan.is_random for plan in plans])
    assert len(jumps) > 20_000
    free = np.concatenate([(tokens_of_documents(corpus) > 1)[plan.a_document] for plan in plans])
    assert (~free).sum() < 0.01 * len(free), "documents of one token cannot go on"
    assert abs(jumps[free].mean() - 0.5) < 5 * 0.5 / np.sqrt(free.sum())
    lone = np.concatenate([(np.diff(corpus.document_sentences) == 1)[plan.a_document] for plan in plans]) & free
    assert abs(jumps[lone].mean() - 0.5) < 5 * 0.5 / np.sqrt(lone.sum())
    for plan in plans:
        assert (plan.a_document != plan.b_document)[plan.is_random].all()
        assert (plan.a_document == plan.b_document)[~plan.is_random].all()
    originals = plan_of(corpus, "nsp-bert", length=64).is_random.mean()
    assert originals > 0.55, "and the original's share would be seen"


def tokens_of_documents(corpus: MemoryCorpus) -> np.ndarray:
    return np.diff(corpus.sentence_offsets[corpus.document_sentences])


@pytest.mark.parametrize("kind", ["nsp", "nsp-bert"])
def test_what_goes_on_follows_at_once(corpus: MemoryCorpus, kind: str) -> None:
    plan = plan_of(corpus, kind, length=64)
    goes_on = ~plan.is_random
    gap = (plan.b_start - plan.a_start - plan.a_length)[goes_on]
    whole = (plan.lengths < 64)[goes_on]
    assert whole.sum() > 100
    assert (gap[whole] == 0).all(), "untruncated, B begins where A ends"
    assert (gap >= 0).all()
    assert (gap > 0).any(), "truncation opens a gap"


def test_swapped_order_is_balanced_and_neighbouring(corpus: MemoryCorpus) -> None:
    plans = [plan_of(corpus, "sop", epoch=epoch, length=64) for epoch in range(3)]
    swapped = np.concatenate([plan.is_random for plan in plans])
    assert abs(swapped.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(swapped))
    for plan in plans:
        assert np.array_equal(plan.a_document, plan.b_document)
        first = np.where(plan.is_random, plan.b_start, plan.a_start)
        first_length = np.where(plan.is_random, plan.b_length, plan.a_length)
        gap = np.where(plan.is_random, plan.a_start, plan.b_start) - first - first_length
        assert (gap >= 0).all()
        assert (gap[plan.lengths < 64] == 0).all()
        several = np.flatnonzero(tokens_of_documents(corpus) > 1)
        assert set(plan.a_document) == set(several), "documents of one sentence are cut inside it, not left out"


@pytest.mark.parametrize("length", [8, 40, 512])
def test_single_segments_hold_every_token_exactly_once(corpus: MemoryCorpus, length: int) -> None:
    plan = plan_of(corpus, "none", length=length)
    assert np.array_equal(np.sort(tokens_of(plan.a_start, plan.a_length)), np.arange(corpus.number_of_tokens))
    if length == 40:
        assert plan.a_length.mean() > 0.6 * (length - 2), "sentences are packed together"


def tokens_of(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.arange(s, s + n) for s, n in zip(starts.tolist(), lengths.tolist(), strict=True)])


@pytest.mark.parametrize("kind", PAIRS)
def test_pairs_lose_only_what_truncation_cuts(kind: str) -> None:
    corpus = MemoryCorpus([[2, 3, 1, 2] * 30] * 50)
    plan = plan_of(corpus, kind, length=64)
    seen = np.zeros(corpus.number_of_tokens, bool)
    seen[tokens_of(plan.a_start, plan.a_length)] = True
    own = plan.a_document == plan.b_document
    seen[tokens_of(plan.b_start[own], plan.b_length[own])] = True
    assert 0.97 < seen.mean() <= 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_is_a_function_of_its_key(corpus: MemoryCorpus, kind: str) -> None:
    first, again = plan_of(corpus, kind, seed=5, epoch=2), plan_of(corpus, kind, seed=5, epoch=2)
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in COLUMNS)
    for other in (plan_of(corpus, kind, seed=5, epoch=3), plan_of(corpus, kind, seed=6, epoch=2)):
        assert not np.array_equal(first.a_start[:100], other.a_start[:100])
    order = first.a_start[:-1] < first.a_start[1:]
    assert 0.4 < order.mean() < 0.6, "shuffled"


def test_only_the_documents_asked_for_are_read(corpus: MemoryCorpus) -> None:
    some = np.array([3, 5, 100, 101, 599])
    plan = plan_epoch(corpus, some, "nsp", seed=0, epoch=0, length=64)
    assert set(plan.a_document) == set(some)
    assert set(plan.b_document) <= set(some)


TYPES = [[2, 3, 1, 2, 4], [1], [4, 2], [9], [1, 1, 1], [3, 30, 2]]
LIMITED = 12  # tokens with specials: chunks are cut, targets short, pairs truncated


@pytest.mark.parametrize("kind", ["nsp-bert", "nsp"])
def test_nsp_bert_has_the_originals_distribution_and_nsp_has_not(kind: str) -> None:
    """For each kind of document, its n-th sample whole (spans, truncation, label): chi-square of ours against the
    transcription that gives the original's digests. `nsp` differs beyond doubt."""
    copies = 2000
    corpus = MemoryCorpus(TYPES * copies)
    plan = PLANNERS[kind](corpus, np.arange(len(TYPES) * copies), generator("test", 0), LIMITED)
    ours = outcomes(corpus, zip(*(getattr(plan, name).tolist() for name in COLUMNS), strict=True))
    theirs = outcomes(corpus, original_plan(corpus, LIMITED))
    chances = {
        key: two_sample_chance(ours[key], theirs[key]) for key in theirs.keys() & ours if theirs[key].total() > 500
    }
    if kind == "nsp-bert":
        assert len(chances) > 10
        assert ours.keys() >= theirs.keys()
        assert min(chances.values()) > 1e-3 / len(chances), chances
        for key in theirs:
            # how many documents have an n-th sample, which is a coin of its own
            assert ours[key].total() == pytest.approx(theirs[key].total(), abs=6 * np.sqrt(theirs[key].total()) + 6)
    else:
        assert min(chances.values()) < 1e-30


Row = tuple[int, int, int, int, bool, int, int]


def original_plan(corpus: MemoryCorpus, length: int) -> Iterator[Row]:
    """Rows of COLUMNS for one pass of the original over the same documents."""
    offsets, bounds = corpus.sentence_offsets.tolist(), corpus.document_sentences.tolist()
    documents = [
        [list(range(offsets[i], offsets[i + 1])) for i in range(first, last)]
        for first, last in itertools.pairwise(bounds)
    ]
    draw, settings = random.Random(0), Settings(max_length=length)
    for number in range(len(documents)):
        for a, b, is_random in document_pairs(documents, number, settings, draw):
            home = int(corpus.document_of(np.array(b[0])))
            yield a[0], len(a), b[0], len(b), is_random, number, home


def outcomes(corpus: MemoryCorpus, rows: Iterable[Row]) -> dict[tuple[int, int], Counter[Any]]:
    """(kind of document, number of the sample in it) → how often each outcome, told relative to the documents."""
    starts = corpus.sentence_offsets[corpus.document_sentences].tolist()
    seen: Counter[int] = Counter()
    found: dict[tuple[int, int], Counter[Any]] = {}
    for a_start, a_length, b_start, b_length, is_random, a_document, b_document in rows:
        key = a_document % len(TYPES), seen[a_document]
        seen[a_document] += 1
        outcome = (
            a_start - starts[a_document],
            a_length,
            b_document % len(TYPES),
            b_start - starts[b_document],
            b_length,
        )
        found.setdefault(key, Counter())[(*outcome, bool(is_random), a_document == b_document)] += 1
    return found


def two_sample_chance(ours: Counter[Any], theirs: Counter[Any]) -> float:
    """Chi-square p-value that both were drawn alike; outcomes seen fewer than 16 times count as one."""
    pooled = ours + theirs
    common = [outcome for outcome, n in pooled.items() if n >= 16]
    table = np.array([[counts[outcome] for outcome in common] for counts in (ours, theirs)])
    rest = np.array([[ours.total()], [theirs.total()]]) - table.sum(1, keepdims=True)
    table = np.concatenate([table, rest], 1) if rest.sum() >= 16 else table
    return float(stats.chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0


# documents of n sentences: percent random-next, percent single-sentence chunks, percent fill, pairs a document
SYNTHETIC = {
    128: {1: (100, 100, 38, 1.0), 2: (67.9, 35, 45, 1.5), 3: (63.3, 26, 57, 1.7), 5: (61.0, 22, 75, 1.9),
          10: (58.9, 17, 84, 3.3), 20: (56.4, 13, 87, 5.9), 50: (56.3, 11, 89, 14.2), 200: (53.7, 7, 90, 52.7)},
    512: {1: (100, 100, 10, 1.0), 2: (67.3, 34, 12, 1.5), 3: (62.3, 24, 15, 1.6), 5: (59.2, 17, 22, 1.8),
          10: (55.4, 12, 39, 1.9), 20: (57.2, 13, 60, 2.3), 50: (54.7, 10, 70, 5.1), 200: (52.6, 2, 80, 16.1)},
}  # fmt: skip


@pytest.mark.parametrize("length", SYNTHETIC)
@pytest.mark.parametrize("n", SYNTHETIC[128])
def test_nsp_bert_has_the_statistics_measured_on_the_original(length: int, n: int) -> None:
    """Within 4 sd of what 30 documents (of 200 sentences) to 400 (of 30 and fewer), the measured corpora, scatter."""
    corpus = synthetic_corpus(n, max(400, 12_000 // n))
    plan = plan_of(corpus, "nsp-bert", length=length)
    figures = document_figures(corpus, zip(*(getattr(plan, name).tolist() for name in COLUMNS), strict=True), length)
    pairs, tokens, jumps, _ = figures.T
    random_next, _, fill, pairs_measured = SYNTHETIC[length][n]
    documents = max(30, min(400, 12_000 // n))
    for share, measured, digit in ((jumps, random_next, 0.05), (tokens / length, fill, 0.5)):
        ratio = share.sum() / pairs.sum()
        error = (share - ratio * pairs).std() / pairs.mean() / np.sqrt(documents)
        assert 100 * ratio == pytest.approx(measured, abs=100 * 4 * error + digit)
        assert error < 0.1, "of documents with a short target the many pairs scatter most"
    assert pairs.mean() == pytest.approx(pairs_measured, abs=4 * pairs.std() / np.sqrt(documents) + 0.05)


def synthetic_corpus(n: int, documents: int) -> MemoryCorpus:
    """Documents of n sentences of floor(lognormal(3.05, 0.55)) tokens, at least 3, as in the measurement."""
    draw = np.random.default_rng(n)
    return MemoryCorpus(np.maximum(3, np.floor(draw.lognormal(3.05, 0.55, (documents, n)))).astype(int).tolist())


@pytest.mark.slow  # the original's loop over 60,000 sentences
@pytest.mark.parametrize("length", SYNTHETIC)
@pytest.mark.parametrize("n", [2, 5, 20, 50])
def test_nsp_bert_has_the_originals_statistics_on_the_same_corpus(length: int, n: int) -> None:
    """Figures of whole documents, as a short target makes many short pairs of one document."""
    corpus = synthetic_corpus(n, 60_000 // n)
    plan = plan_of(corpus, "nsp-bert", length=length)
    ours = document_figures(corpus, zip(*(getattr(plan, name).tolist() for name in COLUMNS), strict=True), length)
    theirs = document_figures(corpus, original_plan(corpus, length), length)
    error = np.sqrt((ours.var(0) + theirs.var(0)) / len(ours))
    assert (np.abs(ours.mean(0) - theirs.mean(0)) <= 5 * error).all(), (ours.mean(0), theirs.mean(0), error)
    chances = [stats.ks_2samp(mine, other).pvalue for mine, other in zip(ours.T, theirs.T, strict=True)]
    assert min(chances) > 1e-4, chances


def document_figures(corpus: MemoryCorpus, rows: Iterable[Row], length: int) -> np.ndarray:
    """(N, 4) of each document: its pairs, their tokens, how many jump, how many are full."""
    figures = np.zeros((corpus.number_of_documents, 4))
    for _, a_length, _, b_length, is_random, document, _ in rows:
        tokens = a_length + b_length + 3
        figures[document] += 1, tokens, is_random, tokens == length
    return figures


def test_a_tenth_of_the_documents_aim_at_a_random_shorter_length() -> None:
    """The original's short_seq_prob, once a document: 2 to the limit, each as often."""
    n, limit = 500_000, 21
    documents = _Documents(np.arange(n), np.arange(n), np.arange(n) + 1, np.arange(n + 1))
    counts = np.bincount(documents.target_lengths(generator("short", 0), limit), minlength=limit + 1)
    assert counts[:2].sum() == 0
    assert abs(counts[2:limit].sum() - n * 0.1 * 19 / 20) < 5 * np.sqrt(n * 0.09)
    assert stats.chisquare(counts[2:limit]).pvalue > 1e-4


def test_after_ten_tries_a_document_gives_itself() -> None:
    """Of two documents, 2^-10 of the jumps go home, as in the original; balanced ones never."""
    n = 1_000_000
    active = np.arange(n) % 2
    home = int((_other_documents(generator("other", 0), 2, active, 10, certain=False) == active).sum())
    assert abs(home - n / 1024) < 5 * np.sqrt(n / 1024)
    assert not (_other_documents(generator("other", 0), 2, active, 1, certain=True) == active).any()
    others = _other_documents(generator("other", 0), 5, np.full(n, 2), 1, certain=True)
    assert np.bincount(others, minlength=5) / n == pytest.approx([0.25, 0.25, 0, 0.25, 0.25], abs=3e-3)


CUTS = [(7, 4, 6), (4, 7, 6), (5, 5, 7), (1, 9, 5), (9, 1, 5), (3, 3, 6), (6, 5, 2)]


@pytest.mark.parametrize(("a", "b", "limit"), CUTS)
def test_truncation_has_the_distribution_of_token_by_token(a: int, b: int, limit: int) -> None:
    n = 20_000
    spans = np.full((n, 4), (0, a, 100, b)).T
    plan = _truncated(generator("cut", a, b), limit, *spans, np.zeros(n, bool), spans[0], spans[0])
    ours = Counter(zip(*(getattr(plan, name).tolist() for name in COLUMNS[:4]), strict=True))
    draw = random.Random(0)
    theirs = Counter(cut_one_by_one(a, b, limit, draw.random) for _ in range(n))
    assert {key[1::2] for key in ours} == {key[1::2] for key in theirs}, "the lengths are certain"
    assert two_sample_chance(ours, theirs) > 1e-4
    assert a + b <= limit or len(ours) > 2


def cut_one_by_one(a: int, b: int, limit: int, coin: Callable[[], float]) -> tuple[int, int, int, int]:
    """truncate_seq_pair on ranges of tokens: start and length of both sides."""
    first, second = list(range(a)), list(range(100, 100 + b))
    while len(first) + len(second) > limit:
        longer = first if len(first) > len(second) else second
        if coin() < 0.5:
            del longer[0]
        else:
            longer.pop()
    return first[0], len(first), second[0], len(second)


def test_what_cannot_be_planned_is_told_with_the_way_out() -> None:
    one = MemoryCorpus([[3, 4, 5]])
    for kind in ("nsp", "nsp-bert"):
        with pytest.raises(BertworksError, match="need two documents, there is one") as caught:
            plan_of(one, kind)
        assert "--segments none" in caught.value.hint
    assert len(plan_of(one, "none")) == 1
    assert len(plan_of(one, "sop")) == 1
    with pytest.raises(BertworksError, match="no document to read"):
        plan_epoch(one, np.zeros(0, np.int64), "none", seed=0, epoch=0, length=40)
    with pytest.raises(BertworksError, match="unknown segments `nps`") as caught:
        plan_of(one, "nps")
    assert "nsp-bert" in caught.value.hint
    with pytest.raises(BertworksError, match="no sample of length 40"):
        plan_of(MemoryCorpus([[1], [1]]), "sop")
