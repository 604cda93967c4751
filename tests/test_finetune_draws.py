"""Which rows an epoch draws, and which of their words training reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.base.randomness import generator
from bertworks.finetune.batches import TrainingBatches
from bertworks.finetune.classes import RowClasses, classes_of
from bertworks.finetune.data import read_data
from bertworks.finetune.network import Network
from bertworks.finetune.setup import Prepared, prepare_run
from bertworks.finetune.substitutes import guesser, substitutes
from bertworks.finetune.training_loss import ClassLoss
from bertworks.finetune.words import WordChanges, word_numbers
from bertworks.model.pretrained import load_for_task, save_pretrained
from bertworks.tasks.task import Window
from bertworks.text.tokenizer import Tokenizer
from finetune_support import model_folder, toy_recipe, toy_rows, vocabulary, write_rows, write_tags


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`metal` is a fifth of the others; the texts hold words in pieces."""
    folder = tmp_path_factory.mktemp("draws")
    model_folder(folder / "start", dropout=0.0)
    rows = [row for i, row in enumerate(toy_rows(150, longest=12)) if row["label"] != "metal" or i % 5 == 0]
    write_tags(folder / "train.conll", rows)
    write_rows(folder / "train.csv", [{**row, "text": f"cats and reddish {row['text']}"} for row in rows])
    return folder


def prepared(place: Path, file: str = "train.csv", **keys: object) -> Prepared:
    recipe = toy_recipe(place / "start", place / file, **keys)
    return prepare_run(recipe, read_data(recipe.data))


def batches_of(ready: Prepared, network: Network | None = None, seed: int = 3) -> TrainingBatches:
    return TrainingBatches(
        ready.windows if network is None else network.compact(ready.windows),
        ready.data.task,
        batch_size=7,
        seed=seed,
        micro_batch_tokens=4096,
        train_windows=8,
        epochs=dataclasses.replace(ready.plan.epochs, batch_size=7),
        draws=ready.draws,
        words=None if network is None else network.changes,
    )


def epoch_of(batches: TrainingBatches, epoch: int) -> np.ndarray:
    steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
    return np.concatenate([batches.rows_of(step) for step in steps])


def test_all_classes_come_equally_often_and_epochs_are_as_long_as_before(place: Path) -> None:
    ready, plain = prepared(place, data__oversample=1.0), prepared(place)
    assert plain.draws is None
    assert ready.plan == plain.plan
    counts = np.array(ready.data.task.labels.counts)
    assert counts.max() > 3 * counts.min()
    labels = np.array([int(windows[0].target) for windows in ready.windows])
    batches = batches_of(ready)
    for epoch in (0, 1):
        rows = epoch_of(batches, epoch)
        assert len(rows) == len(ready.windows)
        seen = np.bincount(labels[rows])
        assert seen.max() - seen.min() <= 2
    assert epoch_of(batches, 0).tolist() != epoch_of(batches, 1).tolist()
    assert epoch_of(batches_of(ready), 1).tolist() == epoch_of(batches, 1).tolist(), "a function of the step"
    half = np.bincount(labels[epoch_of(batches_of(prepared(place, data__oversample=0.5)), 0)])
    usual = np.bincount(labels)
    rare = int(usual.argmin())
    assert usual[rare] < half[rare] < seen[rare] + 3


def test_weights_are_of_the_rows_as_they_are_drawn(place: Path) -> None:
    for oversample, is_even in ((0.0, False), (1.0, True)):
        loss = prepared(place, data__oversample=oversample, loss__class_weights="balanced").loss_sum
        assert isinstance(loss, ClassLoss)
        assert loss.weights is not None
        assert torch.allclose(loss.weights, torch.ones(3), atol=1e-5) is is_even


def test_rows_with_a_rare_tag_are_drawn_more_often(place: Path) -> None:
    ready = prepared(place, "train.conll", data__oversample=1.0)
    assert ready.draws is not None
    shares = ready.draws.shares
    has_metal = ["I-metal" in ready.data.task.gold(row, "row") for row in ready.data.train]
    assert shares[has_metal].min() > 2 * np.median(shares)
    assert shares.mean() == pytest.approx(1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0, 1), st.integers(0, 99))
