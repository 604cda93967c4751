"""Further losses on the shared encoder: heads at lower layers, masked tokens and next sentence of the task's own texts.

Heads at lower layers learn the task itself (deep supervision: Lee et al. 2015, arXiv 1409.5185). Masked tokens and next
sentence go on with what the start was trained for (Devlin et al. 2019, section 3.1; on the task's own texts: Gururangan
et al. 2020, section 4). None of these heads is saved.

Letters: P tokens read, masked tokens or pairs, E hidden size.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bertworks.base.errors import BertworksError
from bertworks.base.randomness import generator
from bertworks.finetune.auxiliary_batches import AuxiliaryBatch
from bertworks.finetune.recipe import AuxiliaryRecipe
from bertworks.finetune.start import Start
from bertworks.model.bert import BertForPreTraining, TaskNetwork
from bertworks.model.dropout import Dropout
from bertworks.model.encoder import BertEncoder
from bertworks.model.heads import MaskedTokenHead, NextSentenceHead, Pooler
from bertworks.model.last_layer import chosen, states_at
from bertworks.model.layer_heads import LayerHead
from bertworks.model.layout import Rows
from bertworks.model.pretrained import load_pre_training
from bertworks.tasks.embedding import EmbedTask
from bertworks.tasks.task import Task

NAME = "auxiliary"
"""Of the attribute of a network in training that holds these heads; parameters are called by it in checkpoints."""

HEADS = {"mlm": ("masked_head",), "nsp": ("pooler", "next_sentence_head")}
"""Of the start, that each loss needs."""


class Auxiliaries(nn.Module):
    """The heads, and what each loss weighs.

    weights  loss name -> weight: "layers" (of all heads at layers together), "mlm", "nsp"; only those that are on
    """

    def __init__(self, recipe: AuxiliaryRecipe, start: Start, task: Task, seed: int) -> None:
        super().__init__()
        own = torch.Generator().manual_seed(int(generator("finetune auxiliary", seed).integers(2**62)))
        on = recipe.by_layer
        self.layers = nn.ModuleList(LayerHead(task.network, start.config, task.num_outputs, k, own) for k in on)
        self.by_layer = on
        self.weights = {"layers": sum(on.values()), "mlm": recipe.mlm, "nsp": recipe.nsp}
        self.weights = {name: weight for name, weight in self.weights.items() if weight}
        self.masked_head: MaskedTokenHead | None = None
        self.pooler: Pooler | None = None
        self.next_sentence_head: NextSentenceHead | None = None
        if recipe.has_texts:
            model = pre_trained(start, recipe)
            if recipe.mlm:
                self.masked_head = model.masked_head
            if recipe.nsp:
                self.pooler, self.next_sentence_head = model.pooler, model.next_sentence_head

    def layer_outputs(
        self, encoder: BertEncoder, states: Mapping[int, Tensor], rows: Rows, dropout: Dropout | None
    ) -> list[Tensor]:
        """Outputs (P, C) of each head at a layer, from the states (R, L, E) of their layers."""
        return [
            head(encoder.normed(chosen(states[head.layer], rows.read_index)), dropout)
            for head in self.layers
            if isinstance(head, LayerHead)
        ]

    def loss(self, encoder: BertEncoder, batch: AuxiliaryBatch, dropout: Dropout | None, scale: float) -> Tensor:
        """The weighed loss sum of masked tokens or pairs, times the scale; () to be added with factor 1."""
        scale = scale * self.weights[batch.name]
        states = states_at(encoder, batch.rows, batch.rows.read_index, dropout, direct=True)
        if batch.name == "mlm":
            assert self.masked_head is not None
            found = self.masked_head.loss(states, batch.labels, encoder.embeddings.word, scale=scale, direct=True)
            return found.loss
        assert self.pooler is not None
        assert self.next_sentence_head is not None
        logits = self.next_sentence_head(self.pooler(states)).float()
        return functional.cross_entropy(logits, batch.labels, reduction="sum") * scale

    def told(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Of an update's weighed losses, in nats per target: task_loss, layer_loss (mean of the heads'), mlm_loss, …"""
        names = {"loss": "task_loss", "layers": "layer_loss", "mlm": "mlm_loss", "nsp": "nsp_loss"}
        return {names[name]: value / self.weights.get(name, 1.0) for name, value in losses.items()}


def pre_trained(start: Start, recipe: AuxiliaryRecipe) -> BertForPreTraining:
    """The start with its heads of pre-training. Raises BertworksError where one that is needed is not there."""
    found = None
    if start.path is not None:
        found, _, report = load_pre_training(start.path)
        lost = report.heads_not_found
    for name, heads in HEADS.items():
        needed = [head for head in heads if found is None or head in lost]
        if getattr(recipe, name) and needed:
            raise BertworksError(
                f"auxiliary.{name}: {start.name} has no head of pre-training for it",
                "start from a checkpoint that was saved with it, or leave it out",
            )
    assert found is not None
    return found


def check_auxiliaries(recipe: AuxiliaryRecipe, start: Start, task: Task) -> None:
    """Raise BertworksError for a layer that is not there or not below the head, and for a head the start lacks."""
    layers = start.config.num_hidden_layers
    for layer in recipe.by_layer:
        if layer >= layers:
            raise BertworksError(
                f"auxiliary.layers: {layer} is not below the layer that the head reads, {layers}",
                f"1 to {layers - 1} are" if layers > 1 else "leave it out",
            )
    if recipe.by_layer and isinstance(task, EmbedTask):
        raise BertworksError("auxiliary.layers: vectors of texts have no head that could read a layer", "leave it out")
    if recipe.has_texts:
        pre_trained(start, recipe)


def means(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each part of the loss over the updates that had it."""
    names = dict.fromkeys(name for part in parts for name in part)
    found = {name: [part[name] for part in parts if name in part] for name in names}
    return {name: math.fsum(values) / len(values) for name, values in found.items()}


def without_auxiliaries(model: TaskNetwork) -> TaskNetwork:
    """The network as it is saved; the given one stays as it is."""
    if NAME not in model._modules:
        return model
    bare = copy.copy(model)
    bare._modules = {name: module for name, module in model._modules.items() if name != NAME}
    return bare
