"""Where a run starts: a checkpoint and its vocabulary, or random weights of a preset."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from bertworks.base.errors import BertworksError
from bertworks.base.places import PRESET, find_model
from bertworks.finetune.recipe import ModelRecipe
from bertworks.model.bert import TaskNetwork
from bertworks.model.config import BertConfig, number_of_parameters, preset
from bertworks.model.pretrained import load_for_task, read_config
from bertworks.predict.directory import check_vocabulary, load_tokenizer
from bertworks.tasks.task import Task
from bertworks.text.tokenizer import Tokenizer

VOCABULARY_FILES = ("tokenizer.json", "vocab.txt")


@dataclass(frozen=True)
class Start:
    """A checkpoint before its weights are read, or the sizes of a random network.

    path  model directory; None = random weights
    """

    name: str
    path: Path | None
    config: BertConfig
    tokenizer: Tokenizer

    @property
    def is_random(self) -> bool:
        """Whether all weights are made up."""
        return self.path is None

    def describe(self) -> str:
        """One line: name, sizes, vocabulary."""
        c = self.config
        sizes = f"{c.num_hidden_layers} layers x {c.hidden_size}, {number_of_parameters(c) / 1e6:.1f} M parameters"
        casing = "uncased" if self.tokenizer.lowercase else "cased"
        found = "" if str(self.path) == self.name else f"; weights of {self.path}"
        weights = "; random weights" if self.is_random else found
        return f"{self.name}: {sizes}, {self.tokenizer.vocab_size:,} tokens, {casing}{weights}"

    def build(self, task: Task, seed: int) -> TaskNetwork:
        """The network with a new head for the task; what is random is drawn from `seed`.

        Raises BertworksError where the checkpoint does not fit its config.
        """
        generator = torch.Generator().manual_seed(seed)
        if self.path is None:
            return task.network.new(self.config, task.num_outputs, generator)
        model, _, _ = load_for_task(self.path, task.network, task.num_outputs, generator)
        model.encoder.config = self.config  # with the dropout of the recipe, which is saved with the weights
        return model


def find_start(recipe: ModelRecipe) -> Start:
    """Look at what the recipe starts from; reads sizes and vocabulary, no weights.

    Raises BertworksError for a model that is not there, or a vocabulary that is not the model's.
    """
    if recipe.start.startswith(PRESET):
        if recipe.vocab is None:
            raise BertworksError(f"`{recipe.start}` has no vocabulary of its own", "name one: `--vocab DIR`")
        tokenizer = Tokenizer.load(recipe.vocab)
        config = preset(recipe.start.removeprefix(PRESET), tokenizer.vocab_size)
        return Start(recipe.start, None, with_dropout(config, recipe.dropout), tokenizer)
    path = find_model(recipe.start)
    config = read_config(path)
    tokenizer = load_tokenizer(path, config) if recipe.vocab is None else given_vocabulary(recipe.vocab, path, config)
    return Start(recipe.start, path, with_dropout(config, recipe.dropout), tokenizer)


def given_vocabulary(vocab: str, path: Path, config: BertConfig) -> Tokenizer:
    """The vocabulary of `--vocab` for a checkpoint; raises BertworksError where the checkpoint knows another one."""
    tokenizer = Tokenizer.load(vocab)
    check_vocabulary(tokenizer, config, vocab)
    if any((path / name).is_file() for name in VOCABULARY_FILES) and Tokenizer.load(path).tokens != tokenizer.tokens:
        raise BertworksError(
            f"{vocab}: is another vocabulary than the one saved with {path}",
            "leave `--vocab` out, the model has its own",
        )
    return tokenizer


def with_dropout(config: BertConfig, dropout: float | None) -> BertConfig:
    """The config with another dropout, None leaves it."""
    if dropout is None:
        return config
    return dataclasses.replace(config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
