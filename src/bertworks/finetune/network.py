"""The model of a run while it learns: network, flat parameters, active rows of the word table, and its saved form."""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bertworks.engine.checkpoint import copy_tensors
from bertworks.engine.optimiser import AdamW
from bertworks.engine.parameters import FlatParameters
from bertworks.finetune.adversarial import perturbed
from bertworks.finetune.auxiliary import NAME, Auxiliaries, without_auxiliaries
from bertworks.finetune.auxiliary_batches import AuxiliaryBatches
from bertworks.finetune.averages import Average
from bertworks.finetune.learning import Learning, learnt
from bertworks.finetune.objective import BatchDropout, Objective
from bertworks.finetune.prior import begin_at_prior
from bertworks.finetune.setup import Prepared
from bertworks.finetune.substitutes import guesser, substitutes
from bertworks.finetune.word_table import ActiveWords
from bertworks.finetune.words import WordChanges
from bertworks.model.bert import BertForSentence, TaskNetwork
from bertworks.model.heads import Classifier
from bertworks.model.lora import adapters, merged
from bertworks.model.peft_folder import write_adapters
from bertworks.model.pretrained import save_pretrained
from bertworks.model.shaped import BertForShape
from bertworks.predict.directory import write_settings
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.task import Task, Window

log = logging.getLogger(__name__)

WORD_TABLE = "encoder.embeddings.word"


class Network:
    """What the loop trains."""

    def __init__(self, prepared: Prepared) -> None:
        recipe, machine, task = prepared.recipe, prepared.machine, prepared.data.task
        assert recipe.data.max_length is not None
        self._task, self._max_length, self._plan = task, recipe.data.max_length, prepared.plan
        self._start, self._train = prepared.start, recipe.train
        config = prepared.start.config
        self.model = prepared.start.build(task, recipe.train.seed)
        if recipe.model.prior_bias:
            begin_at_prior(self.model, task, len(prepared.data.train))
        self.auxiliaries: Auxiliaries | None = None
        if recipe.auxiliary.is_on:
            self.auxiliaries = Auxiliaries(recipe.auxiliary, prepared.start, task, recipe.train.seed)
            self.model.register_module(NAME, self.auxiliaries)
        learning, all_of_them = learnt(self.model)
        if learning < all_of_them:
            log.info("%s of %s parameters learn", f"{learning:,}", f"{all_of_them:,}")
        changes = word_changes(prepared)
        self._words = None  # a frozen table stays as it is
        if self.model.encoder.embeddings.word.requires_grad:
            self._words = ActiveWords(
                self.model.encoder.embeddings, words_in_training(prepared, changes), recipe.train.weight_decay
            )
        self.changes = changes
        if changes is not None and self._words is not None:
            self.changes = self._words.renumbered(changes)
        self.further = None
        if recipe.auxiliary.has_texts:
            self.further = AuxiliaryBatches(
                prepared.windows,
                prepared.start.tokenizer,
                recipe.auxiliary,
                seed=recipe.train.seed,
                max_length=recipe.data.max_length,
                micro_batch_tokens=recipe.machine.micro_tokens,
            )
        self.parameters = FlatParameters(self.model, machine.dtype, machine.device)
        self.learning = Learning(self.model, recipe, prepared.plan.epochs)
        if self.learning.lowest(prepared.plan.steps - 1):
            log.warning(
                "the run ends before the embeddings and the lowest layers begin to learn; `train.epochs` is few"
            )
        self._average = None
        if recipe.train.ema is not None or recipe.train.swa is not None:
            self._average = Average(self.parameters, recipe.train.ema)
        dropout = None
        if config.hidden_dropout_prob or config.attention_probs_dropout_prob:
            dropout = BatchDropout(config, seed=recipe.train.seed, dtype=machine.dtype, device=machine.device)
        self.objective = Objective(self.model, task, dropout, prepared.loss_sum, recipe.train.r_drop, self.auxiliaries)
        self.second_pass = None if recipe.train.fgm is None else self._perturbed

    def compact(self, windows: Sequence[Sequence[Window]]) -> list[list[Window]]:
        """Training windows with the ids of the table in training."""
        words = self._words
        if words is None:
            return [list(row) for row in windows]
        return [
            [dataclasses.replace(window, input_ids=words.compact_ids(window.input_ids)) for window in row]
            for row in windows
        ]

    def begin(self, step: int, optimiser: AdamW) -> None:
        """Before update `step` (from 0): its dropout, and the parts that learn in it."""
        self.objective.step = step
        self._step = step
        self.learning.begin(step, optimiser)

    def updated(self, lr: float, is_done: bool, *, alone: bool = False) -> None:
        """Note the update that began last; nothing was decayed where it was left out.

        alone  it was one of the auxiliaries before the task's: means of the weights begin after it
        """
        if not is_done:
            return
        word_rate = self.learning.word_rate(lr)
        if self._words is not None and word_rate:
            self._words.decayed(word_rate)
        if self._average is None or alone:
            return
        self._average.decayed(1.0 - word_rate * self._train.weight_decay)
        if self._train.swa is None or self._step >= (1 - self._train.swa) * self._plan.steps:
            self._average.add()

    @contextmanager
    def whole(self) -> Iterator[TaskNetwork]:
        """The model as it is judged, the mean of its weights where one is kept, with all words, as it computes."""
        with self._averaged(), self._all_words():
            yield self.model

    def tensors(self) -> dict[str, Tensor]:
        """Float32 parameters of a checkpoint, the word table with all words."""
        tensors = {**self._masters(), **self.parameters.frozen}
        if self._words is not None:
            tensors[WORD_TABLE] = self._words.table(tensors[WORD_TABLE])
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], where: str) -> None:
        """Put a checkpoint's parameters back. Raises BertworksError where they are of another model."""
        given = dict(tensors)
        if self._words is not None:
            given[WORD_TABLE] = self._words.restore(tensors[WORD_TABLE])
        copy_tensors({**self._masters(), **self.parameters.frozen}, given, where)
        with torch.no_grad():
            for name, exact in self.parameters.frozen.items():
                self.model.get_parameter(name).copy_(exact)
        self.parameters.publish()

    def averages(self) -> dict[str, Tensor]:
        """Of a checkpoint, the mean of the weights; nothing where none is kept."""
        return {} if self._average is None else self._average.state()

    def restore_averages(self, saved: Mapping[str, Tensor]) -> None:
        """Put what `averages` gave back."""
        if self._average is not None:
            self._average.restore(saved)

    def save(self, directory: Path) -> None:
        """Write the model directory: weights, config, vocabulary, task."""
        tokenizer, shape = self._start.tokenizer, self._start.shape
        settings = {**self._task.config_keys(), "pad_token_id": tokenizer.pad_token_id}
        if not shape.is_plain:
            settings["architectures"] = ["BertModel"]  # all that transformers can make of it
        with self.whole():
            module = with_folded_head(without_auxiliaries(self._exact()), self._task)
            layers = adapters(module.encoder)

            def also(folder: Path) -> None:
                tokenizer.save(folder)
                write_settings(folder, self._task.folded(), self._max_length, shape)
                if layers:
                    write_adapters(layers, module, folder / "adapter", base=self._start.name)

            with merged(module.encoder):
                save_pretrained(module, directory, settings=settings, also=also, overwrite=True)

    def _exact(self) -> TaskNetwork:
        """The model in float32, with all words."""
        module = self.parameters.exact_copy(self.model)
        assert isinstance(module, TaskNetwork)
        if module is not self.model and self._words is not None:
            module.encoder.embeddings.word = nn.Parameter(self._word_table(self._words))
        return module

    def _masters(self) -> dict[str, Tensor]:
        return self.parameters.named(self.parameters.masters)

    def _word_table(self, words: ActiveWords) -> Tensor:
        return words.table(self._masters()[WORD_TABLE], self._idle_factor())

    def _idle_factor(self) -> float:
        return 1.0 if self._average is None else self._average.idle_factor

    def _averaged(self) -> AbstractContextManager[None]:
        return nullcontext() if self._average is None else self._average.used()

    def _all_words(self) -> AbstractContextManager[None]:
        if self._words is None:
            return nullcontext()
        return self._words.full_table(self._masters()[WORD_TABLE], self._idle_factor())

    def _perturbed(self) -> AbstractContextManager[None]:
        """For the adversarial pass: the word table a step up the loss."""
        assert self._train.fgm is not None
        gradient = self.parameters.named(self.parameters.sums)[WORD_TABLE]
        return perturbed(self.model.encoder.embeddings.word, gradient, self._train.fgm)


