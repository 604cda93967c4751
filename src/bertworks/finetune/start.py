"""Where a run starts: a checkpoint and its vocabulary, or random weights of a preset."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bertworks.base.errors import BertworksError
from bertworks.base.places import PRESET, find_model
from bertworks.finetune.learning import prepare_parts
from bertworks.finetune.recipe import ModelRecipe
from bertworks.model.bert import TaskNetwork
from bertworks.model.config import BertConfig, number_of_parameters, preset
from bertworks.model.head_shape import HeadShape
from bertworks.model.peft_folder import PeftFolder, is_peft_folder, read_adapters, with_adapters
from bertworks.model.pretrained import load_for_task, new_network, read_config
from bertworks.model.weight_files import read_weights
from bertworks.model.weights import up_to_layer
from bertworks.predict.directory import check_vocabulary, load_tokenizer
from bertworks.tasks.task import Task
from bertworks.text.tokenizer import Tokenizer

VOCABULARY_FILES = ("tokenizer.json", "vocab.txt")


@dataclass(frozen=True)
class Start:
    """A checkpoint before its weights are read, or the sizes of a random network.

    path      model directory; None = random weights
    recipe    what is made of it: the head's shape, layers that begin anew, are frozen or get adapters
    adapters  to be merged into the directory's weights, one after another
    """

    name: str
    path: Path | None
    config: BertConfig
    tokenizer: Tokenizer
    recipe: ModelRecipe = field(default_factory=ModelRecipe)
    adapters: tuple[PeftFolder, ...] = ()

    @property
    def shape(self) -> HeadShape:
        """Of the head."""
        return HeadShape(self.recipe.pooling, self.recipe.head, self.recipe.head_size)

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
        weights = "; random weights" if self.is_random else found + (" with adapters merged" if self.adapters else "")
        weights += "" if self.recipe.layer is None else "; the head reads the last of these layers"
        return f"{self.name}: {sizes}, {self.tokenizer.vocab_size:,} tokens, {casing}{weights}"

    def build(self, task: Task, seed: int) -> TaskNetwork:
        """The network with a new head for the task; what is random is drawn from `seed`.

        Raises BertworksError where the checkpoint does not fit its config, or the task cannot have such a head.
        """
        generator = torch.Generator().manual_seed(seed)
        if self.path is None:
            model = new_network(task.network, self.config, task.num_outputs, generator, shape=self.shape)
        else:
            weights = read_weights(self.path)
            for adapters in self.adapters:
                weights = with_adapters(weights, adapters, self.name)
            layers = self.config.num_hidden_layers
            model, _, _ = load_for_task(
                self.path,
                task.network,
                task.num_outputs,
                generator,
                shape=self.shape,
                weights=up_to_layer(weights, layers),
                layers=layers,
            )
            model.encoder.config = self.config  # with the dropout of the recipe, which is saved with the weights
        prepare_parts(model, self.recipe, generator)
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
        return Start(recipe.start, None, as_asked(config, recipe), tokenizer, recipe)
    folder = Path(recipe.start)
    path, adapters = under_adapters(folder) if is_peft_folder(folder) else (find_model(recipe.start), ())
    config = read_config(path)
    tokenizer = load_tokenizer(path, config) if recipe.vocab is None else given_vocabulary(recipe.vocab, path, config)
    return Start(recipe.start, path, as_asked(config, recipe), tokenizer, recipe, adapters)


def under_adapters(folder: Path) -> tuple[Path, tuple[PeftFolder, ...]]:
    """The model under a peft folder, and the adapters on it, the first ones first.

    A base is looked for by the name its adapters give it, as it stands, or as seen from their folder; a run that began
    from adapters leaves adapters whose base is a peft folder again.
    Raises BertworksError where a base is not there, or is on itself.
    """
    hint = "put the folder of that model into `base_model_name_or_path` of adapter_config.json"
    found: list[PeftFolder] = []
    seen: list[Path] = []
    while True:
        adapters = read_adapters(folder)
        found.insert(0, adapters)
        seen.append(folder.resolve())
        beside = folder / adapters.base
        base = beside if beside.is_dir() else Path(adapters.base)
        if base.resolve() in seen:
            raise BertworksError(f"{folder}: adapters for `{adapters.base}`, which are on these", hint)
        if is_peft_folder(base):
            folder = base
            continue
        try:
            return find_model(beside if beside.is_dir() else adapters.base), tuple(found)
        except BertworksError as error:
            raise BertworksError(f"{folder}: adapters for `{adapters.base}`, which is not here", hint) from error


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


def as_asked(config: BertConfig, recipe: ModelRecipe) -> BertConfig:
    """The config with the dropout and the layers that the recipe asks for.

    Raises BertworksError for a layer that is not there.
    """
    if recipe.dropout is not None:
        config = dataclasses.replace(
            config, hidden_dropout_prob=recipe.dropout, attention_probs_dropout_prob=recipe.dropout
        )
    layers = config.num_hidden_layers
    if recipe.layer is not None and recipe.layer > layers:
        raise BertworksError(f"`model.layer` is {recipe.layer}, the model has {layers} layers", f"at most {layers}")
    return dataclasses.replace(config, num_hidden_layers=recipe.layer or layers)
