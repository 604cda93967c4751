"""What the doctor says about a machine, and the schemas it prints."""

from __future__ import annotations

import json

import pytest

from bertworks.base import recipe
from bertworks.cli import doctor
from bertworks.cli.main import main
from bertworks.pretrain.recipe import PretrainRecipe


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MATMUL_SIZE", 64)
    monkeypatch.setattr(doctor, "MATMUL_SECONDS", 0.01)


def test_for_people_and_for_machines(
    quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BERTWORKS_DATA", "/somewhere")
    assert main(["doctor"]) == 0
    page = capsys.readouterr().out
    for name in ("processor", "instructions", "bf16", "allocator", "free disk", "matmul", "torch", "tokenizers"):
        assert f"\n{name} " in page
    assert "BERTWORKS_DATA  /somewhere\n" in page
    monkeypatch.delenv("BERTWORKS_DATA")
    assert main(["doctor", "--json"]) == 0
    machine = json.loads(capsys.readouterr().out)
    assert machine["data"] is None
    assert machine["matmul_gflops"] > 0
    assert machine["cores"] >= 1
    assert all(machine["versions"].values())


def test_a_missing_package_is_a_failure(
    quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "NEEDED", ("torch", "surely-not-there"))
    assert main(["doctor"]) == 1
    out, err = capsys.readouterr()
    assert "surely-not-there  not installed" in out
    assert err.startswith("error: surely-not-there not installed\n")


def test_schemas_hold_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--schema"]) == 0
    both = json.loads(capsys.readouterr().out)
    assert len(both["anyOf"]) == len(doctor.RECIPES)
    assert main(["doctor", "--schema", "pretrain"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert both["anyOf"][0] == {name: part for name, part in one.items() if name != "$schema"}
    for key in recipe.keys(PretrainRecipe):
        node = one
        for part in key.name.split("."):
            node = node["properties"][part]
        assert node["default"] == ("none" if key.default is None else key.default)
