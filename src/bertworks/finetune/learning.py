"""Which parts of a network learn, when, and how fast.

A part is a number from below: 0 the embeddings, 1 … L the layers, L + 1 all that stands above the encoder.
"""

from __future__ import annotations

import re

import torch
from torch import nn

from bertworks.base.errors import BertworksError
from bertworks.engine.optimiser import AdamW
from bertworks.engine.parameters import FlatParameters
from bertworks.finetune.epochs import Epochs
from bertworks.finetune.recipe import FinetuneRecipe, ModelRecipe
from bertworks.model.bert import TaskNetwork
from bertworks.model.initialise import initialise
from bertworks.model.lora import add_adapters


def part_of(name: str, layers: int) -> int:
    """The part of a parameter by its name.

    >>> [part_of(name, 4) for name in ("encoder.embeddings.word", "encoder.layers.2.qkv.bias", "pooler.dense.bias")]
    [0, 3, 5]
    """
    if name.startswith("encoder.embeddings."):
        return 0
    layer = re.match(r"encoder\.layers\.(\d+)\.", name)
    if layer:
        return int(layer[1]) + 1
    return layers if name.startswith("encoder.") else layers + 1  # a final norm goes with the highest layer


def prepare_parts(model: TaskNetwork, recipe: ModelRecipe, generator: torch.Generator) -> None:
    """Begin the highest layers anew, freeze the lowest, put adapters in: what the recipe says of a model as read.

    Raises BertworksError for more layers than there are.
    """
    layers = model.config.num_hidden_layers
    for key, asked in (("reinit_layers", recipe.reinit_layers), ("freeze", recipe.freeze)):
        if isinstance(asked, int) and asked > layers:
            raise BertworksError(f"`model.{key}` is {asked}, the model has {layers} layers", f"at most {layers}")
    highest = layers if recipe.freeze == "encoder" else (recipe.freeze or 0)
    if recipe.reinit_layers and highest > layers - recipe.reinit_layers:
        raise BertworksError(
            f"`model.freeze` {recipe.freeze} stills layers that `model.reinit_layers` {recipe.reinit_layers} draws",
            "random layers must learn: lower one of them",
        )
    if recipe.reinit_layers:
        begin_anew(model, recipe.reinit_layers, generator)
    if recipe.freeze is not None:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(part_of(name, layers) > highest)
    if recipe.lora_rank is not None:
        add_adapters(model.encoder, recipe.lora_targets, recipe.lora_rank, recipe.lora_alpha, generator)


def begin_anew(model: TaskNetwork, number: int, generator: torch.Generator) -> None:
    """Random weights for the pooler and the `number` highest layers (Zhang et al. 2020, section 5)."""
    layers = model.config.num_hidden_layers
    names = [
        name
        for name, _ in model.named_parameters()
        if layers - number < part_of(name, layers) <= layers or name.startswith("pooler.")
    ]
    initialise(model, std=model.config.initializer_range, generator=generator, only=names)


class Learning:
    """The parts in training: each one's share of the rate, and the lowest that learns at a step.

    epochs  with `train.unfreeze`, after each epoch one part more begins to learn, from above (Howard & Ruder 2018,
            section 3.3)
    """

    def __init__(self, model: TaskNetwork, recipe: FinetuneRecipe, epochs: Epochs) -> None:
        train = recipe.train
        self._model, self._layers = model, model.config.num_hidden_layers
        self._unfreezes, self._epochs = train.unfreeze, epochs
        self._has_parts = train.unfreeze or train.layer_decay != 1
        # the head at the full rate, every part below at `layer_decay` of the one above (Sun et al. 2019)
        self.factors = [train.layer_decay ** (self._layers + 1 - part) for part in range(self._layers + 2)]
        self._learns = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        self._highest = max(part_of(name, self._layers) for name in self._learns)  # vectors have no head
        self._now = 0

    def optimiser(self, parameters: FlatParameters, *, eps: float, weight_decay: float) -> AdamW:
        """AdamW, in one sweep where all parts learn alike."""
        if not self._has_parts:
            return AdamW(parameters, eps=eps, weight_decay=weight_decay)
        return AdamW(
            parameters,
            eps=eps,
            weight_decay=weight_decay,
            part_of=lambda name: part_of(name, self._layers),
            factors=self.factors,
        )

    def lowest(self, step: int) -> int:
        """The lowest part that learns at update `step` (from 0); 0 without gradual unfreezing."""
        return max(0, self._highest - self._epochs.at(step)[0]) if self._unfreezes else 0

    def begin(self, step: int, optimiser: AdamW) -> None:
        """Before update `step`: what stands still gets no backward pass, no decay and no moments."""
        if not self._unfreezes:
            return
        self._now = self.lowest(step)
        for name, parameter in self._model.named_parameters():
            if name in self._learns:
                parameter.requires_grad_(part_of(name, self._layers) >= self._now)
        optimiser.only_from(self._now)

    def word_rate(self, lr: float) -> float:
        """The rate of the word table in the update that began last; 0 where it stood still."""
        return lr * self.factors[0] if self._now == 0 else 0.0


def learnt(model: nn.Module) -> tuple[int, int]:
    """Parameters that learn, of all."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, learns in sizes if learns), sum(size for size, _ in sizes)
