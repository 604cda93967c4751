"""Adapters in peft's form: a folder with `adapter_config.json` and `adapter_model.safetensors`, out and in.

Names there: `base_model.model.` + the module's name in transformers + `.lora_A.weight` (r, inputs) or `.lora_B.weight`
(outputs, r); modules that were trained whole keep their own names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json, whole_file, write_json
from bertworks.model.bert import TaskNetwork
from bertworks.model.lora import LoraQkv
from bertworks.model.names import is_encoder, one_form, with_prefix
from bertworks.model.pretrained import to_hf
from bertworks.model.weights import canonical

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
TASK_TYPES = {"BertForSentence": "SEQ_CLS", "BertForTokens": "TOKEN_CLS", "BertForSpan": "QUESTION_ANS"}


@dataclass(frozen=True)
class PeftFolder:
    """What was read.

    base    the name or path of the model under it
    scale   of B A
    pairs   name of a weight in one form (no `bert.`) -> A (r, inputs), B (outputs, r)
    whole   name in one form -> tensor that replaces the base's
    """

    base: str
    scale: float
    pairs: dict[str, tuple[Tensor, Tensor]]
    whole: dict[str, Tensor]


def is_peft_folder(folder: Path) -> bool:
    """Whether a folder holds adapters and no model."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def write_adapters(layers: Sequence[LoraQkv], module: TaskNetwork, folder: Path, *, base: str) -> None:
    """Write the adapters of each layer, and the head of a module, for transformers' class of the task.

    module  merged, its head as it is saved; a head that transformers does not know is left out
    base    the start, as the recipe names it
    """
    task_type = TASK_TYPES.get(type(module).__name__)
    tensors: dict[str, Tensor] = {}
    for i, adapter in enumerate(layers):
        for target in adapter.targets:
            name = f"encoder.layer.{i}.attention.self.{target}"
            name = _PREFIX + (with_prefix(name) if task_type else name)
            for which, tensor in zip("AB", adapter.factors(target), strict=True):
                tensors[f"{name}.lora_{which}.weight"] = tensor.detach().float().cpu().contiguous()
    heads: dict[str, Tensor] = {}
    if task_type:
        heads = {name: tensor for name, tensor in to_hf(module).items() if not is_encoder(one_form(name))}
    tensors |= {_PREFIX + name: tensor for name, tensor in heads.items()}
    rank = len(layers[0].factors(layers[0].targets[0])[0])
    alpha = layers[0].scale * rank
    content = {
        "peft_type": "LORA",
        "task_type": task_type or "FEATURE_EXTRACTION",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "lora_dropout": 0.0,
        "target_modules": list(layers[0].targets),
        "modules_to_save": sorted({one_form(name).split(".")[0] for name in heads}) or None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    folder.mkdir(exist_ok=True)
    with whole_file(folder / TENSORS) as handle:
        handle.write(save(tensors, metadata={"format": "pt"}))
    write_json(folder / CONFIG, content)


def read_adapters(folder: Path) -> PeftFolder:
    """Read a peft folder. Raises BertworksError where it is not LoRA in its plain form, or is broken."""
    content = read_json(folder / CONFIG)
    where = folder / CONFIG
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        kind = content.get("peft_type") if isinstance(content, dict) else type(content).__name__
        raise BertworksError(f"{where}: adapters of kind {kind}, only LORA is read", "merge them where they were made")
    for key in ("use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out"):
        if content.get(key):
            raise BertworksError(f"{where}: `{key}` is set, which is not read", "merge them where they were made")
    base = content.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise BertworksError(f"{where}: names no `base_model_name_or_path`", "add the folder of the model under it")
    try:
        tensors = load_file(folder / TENSORS)
    except (SafetensorError, FileNotFoundError) as error:
        raise BertworksError(f"{folder / TENSORS}: cannot be read ({error})", "copy the folder again") from error
    return PeftFolder(base, scale_of(content, where), *sorted_out(tensors, folder))


def scale_of(content: Mapping[str, Any], where: Path) -> float:
    """What B A is multiplied by."""
    rank, alpha = content.get("r"), content.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise BertworksError(f"{where}: `r` is {rank}, `lora_alpha` {alpha}, expected numbers", "copy the folder again")
    return alpha / (math.sqrt(rank) if content.get("use_rslora") else rank)


def sorted_out(
    tensors: Mapping[str, Tensor], folder: Path
) -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, Tensor]]:
    """Pairs of factors, and tensors that stand for themselves."""
    short = {one_form(name.removeprefix(_PREFIX)): tensor for name, tensor in tensors.items()}
    pairs, whole = {}, {}
    for name, tensor in short.items():
        stem, _, kind = name.rpartition(".lora_")
        if not stem:
            whole[name.replace(".modules_to_save", "")] = tensor
        elif kind == "A.weight" and f"{stem}.lora_B.weight" in short:
            pairs[f"{stem}.weight"] = tensor, short[f"{stem}.lora_B.weight"]
        elif kind != "B.weight" or f"{stem}.lora_A.weight" not in short:
            what = f"{folder / TENSORS}: `{name}` is not read"
            raise BertworksError(what, "only pairs of lora_A and lora_B of linear maps are")
    return pairs, whole


def with_adapters(weights: Mapping[str, Tensor], folder: PeftFolder, where: str) -> dict[str, Tensor]:
    """The base's tensors, names in one form, with the adapters merged. Raises BertworksError where they do not fit."""
    tensors = canonical(weights)
    for name, (first, second) in folder.pairs.items():
        base = tensors.get(name)
        product = tuple(base.shape) if base is not None else None
        if base is None or (len(second), first.shape[1]) != product or len(first) != second.shape[1]:
            found = f"an adapter for `{name}` ({len(second)}, {first.shape[1]}), the base has {product}"
            raise BertworksError(f"{where}: {found}", "put the model they were made on into adapter_config.json")
        tensors[name] = (base.float() + folder.scale * (second.float() @ first.float())).to(base.dtype)
    return {**tensors, **folder.whole}