def words_in_training(prepared: Prepared, changes: WordChanges | None) -> list[np.ndarray]:
    """Ids that training reads, of all words where something reads, moves or measures the rows of the others too."""
    train = prepared.recipe.train
    if train.l2 or train.update_cap or prepared.recipe.auxiliary.has_texts:
        return [np.arange(prepared.start.config.vocab_size)]
    ids = [window.input_ids for windows in prepared.windows for window in windows]
    return ids + ([] if changes is None else changes.ids())


def word_changes(prepared: Prepared) -> WordChanges | None:
    """What training does to words, over the ids of the vocabulary; None where the recipe does nothing."""
    data, start = prepared.recipe.data, prepared.start
    if not data.mask_words and not data.replace_words:
        return None
    found = None
    if data.replace_words:
        model = guesser(start).to(prepared.machine.device)
        found = substitutes(model, start.tokenizer, prepared.windows, prepared.recipe.train.seed)
    return WordChanges.of(start.tokenizer, start.config.vocab_size, data.mask_words, data.replace_words, found)


def with_folded_head(module: TaskNetwork, task: Task) -> TaskNetwork:
    """The model whose classifier gives scores on their own scale; itself where there is nothing to fold."""
    if task.folded() == task:
        return module
    assert isinstance(module, BertForSentence | BertForShape)
    assert isinstance(task, SentenceTask)
    return scaled_head(module, task.scale, task.center)


def scaled_head(
    module: BertForSentence | BertForShape, scale: float, center: float = 0.0
) -> BertForSentence | BertForShape:
    """The model whose outputs are scale · output + center; the given one stays as it is."""
    scaled = copy.copy(module)
    scaled._modules = dict(module._modules)
    last = copy.deepcopy(scaled.get_submodule(module.head))
    assert isinstance(last, Classifier)
    with torch.no_grad():
        last.weight.mul_(scale)
        last.bias.mul_(scale).add_(center)
    scaled.register_module(module.head, last)
    return scaled
