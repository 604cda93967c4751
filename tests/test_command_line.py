"""The program's manners: what it prints where, and the code it leaves with, whatever happens inside a command."""

from __future__ import annotations

import argparse
import errno
import logging
import subprocess
import sys
import types
from collections.abc import Callable

import pytest

from bertworks import __version__
from bertworks.base.errors import BertworksError
from bertworks.base.progress import Progress
from bertworks.cli import commands, flags
from bertworks.cli.main import main
from bertworks.cli.output import print_json, print_table

Body = Callable[[argparse.Namespace], int | None]


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Callable[[Body], None]:
    """A command `probe` whose body the test gives."""

    def install(body: Body) -> None:
        module = types.ModuleType("probe_command")
        module.HELP = "A command of the tests."  # type: ignore[attr-defined]
        module.arguments = lambda parser: flags.add(parser, "--seed", "--columns", "--resume", "--dtype")  # type: ignore[attr-defined]
        module.run = body  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "probe_command", module)
        monkeypatch.setitem(commands.COMMANDS, "probe", ("probe_command", "of the tests"))

    return install


def failing(error: BaseException) -> Body:
    def body(_: argparse.Namespace) -> int:
        print("before")
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (BertworksError("a.csv: empty", "give rows"), 2, "error: a.csv: empty\nhint: give rows\n"),
        (BertworksError("it failed", exit_code=1), 1, "error: it failed\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (OSError(errno.ENOSPC, "x", "runs/a"), 1, "error: runs/a: the disk is full\nhint: free some space"),
        (PermissionError(errno.EACCES, "x", "/etc/a"), 1, "error: /etc/a: permission denied\n"),
        (FileNotFoundError(errno.ENOENT, "x", "a.txt"), 2, "error: a.txt: no such file or folder\n"),
        (NotADirectoryError(errno.ENOTDIR, "x", "a"), 2, "error: a: is a file where a folder was wanted\n"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a"), 1, "error: a: Invalid cross-device link\n"),
        (MemoryError(), 1, "error: out of memory\nhint: smaller batches"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "error: out of memory\n"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 1, "error: the disk is full\n"),
    ],
)
def test_a_failure_is_a_sentence(
    error: BaseException, code: int, told: str, probe: Callable[[Body], None], capsys: pytest.CaptureFixture[str]
) -> None:
    probe(failing(error))
    assert main(["probe"]) == code
    out, err = capsys.readouterr()
    assert out == "before\n"
    assert err.startswith(told)
    assert "Traceback" not in err
    assert main(["probe", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ours_shows_where(probe: Callable[[Body], None], capsys: pytest.CaptureFixture[str]) -> None:
    probe(failing(ZeroDivisionError("division by zero")))
    assert main(["probe"]) == 1
    err = capsys.readouterr().err
    assert "in body" in err
    assert err.endswith("error: ZeroDivisionError inside bertworks: division by zero\nhint: please report this\n")


def test_codes_of_a_command(probe: Callable[[Body], None]) -> None:
    for returned, code in ((None, 0), (0, 0), (1, 1)):
        probe(lambda _, returned=returned: returned)  # type: ignore[misc]
        assert main(["probe"]) == code


def test_what_was_typed_arrives(probe: Callable[[Body], None]) -> None:
    got: list[argparse.Namespace] = []
    probe(lambda args: got.append(args))
    assert main(["probe", "--seed", "7", "--columns", 'text=a,label="b,c"', "--no-resume"]) == 0
    assert (got[0].seed, got[0].columns, got[0].resume, got[0].dtype) == (
        7,
        {"text": "a", "label": "b,c"},
        False,
        "auto",
    )
    assert main(["-v", "probe"]) == 0
    assert got[1].verbose
    assert not got[1].quiet


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["prob"], "bertworks: unknown command `prob`", "did you mean `probe`?"),
        (["xyzzy"], "bertworks: unknown command `xyzzy`", "`bertworks --help` lists the commands"),
        (["probe", "--sed", "1"], "bertworks probe: unknown flag `--sed`", "did you mean `--seed`?"),
        (["probe", "--see", "1"], "bertworks probe: unknown flag `--see`", "did you mean `--seed`"),
        (["probe", "a"], "bertworks probe: unexpected argument `a`", "`bertworks probe --help` lists them"),
        (["probe", "--seed", "x"], "bertworks probe: --seed: wants a whole number, got x", "`bertworks probe --help`"),
        (["probe", "--seed"], "bertworks probe: --seed: expected one argument", "`bertworks probe --help`"),
        (["probe", "--dtype", "fp8"], "bertworks probe: --dtype: wants one of ", "`bertworks probe --help`"),
        (["probe", "--columns", "a"], "bertworks probe: --columns: wants name=value,name=value, got a", ""),
    ],
)
def test_words_that_are_not_understood(
    words: list[str], message: str, hint: str, probe: Callable[[Body], None], capsys: pytest.CaptureFixture[str]
) -> None:
    probe(lambda _: 0)
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert f"hint: {hint}" in err


def test_what_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain"]) == 2
    assert capsys.readouterr().err.startswith("error: bertworks pretrain: --out is missing\n")


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    page = capsys.readouterr().out
    assert all(f"  {name} " in page for name in commands.COMMANDS)
    assert main([]) == 2
    assert capsys.readouterr().out == page
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bertworks {__version__}\n"
    with pytest.raises(SystemExit) as done:
        main(["doctor", "--help"])
    assert done.value.code == 0
    assert capsys.readouterr().out.startswith("usage: bertworks doctor [flags]\n")


def test_the_log_goes_to_standard_error(probe: Callable[[Body], None], capsys: pytest.CaptureFixture[str]) -> None:
    def body(_: argparse.Namespace) -> None:
        log = logging.getLogger("bertworks.room")
        log.debug("detail")
        log.info("3 rows read")
        log.warning("1 row dropped")
        with Progress(1, "rows", "read") as bar:
            bar.update(1)
        print_json({"rows": 3})

    probe(body)
    for words, told in (
        (["probe"], ["3 rows read", "warning: 1 row dropped", "read: 1/1 rows"]),
        (["probe", "-v"], ["bertworks.room: detail", "3 rows read", "warning: 1 row dropped", "read: 1/1 rows"]),
        (["probe", "--quiet"], ["warning: 1 row dropped"]),
    ):
        assert main(words) == 0
        out, err = capsys.readouterr()
        assert out == '{"rows": 3}\n'
        assert [line.split(",")[0] for line in err.splitlines()] == told


def test_a_table_lines_up(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name", "n", "share"], [["a", 1234, 0.123456], ["long", 5, 1.0]])
    assert (
        capsys.readouterr().out
        == "name      n   share\n----  -----  ------\na     1,234  0.1235\nlong      5       1\n"
    )


def test_a_reader_that_leaves_is_no_error() -> None:
    words = [sys.executable, "-m", "bertworks", "doctor", "--schema"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_output_on_a_full_disk_is_a_failure() -> None:
    words = [sys.executable, "-m", "bertworks", "doctor", "--schema"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: the disk is full\n")
    assert done.stderr.count(b"\n") == 2


def test_the_module_is_the_program(command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = command("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"bertworks {__version__}\n", "")
