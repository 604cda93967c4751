"""What every test stands on: no network, a folder of its own, and the shared data where there is some."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bertworks.base import progress

os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"  # for the child processes too
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the library warns when a process with threads forks
if "PYTHONPATH" in os.environ:  # children start in another folder
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, os.environ["PYTHONPATH"].split(os.pathsep)))

HERE = Path(__file__).parent
LOCAL = ("127.0.0.1", "::1", "localhost")  # ranks of one test talk to each other


def pytest_configure() -> None:
    """Hear Ctrl-C, and let children hear it: a runner started in the background hands down that it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files instead of comparing")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection that leaves the machine fails, so that a test cannot need one."""

    def refuse(itself: socket.socket, address: object) -> None:
        if itself.family == getattr(socket, "AF_UNIX", None) or (isinstance(address, tuple) and address[0] in LOCAL):
            return connect(itself, address)
        raise OSError(f"a test reached for the network: {address}")

    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture(autouse=True)
def quiet_package() -> Iterator[None]:
    """A command that ran in a test, or in a fixture before it, turns log and progress on for itself alone."""
    silence()
    yield
    silence()


def silence() -> None:
    """The package's log as it is after an import, no progress."""
    package = logging.getLogger("bertworks")
    package.handlers, package.propagate = [logging.NullHandler()], True
    package.setLevel(logging.NOTSET)
    progress.show(False)


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test runs in its temporary folder and leaves nothing elsewhere."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that need it are skipped where it is not."""
    folder = os.environ.get("BERTWORKS_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("needs real data: BERTWORKS_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder of the repository; tests of its documents are skipped where only the package is installed."""
    if not (HERE.parent / "Makefile").exists():
        pytest.skip("needs the repository, not only the package")
    return HERE.parent


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command() -> Run:
    """Run `bertworks WORDS` in a fresh process: `command("fill", model, text)`; nothing is asserted."""

    def run(*words: object, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bertworks", *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "100", **environment},
            check=False,
        )

    return run


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a text with tests/golden/NAME, byte for byte; `make golden` writes it, and a human reads the diff."""

    def compare(name: str, text: str) -> None:
        path = HERE / "golden" / name
        if request.config.getoption("--rewrite-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden file {name}: `make golden` writes it"
        assert text == path.read_text(encoding="utf-8"), f"{name} changed: `make golden`, then read the diff"

    return compare
