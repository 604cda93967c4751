"""A temperature: never a worse likelihood on dev, never another answer, and the same scores in a foreign loader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json
from bertworks.finetune import outcome
from bertworks.finetune.calibration import ece_before, fit, nll
from bertworks.finetune.outcome import FinetuneResult
from bertworks.finetune.run import finetune
from bertworks.predict.directory import load_model
from bertworks.predict.run import predict_rows
from finetune_support import KINDS, model_folder, toy_recipe, toy_rows, write_rows


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([2, 3, 7]), st.floats(0.05, 8), st.booleans())
def test_the_likelihood_never_gets_worse(seed: int, classes: int, spread: float, is_several: bool) -> None:
    random = np.random.default_rng(seed)
    logits = spread * random.normal(size=(31, classes))
    gold = random.random((31, classes)) < 0.4 if is_several else random.integers(0, classes, 31)
    found = fit(logits, gold)
    assert found.nll_after <= found.nll_before
    assert found.nll_after == pytest.approx(nll(logits / found.temperature, gold))
    around = [nll(logits / (found.temperature * factor), gold) for factor in (0.97, 1.03)]
    at_edge = not 0.051 < found.temperature < 19.9
    assert at_edge or min(around) >= found.nll_after - 1e-9
    if not is_several:
        assert ((logits / found.temperature).argmax(1) == logits.argmax(1)).all()


def test_it_is_torchs_likelihood_and_finds_the_temperature() -> None:
    from torch.nn import functional

    random = np.random.default_rng(1)
    true = random.normal(size=(4000, 5))
    gold = np.array([random.choice(5, p=np.exp(row) / np.exp(row).sum()) for row in true])
    theirs = functional.cross_entropy(torch.from_numpy(3 * true), torch.from_numpy(gold))
    assert nll(3 * true, gold) == pytest.approx(float(theirs))
    several = random.random((4000, 5)) < 1 / (1 + np.exp(-true))
    losses = functional.binary_cross_entropy_with_logits(
        torch.from_numpy(3 * true), torch.from_numpy(several).double(), reduction="none"
    )
    assert nll(3 * true, several) == pytest.approx(float(losses.sum(1).mean()))
    for wanted in (gold, several):
        found = fit(3 * true, wanted)
        assert found.temperature == pytest.approx(3, rel=0.08)
        assert found.ece_after < 0.5 * found.ece_before


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    model_folder(folder / "start")
    rows = toy_rows(90)
    for number in range(0, 90, 7):
        rows[number]["label"] = list(KINDS)[number % 3 - 1]  # some labels are wrong, so certainty is punished
    write_rows(folder / "train.csv", rows)
    several = [{"text": row["text"], "label": [row["label"]] if i % 5 else []} for i, row in enumerate(toy_rows(90))]
    (folder / "several.jsonl").write_text("".join(json.dumps(row) + "\n" for row in several))
    write_rows(folder / "scores.csv", [{"text": row["text"], "score": i / 9 + 0.05} for i, row in enumerate(rows)])
    return folder


@pytest.fixture(scope="module", params=["train.csv", "several.jsonl"])
def pair(request: pytest.FixtureRequest, place: Path) -> tuple[FinetuneResult, FinetuneResult]:
    """A run without and one with a temperature."""
    done = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outcome, "draw", lambda *given: None)
        for name, is_asked in (("plain", False), ("warm", True)):
            recipe = toy_recipe(
                place / "start",
                place / str(request.param),
                data__dev_share=0.3,
                train__steps=40,
                train__calibrate=is_asked,
            )
            done.append(finetune(recipe, place / f"{name}-{request.param}"))
    return done[0], done[1]


def answers(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, C), and which are answered (n, C)."""
    opened = load_model(run)
    rows = [{"text": row["text"]} for row in toy_rows(25, seed=6)]
    found = predict_rows(opened.model, opened.task, opened.tokenizer, rows, max_length=40)
    told: list[dict[str, Any]] = [answer.to_json() for answer in found.answers]
    said = [one["labels"] if "labels" in one else [one["label"]] for one in told]
    names = opened.task.labels.names
    probs = np.array([list(one["scores"].values()) for one in told])
    return probs, np.array([[name in one for name in names] for one in said])


