"""A classifier that begins at how frequent its classes are: not at equal shares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.finetune.data import read_data
from bertworks.finetune.network import Network
from bertworks.finetune.prior import prior
from bertworks.finetune.setup import prepare_run
from bertworks.predict.run import window_logits
from bertworks.tasks.labels import Labels
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsTask
from finetune_support import model_folder, toy_recipe, toy_rows, write_rows


def test_priors_are_log_shares_and_log_odds() -> None:
    labels = Labels(("a", "b", "c"), {}, (90, 10, 0))
    shares = torch.softmax(torch.from_numpy(prior(SentenceTask("classify", pair=False, labels=labels), 100)), 0)
    assert shares.numpy() == pytest.approx([0.9, 0.1, 0.0], abs=0.01)
    odds = torch.sigmoid(torch.from_numpy(prior(LabelsTask(False, labels, (0.5,) * 3), 100)))
    assert odds.numpy() == pytest.approx([0.9, 0.1, 0.0], abs=0.01)
    assert odds.min() > 0


def test_the_first_answers_are_the_frequencies(tmp_path: Path) -> None:
    model_folder(tmp_path / "start")
    rows = [row for i, row in enumerate(toy_rows(200)) if row["label"] == "animal" or i % 5 == 0]
    write_rows(tmp_path / "train.csv", rows)
    shares = {}
    for is_on in (False, True):
        recipe = toy_recipe(tmp_path / "start", tmp_path / "train.csv", model__prior_bias=is_on)
        prepared = prepare_run(recipe, read_data(recipe.data))
        network = Network(prepared)
        with torch.no_grad():
            network.model.get_submodule(network.model.head).weight.zero_()  # type: ignore[union-attr, operator]
        with network.whole() as model:
            logits = torch.from_numpy(np.stack(window_logits(model, prepared.dev_windows)))
        shares[is_on] = torch.softmax(logits, -1).mean(0).numpy()
    counts = np.array(prepared.data.task.labels.counts)
    assert shares[False] == pytest.approx([1 / 3] * 3)
    assert shares[True] == pytest.approx(counts / counts.sum(), abs=0.01)
    assert counts.max() > 2 * counts.min()
    line = next(line for line in prepared.contract.lines() if line.startswith("technique"))
    assert "prior_bias" in line


def test_a_score_has_no_prior(tmp_path: Path) -> None:
    model_folder(tmp_path / "start")
    write_rows(tmp_path / "train.csv", [{"text": row["text"], "score": i / 7} for i, row in enumerate(toy_rows(40))])
    recipe = toy_recipe(tmp_path / "start", tmp_path / "train.csv", model__prior_bias=True)
    with pytest.raises(BertworksError, match="prior_bias"):
        prepare_run(recipe, read_data(recipe.data))
