"""A few updates of a tiny network without a run directory, to look at what moved."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from bertworks.engine.optimiser import AdamW
from bertworks.engine.step import StepReport, train_step
from bertworks.finetune.batches import TrainingBatches
from bertworks.finetune.data import read_data
from bertworks.finetune.network import Network
from bertworks.finetune.objective import Batch
from bertworks.finetune.setup import Prepared, prepare_run
from finetune_support import model_folder, toy_recipe, toy_rows, write_rows, write_tags


def start_folder(folder: Path) -> Path:
    """`start/`, `train.csv` and `tags.conll` in a folder."""
    model_folder(folder / "start")
    write_rows(folder / "train.csv", toy_rows(60))
    write_tags(folder / "tags.conll", toy_rows(60))
    return folder


def prepared_of(folder: Path, *, dtype: torch.dtype = torch.float32, **keys: object) -> Prepared:
    """A run over the folder's rows that is ready to begin: 7 updates of 8 rows an epoch."""
    recipe = toy_recipe(folder / "start", folder / "train.csv", **keys)
    made = prepare_run(recipe, read_data(recipe.data))
    return dataclasses.replace(made, machine=dataclasses.replace(made.machine, dtype=dtype))


class Steps:
    """The updates of a run, one by one, at one rate."""

    def __init__(self, prepared: Prepared, *, lr: float = 1e-2, micro_tokens: int = 4096) -> None:
        machine = dataclasses.replace(prepared.recipe.machine, micro_tokens=micro_tokens)
        prepared = dataclasses.replace(prepared, recipe=dataclasses.replace(prepared.recipe, machine=machine))
        train = prepared.recipe.train
        assert train.batch_size is not None
        self.prepared = prepared
        self.network = Network(prepared)
        self.optimiser: AdamW = self.network.learning.optimiser(
            self.network.parameters, eps=train.adam_epsilon, weight_decay=train.weight_decay
        )
        self.batches = TrainingBatches(
            self.network.compact(prepared.windows),
            prepared.data.task,
            batch_size=train.batch_size,
            seed=train.seed,
            micro_batch_tokens=micro_tokens,
            train_windows=8,
        )
        self.lr, self.step = lr, 0

    def go(self, number: int) -> StepReport:
        """So many updates; the report of the last one."""
        for _ in range(number):
            report = self.one()
        return report

    def micro_batches(self, step: int) -> list[Batch]:
        """Of the task and its auxiliaries together."""
        made: list[Batch] = [*self.batches.micro_batches(step)]
        if self.network.further is not None:
            made += self.network.further.micro_batches([window for _, _, window in self.batches.texts_of(step)], step)
        return made

    def one(self) -> StepReport:
        """One update."""
        micro_batches = self.micro_batches(self.step)
        self.network.begin(self.step, self.optimiser)
        report = train_step(
            micro_batches,
            self.network.objective.counts(micro_batches),
            self.network.objective,
            self.network.parameters,
            self.optimiser,
            lr=self.lr,
            max_grad_norm=0.0,
            second_pass=self.network.second_pass,
        )
        self.network.updated(self.lr, report.finite)
        self.step += 1
        return report

    def weights(self) -> dict[str, torch.Tensor]:
        """All parameters as a checkpoint has them, copied."""
        return {name: tensor.clone() for name, tensor in self.network.tensors().items()}
