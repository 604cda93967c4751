"""The model of a run while it learns: network, flat parameters, active rows of the word table, and its saved form."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from bertworks.engine.checkpoint import copy_tensors
from bertworks.engine.parameters import FlatParameters
from bertworks.finetune.objective import BatchDropout, Objective
from bertworks.finetune.setup import Prepared
from bertworks.finetune.word_table import ActiveWords
from bertworks.model.bert import BertForSentence, TaskNetwork
from bertworks.model.pretrained import save_pretrained
from bertworks.predict.directory import write_settings
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.task import Task, Window

WORD_TABLE = "encoder.embeddings.word"


class Network:
    """What the loop trains."""

    def __init__(self, prepared: Prepared) -> None:
        recipe, machine, task = prepared.recipe, prepared.machine, prepared.data.task
        assert recipe.data.max_length is not None
        self._task, self._max_length = task, recipe.data.max_length
        self._tokenizer = prepared.start.tokenizer
        config = prepared.start.config
        self.model = prepared.start.build(task, recipe.train.seed)
        ids = [window.input_ids for windows in prepared.windows for window in windows]
        self._words = ActiveWords(self.model.encoder.embeddings, ids, recipe.train.weight_decay)
        self.parameters = FlatParameters(self.model, machine.dtype, machine.device)
        dropout = None
        if config.hidden_dropout_prob or config.attention_probs_dropout_prob:
            dropout = BatchDropout(config, seed=recipe.train.seed, dtype=machine.dtype, device=machine.device)
        self.objective = Objective(self.model, task, dropout)

    def compact(self, windows: Sequence[Sequence[Window]]) -> list[list[Window]]:
        """Training windows with the ids of the table in training."""
        return [
            [dataclasses.replace(window, input_ids=self._words.compact_ids(window.input_ids)) for window in row]
            for row in windows
        ]

    def updated(self, lr: float, is_done: bool) -> None:
        """Note an update; nothing was decayed where it was left out."""
        if is_done:
            self._words.decayed(lr)

    @contextmanager
    def whole(self) -> Iterator[TaskNetwork]:
        """The model as it stands, with all words, in the precision of training."""
        with self._words.full_table(self._masters()[WORD_TABLE]):
            yield self.model

    def tensors(self) -> dict[str, Tensor]:
        """Float32 parameters of a checkpoint, the word table with all words."""
        masters = self._masters()
        return {**masters, WORD_TABLE: self._words.table(masters[WORD_TABLE])}

    def restore(self, tensors: Mapping[str, Tensor], where: str) -> None:
        """Put a checkpoint's parameters back. Raises BertworksError where they are of another model."""
        active = self._words.restore(tensors[WORD_TABLE])
        copy_tensors(self._masters(), {**tensors, WORD_TABLE: active}, where)
        self.parameters.publish()

    def save(self, directory: Path) -> None:
        """Write the model directory: weights, config, vocabulary, task."""
        settings = {**self._task.config_keys(), "pad_token_id": self._tokenizer.pad_token_id}

        def also(folder: Path) -> None:
            self._tokenizer.save(folder)
            write_settings(folder, self._task.folded(), self._max_length)

        with self.whole():
            module = with_folded_head(self._exact(), self._task)
            save_pretrained(module, directory, settings=settings, also=also, overwrite=True)

    def _exact(self) -> TaskNetwork:
        """The model in float32, with all words."""
        module = self.parameters.exact_copy(self.model)
        assert isinstance(module, TaskNetwork)
        if module is not self.model:
            module.encoder.embeddings.word = nn.Parameter(self._words.table(self._masters()[WORD_TABLE]))
        return module

    def _masters(self) -> dict[str, Tensor]:
        return self.parameters.named(self.parameters.masters)


def with_folded_head(module: TaskNetwork, task: Task) -> TaskNetwork:
    """The model whose classifier gives scores on their own scale; itself where there is nothing to fold."""
    if task.folded() == task:
        return module
    assert isinstance(module, BertForSentence)
    assert isinstance(task, SentenceTask)
    return scaled_head(module, task.scale, task.center)


def scaled_head(module: BertForSentence, scale: float, center: float = 0.0) -> BertForSentence:
    """The model whose outputs are scale · output + center; the given one stays as it is."""
    scaled = copy.copy(module)
    scaled._modules = dict(module._modules)
    scaled.classifier = copy.deepcopy(module.classifier)
    with torch.no_grad():
        scaled.classifier.weight.mul_(scale)
        scaled.classifier.bias.mul_(scale).add_(center)
    return scaled