def test_every_row_is_drawn_as_often_as_its_share_says(classes: list[int], exponent: float, seed: int) -> None:
    rows = np.arange(len(classes))
    found = RowClasses(len(classes), 5, rows, np.array(classes), np.ones(len(classes)))
    draws = found.draws(exponent)
    shares = draws.shares
    assert shares.mean() == pytest.approx(1)
    drawn = np.bincount(draws.rows(generator("test", seed)), minlength=len(classes))
    assert drawn.sum() == len(classes)
    assert (np.abs(drawn - shares) < 1 + 1e-9).all()
    by_class = found.counts(shares)
    assert (np.abs(np.bincount(classes, drawn, 5) - by_class) < 1 + 1e-9).all()
    assert by_class.sum() == pytest.approx(len(classes))
    if exponent == 1:
        assert by_class[np.unique(classes)] == pytest.approx(len(classes) / len(set(classes)))


def test_classes_of_several_windows_and_of_none() -> None:
    assert classes_of([[Window(np.zeros(3), np.zeros(3), 0, -1, 1.0, 1, 1)]], 2).counts().tolist() == [0, 0]

    def window(row: int, target: int | tuple[int, ...] | None) -> Window:
        return Window(np.zeros(3, np.int32), np.zeros(3, np.int8), row, target, 1.0, 1, 1)

    assert classes_of([[window(0, 2)] * 3, [window(1, None)], [window(2, 0)]], 3).counts().tolist() == [1, 0, 1]
    several = classes_of([[window(0, (1, 0, 1))], [window(1, (0, 0, 0))]], 3)
    assert several.counts().tolist() == [1, 0, 1]
    assert several.draws(1.0).shares.tolist() == [1, 1]


def test_whole_words_are_masked_other_ones_every_epoch_and_specials_never(place: Path) -> None:
    ready = prepared(place, data__mask_words=0.4)
    tokenizer = ready.start.tokenizer
    network = Network(ready)
    active = network._words.active
    assert tokenizer.mask_token_id in active
    batches = batches_of(ready, network)
    special = np.isin(np.arange(tokenizer.vocab_size), tokenizer.special_ids)
    epochs, hits, words = [], 0, 0
    for epoch in (0, 1):
        seen = {}
        for step in range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch):
            for row, window in zip(batches.rows_of(step).tolist(), batches.windows_of(step), strict=True):
                before, after = ready.windows[row][0].input_ids, active[window.input_ids]
                seen[row] = after.tolist()
                numbers = word_numbers(before, tokenizer.continuation, special)
                masked = after != before
                assert (after[masked] == tokenizer.mask_token_id).all()
                assert not masked[special[before]].any()
                hit = set(numbers[masked].tolist())
                assert masked.tolist() == [number in hit for number in numbers.tolist()], "a word wholly or not at all"
                hits, words = hits + len(hit), words + int(numbers.max()) + 1
        epochs.append(seen)
    assert epochs[0] != epochs[1]
    assert abs(hits / words - 0.4) < 0.05
    assert any(tokenizer.continuation[ready.windows[row][0].input_ids].any() for row in epochs[0])
    again = [window.input_ids.tolist() for window in batches_of(ready, Network(ready)).windows_of(9)]
    assert again == [window.input_ids.tolist() for window in batches.windows_of(9)], "a function of the step"
    for one, other in zip(ready.dev_windows, prepared(place).dev_windows, strict=True):
        assert one.input_ids.tolist() == other.input_ids.tolist()


