"""The switches that change how a network learns: whether they fit together with this task, and what they are called."""

from __future__ import annotations

from collections.abc import Iterator

from bertworks.base.errors import BertworksError
from bertworks.finetune.divergence import check_divergence
from bertworks.finetune.recipe import AuxiliaryRecipe, FinetuneRecipe
from bertworks.finetune.switches import named_switches
from bertworks.model.config import BertConfig
from bertworks.tasks.embedding import EmbedTask
from bertworks.tasks.task import Task


def check_techniques(recipe: FinetuneRecipe, config: BertConfig, task: Task) -> None:
    """Raise BertworksError for a switch that this task or this model cannot have; what layers allow is told later."""
    if recipe.train.fgm is not None and isinstance(task, EmbedTask) and task.kind == "rank":
        raise BertworksError(
            "`train.fgm` needs a loss of its own for each pass, that of vectors joins the whole update", "leave it out"
        )
    if recipe.train.r_drop is None:
        return
    check_divergence(task)
    if config.hidden_dropout_prob == config.attention_probs_dropout_prob == 0:
        raise BertworksError(
            "`train.r_drop` compares two passes with other dropout, and this model has none",
            "give a `model.dropout` above 0",
        )


def techniques(recipe: FinetuneRecipe) -> Iterator[str]:
    """A phrase for each switch that is on, in the order of the recipe."""
    model, train = recipe.model, recipe.train
    if model.pooling != "cls":
        yield f"{model.pooling} pooling"
    if model.head != "linear":
        size = "the encoder's width" if model.head_size is None else str(model.head_size)
        yield f"a hidden layer of {size} in the head"
    if model.pooling != "cls" or model.head != "linear":
        yield "this head is bertworks' own: transformers opens the encoder alone"
    if model.reinit_layers:
        yield f"the pooler and the {model.reinit_layers} highest layers begin at random"
    if model.freeze is not None:
        layers = {0: "", "encoder": " and all layers"}.get(model.freeze, f" and layers up to number {model.freeze}")
        yield f"embeddings{layers} frozen"
    if model.lora_rank is not None:
        adapters = f"LoRA of rank {model.lora_rank}, alpha {model.lora_alpha:g}, on {', '.join(model.lora_targets)}"
        yield f"{adapters}; the encoder frozen; `adapter/` has them in peft's form"
    if train.layer_decay != 1:
        yield f"rate x {train.layer_decay:g} from layer to layer downwards"
    if train.unfreeze:
        yield "head first, then one layer more each epoch"
    if train.ema is not None:
        yield f"exponential mean of the weights, decay {train.ema:g}"
    if train.swa is not None:
        yield f"mean of the weights over the last {train.swa:.0%} of the run"
    if train.fgm is not None:
        yield f"adversarial steps of {train.fgm:g} on the word table (FGM)"
    if train.r_drop is not None:
        yield f"R-Drop with weight {train.r_drop:g}"
    yield from auxiliaries(recipe.auxiliary)
    yield from named_switches(recipe)


def auxiliaries(recipe: AuxiliaryRecipe) -> Iterator[str]:
    """A phrase for each further loss."""
    for layer, weight in recipe.by_layer.items():
        yield f"a second head at layer {layer}, its loss times {weight:g}"
    when = f"alone in the first {recipe.first_steps:,} updates" if recipe.first_steps else "in every update"
    for name, weight in (("masked tokens", recipe.mlm), ("next sentence", recipe.nsp)):
        if weight:
            yield f"{name} of the training texts {when}, the loss times {weight:g}"
