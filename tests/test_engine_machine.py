"""What is asked of the machine: number formats by instruction flags, devices, signals, the allocator."""

import os
import signal
import threading
from pathlib import Path

import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.engine import memory
from bertworks.engine.memory import keep_memory
from bertworks.engine.precision import choose_device, choose_dtype, cpu_has_bf16
from bertworks.engine.stopping import StopWish

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 sse", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx2 avx512f f16c", False),
        ("flags\t\t: fpu avx512_bf16x", False),
        ("model name\t: bf16 wonder\nflags\t\t: fpu", False),
        ("", False),
    ],
)
def test_bf16_is_read_from_the_flags_word_by_word(tmp_path: Path, flags: str, has: bool) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{flags}\npower management:\n")
    assert cpu_has_bf16(path) is has


def test_without_flags_to_read_there_is_no_bf16(tmp_path: Path) -> None:
    assert cpu_has_bf16(tmp_path / "none") is False


@pytest.mark.parametrize("has", [True, False])
def test_auto_follows_the_flags_and_says_why(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr("bertworks.engine.precision.cpu_has_bf16", lambda: has)
    dtype, why = choose_dtype("auto", CPU)
    assert dtype is (torch.bfloat16 if has else torch.float32)
    assert "bf16 instructions" in why
    assert choose_dtype("float32", CPU) == (torch.float32, "float32, as asked")
    assert choose_dtype("bfloat16", CPU)[0] is torch.bfloat16
    with pytest.raises(BertworksError, match="unknown dtype `half`"):
        choose_dtype("half", CPU)


def test_a_device_that_is_not_there_is_told() -> None:
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type in ("cpu", "cuda")
    for name in ("cuda:99", "warp"):
        with pytest.raises(BertworksError, match=f"device `{name}` cannot be used"):
            choose_device(name)


@pytest.mark.parametrize(("which", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT")])
def test_the_first_signal_is_a_wish(which: signal.Signals, name: str) -> None:
    before = signal.getsignal(which)
    with StopWish() as wish:
        assert wish.signal_name is None
        assert wish.signal_number == 0
        os.kill(os.getpid(), which)
        assert wish.signal_name == name
        assert wish.signal_number == which
        os.kill(os.getpid(), signal.SIGTERM)
        assert wish.signal_name == name, "a SIGTERM after it changes nothing"
    assert signal.getsignal(which) is before


def test_a_second_ctrl_c_stops_at_once() -> None:
    with StopWish() as wish:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert wish.signal_name == "SIGINT"


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    found: list[str | None] = []

    def inside() -> None:
        with StopWish() as wish:
            found.append(wish.signal_name)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [None]


def test_where_there_is_no_glibc_the_allocator_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(memory.ctypes, "CDLL", missing)
    assert keep_memory() is False
