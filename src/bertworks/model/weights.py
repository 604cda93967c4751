"""Weights in: a table of tensors is put into a module, with a report of all that did not fit."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from bertworks.base.errors import BertworksError
from bertworks.model.config import BertConfig
from bertworks.model.initialise import initialise
from bertworks.model.names import (
    BUFFERS,
    COPIES,
    HEAD_NAMES,
    RENAMED,
    head_of,
    hf_names,
    is_encoder,
    one_form,
    shortened,
)


@dataclass(frozen=True)
class LoadReport:
    """What came from the file and what did not; names of tensors are Hugging Face's, without prefix.

    loaded           tensors taken from the file
    missing          tensors the file does not have
    made_up          our parameters left at their random values because of that
    unexpected       tensors of the file that no BERT has
    not_used         tensors of BERT that the module does not have, or not without one that is missing
    heads_not_found  attributes of the module's heads with no tensor in the file
    """

    loaded: int = 0
    missing: list[str] = field(default_factory=list)
    made_up: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    not_used: list[str] = field(default_factory=list)
    heads_not_found: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """What a user should know, one sentence a fact; empty when everything came from the file."""
        told = [f"the {HEAD_NAMES[head]} is not in the file, its weights are random" for head in self.heads_not_found]
        others = [name for name in self.missing if head_of(name) not in self.heads_not_found]
        if others:
            told.append(f"not in the file, their weights are random: {shortened(others)}")
        if self.unexpected:
            told.append(f"in the file and not known: {shortened(self.unexpected)}")
        return told


def load_into(
    module: nn.Module,
    weights: Mapping[str, Tensor],
    *,
    source: str = "the weights",
    fresh: Collection[str] = (),
    generator: torch.Generator | None = None,
) -> LoadReport:
    """Copy a checkpoint's tensors into the parameters of an encoder, or of a model with an `encoder` and heads.

    weights    by the names of a Hugging Face file, with or without `bert.`
    source     what messages call the file
    fresh      heads (attributes of the module) that are left random although the file may have them
    generator  of what the file does not have; without one such parameters keep the values they have
    Raises BertworksError if no encoder tensor fits, if shapes differ, or if the decoder is not the word table.
    """
    config = config_of(module)
    tensors = canonical(weights)
    check_tied(module, tensors, source)
    wanted = {name: hf_names(name, config.pre_norm) for name, _ in module.named_parameters()}
    present = {
        name: theirs
        for name, theirs in wanted.items()
        if name.split(".")[0] not in fresh and all(one in tensors for one in theirs)
    }
    if not any(is_encoder(one) for theirs in present.values() for one in theirs):
        shown = shortened(sorted(tensors)) or "none"
        raise BertworksError(f"{source}: no tensor of this encoder among {len(tensors)}", f"tensors there: {shown}")
    check_shapes(module, present, tensors, source)
    with torch.no_grad():
        for name, theirs in present.items():
            module.get_parameter(name).copy_(torch.cat([tensors[one] for one in theirs]))
    made_up = [name for name in wanted if name not in present]
    if generator is not None and made_up:
        initialise(module, std=config.initializer_range, generator=generator, only=made_up)
    return report(
        {name: theirs for name, theirs in wanted.items() if name.split(".")[0] not in fresh}, tensors, made_up
    )


def config_of(module: nn.Module) -> BertConfig:
    """The config of an encoder, or of a model with an `encoder`."""
    config = getattr(module, "encoder", module).config
    if not isinstance(config, BertConfig):
        raise TypeError(f"{type(module).__name__} has no BertConfig")
    return config


def canonical(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by their names in one form, without buffers; of a renamed tensor the one of the newer name counts."""
    tensors = {one_form(name): tensor for name, tensor in weights.items()}
    for old, new in RENAMED.items():
        if old in tensors:
            tensors.setdefault(new, tensors[old])
            del tensors[old]
    return {name: tensor for name, tensor in tensors.items() if name not in BUFFERS}


def up_to_layer(weights: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """A checkpoint's tensors without those of layers above the lowest `layers`."""
    return {
        name: tensor
        for name, tensor in weights.items()
        if not (layer := re.match(r"encoder\.layer\.(\d+)\.", one_form(name))) or int(layer[1]) < layers
    }


def check_tied(module: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Drop the copies of tied tensors; raise BertworksError if one is no copy and the module would use it."""
    for copy, original in COPIES.items():
        if copy not in tensors:
            continue
        differs = original in tensors and not torch.equal(tensors[copy], tensors[original])
        if differs and hasattr(module, "masked_head"):
            raise BertworksError(
                f"{source}: {copy} differs from {original}, its decoder is not tied to the word table",
                "only tied decoders are supported, as published",
            )
        del tensors[copy]


def check_shapes(
    module: nn.Module, present: Mapping[str, tuple[str, ...]], tensors: Mapping[str, Tensor], source: str
) -> None:
    """Raise BertworksError naming the first tensor whose shape is not the module's, and how many differ."""
    differing = []
    for name, theirs in present.items():
        shape = tuple(module.get_parameter(name).shape)
        part = (shape[0] // len(theirs), *shape[1:])
        differing += [(one, tuple(tensors[one].shape), part) for one in theirs if tuple(tensors[one].shape) != part]
    if not differing:
        return
    one, found, expected = differing[0]
    more = f"; {len(differing) - 1} more tensors differ" if len(differing) > 1 else ""
    is_vocabulary = one == "embeddings.word_embeddings.weight" and found[1:] == expected[1:]
    hint = (
        "the vocabulary is another one; use the file saved with it, vocab.txt beside the weights"
        if is_vocabulary
        else "the weights belong to another config.json"
    )
    raise BertworksError(f"{source}: {one} is {found}, the model wants {expected}{more}", hint)


def report(wanted: Mapping[str, tuple[str, ...]], tensors: Mapping[str, Tensor], made_up: list[str]) -> LoadReport:
    """The account of a load; `wanted` holds the parameters that were looked for."""
    missing = [one for name, theirs in wanted.items() if name in made_up for one in theirs if one not in tensors]
    used = {one for name, theirs in wanted.items() if name not in made_up for one in theirs}
    left = sorted(set(tensors) - used)
    known = {one for theirs in wanted.values() for one in theirs}
    heads = {head for theirs in wanted.values() for one in theirs if (head := head_of(one))}
    found = {head for one in used if (head := head_of(one))}
    return LoadReport(
        loaded=len(used),
        missing=missing,
        made_up=made_up,
        unexpected=[name for name in left if head_of(name) is None and name not in known],
        not_used=[name for name in left if head_of(name) is not None or name in known],
        heads_not_found=sorted(heads - found),
    )
