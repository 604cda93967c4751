"""Files of weights become tables of tensors: safetensors and PyTorch pickles, whole or in shards.

Nothing executable is ever loaded: pickles are read with torch's weights_only.
"""

import json
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json

# In this order: the safe form first, one file before shards
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
LENGTH_BYTES = 8  # a safetensors file begins with the length of its JSON header, little endian


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a model directory, or of one file, by the names that stand there.

    Raises BertworksError if there is none, or if a file is cut short, is no table of tensors or would execute code.
    """
    found = weight_file(Path(path))
    if found.name.endswith(".index.json"):
        return read_shards(found)
    return read_safetensors(found) if found.suffix == ".safetensors" else read_pickle(found)


def weight_file(path: Path) -> Path:
    """The file that holds the weights of a directory, or `path` itself if it is a file."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise BertworksError(f"{path}: no such file or folder")
    for name in WEIGHT_FILES:
        if (path / name).is_file():
            return path / name
    raise BertworksError(f"{path}: holds no weights", f"expected one of {', '.join(WEIGHT_FILES)}")


def read_shards(index: Path) -> dict[str, Tensor]:
    """The tensors of the files that an index names; each must hold what the index says."""
    content = read_json(index)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise BertworksError(f"{index}: has no `weight_map` that says which file holds which tensor")
    tensors: dict[str, Tensor] = {}
    for name in sorted(set(weight_map.values())):
        shard = index.parent / Path(name).name
        if not shard.is_file():
            raise BertworksError(f"{shard}: is missing, {index.name} names it", "copy all files of the model")
        tensors |= read_safetensors(shard) if shard.suffix == ".safetensors" else read_pickle(shard)
    absent = sorted(set(weight_map) - set(tensors))
    if absent:
        raise BertworksError(f"{index}: promises {absent[0]}, which no file holds ({len(absent)} such tensors)")
    return tensors


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of one safetensors file."""
    check_length(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise BertworksError(f"{path}: not a safetensors file, {str(error).lower()}") from error


def check_length(path: Path) -> None:
    """Raise BertworksError unless a safetensors file is as long as its header promises."""
    size = path.stat().st_size
    with path.open("rb") as handle:
        first = handle.read(LENGTH_BYTES)
        if first.startswith(b"version "):
            raise BertworksError(f"{path}: is a Git LFS pointer, not the file itself", "fetch it with `git lfs pull`")
        header_bytes = int.from_bytes(first, "little")
        if len(first) < LENGTH_BYTES or header_bytes > size:
            raise BertworksError(f"{path}: {size:,} bytes, cut short or not a safetensors file", "copy it again")
        try:
            header = json.loads(handle.read(header_bytes))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise BertworksError(f"{path}: cut short or not a safetensors file", "copy it again") from error
    promised = LENGTH_BYTES + header_bytes + max(ends, default=0)
    if promised != size:
        raise BertworksError(f"{path}: {size:,} bytes, its header promises {promised:,}", "copy it again")


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of one PyTorch file, of today's zip form or the older one."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BertworksError(
            f"{path}: is not a plain table of tensors, and nothing else is loaded",
            "convert it to model.safetensors where it came from",
        ) from error
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BertworksError(f"{path}: cut short or not a PyTorch file ({reason})", "copy it again") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise BertworksError(f"{path}: holds a {type(content).__name__}, expected a table of tensors")
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
