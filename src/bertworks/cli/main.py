"""The program: words in, one command called, an exit code out; every failure becomes a sentence here."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
import traceback
from collections.abc import Sequence

from bertworks import __version__
from bertworks.base import progress
from bertworks.base.errors import BertworksError, did_you_mean
from bertworks.cli.commands import COMMANDS, overview, parser_of

DONE, FAILED, BAD_INPUT = 0, 1, 2
INTERRUPTED, PIPE_CLOSED = 130, 141  # 128 + SIGINT, 128 + SIGPIPE, as a shell reports them

# what the system says -> what the user reads; anything else is told in the system's words
SYSTEM = {
    errno.ENOSPC: ("the disk is full", "free some space or write elsewhere; nothing half-written was left"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or write elsewhere; nothing half-written was left"),
    errno.EACCES: ("permission denied", ""),
    errno.EPERM: ("permission denied", ""),
    errno.EROFS: ("the file system is read-only", "write elsewhere"),
    errno.ENOENT: ("no such file or folder", ""),
    errno.EISDIR: ("is a folder, a file was wanted", ""),
    errno.ENOTDIR: ("is a file where a folder was wanted", ""),
    errno.EMFILE: ("too many open files", "raise the limit: `ulimit -n 4096`"),
    errno.EIO: ("the disk failed to read or write", "check the disk; nothing half-written was left"),
}
BAD_PATH = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR)


def entry() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(words: Sequence[str]) -> int:
    """Run one command line; returns its exit code and prints no traceback unless `--debug` or the fault is ours."""
    is_debug = "--debug" in words
    try:
        code = _run(list(words))
        sys.stdout.flush()  # a full disk or a closed pipe shows here at the latest
        return code
    except BertworksError as error:
        return _tell(error.lines(), error.exit_code, is_debug)
    except KeyboardInterrupt:
        return _tell(["error: interrupted"], INTERRUPTED, is_debug)
    except BrokenPipeError:
        _drop_output()
        return PIPE_CLOSED
    except OSError as error:
        _drop_output()
        return _tell(*_told_by_system(error), is_debug)
    except Exception as error:
        lines = _told_by_library(error)
        if lines:
            return _tell(lines, FAILED, is_debug)
        traceback.print_exc()
        return _tell(
            [f"error: {type(error).__name__} inside bertworks: {error}", "hint: please report this"], FAILED, False
        )


def _run(words: list[str]) -> int:
    while len(words) > 1 and words[0] in ("--quiet", "-v", "--debug"):
        words.append(words.pop(0))  # a flag of every command may stand before it
    command, rest = (words[0], words[1:]) if words else ("--help", [])
    if command in ("--help", "-h", "help"):
        print(overview(), end="")
        return DONE if words else BAD_INPUT
    if command == "--version":
        print(f"bertworks {__version__}")
        return DONE
    if command not in COMMANDS:
        hint = did_you_mean(command, COMMANDS) or "`bertworks --help` lists the commands"
        raise BertworksError(f"bertworks: unknown command `{command}`", hint)
    parser, module = parser_of(command)
    args = parser.parse(rest)
    _listen(args)
    return module.run(args) or DONE


def _listen(args: argparse.Namespace) -> None:
    """Send the package's log to standard error, as loud as the flags say, and turn progress on."""
    import logging

    from bertworks.cli.console import ConsoleHandler

    level = logging.WARNING if args.quiet else logging.DEBUG if args.verbose else logging.INFO
    package = logging.getLogger("bertworks")
    package.handlers = [ConsoleHandler()]
    package.setLevel(level)
    package.propagate = False
    progress.show(not args.quiet)


def _told_by_system(error: OSError) -> tuple[list[str], int]:
    what, hint = SYSTEM.get(error.errno or 0, (error.strerror or str(error), ""))
    where = f"{error.filename}: " if error.filename else ""
    code = BAD_INPUT if error.errno in BAD_PATH else FAILED
    return BertworksError(f"{where}{what}", hint).lines(), code


def _told_by_library(error: Exception) -> list[str]:
    """Lack of memory or disk, as torch and the libraries written in Rust report it; [] for any other error."""
    told = str(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in told:
        hint = "smaller batches, a smaller model, or fewer workers need less"
        return BertworksError("out of memory", hint).lines()
    system = re.search(r"\(os error (\d+)\)", told)
    return _told_by_system(OSError(int(system[1]), told))[0] if system else []


def _drop_output() -> None:
    """Flush standard output, or let go of it when it cannot be written: else the interpreter complains as it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(lines: list[str], code: int, is_debug: bool) -> int:
    if is_debug:
        traceback.print_exc()
    print("\n".join(lines), file=sys.stderr)
    return code