def logits_of(probs: np.ndarray, *, is_several: bool) -> np.ndarray:
    raw = np.log(probs) - np.log1p(-probs) if is_several else np.log(probs)
    centred: np.ndarray = raw if is_several else raw - raw.mean(1, keepdims=True)
    return centred


def test_scores_move_by_the_temperature_and_answers_do_not(pair: tuple[FinetuneResult, FinetuneResult]) -> None:
    plain, warm = pair
    is_several = warm.content["task"] == "labels"
    done = warm.content["calibration"]
    assert abs(np.log(done["temperature"])) > 0.05, "it moved something"
    assert done["nll_after"] < done["nll_before"]
    (before, said_before), (after, said_after) = answers(plain.run), answers(warm.run)
    expected = logits_of(before, is_several=is_several) / done["temperature"]
    np.testing.assert_allclose(logits_of(after, is_several=is_several), expected, atol=1e-3)
    if not is_several:  # thresholds of labels are chosen after it, on the new scale
        assert (said_before == said_after).all()
    assert warm.metrics["dev"] == pytest.approx(plain.metrics["dev"])
    assert "calibration" not in plain.content
    assert warm.content["ece_before"]["dev"] == pytest.approx(plain.content["ece"]["dev"], abs=2e-2)
    stored = read_json(warm.run / "best" / "bertworks.json")
    assert stored["calibration"] == pytest.approx(done)
    assert "Temperature" in (warm.run / "report.html").read_text()
    assert f"A temperature of {done['temperature']:.3f}" in (warm.run / "best" / "README.md").read_text()


def test_transformers_has_the_same_scores(pair: tuple[FinetuneResult, FinetuneResult]) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    _, warm = pair
    theirs = AutoModelForSequenceClassification.from_pretrained(warm.run / "best").eval()
    tokenizer = AutoTokenizer.from_pretrained(warm.run / "best")
    inputs = tokenizer([row["text"] for row in toy_rows(25, seed=6)], return_tensors="pt", padding=True)
    with torch.no_grad():
        logits = theirs(**inputs).logits
    probs = torch.sigmoid(logits) if warm.content["task"] == "labels" else torch.softmax(logits, -1)
    np.testing.assert_allclose(answers(warm.run)[0], probs.numpy(), atol=1e-5)


def test_the_error_before_is_that_of_the_model_without_it(pair: tuple[FinetuneResult, FinetuneResult]) -> None:
    plain, _ = pair
    opened = load_model(plain.run)
    rows = toy_rows(25, seed=6)
    given = [{**row, "label": [row["label"]]} for row in rows] if plain.content["task"] == "labels" else rows
    found = predict_rows(opened.model, opened.task, opened.tokenizer, given, max_length=40).answers
    from bertworks.finetune.parts import ece, sureness

    now = ece(sureness(opened.task, found, given))
    assert ece_before(opened.task, found, given, 1.0) == pytest.approx(now, abs=1e-9)


def test_it_is_refused_where_there_is_nothing_to_calibrate(place: Path, tmp_path: Path) -> None:
    with pytest.raises(BertworksError, match=r"`train.calibrate` is for classes and labels, this run is of task score"):
        finetune(toy_recipe(place / "start", place / "scores.csv", train__calibrate=True), tmp_path / "a")
    with pytest.raises(BertworksError, match=r"`train.calibrate` needs dev rows"):
        recipe = toy_recipe(place / "start", place / "train.csv", train__calibrate=True, data__dev_share=0.0)
        finetune(recipe, tmp_path / "b")
    assert not (tmp_path / "a").exists()
