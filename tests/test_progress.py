"""What progress says: speed, time left, figures; and when it says nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from bertworks.base import progress
from bertworks.base.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    yield now
    progress.show(False)


def test_silent_until_the_command_line_asks(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(10, "steps", "quiet") as bar:
        bar.update(10)
    assert bar.done == 10
    assert capsys.readouterr() == ("", "")
    progress.show(True)
    with Progress(10, "steps", "heard") as bar:
        bar.update(10)
    with Progress(10, "steps", "off", enabled=False) as bar:
        bar.update(10)
    assert capsys.readouterr() == ("", "heard: 10/10 steps, 10,000,000,000 steps/s, 0:00 taken\n")


def test_lines_come_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress(7200, "tokens", "pretrain", enabled=True)
    for _ in range(50):
        clock[0] += 0.5
        bar.update(10, loss=2.34567, step="x")
    bar.close()
    bar.close()
    assert capsys.readouterr().err.splitlines() == [
        "pretrain: 200/7,200 tokens, 20 tokens/s, 5:50 left, loss 2.346, step x",
        "pretrain: 400/7,200 tokens, 20 tokens/s, 5:40 left, loss 2.346, step x",
        "pretrain: 500/7,200 tokens, 20 tokens/s, 5:35 left, loss 2.346, step x",
    ]


def test_hours_and_unknown_totals(clock: list[float]) -> None:
    bar = Progress(None, "documents", "corpus", enabled=False)
    clock[0] += 3725
    bar.update(37)
    assert bar.line() == "corpus: 37 documents, 0.01 documents/s, 1:02:05 taken"
    nothing = Progress(5, "rows", "read", enabled=False)
    clock[0] += 61
    assert nothing.line() == "read: 0/5 rows, 0.00 rows/s, 1:01 taken"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress(10, "steps", "demo", enabled=True) as bar:
        bar.update(4, loss=1.25)
        bar.update(6)
    err = capsys.readouterr().err
    assert "demo: 100%" in err
    assert "10.0/10.0" in err
    assert "loss 1.25" in err


def test_what_an_earlier_process_did_is_no_speed(clock: list[float]) -> None:
    bar = Progress(1000, "steps", "resumed", begun=900)
    assert bar.line() == "resumed: 900/1,000 steps, 0.00 steps/s, 0:00 taken"
    clock[0] += 10
    bar.update(50)
    assert bar.line() == "resumed: 950/1,000 steps, 5.00 steps/s, 0:10 left"
