"""A write that fails or dies at any point leaves what stood there before, whole, and nothing beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bertworks.base import _beside, files
from bertworks.base.errors import BertworksError
from bertworks.base.files import (
    claim_out,
    clear_stale,
    read_json,
    remove,
    sha256_file,
    whole_directory,
    whole_file,
    write_json,
)
from faults import HOOKS, CountedFault, full_disk

BIG = files.BUFFER_BYTES * 2 + 7  # three writes of the buffer


def write_text(folder: Path, content: str) -> None:
    with whole_file(folder / "out", text=True) as handle:
        handle.write(content * BIG)


def write_bytes(folder: Path, content: str) -> None:
    with whole_file(folder / "out") as handle:
        for _ in range(3):
            handle.write(content.encode() * files.BUFFER_BYTES)


def write_folder(folder: Path, content: str) -> None:
    with whole_directory(folder / "out", overwrite=True) as inside:
        (inside / "deep").mkdir()
        (inside / "deep" / "a").write_text(content)
        with whole_file(inside / "b", text=True) as handle:
            handle.write(content)


def snapshot(folder: Path) -> dict[str, str]:
    """Every path below a folder, hidden ones too, with a digest of what is in it."""
    return {
        str(path.relative_to(folder)): sha256_file(path) if path.is_file() else "folder" for path in folder.rglob("*")
    }


@pytest.mark.parametrize("write", [write_text, write_bytes, write_folder])
def test_each_failure_leaves_the_old_or_the_new_whole(
    write: Callable[[Path, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: dict[str, dict[str, str]] = {}
    for content in ("old", "new"):
        write(tmp_path / content, content)
        states[content] = snapshot(tmp_path / content)
    assert states["old"] != states["new"]
    with monkeypatch.context() as patch:
        fault = CountedFault(patch, 0, full_disk)
        write(tmp_path / "counted", "new")
    assert set(fault.names) == set(HOOKS)

    ends = []
    for at in range(1, fault.calls + 1):
        folder = tmp_path / f"fault-{at}"
        write(folder, "old")
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
            failing = CountedFault(patch, at, full_disk)
            write(folder, "new")
        assert failing.calls >= at
        assert snapshot(folder) in (states["old"], states["new"]), f"call {at}, {failing.names[at - 1]}"
        ends.append(snapshot(folder) == states["new"])
        write(folder, "new")
        assert snapshot(folder) == states["new"]
    assert not ends[0]
    assert ends == sorted(ends)  # once the new one stands, no later failure brings the old one back


def test_a_block_that_fails_changes_nothing(tmp_path: Path) -> None:
    write_text(tmp_path, "old")
    write_folder(tmp_path / "x", "old")
    before = snapshot(tmp_path)
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "out") as handle:
        handle.write(b"new" * BIG)
        _ = 1 / 0
    with pytest.raises(ZeroDivisionError), whole_directory(tmp_path / "x" / "out", overwrite=True) as inside:
        (inside / "a").write_text("new")
        _ = 1 / 0
    assert snapshot(tmp_path) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from bertworks.base import files

calls, at = [], int(sys.argv[1])
for name in ("_write", "_fsync", "_rename"):
    def dying(*words, real=getattr(files, name), name=name):
        calls.append(name)
        if len(calls) == at + 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*words)
    setattr(files, name, dying)
with files.whole_directory("out", overwrite=True) as inside:
    with files.whole_file(inside / "a", text=True) as handle:
        handle.write("new")
with files.whole_file("b", text=True) as handle:
    handle.write("new")
"""


