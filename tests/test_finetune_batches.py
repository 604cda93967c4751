"""Updates: every row once an epoch, windows in rows of like length, the same gradient however the batch is cut."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.finetune.batches import TrainingBatches, length_groups
from bertworks.finetune.data import read_data
from bertworks.finetune.network import Network
from bertworks.finetune.objective import loss_count
from bertworks.finetune.setup import Prepared, prepare_run
from bertworks.tasks.task import Window
from finetune_support import model_folder, toy_recipe, toy_rows, write_rows


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """37 rows, some of them longer than a window of 16."""
    start = model_folder(tmp_path / "start", dropout=0.2)
    rows = write_rows(tmp_path / "train.csv", toy_rows(45, longest=30))
    recipe = toy_recipe(start, rows, data__max_length=16, train__batch_size=7)
    return prepare_run(recipe, read_data(recipe.data))


def batches_of(prepared: Prepared, **changed: int) -> TrainingBatches:
    given_settings = {"batch_size": 7, "seed": 3, "micro_batch_tokens": 4096, "train_windows": 8} | changed
    return TrainingBatches(prepared.windows, prepared.data.task, **given_settings)


def test_every_row_comes_once_an_epoch_in_another_order(prepared: Prepared) -> None:
    batches = batches_of(prepared)
    per_epoch = batches.steps_per_epoch
    rows = len(prepared.windows)
    assert rows % 7, "the last update of an epoch must be a smaller one"
    orders = [
        np.concatenate([batches.rows_of(epoch * per_epoch + step) for step in range(per_epoch)]) for epoch in (0, 1)
    ]
    assert [sorted(order.tolist()) for order in orders] == [list(range(rows))] * 2
    assert orders[0].tolist() != orders[1].tolist()


def test_an_update_is_a_function_of_its_step_alone(prepared: Prepared) -> None:
    one, other = batches_of(prepared), batches_of(prepared)
    expected = [batch.rows.input_ids for batch in one.micro_batches(9)]
    for step in (13, 2, 9):
        found = [batch.rows.input_ids for batch in other.micro_batches(step)]
    assert len(found) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not torch.equal(batches_of(prepared, seed=4).micro_batches(9)[0].rows.input_ids, expected[0])


def test_long_rows_show_some_windows_and_still_count_once(prepared: Prepared) -> None:
    batches = batches_of(prepared, train_windows=1)
    long_rows = [row for row, windows in enumerate(prepared.windows) if len(windows) > 1]
    assert long_rows, "some rows must be longer than a window"
    seen: dict[int, set[bytes]] = {row: set() for row in long_rows}
    for step in range(12 * batches.steps_per_epoch):
        windows = batches.windows_of(step)
        rows = batches.rows_of(step).tolist()
        assert len(windows) == len(rows)
        assert sum(window.weight for window in windows) == pytest.approx(len(rows))
        for row, window in zip(rows, windows, strict=True):
            if row in seen:
                seen[row].add(window.input_ids.tobytes())
    assert all(len(shown) == len(prepared.windows[row]) for row, shown in seen.items()), "in time all are shown"


@pytest.mark.parametrize("micro_batch_tokens", [1, 64, 130])
def test_the_gradient_does_not_depend_on_micro_batches(prepared: Prepared, micro_batch_tokens: int) -> None:
    found = []
    for tokens in (4096, micro_batch_tokens):
        machine = dataclasses.replace(prepared.machine, dtype=torch.float64)
        network = Network(dataclasses.replace(prepared, machine=machine))
        batches = TrainingBatches(
            network.compact(prepared.windows),
            prepared.data.task,
            batch_size=13,
            seed=3,
            micro_batch_tokens=tokens,
            train_windows=8,
        )
        cut = batches.micro_batches(1)
        for batch in cut:
            network.objective(batch, {"loss": 1 / loss_count(cut)["loss"]})["loss"].backward()
        found.append((len(cut), network.parameters.gradients.clone()))
    assert found[1][0] > found[0][0], "the second batch must be cut"
    assert found[0][1].abs().max() > 1e-3
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-9, atol=1e-12)


def test_dropout_is_another_at_every_step_and_none_where_the_rate_is_zero(prepared: Prepared) -> None:
    network = Network(prepared)
    batches = TrainingBatches(
        network.compact(prepared.windows),
        prepared.data.task,
        batch_size=7,
        seed=3,
        micro_batch_tokens=4096,
        train_windows=8,
    )
    batch = batches.micro_batches(0)[0]
    losses = []
    for step in (0, 1, 0):
        network.objective.step = step
        losses.append(float(network.objective(batch, {"loss": 1.0})["loss"].detach()))
    assert losses[0] == losses[2] != losses[1]
    network.objective.dropout = None
    assert float(network.objective(batch, {"loss": 1.0})["loss"].detach()) not in losses


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 512), min_size=1, max_size=70))
def test_length_groups_hold_every_window_once_in_rows_that_fit(lengths: list[int]) -> None:
    groups = length_groups(np.array(lengths))
    members = np.concatenate([indices for indices, _ in groups])
    assert sorted(members.tolist()) == list(range(len(lengths)))
    for indices, row_length in groups:
        assert max(lengths[i] for i in indices.tolist()) <= row_length <= 512
    assert groups[-1][1] == max(64, max(lengths)) or groups[-1][1] == max(lengths)


def test_short_windows_do_not_lie_in_long_rows() -> None:
    lengths = np.array([10] * 40 + [500] * 3)
    groups = length_groups(lengths)
    assert [row_length for _, row_length in groups] == [64, 500]
    assert groups[0][0].tolist() == list(range(40))


def test_windows_carry_their_types_into_the_rows(prepared: Prepared) -> None:
    flat = [window for row in prepared.windows for window in row]
    typed = [[dataclasses.replace(window, token_type_ids=np.ones(len(window.input_ids), np.int8))] for window in flat]
    batches = TrainingBatches(typed, prepared.data.task, batch_size=5, seed=0, micro_batch_tokens=4096, train_windows=8)
    rows = batches.micro_batches(0)[0].rows
    assert torch.equal(rows.token_type_ids, (rows.sequence_ids >= 0).long())
    assert isinstance(flat[0], Window)
