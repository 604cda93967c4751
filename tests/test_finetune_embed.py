"""Vectors end to end: learnt, opened by sentence-transformers, the gradient of a whole update however it is cut."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bertworks as bw
from bertworks.engine.optimiser import AdamW
from bertworks.engine.step import train_step
from bertworks.finetune.batches import TrainingBatches
from bertworks.finetune.data import read_data
from bertworks.finetune.network import Network
from bertworks.finetune.objective import loss_count
from bertworks.finetune.run import finetune
from bertworks.finetune.setup import Prepared, prepare_run
from bertworks.predict.directory import load_model
from bertworks.predict.files import FilePredictions, write_answers
from finetune_support import model_folder, pair_rows, toy_recipe, triplet_rows, write_rows

TEXTS = ["the cat saw a dog", "", "iron tin gold", "we " * 60]


@pytest.fixture(scope="module", params=["score", "rank"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embed")
    rows = pair_rows(160) if request.param == "score" else triplet_rows(160)
    train = write_rows(folder / "train.csv", rows)
    start = model_folder(folder / "start", dropout=0.1)
    finetune(toy_recipe(start, train, data__task="embed", train__steps=80), folder / "run")
    return folder / "run"


def test_a_run_learns_what_is_alike(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    dev = result["metrics"]["dev"]
    assert dev.get("spearman", 1) > 0.6
    assert dev.get("mrr", 1) > 0.4  # of 33 texts, several of which speak of the same thing
    near, far = bw.load(run).predict([("a cat", "a dog"), ("a cat", "gold")])
    assert near.score > far.score + 0.1
    assert near.to_json() == {"score": near.score}


def test_sentence_transformers_gives_equal_vectors(run: Path) -> None:
    package = pytest.importorskip("sentence_transformers")
    theirs = package.SentenceTransformer(str(run / "best"), device="cpu").encode(TEXTS[:3])
    model = bw.load(run)
    ours = model.encode(TEXTS)
    assert ours.shape == (4, 24)
    assert np.ptp(ours, 0).max() > 0.1
    np.testing.assert_allclose(ours[:3], theirs, atol=1e-5)
    np.testing.assert_array_equal(ours, [answer.vectors[0] for answer in model.predict(TEXTS)])


def test_a_file_of_texts_becomes_a_file_of_vectors(run: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    opened = load_model(run)
    assert write_answers(FilePredictions(opened, str(tmp_path / "texts.txt")), tmp_path / "out.npz") == 4
    found = np.load(tmp_path / "out.npz")["vectors"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, bw.load(run).encode(TEXTS), atol=1e-6)
    (tmp_path / "pairs.csv").write_text("sentence1,sentence2\na cat,a dog\n", encoding="utf-8")
    with pytest.raises(bw.BertworksError, match=r"holds vectors of texts, these answers are none"):
        write_answers(FilePredictions(opened, str(tmp_path / "pairs.csv")), tmp_path / "pairs.npz")


def updated(prepared: Prepared, tokens: int) -> tuple[int, float, torch.Tensor]:
    """Micro-batches, loss and gradient norm's source of one update of 8 rows in float64."""
    machine = dataclasses.replace(prepared.machine, dtype=torch.float64)
    network = Network(dataclasses.replace(prepared, machine=machine))
    settings: dict[str, Any] = {"batch_size": 8, "seed": 3, "micro_batch_tokens": tokens, "train_windows": 8}
    batches = TrainingBatches(network.compact(prepared.windows), prepared.data.task, **settings)
    parts = batches.micro_batches(1)
    network.objective.step = 1
    network.objective.look_ahead(parts)
    optimiser = AdamW(network.parameters, eps=1e-8, weight_decay=0.0)
    report = train_step(parts, loss_count(parts), network.objective, network.parameters, optimiser, lr=0.01)
    return len(parts), report.loss, network.parameters.masters.clone()


@pytest.mark.parametrize("kind", ["score", "rank"])
def test_one_update_is_the_same_however_it_is_cut(kind: str, tmp_path: Path) -> None:
    start = model_folder(tmp_path / "start", dropout=0.2)
    rows = pair_rows(40, longest=40) if kind == "score" else triplet_rows(40, longest=40)
    recipe = toy_recipe(start, write_rows(tmp_path / "train.csv", rows), data__task="embed", data__max_length=20)
    prepared = prepare_run(recipe, read_data(recipe.data))
    assert any(len(windows) > 3 for windows in prepared.windows), "some texts must be longer than a window"
    (one, loss, weights), (many, other_loss, other_weights) = updated(prepared, 1 << 16), updated(prepared, 1)
    assert one == 1 < 4 <= many
    assert other_loss == pytest.approx(loss, rel=1e-9)
    before = Network(dataclasses.replace(prepared, machine=dataclasses.replace(prepared.machine, dtype=torch.float64)))
    assert (weights - before.parameters.masters).abs().max() > 1e-3
    torch.testing.assert_close(other_weights, weights, rtol=1e-9, atol=1e-11)
