"""A run's log.txt holds all from INFO on, from before its folder was there; others hear what they heard before."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertworks.base.errors import BertworksError
from bertworks.engine.log_file import PACKAGE, WaitingLog, logged_to
from bertworks.pretrain.run import Loop, pretrain
from tiny_pretraining import recipe_of, tiny_corpus

log = logging.getLogger(f"{PACKAGE}.somewhere")


class Heard(logging.Handler):
    """Keeps messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def outside() -> Iterator[Heard]:
    """Whoever listens at the root."""
    heard = Heard()
    logging.getLogger().addHandler(heard)
    yield heard
    logging.getLogger().removeHandler(heard)


def test_what_waits_is_written_in_order_and_once() -> None:
    waiting, file = WaitingLog(), Heard()
    with logged_to(waiting):
        log.info("before")
        log.warning("a warning before")
        log.debug("too fine")
        assert file.messages == []
        waiting.write_to(file)
        assert file.messages == ["before", "a warning before"]
        log.info("after")
        assert file.messages[2:] == ["after"], "at once, not at the end"
    waiting.close()
    log.warning("outside")
    assert file.messages == ["before", "a warning before", "after"]


def test_closing_closes_the_file_and_what_never_got_one_is_gone(tmp_path: Path) -> None:
    waiting, file = WaitingLog(), logging.FileHandler(tmp_path / "log.txt", encoding="utf-8")
    with logged_to(waiting):
        log.info("told")
        waiting.write_to(file)
    stream = file.stream
    assert stream is not None
    assert not stream.closed
    waiting.close()
    assert stream.closed
    assert (tmp_path / "log.txt").read_text() == "told\n"
    nowhere = WaitingLog()
    with logged_to(nowhere):
        log.info("told to nobody")
    nowhere.close()
    nowhere.close()


@pytest.mark.parametrize(("level", "heard"), [("WARNING", ["loud"]), ("INFO", ["quiet", "loud"]), ("ERROR", [])])
def test_others_hear_what_they_heard_before(outside: Heard, level: str, heard: list[str]) -> None:
    package, own = logging.getLogger(PACKAGE), Heard()
    package.addHandler(own)
    package.setLevel(level)
    file = Heard()
    with logged_to(file):
        log.info("quiet")
        log.warning("loud")
    assert file.messages == ["quiet", "loud"]
    assert outside.messages == own.messages == heard
    log.info("quiet")
    log.warning("loud")
    assert outside.messages == own.messages == heard * 2
    assert file.messages == ["quiet", "loud"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_corpus(tmp_path_factory.getbasetemp() / "tiny")


@pytest.mark.parametrize("level", ["WARNING", "INFO", "NOTSET"])
def test_a_pretraining_run_of_a_program_has_the_whole_log(
    corpus: Path, tmp_path: Path, outside: Heard, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    evaluate = Loop._evaluate

    def warn_too(loop: Loop) -> None:
        log.warning("loud")
        evaluate(loop)

    monkeypatch.setattr(Loop, "_evaluate", warn_too)
    package = logging.getLogger(PACKAGE)
    package.setLevel(level)  # NOTSET: as the root says, which is WARNING
    before = package.level, package.propagate, list(package.handlers)
    pretrain(recipe_of(corpus, train__steps=2, train__evaluate_every=2), tmp_path / "run")
    assert (package.level, package.propagate, package.handlers) == before
    lines = (tmp_path / "run" / "log.txt").read_text().splitlines()
    assert " INFO computing in " in lines[0]
    assert lines[1].endswith(" WARNING loud")
    assert " INFO step 2, " in lines[2]
    told = [re.split(" INFO | WARNING ", line)[1] for line in lines]
    assert len(told) == len(set(told)) == 3
    assert outside.messages == (told if level == "INFO" else ["loud"])


def test_a_refused_run_leaves_no_log_and_the_logger_as_it_was(corpus: Path, tmp_path: Path) -> None:
    package = logging.getLogger(PACKAGE)
    before = package.level, package.propagate, list(package.handlers)
    with pytest.raises(BertworksError, match="more than the model's 40 positions"):
        pretrain(recipe_of(corpus, train__length=41), tmp_path / "run")
    assert (package.level, package.propagate, package.handlers) == before
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_adds_to_its_log(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_of(corpus, train__steps=6, train__checkpoint_every=2, train__evaluate_every=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_evaluate", stop)
        with pytest.raises(ZeroDivisionError):
            pretrain(recipe, tmp_path / "run")
    first = (tmp_path / "run" / "log.txt").read_text()
    pretrain(recipe, tmp_path / "run")
    both = (tmp_path / "run" / "log.txt").read_text()
    assert both.startswith(first)
    assert "computing in" in first
    assert "computing in" in both.removeprefix(first)


def stop(loop: Loop) -> None:
    raise ZeroDivisionError