@pytest.mark.parametrize("at", range(12))
def test_a_kill_leaves_whole_files_and_the_next_writer_clears_up(at: int, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("old")
    (tmp_path / "b").write_text("old")
    died = subprocess.run([sys.executable, "-c", KILLED, str(at)], cwd=tmp_path, check=False)
    assert died.returncode == -signal.SIGKILL
    assert (tmp_path / "out" / "a").read_text() in ("old", "new")
    assert (tmp_path / "b").read_text() in ("old", "new")
    done = subprocess.run([sys.executable, "-c", KILLED, "1000"], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert sorted(snapshot(tmp_path)) == ["b", "out", "out/a"]
    assert (tmp_path / "out" / "a").read_text() == (tmp_path / "b").read_text() == "new"


def test_an_error_names_what_the_user_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for write, named in ((write_text, tmp_path / "out"), (write_folder, tmp_path / "out" / "b")):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space") as full:
            CountedFault(patch, 1, full_disk)
            write(tmp_path, "x")
        assert full.value.filename == str(named)
    with pytest.raises(FileNotFoundError) as missing, whole_directory(tmp_path / "new") as inside:
        (inside / "a").read_text()
    assert missing.value.filename == str(tmp_path / "new" / "a")


def test_only_what_the_dead_left_is_cleared(tmp_path: Path) -> None:
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    dead, living = (f".out.{_beside._host()}.{pid}-0.partial" for pid in (finished.pid, os.getppid()))
    foreign, old_foreign = ".out.elsewhere.1-0.partial", ".out.elsewhere.1-1.partial"
    for name in (dead, living, foreign, old_foreign, ".out.swp", "out.partial"):
        (tmp_path / name).write_text("")
    os.utime(tmp_path / old_foreign, (0, 0))
    with whole_file(tmp_path / "other"):
        clear_stale(tmp_path, "another")
        assert (tmp_path / dead).exists()
        clear_stale(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {living, foreign, ".out.swp", "out.partial", "other"}


def test_where_paths_cannot_be_exchanged_three_renames_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoLibrary:
        def __init__(self, *_: object, **__: object) -> None:
            raise OSError("not here")

    monkeypatch.setattr(files.ctypes, "CDLL", NoLibrary)
    write_folder(tmp_path, "old")
    old = snapshot(tmp_path)
    write_folder(tmp_path, "new")
    assert snapshot(tmp_path).keys() == old.keys()
    assert snapshot(tmp_path) != old

    aside = tmp_path / f".out.{_beside._host()}.4194305-0.replaced"  # above the greatest pid of Linux: never alive
    os.replace(tmp_path / "out", aside)
    clear_stale(tmp_path)
    assert not aside.exists()
    assert (tmp_path / "out" / "deep" / "a").read_text() == "new"


def test_out_that_exists_is_refused(tmp_path: Path) -> None:
    claim_out(tmp_path / "free", overwrite=False)
    (tmp_path / "empty").mkdir()
    claim_out(tmp_path / "empty", overwrite=False)
    taken = tmp_path / "taken"
    write_json(taken / "x.json", 1)
    with pytest.raises(BertworksError, match="taken: exists already") as refused:
        claim_out(taken, overwrite=False)
    assert "--overwrite" in refused.value.hint
    with pytest.raises(BertworksError), whole_directory(taken):
        pass
    claim_out(taken, overwrite=True)
    assert read_json(taken / "x.json") == 1


def test_a_folder_people_live_in_is_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home / "work")
    (home / "work" / "thesis").write_text("all of it")
    for folder, what in ((home / "work", "the current folder"), (home, "the current folder")):
        with pytest.raises(BertworksError, match=f"holds {what}, it is not overwritten"):
            claim_out(folder, overwrite=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BertworksError, match="holds the home folder"):
        claim_out(home, overwrite=True)


def test_links_are_written_through_and_devices_straight(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with whole_file(tmp_path / "link", text=True) as handle:
        handle.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    with whole_file("/dev/null") as device:
        device.write(b"x")
    assert Path("/dev/null").is_char_device()
    (tmp_path / "folder").mkdir()
    with pytest.raises(BertworksError, match="is a folder"), whole_file(tmp_path / "folder"):
        pass


def test_names_of_any_length_and_script(tmp_path: Path) -> None:
    for name in ("x" * 250, "词" * 80, "a b"):
        write_json(tmp_path / name, name)
        assert read_json(tmp_path / name) == name
    assert len(list(tmp_path.iterdir())) == 3


def test_remove(tmp_path: Path) -> None:
    write_folder(tmp_path, "x")
    remove(tmp_path / "out")
    remove(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_json_is_plain(tmp_path: Path) -> None:
    written = {"f": np.float32(0.5), "a": np.arange(3), "nan": float("nan"), "p": Path("x/y"), 1: {2}, "中": True}
    write_json(tmp_path / "a.json", written)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"f": 0.5, "a": [0, 1, 2], "nan": None, "p": "x/y", "1": [2], "中": True}
    assert "中" in text
    with pytest.raises(TypeError, match="object has no form"):
        write_json(tmp_path / "a.json", object())
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n 2}', r"x.json:2:2: not JSON, expecting property name"),
        (b'"caf\xe9"', r"x.json: not UTF-8, byte 0xe9 at 4"),
        (None, r"x.json: no such file"),
    ],
)
def test_json_that_cannot_be_read(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(BertworksError, match=message):
        read_json(tmp_path / "x.json")


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")  # FIPS 180-2, B.1
