"""Switches that meet: refused where they contradict each other, right where they do not."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bertworks.base.errors import BertworksError
from bertworks.finetune.data import read_data
from bertworks.finetune.network import Network
from bertworks.finetune.run import finetune
from bertworks.finetune.setup import fingerprint, prepare_run
from bertworks.finetune.words import WordChanges
from bertworks.tasks.labels import Labels
from bertworks.tasks.several import LabelsAnswer, LabelsTask
from bertworks.text.tokenizer import Tokenizer
from finetune_support import model_folder, toy_recipe, toy_rows, vocabulary, write_rows
from test_finetune_questions import write_questions


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("combinations")
    model_folder(folder / "start", dropout=0.0)
    write_rows(folder / "train.csv", toy_rows(60))
    rows = toy_rows(40)
    pairs = [{"sentence1": a["text"], "sentence2": b["text"], "score": i % 5} for i, (a, b) in
             enumerate(pairwise(rows))]  # fmt: skip
    write_rows(folder / "pairs.csv", pairs)
    write_questions(folder / "train.json", 20)
    return folder


@pytest.mark.parametrize(
    ("file", "keys", "told"),
    [
        ("train.csv", {"model__reinit_layers": 2, "model__freeze": "encoder"}, "random layers must learn"),
        ("train.csv", {"model__reinit_layers": 1, "model__freeze": 2}, "random layers must learn"),
        ("pairs.csv", {"model__pooling": "max", "data__task": "embed"}, "this task has a head of its own"),
        ("train.json", {"data__truncation": "truncate"}, "task qa always reads windows"),
    ],
)
def test_what_cannot_be_together(place: Path, file: str, keys: dict[str, object], told: str) -> None:
    with pytest.raises(BertworksError) as raised:
        finetune(toy_recipe(place / "start", place / file, **keys), place / "never")
    assert told in f"{raised.value.message} {raised.value.hint}"
    assert not (place / "never").exists()


def test_random_layers_above_frozen_ones_are_fine(place: Path) -> None:
    recipe = toy_recipe(place / "start", place / "train.csv", model__reinit_layers=1, model__freeze=1)
    Network(prepare_run(recipe, read_data(recipe.data)))


def test_vectors_learn_from_the_first_epoch_with_gradual_unfreezing(place: Path) -> None:
    keys = {"data__task": "embed", "train__unfreeze": True}
    recipe = toy_recipe(place / "start", place / "pairs.csv", **keys)
    learning = Network(prepare_run(recipe, read_data(recipe.data))).learning
    assert learning.lowest(0) == 2, "the highest layer: vectors have no head"


def test_words_are_masked_where_the_table_has_more_rows_than_the_vocabulary(place: Path) -> None:
    tokenizer = Tokenizer.load(vocabulary(place / "v"), lowercase=True)
    changes = WordChanges.of(tokenizer, tokenizer.vocab_size + 7, 0.5, 0.0, None)
    assert len(changes.goes_on) == len(changes.is_special) == tokenizer.vocab_size + 7
    whole = changes.renumbered(np.arange(tokenizer.vocab_size + 7), np.arange(tokenizer.vocab_size + 7))
    assert np.array_equal(whole.is_special, changes.is_special)


def test_thresholds_never_cost_what_all_labels_have_together() -> None:
    labels = Labels(("a", "b"), {}, (4, 1))
    task = LabelsTask(False, labels, (0.5, 0.5))
    rows = [{"text": str(i), "label": names} for i, names in enumerate([["a"], ["a"], ["a"], ["a", "b"], []])]
    scores = [(0.9, 0.30), (0.9, 0.31), (0.9, 0.32), (0.9, 0.29), (0.1, 0.33)]
    answers = [LabelsAnswer(["a"] if a > 0.5 else [], {"a": a, "b": b}) for a, b in scores]
    before = task.score(answers, rows)["f1_micro"]
    tuned = task.tuned(answers, rows)
    said = [
        LabelsAnswer([n for n, p, t in zip("ab", one, tuned.thresholds, strict=True) if p >= t], {}) for one in scores
    ]
    assert task.score(said, rows)["f1_micro"] >= before
    assert tuned.thresholds == (0.5, 0.5), "the rare label alone would gain, all together would lose"


def test_borders_of_documents_are_part_of_the_data(place: Path) -> None:
    text = "-DOCSTART- O\n\na B-X\nb O\n\nc O\nd B-X\n\n"
    found = []
    for name, content in (("one", text), ("two", text.replace("\nc O", "\n-DOCSTART- O\n\nc O"))):
        (place / f"{name}.conll").write_text(content * 2)
        recipe = toy_recipe(place / "start", place / f"{name}.conll", data__dev_share=0.0)
        found.append(fingerprint(read_data(recipe.data)))
    assert found[0] != found[1]
