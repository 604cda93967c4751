"""A model directory says what it answers: nothing after pre-training, and what this version knows after fine-tuning."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import bertworks as bw
from bertworks.base.errors import BertworksError
from bertworks.base.places import PACKAGED, find_model
from bertworks.model.bert import BertForSentence
from bertworks.model.pretrained import load_for_task, save_pretrained
from bertworks.predict.directory import load_model, write_settings
from bertworks.pretrain.run import pretrain
from bertworks.tasks.labels import Labels
from bertworks.tasks.sentence import SentenceTask
from bertworks.text.tokenizer import Tokenizer
from finetune_support import model_folder
from tiny_pretraining import recipe_of, tiny_corpus

TASK = SentenceTask("classify", False, Labels(("left", "right")))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a pre-training run of two updates."""
    corpus = tiny_corpus(tmp_path_factory.getbasetemp() / "tiny")
    folder = tmp_path_factory.mktemp("directory") / "run"
    pretrain(recipe_of(corpus, train__steps=2, train__evaluate_every=2), folder)
    return folder / "best"


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A random classifier, saved."""
    start = model_folder(tmp_path / "start")
    model, _, _ = load_for_task(start, BertForSentence, 2, torch.Generator().manual_seed(1))

    def also(target: Path) -> None:
        Tokenizer.load(start).save(target)
        write_settings(target, TASK, 40)

    save_pretrained(model, tmp_path / "model", settings=TASK.config_keys(), also=also)
    return tmp_path / "model"


def settings_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "bertworks.json").read_text())
    return content


def assert_answers_nothing(folder: Path | str) -> None:
    """It opens, encodes, and has no classifier."""
    model = bw.load(folder)
    assert model.task is None
    assert len(model.encode(["one text", "another"])) == 2
    with pytest.raises(BertworksError, match="has no classifier") as refused:
        model.predict(["one text"])
    assert "bertworks finetune" in refused.value.hint
    with pytest.raises(BertworksError, match="has no classifier"):
        _ = model.labels


@pytest.mark.parametrize("at", ["best", "run"])
def test_a_pretrained_model_opens_and_has_no_task(pretrained: Path, at: str) -> None:
    assert settings_of(pretrained) == {"format": 1, "task": "pretrain", "segments": "nsp", "max_length": 32}
    assert_answers_nothing(pretrained if at == "best" else pretrained.parent)


def test_a_pretrained_model_of_before_there_was_a_format_opens_alike(pretrained: Path, tmp_path: Path) -> None:
    shutil.copytree(pretrained, tmp_path / "old")
    older = {name: value for name, value in settings_of(pretrained).items() if name != "format"}
    assert older != settings_of(pretrained)
    (tmp_path / "old" / "bertworks.json").write_text(json.dumps(older))
    assert_answers_nothing(tmp_path / "old")


def test_the_packaged_model_has_no_task() -> None:
    assert settings_of(find_model(PACKAGED[0]))["format"] == 1
    assert_answers_nothing(PACKAGED[0])


UNKNOWN = {
    "labels": {"task": "labels"},
    "tag": {"task": "tag", "pair": False},
    "foo": {"task": "foo", "labels": {"names": ["a", "b"]}},
    "classify": {"task": "classify"},
    "None": {},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_task_that_is_not_known_or_not_whole_is_told_in_one_sentence(classifier: Path, name: str) -> None:
    assert bw.load(classifier).task == "classify", "it is whole before"
    content = settings_of(classifier)
    (classifier / "bertworks.json").write_text(json.dumps({**content, "task": UNKNOWN[name]}))
    message = rf"task `{name}`(, which this version does not know| are not whole)"
    with pytest.raises(BertworksError, match=message):
        load_model(classifier)
    model = bw.load(classifier)
    with pytest.raises(BertworksError, match=message):
        model.predict(["the cat"])
    with pytest.raises(BertworksError, match=message):
        _ = model.task


@pytest.mark.parametrize("task", ["foo", None, ["classify"]])
def test_a_task_that_is_no_object_is_told_in_one_sentence(classifier: Path, task: object) -> None:
    content = settings_of(classifier)
    (classifier / "bertworks.json").write_text(json.dumps({**content, "task": task}))
    with pytest.raises(BertworksError, match="task"):
        load_model(classifier)
