"""Names → model directories, and a directory → everything an answer needs.

A directory that bertworks saved holds `bertworks.json` (task, labels, length); another one is read by its config.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json, write_json
from bertworks.base.places import find_model
from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig
from bertworks.model.head_shape import PLAIN, HeadShape
from bertworks.model.pretrained import load_for_task, load_pre_training, read_config, read_config_json
from bertworks.tasks.answering import SpanTask
from bertworks.tasks.choice import ChoiceTask
from bertworks.tasks.embedding import EmbedTask
from bertworks.tasks.known import task_from_settings
from bertworks.tasks.labels import Labels
from bertworks.tasks.schemes import scheme_of
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsTask
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.task import Task
from bertworks.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

SETTINGS_FILE = "bertworks.json"
FORMAT = 1
MOST_UNUSED_ROWS = 128  # of a word table padded to a round number; more is another vocabulary's table


@dataclass(frozen=True)
class ModelDirectory:
    """A fine-tuned model, ready to answer.

    is_foreign  not saved by bertworks: whether it reads one text or a pair is up to the rows
    """

    path: Path
    model: nn.Module
    config: BertConfig
    tokenizer: Tokenizer
    task: Task
    max_length: int
    is_foreign: bool = False


def load_tokenizer(path: Path, config: BertConfig) -> Tokenizer:
    """The vocabulary saved with a model. Raises BertworksError where it is another model's."""
    tokenizer = Tokenizer.load(path)
    check_vocabulary(tokenizer, config, path)
    return tokenizer


def check_vocabulary(tokenizer: Tokenizer, config: BertConfig, where: str | Path) -> None:
    """Raise BertworksError where a vocabulary does not fit a model's word table."""
    tokens, table = tokenizer.vocab_size, config.vocab_size
    if tokens > table or table - tokens > MOST_UNUSED_ROWS:
        raise BertworksError(
            f"{where}: the vocabulary has {tokens:,} tokens, the model's word table {table:,} rows",
            "use the vocabulary that was saved with the model",
        )


def load_model(name: str | Path) -> ModelDirectory:
    """Open a fine-tuned model in float32.

    Raises BertworksError for a directory without a classifier, or one saved by a newer version.
    """
    path = find_model(name)
    config = read_config(path)
    tokenizer = load_tokenizer(path, config)
    task = task_of(path)
    if task is None:
        raise BertworksError(f"{path}: has no classifier", "fine-tune it first with `bertworks finetune`")
    is_foreign = not (path / SETTINGS_FILE).is_file()
    max_length = config.max_position_embeddings if is_foreign else int(read_settings(path)["max_length"])
    if is_foreign:
        log.info("%s: not saved by bertworks; %s", path, task.describe()[0])
    shape = PLAIN if is_foreign else shape_of(path)
    model, config, _ = load_for_task(path, task.network, shape=shape)
    return ModelDirectory(path, model.eval(), config, tokenizer, task, max_length, is_foreign)


def load_masked(path: Path) -> BertForPreTraining:
    """The model with its masked-token head, in float32. Raises BertworksError where the head is not in the file."""
    model, _, report = load_pre_training(path)
    if "masked_head" in report.heads_not_found:
        raise BertworksError(
            f"{path}: has no masked-token head, a random one would guess at random",
            "use a pre-trained model; fine-tuning drops that head",
        )
    return model.eval()


def task_of(path: Path) -> Task | None:
    """What a model directory answers; None where it was not fine-tuned. Reads no weights.

    Raises BertworksError for a task of a newer version.
    """
    if (path / SETTINGS_FILE).is_file():
        if is_pretrained(path):
            return None
        return task_from_settings(read_settings(path)["task"])
    architectures = read_config_json(path).get("architectures") or [""]
    kinds = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
    return task_of_config(path) if str(architectures[0]).endswith(kinds) else None


def is_pretrained(path: Path) -> bool:
    """Whether `bertworks.json` is that of a pre-training run, which has nothing to answer with."""
    settings = read_json(path / SETTINGS_FILE)
    return isinstance(settings, dict) and settings.get("task") == "pretrain"


def read_settings(path: Path) -> dict[str, Any]:
    """The content of `bertworks.json`. Raises BertworksError where it is broken or of a newer format."""
    file = path / SETTINGS_FILE
    settings = read_json(file)
    if not isinstance(settings, dict) or not {"format", "task", "max_length"} <= set(settings):
        raise BertworksError(f"{file}: lacks `format`, `task` or `max_length`", "copy the model directory again")
    if not isinstance(settings["task"], dict) or not isinstance(settings["format"], int):
        raise BertworksError(f"{file}: `task` or `format` is not what this version writes", "copy the directory again")
    if settings["format"] > FORMAT:
        raise BertworksError(f"{file}: format {settings['format']} is newer than {FORMAT}", "update bertworks")
    return settings


def write_settings(
    folder: Path,
    task: Task,
    max_length: int,
    shape: HeadShape = PLAIN,
    *,
    calibration: Mapping[str, float] | None = None,
) -> None:
    """Write `bertworks.json`, all that prediction needs beside weights and vocabulary.

    calibration  what chose the temperature that is in the weights already, for whoever asks
    """
    more: dict[str, Any] = {} if shape.is_plain else {"head": shape.to_json()}
    if calibration is not None:
        more["calibration"] = dict(calibration)
    write_json(folder / SETTINGS_FILE, {"format": FORMAT, "max_length": max_length, "task": task.settings(), **more})
    if isinstance(task, EmbedTask):
        write_for_sentence_transformers(folder, max_length)


def write_for_sentence_transformers(folder: Path, max_length: int) -> None:
    """The files by which sentence-transformers knows how a folder's vectors are made; it cuts texts at `max_length`."""
    kinds = ("Transformer", "Pooling")
    modules = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    pooling = {
        "word_embedding_dimension": read_config(folder).hidden_size,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    }
    write_json(folder / "modules.json", modules)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    (folder / "1_Pooling").mkdir(exist_ok=True)
    write_json(folder / "1_Pooling" / "config.json", pooling)


def shape_of(path: Path) -> HeadShape:
    """The head's shape by `bertworks.json`. Raises BertworksError for one this version does not know."""
    content = read_settings(path).get("head")
    if content is None:
        return PLAIN
    return HeadShape.from_json(content if isinstance(content, dict) else {}, str(path / SETTINGS_FILE))


def task_of_config(path: Path) -> Task:
    """What a foreign directory's classifier does, by the keys transformers writes.

    Raises BertworksError for several labels a row.
    """
    content = read_config_json(path)
    if str((content.get("architectures") or [""])[0]).endswith("ForQuestionAnswering"):
        return SpanTask()
    if str((content.get("architectures") or [""])[0]).endswith("ForMultipleChoice"):
        return ChoiceTask()
    kind = content.get("problem_type")
    id2label = content.get("id2label") or {}
    names = tuple(str(id2label[key]) for key in sorted(id2label, key=int))
    if str((content.get("architectures") or [""])[0]).endswith("ForTokenClassification"):
        scheme = scheme_of([names])
        return TagTask(Labels(names), scheme, written=scheme)
    if kind == "multi_label_classification":
        return LabelsTask(False, Labels(names), (0.5,) * len(names))
    if kind == "regression" or (kind is None and len(names) == 1):
        return SentenceTask("score", pair=False)
    if len(names) < 2:
        raise BertworksError(f"{path}: names no classes", "its config.json lacks `id2label`; was it fine-tuned?")
    return SentenceTask("classify", False, Labels(names))
