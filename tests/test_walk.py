"""docs/walk.md stays true: its files and functions exist, and the way stays short. test_docs.py runs its blocks."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import bertworks

SOURCE = Path(bertworks.__file__).parent
MAX_FILES, MAX_LINES = 12, 2500
STEP = re.compile(r"`([a-z_]+/[a-z_]+\.py)`: ((?:`[\w.]+`(?:, )?)+)")


def steps(checkout: Path) -> dict[str, list[str]]:
    """File -> the names that the walk says to look at in it."""
    text = (checkout / "docs" / "walk.md").read_text(encoding="utf-8")
    return {file: re.findall(r"`([\w.]+)`", names) for file, names in STEP.findall(text)}


def defined(source: str) -> set[str]:
    """Names of functions and classes of a file, methods as `Class.method`."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return names


def test_every_name_is_where_the_walk_says(checkout: Path) -> None:
    found = steps(checkout)
    assert len(found) >= 10
    missing = {
        f"{file}: {name}"
        for file, names in found.items()
        for name in names
        if name not in defined((SOURCE / file).read_text(encoding="utf-8"))
    }
    assert missing == set()
    assert "Layer.forwards" not in defined((SOURCE / "model/encoder.py").read_text(encoding="utf-8"))


def test_the_way_is_short(checkout: Path) -> None:
    lines = {file: len((SOURCE / file).read_text(encoding="utf-8").splitlines()) for file in steps(checkout)}
    assert len(lines) <= MAX_FILES
    assert 1000 < sum(lines.values()) <= MAX_LINES


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        ("pretrain/run.py", "micro_batches"),
        ("pretrain/run.py", "train_step"),
        ("pretrain/samples.py", "plan_epoch"),
        ("pretrain/samples.py", "draw_masks"),
        ("pretrain/samples.py", "apply_masks"),
        ("model/heads.py", "fused_cross_entropy"),
        ("model/encoder.py", "attend"),
    ],
)
def test_the_steps_are_joined(caller: str, called: str) -> None:
    calls = ast.walk(ast.parse((SOURCE / caller).read_text(encoding="utf-8")))
    assert called in {node.func.id for node in calls if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
