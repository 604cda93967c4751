"""A run with its switches on, cut short, goes on to the numbers of the run that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bertworks.finetune import outcome
from bertworks.finetune import run as run_module
from bertworks.finetune.run import finetune
from bertworks.finetune.state import save
from finetune_steps import prepared_of, start_folder

SETS: dict[str, dict[str, object]] = {
    "means, rates, two masks": {"train__ema": 0.8, "train__layer_decay": 0.7, "train__r_drop": 1.0},
    "mean of the end, adversarial": {"train__swa": 0.7, "train__fgm": 0.5, "model__pooling": "weighted"},
    "unfreezing over new layers": {"train__unfreeze": True, "model__reinit_layers": 1, "model__head": "mlp"},
    "adapters": {"model__lora_rank": 2, "train__ema": 0.9},
    "further losses": {"auxiliary__layers": {"1": 0.3}, "auxiliary__mlm": 0.2, "auxiliary__nsp": 0.2},
    "texts first": {"auxiliary__mlm": 0.5, "auxiliary__first_steps": 12, "train__ema": 0.8},
    "frozen": {"model__freeze": 1, "train__swa": 0.9},
}


class Cut(Exception):
    """The machine stopped."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("resume"))


@pytest.mark.parametrize("keys", SETS.values(), ids=SETS)
def test_a_cut_run_ends_with_equal_numbers(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, object]
) -> None:
    monkeypatch.setattr(outcome, "draw", lambda *given: None)
    monkeypatch.setattr(outcome, "floors", lambda data: {})
    recipe = prepared_of(place, train__steps=25, train__checkpoint_every=9, **keys).recipe
    finetune(recipe, tmp_path / "unbroken")
    saves: list[int] = []

    def second_save_stops(*given: Any) -> None:
        if saves:
            raise Cut
        save(*given)
        saves.append(1)

    monkeypatch.setattr(run_module, "save", second_save_stops)
    with pytest.raises(Cut):
        finetune(recipe, tmp_path / "run")
    monkeypatch.setattr(run_module, "save", save)
    finetune(recipe, tmp_path / "run")
    for name in ("best", "last"):
        files = sorted(path.relative_to(tmp_path / "run") for path in (tmp_path / "run" / name).rglob("*.safetensors"))
        assert len(files) == (2 if "model__lora_rank" in keys else 1)
        for file in files:
            assert (tmp_path / "run" / file).read_bytes() == (tmp_path / "unbroken" / file).read_bytes(), file
    one, other = ((tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in ("run", "unbroken"))
    assert len(one) == len(other)
    assert [line for line in one if '"dev"' in line] == [line for line in other if '"dev"' in line]
    assert any('"dev"' in line for line in one)
