"""Multiple choice end to end: learnt, saved for transformers, the same gradient however an update is cut."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import bertworks as bw
from bertworks.finetune.batches import MicroBatch, TrainingBatches
from bertworks.finetune.data import read_data
from bertworks.finetune.network import Network
from bertworks.finetune.objective import loss_count
from bertworks.finetune.run import finetune
from bertworks.finetune.setup import Prepared, prepare_run
from finetune_support import choice_rows, model_folder, toy_recipe, write_choices


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choice")
    start = model_folder(folder / "start", dropout=0.0)
    train = write_choices(folder / "train.jsonl", choice_rows(120, most=4))
    finetune(toy_recipe(start, train, train__steps=60), folder / "run")
    return folder / "run"


def test_a_run_learns_answers_and_tells_its_floors(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    assert result["task"] == "choice"
    assert result["metrics"]["dev"]["accuracy"] > 0.8
    assert result["floors"].keys() == {"place", "options"}
    assert result["floors"]["place"]["dev"]["accuracy"] < 0.8
    row = {"context": "we saw the big cat .", "question": "we saw ?", "choices": ["it dog", "a tin"]}
    (answer,) = bw.load(run).predict([row])
    assert answer.to_json() == {
        "choice": 0,
        "scores": [pytest.approx(answer.scores[0]), pytest.approx(answer.scores[1])],
    }
    assert "AutoModelForMultipleChoice" in (run / "best" / "README.md").read_text()


def test_transformers_opens_the_folder_with_equal_logits(run: Path) -> None:
    from transformers import AutoModelForMultipleChoice, AutoTokenizer

    model = AutoModelForMultipleChoice.from_pretrained(run / "best").eval()
    tokenizer = AutoTokenizer.from_pretrained(run / "best")
    rows = choice_rows(9, seed=7)
    ours = bw.load(run).predict(rows)
    for row, answer in zip(rows, ours, strict=True):
        seconds = [f"{row['question']} {option}" for option in row["choices"]]
        inputs = tokenizer([row["context"]] * len(seconds), seconds, padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**{name: value[None] for name, value in inputs.items()}).logits[0]
        np.testing.assert_allclose(answer.scores, torch.softmax(logits, -1).numpy(), atol=1e-5)
    assert len({answer.choice for answer in ours}) > 1


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Rows of 2 to 5 options, some contexts longer than a window, dropout on."""
    start = model_folder(tmp_path / "start", dropout=0.2)
    rows = write_choices(tmp_path / "train.jsonl", choice_rows(40, most=5, longest=60))
    recipe = toy_recipe(start, rows, data__max_length=26)
    return prepare_run(recipe, read_data(recipe.data))


def cut(prepared: Prepared, network: Network, tokens: int, train_windows: int = 8) -> list[MicroBatch]:
    batches = TrainingBatches(
        network.compact(prepared.windows),
        prepared.data.task,
        batch_size=8,
        seed=3,
        micro_batch_tokens=tokens,
        train_windows=train_windows,
    )
    return batches.micro_batches(1)


def test_a_rows_options_stay_together_and_the_gradient_is_that_of_the_whole(prepared: Prepared) -> None:
    found = []
    for tokens in (1 << 16, 1):
        machine = dataclasses.replace(prepared.machine, dtype=torch.float64)
        network = Network(dataclasses.replace(prepared, machine=machine))
        parts = cut(prepared, network, tokens)
        rows = [set(part.targets[:, 0].tolist()) for part in parts]
        assert sum(map(len, rows)) == len(set().union(*rows)) == 8, "no row lies in two micro-batches"
        for part in parts:
            network.objective(part, {"loss": 1 / loss_count(parts)["loss"]})["loss"].backward()
        found.append((len(parts), network.parameters.gradients.clone()))
    assert found[0][0] < 4 < found[1][0], "the second update must be cut small"
    assert found[0][1].abs().max() > 1e-3
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-9, atol=1e-12)


def test_options_are_drawn_the_same_parts_of_a_long_text(prepared: Prepared) -> None:
    long_rows = [windows for windows in prepared.windows if len({w.input_ids.tobytes() for w in windows}) > 5]
    assert long_rows, "some texts must have many windows"
    (part,) = cut(prepared, Network(prepared), 1 << 20, train_windows=1)
    rows, counts = np.unique(part.targets[:, 0].numpy(), return_counts=True)
    assert len(rows) == 8
    options = part.targets[:, :2].tolist()
    assert len(options) == len({tuple(pair) for pair in options}), "one window of each option"
    assert counts.min() >= 2
    assert float(part.weights.sum()) == pytest.approx(8)
