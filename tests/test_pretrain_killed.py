"""Pre-training killed at random moments, stopped by SIGTERM and Ctrl-C: the same numbers in the end, to the bit."""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from killed_runs import commanded, ends, newest_step, wait_for
from tiny_pretraining import assert_same, flags_of, left_by, tiny_corpus

KILLS = [pytest.param(3, 1, id="3 kills"), pytest.param(10, 2, id="10 kills", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_corpus(tmp_path_factory.getbasetemp() / "tiny")


@pytest.fixture(scope="module")
def unbroken(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run that nobody stops leaves."""
    folder = tmp_path_factory.mktemp("unbroken")
    assert ends(command(corpus, folder / "run"), folder / "log") == 0, (folder / "log").read_text()
    return left_by(folder / "run")


def command(corpus: Path, out: Path, **overrides: object) -> list[str]:
    return ["pretrain", "--out", str(out), *flags_of(corpus, **overrides)]


@pytest.mark.parametrize(("kills", "seed"), KILLS)
def test_killed_at_random_moments_it_ends_with_the_same_numbers(
    corpus: Path, unbroken: dict[str, Any], tmp_path: Path, kills: int, seed: int
) -> None:
    assert unbroken["state"]["epoch"] >= 1, "the run crosses an epoch's edge"
    draw, out, steps = random.Random(seed), tmp_path / "run", [-1]
    for _ in range(kills):
        wait = steps[-1] + draw.choice([0, 1, 3]) * (steps[-1] < 36)
        with commanded(command(corpus, out), tmp_path / "log") as process:
            wait_for(lambda: newest_step(out) >= wait, process)  # noqa: B023
            process.join(draw.uniform(0, 0.25))
        steps.append(newest_step(out))
        if (out / "result.json").exists():
            break
    else:
        assert ends(command(corpus, out), tmp_path / "log") == 0, (tmp_path / "log").read_text()
    assert len(set(steps)) > kills // 3, f"the kills came at different places: {steps}"
    assert_same(left_by(out), unbroken)
    assert all(name[0] != "." for folder in (out, out / "checkpoints") for name in os.listdir(folder)), "nothing beside"


@pytest.mark.parametrize(("which", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_stopped_it_saves_and_says_how_to_go_on(
    corpus: Path, unbroken: dict[str, Any], tmp_path: Path, which: signal.Signals, code: int
) -> None:
    words = command(corpus, tmp_path / "run", train__checkpoint_every=1000)
    with commanded(words, tmp_path / "log") as process:
        wait_for((tmp_path / "run" / "metrics.jsonl").exists, process)
        assert process.pid is not None
        os.kill(process.pid, which)
        process.join()
        assert process.exitcode == code, (tmp_path / "log").read_text()
    step = newest_step(tmp_path / "run")
    assert 5 <= step < 40, "saved where it stood, though no checkpoint was due"
    assert (
        f"stopped by {which.name} at step {step}; the same command goes on from there" in (tmp_path / "log").read_text()
    )
    assert not (tmp_path / "run" / "result.json").exists()
    assert ends(words, tmp_path / "log") == 0
    assert_same(left_by(tmp_path / "run"), unbroken)


def test_a_second_ctrl_c_stops_at_once_and_the_last_checkpoint_stands(
    corpus: Path, unbroken: dict[str, Any], tmp_path: Path
) -> None:
    words = command(corpus, tmp_path / "run")
    with commanded(words, tmp_path / "log") as process:
        wait_for(lambda: newest_step(tmp_path / "run") >= 6, process)
        assert process.pid is not None
        for _ in range(2):
            os.kill(process.pid, signal.SIGINT)
            time.sleep(0.002)
        process.join()
        assert process.exitcode == 130, (tmp_path / "log").read_text()
    assert newest_step(tmp_path / "run") >= 6
    assert ends(words, tmp_path / "log") == 0
    assert_same(left_by(tmp_path / "run"), unbroken)
    assert ends(words, tmp_path / "log") == 2
    assert "this run is finished" in (tmp_path / "log").read_text()
