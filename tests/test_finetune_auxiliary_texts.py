"""Masked tokens and next-sentence pairs of the task's own texts: what they are made of, and what they cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from bertworks.base.errors import BertworksError
from bertworks.finetune.auxiliary_batches import AuxiliaryBatch, AuxiliaryBatches
from bertworks.model.layout import pad_rows
from bertworks.model.pretrained import load_pre_training, save_pretrained
from bertworks.text.tokenizer import Tokenizer
from finetune_steps import Steps, prepared_of, start_folder
from finetune_support import toy_rows, write_rows
from test_finetune_auxiliaries import gradient


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("texts"))


def test_masked_tokens_cost_what_the_start_says(place: Path) -> None:
    steps = Steps(prepared_of(place, auxiliary__mlm=0.3, model__dropout=0.0))
    start, _, _ = load_pre_training(place / "start")
    further = steps.network.further
    assert further is not None
    windows = [window for _, _, window in steps.batches.texts_of(0)]
    masked = further.masked(windows, 0)
    by_row = {window.row: window for window in windows}
    total, count = 0.0, 0
    for window in masked:
        assert window.read is not None
        before = by_row[window.row].input_ids
        assert before[window.read].tolist() == list(window.target)  # type: ignore[arg-type]
        others = np.setdiff1d(np.arange(len(before)), window.read)
        assert np.array_equal(before[others], window.input_ids[others])
        assert len(window.read) == max(1, round(0.15 * len(before)))
        logits, _ = start(pad_rows([window.input_ids], None), torch.from_numpy(window.read.astype(np.int64)))
        total += float(functional.cross_entropy(logits.detach(), torch.tensor(window.target), reduction="sum"))
        count += len(window.read)
    _, _, losses = gradient(steps)
    assert count >= 8
    assert losses["mlm"] == pytest.approx(0.3 * total / count, rel=1e-5)
    assert steps.network.auxiliaries is not None
    assert steps.network.auxiliaries.told(losses)["mlm_loss"] == pytest.approx(total / count, rel=1e-5)


def further_of(place: Path, rows: int = 60, **keys: object) -> tuple[AuxiliaryBatches, Steps]:
    write_rows(place / "many.csv", toy_rows(rows, longest=14))
    ready = prepared_of(place, data__train=str(place / "many.csv"), auxiliary__mlm=1, auxiliary__nsp=1, **keys)
    steps = Steps(ready)
    assert steps.network.further is not None
    return steps.network.further, steps


def test_masks_are_those_of_pre_training_and_of_seed_and_step(place: Path) -> None:
    further, steps = further_of(place, 900)
    windows = [window for row in steps.prepared.windows for window in row]
    again, _ = further_of(place, 900)
    other, _ = further_of(place, 900, train__seed=1)
    made = further.masked(windows, 3)
    seen = [[window.input_ids.tolist() for window in masked] for masked in (again.masked(windows, 3), made)]
    assert seen[0] == seen[1]
    for different in (other.masked(windows, 3), further.masked(windows, 4)):
        assert [window.input_ids.tolist() for window in different] != seen[1]
    tokenizer = steps.prepared.start.tokenizer
    now = np.concatenate([window.input_ids[window.places] for window in made])
    before = np.concatenate([np.array(window.target) for window in made])
    assert len(now) > 800
    assert not np.isin(before, tokenizer.special_ids).any()
    assert float((now == tokenizer.mask_token_id).mean()) == pytest.approx(0.8, abs=0.05)
    assert float((now == before).mean()) == pytest.approx(0.1, abs=0.04)


def test_pairs_are_halves_of_texts_and_half_of_them_are_torn(place: Path) -> None:
    further, steps = further_of(place, 200)
    windows = [window for row in steps.prepared.windows for window in row]
    sep = steps.prepared.start.tokenizer.sep_token_id
    made = further.pairs(windows, 0)
    assert len(made) == len(windows)
    assert abs(sum(int(window.target) for window in made) - len(made) / 2) <= 1  # type: ignore[arg-type]
    texts = {window.row: window.input_ids[1:-1].tolist() for window in windows}
    for window in made:
        first, second = (
            window.input_ids[(window.token_type_ids == kind) & (window.input_ids != sep)].tolist() for kind in (0, 1)
        )
        assert first[1:] + second == texts[window.row] or window.target == 1
        if window.target == 1:
            assert texts[window.row][: len(first) - 1] == first[1:]
            assert any(text[-len(second) :] == second for row, text in texts.items() if row != window.row)
    assert [w.input_ids.tolist() for w in further.pairs(windows, 0)] == [w.input_ids.tolist() for w in made]
    assert [w.input_ids.tolist() for w in further.pairs(windows, 1)] != [w.input_ids.tolist() for w in made]


def test_a_text_is_cut_between_sentences_and_a_pair_keeps_to_its_length(place: Path) -> None:
    further, steps = further_of(place, data__max_length=12)
    tokenizer = steps.prepared.start.tokenizer
    task, length = steps.prepared.data.task, 12
    told = {
        "we saw it . the cat": ("we saw it.", "the cat"),
        "we saw a cat now": ("we saw", "a cat now"),
        "the cats now": ("the", "cats now"),
        "cat": None,
        "un": None,
    }
    for text, parts in told.items():
        (window,) = task.windows([{"text": text, "label": "animal"}], tokenizer, length)
        halves = further.halves(window)
        assert parts == (None if halves is None else tuple(tokenizer.decode(half.tolist()) for half in halves)), text
    long = np.arange(5, 30, dtype=np.int32)
    for first, second, kept in ((20, 3, (6, 3)), (3, 20, (3, 6)), (20, 20, (5, 4)), (2, 2, (2, 2))):
        pair = further._pair(0, long[:first], long[:second], True)
        counts = np.bincount(pair.token_type_ids)
        assert (int(counts[0]) - 2, int(counts[1]) - 1) == kept
        assert pair.input_ids[kept[0]] == long[first - 1], "the end that meets the second part stays"


def test_next_sentence_costs_what_the_start_says(place: Path) -> None:
    steps = Steps(prepared_of(place, auxiliary__nsp=0.2, model__dropout=0.0))
    start, _, _ = load_pre_training(place / "start")
    pairs = [batch for batch in steps.micro_batches(0) if isinstance(batch, AuxiliaryBatch)]
    (batch,) = pairs
    _, logits = start(batch.rows, batch.rows.first_index)
    expected = functional.cross_entropy(logits, batch.labels)
    assert gradient(steps)[2]["nsp"] == pytest.approx(0.2 * float(expected.detach()), rel=1e-5)


def test_a_start_without_the_heads_is_refused(place: Path, tmp_path: Path) -> None:
    start, _, _ = load_pre_training(place / "start")
    tokenizer = Tokenizer.load(place / "start")
    save_pretrained(start.encoder, tmp_path / "bare", also=tokenizer.save)
    for name in ("mlm", "nsp"):
        with pytest.raises(BertworksError, match=rf"auxiliary\.{name}: .*bare has no head of pre-training"):
            prepared_of(place, model__start=str(tmp_path / "bare"), **{f"auxiliary__{name}": 0.1})
        with pytest.raises(BertworksError, match=rf"auxiliary\.{name}: preset:tiny has no head of pre-training"):
            prepared_of(
                place, model__start="preset:tiny", model__vocab=str(place / "vocab"), **{f"auxiliary__{name}": 0.1}
            )


def test_pairs_need_two_texts_of_two_words(place: Path) -> None:
    rows = [{"text": word, "label": kind} for word, kind in (("cat", "animal"), ("red", "colour")) * 10]
    write_rows(place / "words.csv", rows)
    with pytest.raises(BertworksError, match=r"0 of the training rows has two words"):
        Steps(prepared_of(place, data__train=str(place / "words.csv"), data__dev_share=0, auxiliary__nsp=1))
