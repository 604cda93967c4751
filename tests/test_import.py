"""Who loads torch, asked in fresh processes: nobody who does not compute with a model."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import bertworks
from bertworks.cli.commands import COMMANDS

HEAVY = ("torch", "transformers", "sklearn", "matplotlib")


def loaded(code: str) -> tuple[set[str], str]:
    """The modules a fresh process holds after `code`, and what it printed."""
    after = "\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + after], capture_output=True, text=True, check=True)
    return set(done.stderr.split()), done.stdout


def test_the_question_can_be_answered() -> None:
    assert "torch" in loaded("import bertworks.model.encoder")[0]


def test_importing_the_package_is_light() -> None:
    modules, _ = loaded("import bertworks")
    assert "bertworks" in modules
    assert not modules & {*HEAVY, "numpy", "pydantic", "polars", "tokenizers"}


@pytest.mark.parametrize("room", ["base", "text", "read", "corpus", "stats"])
def test_rooms_before_the_model_load_no_torch(room: str) -> None:
    folder = Path(bertworks.__file__).parent / room
    inside = [f"bertworks.{room}.{one.name}" for one in pkgutil.iter_modules([str(folder)])]
    assert inside, f"{room} is empty"
    modules, _ = loaded("; ".join(f"import {name}" for name in inside))
    assert set(inside) <= modules
    assert not modules & {"torch", "transformers"}


def test_help_loads_next_to_nothing() -> None:
    run = "from bertworks.cli.main import main; assert main(['--help']) == 0"
    modules, page = loaded(run)
    assert page.startswith("usage: bertworks COMMAND")
    assert not modules & {*HEAVY, "numpy", "pydantic", "polars", "tokenizers"}


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_a_command_loads_no_torch(command: str) -> None:
    run = f"from bertworks.cli.commands import parser_of; print(parser_of('{command}')[0].format_help())"
    modules, page = loaded(run)
    assert page.startswith(f"usage: bertworks {command} ")
    assert not modules & {*HEAVY, "numpy", "pydantic"}


def test_a_recipe_is_refused_without_pydantic(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("[model]\nhiden_size = 1\n")
    run = f"from bertworks.cli.main import main; print(main(['pretrain', {str(tmp_path / 'r.toml')!r}, '--out', 'x']))"
    modules, printed = loaded(run)
    assert printed == "2\n"
    assert not modules & {*HEAVY, "numpy", "pydantic"}
