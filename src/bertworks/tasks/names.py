"""The words of `--task`; apart from the tasks, so that a recipe is read without numpy."""

from typing import Literal

TaskName = Literal["classify", "labels", "score", "tag", "qa", "intent-slots", "choice", "embed", "rerank"]
"""The words of `--task`; `known.FROM_SETTINGS` says what stands behind each."""