def test_words_are_replaced_by_what_the_start_expects(place: Path) -> None:
    ready = prepared(place, data__replace_words=0.5)
    tokenizer, windows = ready.start.tokenizer, ready.windows
    model = guesser(ready.start)
    found = substitutes(model, tokenizer, windows, 0)
    assert [[one.tolist() for one in row] for row in substitutes(model, tokenizer, windows, 0)] == [
        [one.tolist() for one in row] for row in found
    ]
    assert any(
        a.tolist() != b[0].tolist() for (a, *_), b in zip(found, substitutes(model, tokenizer, windows, 1), strict=True)
    )
    special = set(tokenizer.special_ids)
    for row, its in zip(windows, found, strict=True):
        ids, others = row[0].input_ids, its[0]
        goes_on = tokenizer.continuation[ids]
        whole = ~goes_on & ~np.append(goes_on[1:], False) & ~np.isin(ids, list(special))
        assert ((others >= 0) == whole).all(), "words of one piece, all of them"
        assert (others[whole] != ids[whole]).all()
        assert not special & set(others[whole].tolist())
        assert not tokenizer.continuation[others[whole]].any()
    network = Network(ready)
    batches = batches_of(ready, network)
    active, changed = network._words.active, 0
    for step in range(batches.steps_per_epoch):
        for row, window in zip(batches.rows_of(step).tolist(), batches.windows_of(step), strict=True):
            before, after = windows[row][0].input_ids, active[window.input_ids]
            moved = after != before
            assert (after[moved] == found[row][0][moved]).all()
            changed += int(moved.sum())
    places = sum(int((one >= 0).sum()) for row in found for one in row)
    assert abs(changed / places - 0.5) < 0.05


def test_substitutes_are_drawn_by_their_probabilities(place: Path) -> None:
    """One word masked at a time: the likeliest others come most often."""
    start = prepared(place).start
    tokenizer = start.tokenizer
    ids = np.array([tokenizer.cls_token_id, *tokenizer.encode(["cat"])[0], tokenizer.sep_token_id], np.int32)
    assert len(ids) == 3
    window = Window(ids, np.zeros(3, np.int8), 0, 0, 1.0, 1, 1)
    model = guesser(start)
    drawn = [one[0][1] for one in substitutes(model, tokenizer, [[window]] * 3000, 0)]
    seen = np.bincount(drawn, minlength=tokenizer.vocab_size) / 3000
    from bertworks.predict.fill import mask_probabilities

    masked = np.array([tokenizer.mask_token_id], np.int32)
    expected = mask_probabilities(model, tokenizer, masked, np.array([0]))[0].astype(np.float64)
    expected[tokenizer.continuation] = 0
    expected[ids[1]] = 0
    expected /= expected.sum()
    assert np.abs(seen - expected).max() < 0.035
    assert expected.max() - np.median(expected) > 0.07, "or any draw would do"


def test_a_window_that_begins_inside_a_word_and_one_without_words(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(vocabulary(tmp_path / "vocab"), lowercase=True)
    names = ["[CLS]", "##s", "cat", "##s", "##ish", "[SEP]", "red", "[SEP]"]
    ids = np.array([tokenizer.vocab[name] for name in names])
    special = np.isin(np.arange(tokenizer.vocab_size), tokenizer.special_ids)
    assert word_numbers(ids, tokenizer.continuation, special).tolist() == [-1, 0, 1, 1, 1, -1, 2, -1]
    empty = Window(ids[[0, 5]], np.zeros(2, np.int8), 0, 0, 1.0, 0, 0)
    changes = WordChanges.of(tokenizer, tokenizer.vocab_size, 0.9, 0.0, None)
    assert changes.changed(empty, 0, 0, generator("test", 0)) is empty


def test_a_start_that_cannot_guess_is_refused(place: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(place / "start", place / "train.csv", data__replace_words=0.1)
    task = read_data(recipe.data).task
    model, _, _ = load_for_task(place / "start", task.network, 3)
    save_pretrained(model, tmp_path / "headless", also=prepared(place).start.tokenizer.save)
    for start, vocab in ((str(tmp_path / "headless"), None), ("preset:tiny", str(place / "vocab"))):
        keys = {"model__vocab": vocab, "data__replace_words": 0.1}
        recipe = toy_recipe(Path(start), place / "train.csv", **keys)
        with pytest.raises(BertworksError, match=r"has no masked-token head to guess words with"):
            prepare_run(recipe, read_data(recipe.data))
