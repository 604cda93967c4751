"""Masks: exact counts, no specials, the right shares, streams of their own, and nothing changed but what is masked."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bertworks.base.errors import BertworksError
from bertworks.base.randomness import generator
from bertworks.corpus.masking import BLOCK, MaskRule, apply_masks, draw_masks, replacement_ids
from bertworks.pretrain.samples import Sample, Samples, assemble
from bertworks.text.tokenizer import Tokenizer
from memory_corpus import MemoryCorpus, random_corpus, small_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("vocab"))


@pytest.fixture(scope="module")
def corpus() -> MemoryCorpus:
    return random_corpus(400)


def samples_of(corpus: MemoryCorpus, tokenizer: Tokenizer, segments: str = "nsp", **settings: object) -> Samples:
    rule = MaskRule(**settings)  # type: ignore[arg-type]
    documents = np.arange(corpus.number_of_documents)
    return Samples(corpus, tokenizer, documents, segments=segments, length=64, masks=rule, seed=4)


def all_of(samples: Samples, epoch: int = 0) -> list[Sample]:
    return [samples.sample(epoch, index) for index in range(len(samples.plan(epoch)))]


@pytest.mark.parametrize("probability", [0.15, 0.3, 0.45])
@pytest.mark.parametrize("cap", [0, 5])
def test_counts_round_half_to_even_on_the_whole_length(probability: float, cap: int) -> None:
    lengths = np.arange(1, 513)
    wanted = [max(1, round(n * probability)) for n in lengths.tolist()]
    wanted = [min(n, cap) for n in wanted] if cap else wanted
    assert MaskRule(probability, max_predictions=cap).counts(lengths).tolist() == wanted
    if probability == 0.15 and not cap:
        assert [wanted[n - 1] for n in (10, 30, 70, 110)] == [2, 4, 10, 16], "half-up would give 2, 5, 11, 17"


@pytest.mark.parametrize("segments", ["nsp", "none", "nsp-bert"])
def test_every_sample_has_its_exact_count(corpus: MemoryCorpus, tokenizer: Tokenizer, segments: str) -> None:
    rule = MaskRule()
    specials = 0
    for sample in all_of(samples_of(corpus, tokenizer, segments)):
        length = len(sample.input_ids)
        assert len(sample.masked_positions) == int(rule.counts(np.array([length]))[0])
        assert (np.diff(sample.masked_positions) > 0).all()
        assert 1 <= sample.masked_positions[0] <= sample.masked_positions[-1] <= length - 2
        specials += 3 if sample.is_pair else 2
    assert specials > 1000


def test_where_fewer_may_be_chosen_all_of_them_are(tokenizer: Tokenizer) -> None:
    """Nothing but [UNK]: no mask at all; one word: that one, whatever the count asks."""
    lengths, allowed = np.array([10, 10, 30]), np.zeros(50, bool)
    allowed[[13, 25, 26]] = True
    masks = draw_masks(MaskRule(0.9), lengths, allowed, 50, generator("mask", 0, 0, 0))
    assert masks.positions.tolist() == [13, 25, 26]
    assert masks.borders.tolist() == [0, 0, 1, 3]


def test_specials_are_neither_chosen_nor_drawn_in_a_million(tokenizer: Tokenizer) -> None:
    corpus = random_corpus(1500, seed=8, sentences=40)
    samples = samples_of(corpus, tokenizer, "nsp", probability=0.5, masked=0.0, kept=0.0)
    special = set(tokenizer.special_ids)
    assert special == {0, 1, 2, 3, 4}
    chosen: list[np.ndarray] = []
    drawn: list[np.ndarray] = []
    for epoch in range(6):
        for sample in all_of(samples, epoch):
            chosen.append(sample.masked_labels)
            drawn.append(sample.input_ids[sample.masked_positions])
    chosen_ids, drawn_ids = np.concatenate(chosen), np.concatenate(drawn)
    assert len(drawn_ids) >= 1_000_000
    assert not special & set(chosen_ids.tolist()), "[UNK] stands in the corpus, and is never asked for"
    assert (corpus.ids == tokenizer.unk_token_id).sum() > 1000
    unused = {id for id, token in enumerate(tokenizer.tokens) if token.startswith("[unused")}
    assert set(drawn_ids.tolist()) == set(range(tokenizer.vocab_size)) - special - unused
    assert stats.chisquare(np.bincount(drawn_ids)[8:]).pvalue > 1e-4, "all others alike"


def test_the_originals_rule_draws_from_the_whole_vocabulary_and_asks_for_unk(tokenizer: Tokenizer) -> None:
    corpus = random_corpus(300, seed=8, sentences=40)
    samples = samples_of(corpus, tokenizer, "nsp-bert", probability=0.5, masked=0.0, kept=0.0)
    found = all_of(samples)
    drawn = np.concatenate([sample.input_ids[sample.masked_positions] for sample in found])
    labels = set(np.concatenate([sample.masked_labels for sample in found]).tolist())
    assert stats.chisquare(np.bincount(drawn, minlength=tokenizer.vocab_size)).pvalue > 1e-4
    assert tokenizer.unk_token_id in labels
    assert not {tokenizer.cls_token_id, tokenizer.sep_token_id} & labels
    assert len(replacement_ids(tokenizer, whole_vocabulary=True)) == tokenizer.vocab_size


@pytest.mark.parametrize(("masked", "kept"), [(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.5, 0.25)])
def test_shares_are_as_asked(corpus: MemoryCorpus, tokenizer: Tokenizer, masked: float, kept: float) -> None:
    found = [s for epoch in range(3) for s in all_of(samples_of(corpus, tokenizer, masked=masked, kept=kept), epoch)]
    now = np.concatenate([sample.input_ids[sample.masked_positions] for sample in found])
    labels = np.concatenate([sample.masked_labels for sample in found])
    n, words = len(now), tokenizer.vocab_size - 8
    assert n > 15_000
    random = 1 - masked - kept
    for share, expected in (
        ((now == tokenizer.mask_token_id).mean(), masked),
        ((now == labels).mean(), kept + random / words),
    ):
        assert abs(share - expected) <= 5 * np.sqrt(expected * (1 - expected) / n)


def test_places_are_chosen_alike_and_in_every_combination() -> None:
    """30,000 samples of 7 places, 2 of 5 allowed ones: each of the 10 pairs as often as any other."""
    lengths = np.full(BLOCK, 7)
    allowed = np.tile([False, True, True, True, True, True, False], BLOCK)
    pairs = np.zeros((7, 7), int)
    for block in range(120):
        masks = draw_masks(MaskRule(0.3), lengths, allowed, 9, generator("mask", 1, 0, block))
        places = (masks.positions % 7).reshape(BLOCK, 2)
        np.add.at(pairs, (places[:, 0], places[:, 1]), 1)
    counts = pairs[np.triu_indices(7, 1)]
    assert (counts > 0).sum() == 10
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-4


def test_unmasking_restores_every_row(corpus: MemoryCorpus, tokenizer: Tokenizer) -> None:
    samples = samples_of(corpus, tokenizer)
    clean, types, lengths = assemble(corpus, tokenizer, samples.plan(0))
    starts = np.cumsum(lengths) - lengths
    changed = 0
    for sample in all_of(samples):
        row = slice(starts[sample.index], starts[sample.index] + lengths[sample.index])
        restored = sample.input_ids.copy()
        changed += int((restored != clean[row]).sum())
        restored[sample.masked_positions] = sample.masked_labels
        assert np.array_equal(restored, clean[row])
        assert np.array_equal(sample.token_type_ids, types[row])
        expected = [0] * (len(restored) if not sample.is_pair else int(np.argmax(sample.token_type_ids)))
        assert sample.token_type_ids.tolist() == expected + [1] * (len(restored) - len(expected))
        ends = np.flatnonzero(restored == tokenizer.sep_token_id)
        assert restored[0] == tokenizer.cls_token_id
        assert ends.tolist() == [len(expected) - 1, len(restored) - 1]
    assert changed > 1000


def test_a_sample_is_the_same_whoever_asks(corpus: MemoryCorpus, tokenizer: Tokenizer) -> None:
    """In order, backwards, across epochs, from another object: the same ids and labels."""
    one, other = samples_of(corpus, tokenizer), samples_of(corpus, tokenizer)
    inorder = {(epoch, index): one.sample(epoch, index) for epoch in (0, 1) for index in range(700)}
    for epoch, index in [(1, 699), (0, 0), (1, 300), (0, 256), (0, 255), (1, 0)]:
        again = other.sample(epoch, index)
        assert np.array_equal(again.input_ids, inorder[epoch, index].input_ids)
        assert np.array_equal(again.masked_labels, inorder[epoch, index].masked_labels)
        assert again.index == index
    texts = [np.array_equal(inorder[0, i].input_ids, inorder[1, i].input_ids) for i in range(700)]
    assert sum(texts) < 5, "another epoch, other samples"


def test_no_two_keys_have_equal_streams() -> None:
    """Masks of 6,000 (seed, epoch, block) keys, large and negative ones too, are all different."""
    lengths, allowed = np.full(4, 100), np.ones(400, bool)
    draw = np.random.default_rng(0)
    keys = {(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 11, 1), (11, 1, 1), (1, 1, 11), (-1, 0, 0), (2**63, 0, 0)}
    keys |= {tuple(key) for key in draw.integers(0, 2**31, (6_000, 3)).tolist()}
    seen = {
        draw_masks(MaskRule(), lengths, allowed, 9, generator("mask", seed, epoch, block)).positions.tobytes()
        for seed, epoch, block in keys
    }
    assert len(seen) == len(keys) > 6_000


@pytest.mark.parametrize("copies", [1, 3])
def test_static_copies_are_a_view_of_the_dynamic_ones(corpus: MemoryCorpus, tokenizer: Tokenizer, copies: int) -> None:
    dynamic, static = samples_of(corpus, tokenizer), samples_of(corpus, tokenizer, copies=copies)
    for epoch in range(2 * copies + 1):
        for index in (0, 1, 255, 256, 600):
            mine, theirs = static.sample(epoch, index), dynamic.sample(epoch % copies, index)
            assert np.array_equal(mine.input_ids, theirs.input_ids)
            assert np.array_equal(mine.masked_positions, theirs.masked_positions)
            assert mine.documents == theirs.documents
    assert not np.array_equal(dynamic.sample(copies, 0).input_ids, static.sample(copies, 0).input_ids)


def test_apply_replaces_in_place_and_returns_what_stood_there() -> None:
    ids = np.arange(100, 120, dtype=np.int32)
    masks = draw_masks(MaskRule(0.5), np.array([20]), np.ones(20, bool), 3, generator("mask", 0, 0, 0))
    replaced = ids.copy()
    labels = apply_masks(MaskRule(0.5), replaced, masks, 4, np.array([7, 8, 9], np.int32))
    assert np.array_equal(labels, ids[masks.positions])
    untouched = np.setdiff1d(np.arange(20), masks.positions)
    assert np.array_equal(replaced[untouched], ids[untouched])
    assert set(replaced[masks.positions].tolist()) <= {4, 7, 8, 9} | set(labels.tolist())


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1])
def test_a_rule_that_cannot_be_is_refused(probability: float) -> None:
    with pytest.raises(BertworksError, match="must lie between 0 and 1"):
        MaskRule(probability)
    with pytest.raises(BertworksError, match=r"mask shares 0\.8 and 0\.3"):
        MaskRule(masked=0.8, kept=0.3)


def test_replacements_leave_out_what_no_text_holds(tokenizer: Tokenizer, tmp_path: Path) -> None:
    ids = replacement_ids(tokenizer, whole_vocabulary=False)
    assert [tokenizer.tokens[i] for i in ids[:2]] == ["w0", "w1"]
    assert tokenizer.tokens[ids[-1]] == "##p9"
