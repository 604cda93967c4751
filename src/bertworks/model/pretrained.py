"""Model directories as transformers writes and reads them: `config.json` and `model.safetensors`."""

import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json, whole_directory, whole_file, write_json
from bertworks.model.bert import BertForPreTraining, BertForSentence, BertForSpan, BertForTokens, TaskNetwork
from bertworks.model.config import BertConfig
from bertworks.model.embedding import BertForEmbedding
from bertworks.model.encoder import BertEncoder
from bertworks.model.head_shape import OF_TOKENS, PLAIN, HeadShape
from bertworks.model.initialise import seeded
from bertworks.model.names import HEAD_NAMES, HEADS, hf_names, with_prefix
from bertworks.model.shaped import BertForShape
from bertworks.model.weight_files import read_weights
from bertworks.model.weights import LoadReport, canonical, config_of, load_into

log = logging.getLogger(__name__)

Network = TypeVar("Network", bound=TaskNetwork)

CONFIG_FILES = ("config.json", "bert_config.json")
ARCHITECTURES = {
    "BertForPreTraining": "BertForPreTraining",
    "BertForSentence": "BertForSequenceClassification",
    "BertForTokens": "BertForTokenClassification",
    "BertForSpan": "BertForQuestionAnswering",
    "BertForEmbedding": "BertModel",
    "BertEncoder": "BertModel",
}


def read_config(path: str | Path) -> BertConfig:
    """The config of a model directory.

    Raises BertworksError if there is none, or if it describes something else.
    """
    return BertConfig.from_json(read_config_json(path))


def read_config_json(path: str | Path) -> dict[str, Any]:
    """The content of a model directory's config file."""
    for name in CONFIG_FILES:
        if (Path(path) / name).is_file():
            content = read_json(Path(path) / name)
            if not isinstance(content, dict):
                raise BertworksError(f"{Path(path) / name}: expected an object with the sizes of the model")
            return content
    raise BertworksError(f"{path}: has no config.json", "a model directory holds config.json and model.safetensors")


def load_encoder(
    path: str | Path, generator: torch.Generator | None = None
) -> tuple[BertEncoder, BertConfig, LoadReport]:
    """The encoder of a model directory, in float32.

    generator  of tensors the file does not have; None is one seeded with 0. The report names them, the log warns.
    Raises BertworksError if the directory holds no BERT that fits its config.
    """
    config = read_config(path)
    with torch.device("meta"):
        encoder = BertEncoder(config)
    return encoder, config, fill(encoder, path, generator)


def load_pre_training(
    path: str | Path, generator: torch.Generator | None = None
) -> tuple[BertForPreTraining, BertConfig, LoadReport]:
    """The encoder with the heads of pre-training; `report.heads_not_found` says which of them are random."""
    config = read_config(path)
    with torch.device("meta"):
        model = BertForPreTraining.new(config)
    return model, config, fill(model, path, generator)


def load_for_task(
    path: str | Path,
    network: type[Network],
    outputs: int | None = None,
    generator: torch.Generator | None = None,
    *,
    shape: HeadShape = PLAIN,
    weights: Mapping[str, Tensor] | None = None,
    layers: int | None = None,
) -> tuple[Network, BertConfig, LoadReport]:
    """The encoder with a task's head.

    outputs  of a new random head; None takes the directory's own, and it is an error if it has none
    shape    of the head; with another one than BERT's the result is a BertForShape that answers as `network` does
    weights  already read (adapters merged, layers left out); None reads the directory's
    layers   of the encoder, from below; None = as many as the directory has
    """
    config = read_config(path)
    config = dataclasses.replace(config, num_hidden_layers=layers or config.num_hidden_layers)
    weights = read_weights(path) if weights is None else weights
    head = network.head if shape.is_plain else BertForShape.head
    stored = canonical(weights).get(HEADS[head] + "weight") if head else ()
    if outputs is None and stored is None:
        raise BertworksError(f"{path}: has no {HEAD_NAMES[head]}", "fine-tune it first with `bertworks finetune`")
    with torch.device("meta"):
        model = new_network(network, config, outputs if outputs is not None else len(stored), shape=shape)  # type: ignore[arg-type]
    fresh = () if outputs is None else tuple({head, *(() if shape.is_plain else ("pooling", "hidden"))})
    return cast("Network", model), config, fill(model, path, generator, weights=weights, fresh=fresh)


