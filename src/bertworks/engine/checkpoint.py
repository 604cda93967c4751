"""Checkpoints: a folder that appears whole, holding weights, moments and the state that makes a resume exact.

`RUN/checkpoints/<step>/` = model.safetensors (float32 masters), optimizer.safetensors (moments), state.json.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json, remove, whole_directory, whole_file, write_json

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What was read back: tensors by name, and the state saved beside them."""

    path: Path
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


def save_checkpoint(
    run: Path,
    step: int,
    model: Mapping[str, Tensor],
    optimizer: Mapping[str, Tensor],
    state: Mapping[str, Any],
    *,
    keep: int = 2,
) -> Path:
    """Write `RUN/checkpoints/<step>` durably, then drop the oldest beyond `keep`. Returns the folder."""
    target = run / "checkpoints" / str(step)
    with whole_directory(target, overwrite=True) as folder:
        for name, tensors in (("model", model), ("optimizer", optimizer)):
            with whole_file(folder / f"{name}.safetensors") as handle:
                handle.write(safetensors.torch.save({key: value.contiguous() for key, value in tensors.items()}))
        write_json(folder / "state.json", {"format": FORMAT, "step": step, **state})
    for old in checkpoints(run)[:-keep]:
        remove(old)
    return target


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoint folders, oldest first."""
    folder = run / "checkpoints"
    found = [path for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint folder.

    Raises BertworksError when a file is missing or truncated, or the format is newer than this version's.
    """
    state = read_json(path / "state.json")
    if state.get("format", 0) > FORMAT:
        raise BertworksError(f"{path}: checkpoint format {state['format']} is newer than {FORMAT}", "update bertworks")
    tensors = {}
    for name in ("model", "optimizer"):
        file = path / f"{name}.safetensors"
        try:
            tensors[name] = safetensors.torch.load_file(file)
        except (SafetensorError, FileNotFoundError) as error:
            hint = "delete this checkpoint; the one before it stands"
            raise BertworksError(f"{file}: cannot be read ({error})", hint) from error
    return Checkpoint(path, tensors["model"], tensors["optimizer"], state)


def copy_tensors(target: Mapping[str, Tensor], source: Mapping[str, Tensor], what: str) -> None:
    """Copy saved tensors into live ones of the same names and shapes.

    Raises BertworksError that names the first tensor that does not fit.
    """
    for name, value in target.items():
        if name not in source:
            raise BertworksError(f"{what}: no tensor `{name}`", "the checkpoint is of another model")
        if value.shape != source[name].shape:
            found, wanted = tuple(source[name].shape), tuple(value.shape)
            told = f"{what}: `{name}` is {found}, the model wants {wanted}"
            raise BertworksError(told, "the checkpoint is of another model")
        value.copy_(source[name])
