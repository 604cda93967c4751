"""Rooms see only what is below them, and private modules stay in their room."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import bertworks

SOURCE = Path(bertworks.__file__).parent


def lint(folder: Path, config: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; from importlinter.cli import lint_imports_command as run; run()"
    words = [sys.executable, "-c", code, "--config", str(config), "--no-cache"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_layers_hold(checkout: Path, tmp_path: Path) -> None:
    done = lint(checkout, checkout / "pyproject.toml")
    assert done.returncode == 0, done.stdout
    assert "3 kept, 0 broken" in done.stdout

    layers = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    upside_down = "\n  ".join(layer.replace("(", "").replace(")", "") for layer in reversed(layers) if "(" not in layer)
    config = "[importlinter]\nroot_package = bertworks\n[importlinter:contract:1]\nname = upside down\ntype = layers\n"
    (tmp_path / "c.ini").write_text(f"{config}containers = bertworks\nlayers =\n  {upside_down}\n")
    assert "0 kept, 1 broken" in lint(tmp_path, tmp_path / "c.ini").stdout


def private_imports(source: str, room: str) -> list[str]:
    """The modules with a leading underscore that a file of `room` takes from another room."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            is_private = any(part.startswith("_") and not part.startswith("__") for part in parts[2:])
            if parts[0] == "bertworks" and is_private and parts[1] != room:
                found.append(name)
    return found


def test_private_modules_stay_in_their_room() -> None:
    assert private_imports("from bertworks.base._beside import delete", "corpus") == ["bertworks.base._beside.delete"]
    assert private_imports("from bertworks.base._beside import delete", "base") == []
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 50
    found = {
        str(path.relative_to(SOURCE)): names
        for path in files
        if (names := private_imports(path.read_text(encoding="utf-8"), path.relative_to(SOURCE).parts[0]))
    }
    assert found == {}
