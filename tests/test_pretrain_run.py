"""A run and its refusals: what is logged is what was minimised, bad steps are left out, small corpora still train."""

import json
import math
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.base.recipe import load, to_toml
from bertworks.corpus.build import build
from bertworks.engine.checkpoint import checkpoints
from bertworks.engine.muon import Muon
from bertworks.engine.optimiser import AdamW
from bertworks.engine.parameters import FlatParameters
from bertworks.pretrain import run
from bertworks.pretrain.objective import Objective
from bertworks.pretrain.recipe import PretrainRecipe
from bertworks.pretrain.setup import build_optimiser
from bertworks.text.learn import learn
from tiny_pretraining import assert_same, left_by, recipe_of, texts, tiny_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_corpus(tmp_path_factory.getbasetemp() / "tiny")


@pytest.fixture(scope="module")
def unbroken(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ten updates leave, logged every second one."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    run.pretrain(small(corpus, train__log_every=2), folder)
    return left_by(folder)


def small(corpus: Path, **overrides: object) -> PretrainRecipe:
    """Ten updates."""
    given: dict[str, object] = {"train__steps": 10, "train__checkpoint_every": 4, "train__evaluate_every": 5}
    return recipe_of(corpus, **{**given, **overrides})


def own_corpus(folder: Path, corpus: Path, documents: int, **settings: Any) -> Path:
    (folder / "own.txt").write_text("\n\n".join(texts(documents)) + "\n")
    build([folder / "own.txt"], corpus.parent / "vocab", folder / "own", workers=1, **settings)
    return folder / "own"


def test_what_is_logged_is_what_was_minimised(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log lines are means of the updates' losses, each a sum over a count of the whole batch; tokens are real ones."""
    seen: list[tuple[dict[str, float], int, float]] = []
    real = run.train_step

    def watched(pieces: Any, counts: Any, *words: Any, **settings: Any) -> Any:
        report = real(pieces, counts, *words, **settings)
        seen.append((report.losses, sum(piece.tokens for piece in pieces), report.grad_norm))
        return report

    monkeypatch.setattr(run, "train_step", watched)
    run.pretrain(small(corpus, train__log_every=3), tmp_path / "run")
    lines = [line for line in left_by(tmp_path / "run")["metrics"] if "split" not in line]
    assert [line["step"] for line in lines] == [3, 6, 9, 10]
    first = 0
    for line in lines:
        part = seen[first : line["step"]]
        for name in ("mlm_loss", "nsp_loss"):
            assert line[name] == pytest.approx(sum(losses[name] for losses, _, _ in part) / len(part), rel=1e-12)
        assert line["loss"] == pytest.approx(line["mlm_loss"] + line["nsp_loss"], rel=1e-12)
        assert line["grad_norm"] == max(norm for _, _, norm in part)
        assert line["tokens"] == sum(tokens for _, tokens, _ in seen[: line["step"]])
        first = line["step"]


def test_an_interrupted_save_keeps_the_checkpoint_before(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C twice, the second inside a save."""
    real = run.save_checkpoint

    def interrupted(folder: Path, step: int, *words: Any) -> Path:
        if step == 8:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return real(folder, step, *words)

    monkeypatch.setattr(run, "save_checkpoint", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.pretrain(small(corpus), tmp_path / "run")
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["4"]
    monkeypatch.undo()
    run.pretrain(small(corpus), tmp_path / "run")
    run.pretrain(small(corpus), tmp_path / "unbroken")
    assert_same(left_by(tmp_path / "run"), left_by(tmp_path / "unbroken"))


@pytest.mark.parametrize("step", [0, 3, 10])
def test_a_death_between_any_two_deeds_of_the_loop_costs_nothing(
    corpus: Path, unbroken: dict[str, Any], tmp_path: Path, step: int
) -> None:
    """Before anything was saved, between saves, and after the last one but before result.json."""

    class Death(BaseException):
        pass

    def die(self: Any, *words: Any) -> None:
        raise Death

    name, at = ("_finish", 1) if step == 10 else ("_log", step // 2 + 1)
    with pytest.MonkeyPatch.context() as patch:
        calls = 0
        real = getattr(run.Loop, name)

        def counted(self: Any, *words: Any) -> None:
            nonlocal calls
            calls += 1
            real(self, *words) if calls < at else die(self)

        patch.setattr(run.Loop, name, counted)
        with pytest.raises(Death):
            run.pretrain(small(corpus, train__log_every=2), tmp_path / "run")
    run.pretrain(small(corpus, train__log_every=2), tmp_path / "run")
    assert_same(left_by(tmp_path / "run"), unbroken)
    assert left_by(tmp_path / "run")["result"]["metrics"]["heldout"]["pairs"] > 0


class Poisoned(Objective):
    """Losses that are not finite at some steps."""

    steps: tuple[int, ...] = ()

    def __call__(self, batch: Any, scales: Mapping[str, float]) -> dict[str, torch.Tensor]:
        found = super().__call__(batch, scales)
        if self.step in self.steps:
            found["nsp_loss"] = found["nsp_loss"] * math.inf
        return found


def test_a_step_that_is_not_finite_is_left_out_and_written_down(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "Objective", Poisoned)
    monkeypatch.setattr(Poisoned, "steps", (4, 6))
    result = run.pretrain(small(corpus, train__log_every=1, train__max_bad_steps=2), tmp_path / "run")
    assert result.steps == 10
    left = left_by(tmp_path / "run")
    lines = {line["step"]: line for line in left["metrics"] if "split" not in line}
    assert [step for step, line in lines.items() if line["loss"] is None] == [5, 7]
    assert lines[6]["loss"] > 0
    assert left["state"]["bad_steps"] == 0
    bad = json.loads((tmp_path / "run" / "bad-samples.json").read_text())
    assert bad["step"] == 6
    assert len(bad["samples"]) > 5
    assert all(value.isfinite().all() for value in left["model"].values())


def test_many_bad_steps_in_a_row_stop_the_run_with_the_last_good_checkpoint(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "Objective", Poisoned)
    monkeypatch.setattr(Poisoned, "steps", (5, 6, 7, 8, 9))
    with pytest.raises(BertworksError, match="3 updates in a row not finite, last at step 7") as caught:
        run.pretrain(small(corpus), tmp_path / "run")
    assert caught.value.exit_code == 1
    assert f"the last good checkpoint is {tmp_path / 'run' / 'checkpoints' / '4'}" in caught.value.hint
    monkeypatch.setattr(Poisoned, "steps", ())
    assert run.pretrain(small(corpus), tmp_path / "run").steps == 10, "and the run can go on"


@pytest.mark.parametrize("unit", ["tokens", "hours"])
def test_other_units_end_a_run(corpus: Path, tmp_path: Path, unit: str) -> None:
    overrides = {"train__tokens": 2000} if unit == "tokens" else {"train__hours": 1.5 / 3600}
    result = run.pretrain(recipe_of(corpus, **overrides), tmp_path / "run")
    state = left_by(tmp_path / "run")["state"]
    assert result.stopped is None
    assert result.steps == state["step"] > 1
    if unit == "tokens":
        assert 2000 <= state["tokens"] < 2000 + 400
    lines = [line for line in left_by(tmp_path / "run")["metrics"] if "split" not in line]
    assert lines[-1]["lr"] < 0.25 * 0.01, "the schedule ends with the run"


@pytest.mark.parametrize(("segments", "optimizer"), [("nsp-bert", "adam-bert"), ("sop", "muon")])
def test_every_objective_and_optimiser_goes_on_to_the_bit(
    corpus: Path, tmp_path: Path, segments: str, optimizer: str
) -> None:
    recipe = small(corpus, train__optimizer=optimizer, data__segments=segments, data__mask_copies=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Loop, "_evaluate", stop_at(5))
        with pytest.raises(ZeroDivisionError):
            run.pretrain(recipe, tmp_path / "run")
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["4"]
    run.pretrain(recipe, tmp_path / "run")
    run.pretrain(recipe, tmp_path / "unbroken")
    assert_same(left_by(tmp_path / "run"), left_by(tmp_path / "unbroken"))
    assert "nsp_loss" in left_by(tmp_path / "run")["metrics"][-1]


def stop_at(step: int) -> Any:
    real = run.Loop._evaluate

    def stopped(self: Any) -> None:
        if self.state.cursor.step == step:
            raise ZeroDivisionError
        real(self)

    return stopped


def test_one_document_trains_the_way_that_its_refusal_names(corpus: Path, tmp_path: Path) -> None:
    own = own_corpus(tmp_path, corpus, 1)
    with pytest.raises(BertworksError, match="need two documents, there is one") as caught:
        run.pretrain(small(own), tmp_path / "run")
    assert "--segments none" in caught.value.hint
    assert not (tmp_path / "run").exists(), "nothing half-written"
    result = run.pretrain(small(own, data__segments="none"), tmp_path / "run")
    assert result.figures == {}, "nothing is held out of one document"
    assert (tmp_path / "run" / "last" / "model.safetensors").exists()
    assert (tmp_path / "run" / "curves.png").exists()


def test_a_few_documents_hold_out_one_and_train_on_pairs(corpus: Path, tmp_path: Path) -> None:
    own = own_corpus(tmp_path, corpus, 6)
    result = run.pretrain(small(own), tmp_path / "run")
    assert result.figures["masked_tokens"] > 0
    assert "nsp_loss" not in result.figures, "a pair needs two documents"


def test_another_corpus_than_the_run_began_with_is_refused(corpus: Path, tmp_path: Path) -> None:
    own = own_corpus(tmp_path, corpus, 20)
    recipe = small(own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.Loop, "_evaluate", stop_at(5))
        with pytest.raises(ZeroDivisionError):
            run.pretrain(recipe, tmp_path / "run")
    shutil.rmtree(own)
    own_corpus(tmp_path, corpus, 21)
    with pytest.raises(BertworksError, match="the corpus changed since this run began") as caught:
        run.pretrain(recipe, tmp_path / "run")
    assert "restore the corpus" in caught.value.hint


def test_recipes_that_cannot_be_are_refused_before_anything_is_read(corpus: Path, tmp_path: Path) -> None:
    for name, value, told in (
        ("train__length", 5, "length: must be at least 8, got 5"),
        ("train__batch_tokens", 0, "batch_tokens: must be at least 1, got 0"),
        ("train__log_every", 0, "log_every: must be at least 1, got 0"),
        ("train__lr", -1.0, "lr: must be above 0, got -1.0"),
        ("train__warmup", 1.5, "warmup: must be at most 1, got 1.5"),
        ("train__max_grad_norm", -1.0, "max_grad_norm: must be at least 0, got -1.0"),
        ("train__weight_decay", -3.0, "weight_decay: must be at least 0, got -3.0"),
        ("train__beta1", 1.5, "beta1: must be below 1, got 1.5"),
        ("model__dropout", 1.5, "dropout: must be below 1, got 1.5"),
        ("data__max_predictions", -3, "max_predictions: must be at least 0, got -3"),
        ("data__kept", 0.5, "`masked` and `kept` are more than all chosen tokens"),
        ("machine__threads", -2, "threads: must be at least 1, got -2"),
    ):
        with pytest.raises(BertworksError, match=told):
            small(corpus, **{name: value})
    with pytest.raises(BertworksError, match="warm-up and cool-down are longer than the run"):
        small(corpus, train__warmup=0.9, train__cooldown=0.2, train__schedule="trapezoid")
    with pytest.raises(BertworksError, match="length 41 is more than the model's 40 positions"):
        run.pretrain(small(corpus, train__length=41), tmp_path / "run")
    learn(texts(), size=110).save(tmp_path / "vocab")
    (tmp_path / "text.txt").write_text("\n\n".join(texts(9)))
    build([tmp_path / "text.txt"], tmp_path / "vocab", tmp_path / "other", workers=1)
    with pytest.raises(BertworksError, match="was built with another vocabulary"):
        run.pretrain(small(corpus, data__heldout=str(tmp_path / "other")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("optimizer", "given", "betas"),
    [
        ("adamw", {}, (0.9, 0.98)),
        ("adam-bert", {}, (0.9, 0.999)),
        ("muon", {}, (0.9, 0.98)),
        ("adamw", {"train__beta2": 0.95}, (0.9, 0.95)),
        ("adam-bert", {"train__beta2": 0.98}, (0.9, 0.98)),
        ("adam-bert", {"train__beta2": 0.0, "train__beta1": 0.8}, (0.8, 0.0)),
    ],
)
def test_the_second_beta_is_the_optimisers_own_unless_given(
    corpus: Path, tmp_path: Path, optimizer: str, given: dict[str, object], betas: tuple[float, float]
) -> None:
    recipe = small(corpus, train__optimizer=optimizer, **given)
    assert recipe.train.betas == betas
    parameters = FlatParameters(torch.nn.Linear(2, 2), torch.float32, torch.device("cpu"))
    built = build_optimiser(recipe, parameters)
    adam = built.rest if isinstance(built, Muon) else built
    assert isinstance(adam, AdamW)
    assert [group["betas"] for group in adam._adam.param_groups] == [betas] * 2
    assert adam.bias_correction == (optimizer != "adam-bert")
    (tmp_path / "recipe.toml").write_text(to_toml(recipe))
    assert load(PretrainRecipe, tmp_path / "recipe.toml", {}) == recipe, "as a resumed run compares it"