def new_network(
    network: type[TaskNetwork],
    config: BertConfig,
    outputs: int,
    generator: torch.Generator | None = None,
    *,
    shape: HeadShape = PLAIN,
) -> TaskNetwork:
    """Random weights of a task's network, or of one that answers alike through another head.

    Raises BertworksError where that network cannot have the shape.
    """
    if shape.is_plain:
        return network.new(config, outputs, generator)
    of_tokens = issubclass(network, BertForTokens | BertForSpan)
    if not of_tokens and not issubclass(network, BertForSentence):
        raise BertworksError(f"{shape.describe()}: this task has a head of its own", "leave `pooling` and `head` out")
    if of_tokens and shape.pooling not in OF_TOKENS:
        raise BertworksError(
            f"pooling `{shape.pooling}` makes one vector of a text, this task answers for each token",
            f"choose {', '.join(OF_TOKENS)}",
        )
    return BertForShape.new(config, outputs, generator, shape=shape, of_tokens=of_tokens)


def fill(
    module: nn.Module,
    path: str | Path,
    generator: torch.Generator | None,
    *,
    weights: Mapping[str, Tensor] | None = None,
    fresh: tuple[str, ...] = (),
) -> LoadReport:
    """Give a module on the meta device memory and a directory's weights; log what was not found."""
    module.to_empty(device="cpu")
    tensors = read_weights(path) if weights is None else weights
    report = load_into(module, tensors, source=str(path), fresh=fresh, generator=generator or seeded(0))
    for sentence in report.sentences():
        log.warning("%s: %s", path, sentence)
    return report


def to_hf(module: nn.Module, *, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """A module's parameters by Hugging Face's names, on the CPU; fused ones are split, tied ones stand there once.

    A bare encoder, and one without a head, gets no `bert.` in front, as transformers' BertModel.
    """
    config = config_of(module)
    is_bare = not hasattr(module, "encoder") or isinstance(module, BertForEmbedding)
    tensors = {}
    for name, parameter in module.named_parameters():
        theirs = hf_names(name, config.pre_norm)
        for one, part in zip(theirs, parameter.detach().to("cpu", dtype).chunk(len(theirs)), strict=True):
            tensors[one if is_bare else with_prefix(one)] = part.contiguous()
    return tensors


def write_pretrained(
    module: nn.Module,
    directory: Path,
    *,
    dtype: torch.dtype | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write `model.safetensors` and `config.json` into an existing folder, then read them back and compare.

    dtype     of the file, for example float16 to halve it; the config still asks readers to compute in float32
    settings  more keys for config.json: id2label, problem_type, pad_token_id, …
    Raises BertworksError if what is read back is not what was to be written.
    """
    tensors = to_hf(module, dtype=dtype)
    with whole_file(directory / "model.safetensors") as handle:
        handle.write(save(tensors, metadata={"format": "pt"}))
    architecture = ARCHITECTURES.get(type(module).__name__, "BertModel")
    content = config_of(module).to_json(architecture)
    if isinstance(module, BertForSentence | BertForTokens):
        labels = [f"LABEL_{i}" for i in range(len(module.classifier.weight))]
        content["id2label"] = {str(i): label for i, label in enumerate(labels)}
        content["label2id"] = {label: i for i, label in enumerate(labels)}
    write_json(directory / "config.json", content | dict(settings or {}))
    compare(directory, tensors, config_of(module))


def save_pretrained(
    module: nn.Module,
    directory: str | Path,
    *,
    dtype: torch.dtype | None = None,
    settings: Mapping[str, Any] | None = None,
    also: Callable[[Path], None] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a model directory that appears whole or not at all.

    also  writes more files into the folder (tokenizer, labels) before it appears
    See write_pretrained for the rest. Raises BertworksError if the directory exists and may not be overwritten.
    """
    with whole_directory(directory, overwrite=overwrite) as folder:
        write_pretrained(module, folder, dtype=dtype, settings=settings)
        if also is not None:
            also(folder)


def compare(directory: Path, tensors: Mapping[str, Tensor], config: BertConfig) -> None:
    """Raise BertworksError unless the directory gives back these tensors, bit for bit, and this config."""
    found = read_weights(directory)
    for name in sorted(set(found) | set(tensors)):
        if name not in found or name not in tensors or not same(found[name], tensors[name]):
            raise BertworksError(f"{directory}: {name} was not written as it is in memory", exit_code=1)
    if read_config(directory) != config:
        raise BertworksError(f"{directory}: config.json does not give back the model's config", exit_code=1)


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same bits; a NaN equals itself."""
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.view(torch.uint8), b.view(torch.uint8))
