"""What evaluate and predict share: a model opened on the device and in the precision of the flags."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertworks.predict.directory import ModelDirectory

log = logging.getLogger(__name__)


def open_model(name: str, device: str | None, dtype: str) -> ModelDirectory:
    """The fine-tuned model of a run or a directory; says in which precision it computes."""
    from bertworks.engine.memory import keep_memory
    from bertworks.engine.precision import choose_device, choose_dtype
    from bertworks.predict.directory import load_model

    keep_memory()
    place = choose_device(device or "auto")
    precision, why = choose_dtype(dtype, place)
    opened = load_model(name)
    log.info("%s: %s; computing in %s", opened.path, opened.task.describe()[0], why)
    return dataclasses.replace(opened, model=opened.model.to(place, precision))
