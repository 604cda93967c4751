"""All tasks by the word of `--task`; the one list of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.tasks.answering import SpanTask
from bertworks.tasks.choice import ChoiceTask
from bertworks.tasks.embedding import EmbedTask
from bertworks.tasks.intent_slots import FrameTask
from bertworks.tasks.reranking import RerankTask
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsTask
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.task import Task

FROM_SETTINGS: dict[str, Callable[[Mapping[str, Any]], Task]] = {
    "classify": SentenceTask.from_settings,
    "score": SentenceTask.from_settings,
    "labels": LabelsTask.from_settings,
    "tag": TagTask.from_settings,
    "qa": SpanTask.from_settings,
    "intent-slots": FrameTask.from_settings,
    "choice": ChoiceTask.from_settings,
    "embed": EmbedTask.from_settings,
    "rerank": RerankTask.from_settings,
}


def task_from_settings(settings: Mapping[str, Any]) -> Task:
    """The task that `settings()` describes, as stored with a model.

    Raises BertworksError for a task this version does not know.
    """
    name = str(settings.get("task"))
    if name not in FROM_SETTINGS:
        raise BertworksError(
            f"the model was trained for task `{name}`, which this version does not know",
            did_you_mean(name, FROM_SETTINGS) or f"known: {', '.join(FROM_SETTINGS)}",
        )
    try:
        return FROM_SETTINGS[name](settings)
    except (KeyError, TypeError) as error:
        raise BertworksError(
            f"the stored settings of task `{name}` are not whole: {error}", "they were written by another version"
        ) from error
