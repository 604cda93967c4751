"""A checkpoint is whole or not there, whatever write, fsync or rename fails, whatever moment the process dies at."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bertworks.base import files
from bertworks.base.errors import BertworksError
from bertworks.engine.checkpoint import checkpoints, copy_tensors, load_checkpoint, save_checkpoint
from faults import CountedFault


def tensors(step: int) -> dict[str, Tensor]:
    """Different at each step; views of one buffer, as flat parameters are."""
    flat = torch.arange(30.0) + 100 * step
    return {"a.weight": flat[:24].view(4, 6), "b": flat[24:]}


def save(run: Path, step: int, keep: int = 2) -> Path:
    """A checkpoint of `step`."""
    return save_checkpoint(run, step, tensors(step), {"0.step": torch.tensor(float(step))}, {"cursor": step}, keep=keep)


def assert_whole(path: Path) -> None:
    """Everything in a checkpoint belongs to its step."""
    found = load_checkpoint(path)
    step = found.state["step"]
    assert path.name == str(step)
    assert found.state == {"format": 1, "step": step, "cursor": step}
    assert found.model.keys() == {"a.weight", "b"}
    assert all(torch.equal(found.model[name], value) for name, value in tensors(step).items())
    assert found.optimizer["0.step"] == step


def test_saved_and_loaded_is_the_same_and_the_oldest_go(tmp_path: Path) -> None:
    for step in (5, 10, 100, 1000):
        assert_whole(save(tmp_path, step))
    assert [path.name for path in checkpoints(tmp_path)] == ["100", "1000"], "by number, not by letter"
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["100", "1000"], "and nothing beside them"
    assert sorted(os.listdir(tmp_path / "checkpoints" / "100")) == [
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    assert_whole(save(tmp_path, 1000))


def test_no_run_has_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoints(tmp_path) == []


def disk_full() -> None:
    raise OSError(28, "No space left on device")


def every_point(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """For each call inside a save, its number and a fresh run with checkpoints 1 and 2."""
    with pytest.MonkeyPatch.context() as patch:
        run = prepared(tmp_path, 0)
        counted = CountedFault(patch, 0, disk_full)
        save(run, 3)
        total = counted.calls
    assert total >= 15, "three files and two folders, written, made durable, renamed, and an old one dropped"
    for at in range(1, total + 1):
        yield at, prepared(tmp_path, at)


def prepared(tmp_path: Path, number: int) -> Path:
    """A run with checkpoints 1 and 2."""
    run = tmp_path / f"run{number}"
    save(run, 1)
    save(run, 2)
    return run


def test_a_fault_at_any_call_leaves_a_checkpoint_that_loads(tmp_path: Path) -> None:
    outcomes = []
    for at, run in every_point(tmp_path):
        with pytest.MonkeyPatch.context() as patch:
            CountedFault(patch, at, disk_full)
            with pytest.raises(OSError, match="No space"):
                save(run, 3)
        left = checkpoints(run)
        for path in left:
            assert_whole(path)
        assert [path.name for path in left][-1] in ("2", "3")
        assert all(name.isdigit() for name in os.listdir(run / "checkpoints")), f"half-written files at call {at}"
        outcomes.append(left[-1].name)
        save(run, 3)
        assert [path.name for path in checkpoints(run)][-2:] == ["2", "3"], "and saving again works"
    assert set(outcomes) == {"2", "3"}, "some faults come before the rename, some after"


def test_a_death_at_any_call_leaves_a_checkpoint_that_loads(tmp_path: Path) -> None:
    """As kill -9: no handler runs. What the dead process left is cleared by the next run."""
    leftovers = 0
    for at, run in every_point(tmp_path):
        child = os.fork()
        if child == 0:
            with pytest.MonkeyPatch.context() as patch:
                CountedFault(patch, at, lambda: os._exit(9))
                save(run, 3)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
        left = checkpoints(run)
        for path in left:
            assert_whole(path)
        assert left[-1].name in ("2", "3")
        leftovers += any(not name.isdigit() for name in os.listdir(run / "checkpoints"))
        files.clear_stale(run / "checkpoints")
        assert all(name.isdigit() for name in os.listdir(run / "checkpoints")), at
    assert leftovers > 5, "the deaths came inside the save"


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "garbage"])
def test_a_broken_tensor_file_is_named(tmp_path: Path, file: str, damage: str) -> None:
    path = save(tmp_path, 7) / file
    whole = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"cut": whole[:-5], "empty": b"", "garbage": b"\xff" * len(whole)}[damage])
    with pytest.raises(BertworksError, match="cannot be read") as caught:
        load_checkpoint(path.parent)
    assert str(path) in caught.value.message
    assert caught.value.hint == "delete this checkpoint; the one before it stands"


def test_a_broken_state_is_named(tmp_path: Path) -> None:
    path = save(tmp_path, 7) / "state.json"
    path.write_text('{"format": 1, ')
    with pytest.raises(BertworksError, match=r"state\.json:1.*not JSON"):
        load_checkpoint(path.parent)
    path.unlink()
    with pytest.raises(BertworksError, match=r"state\.json: no such file"):
        load_checkpoint(path.parent)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path, 7)
    files.write_json(folder / "state.json", {"format": 2, "step": 7})
    with pytest.raises(BertworksError, match="format 2 is newer than 1") as caught:
        load_checkpoint(folder)
    assert caught.value.hint == "update bertworks"


def test_tensors_of_another_model_are_named() -> None:
    live = {"a": torch.zeros(2, 3), "b": torch.zeros(5)}
    with pytest.raises(BertworksError, match="run/3: no tensor `b`"):
        copy_tensors(live, {"a": torch.ones(2, 3)}, "run/3")
    with pytest.raises(BertworksError, match=r"`b` is \(7,\), the model wants \(5,\)"):
        copy_tensors(live, {"a": torch.ones(2, 3), "b": torch.ones(7)}, "run/3")
    copy_tensors(live, {"a": torch.ones(2, 3), "b": torch.ones(5), "c": torch.ones(1)}, "run/3")
    assert live["a"].all()
    assert live["b"].all()
