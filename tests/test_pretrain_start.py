"""Going on from a model: by name, from a run, with the weights it had; another vocabulary is refused."""

import json
import logging
from pathlib import Path

import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.base.places import PACKAGED, find_model
from bertworks.base.recipe import load
from bertworks.corpus.build import build
from bertworks.model.pretrained import load_pre_training
from bertworks.pretrain import run
from bertworks.pretrain.recipe import PretrainRecipe
from bertworks.reproduce.bundled import HELDOUT
from tiny_pretraining import SETTINGS, recipe_of, tiny_corpus

REFERENCE = PACKAGED[0]
STILL: dict[str, object] = {"train__steps": 2, "train__lr": 1e-12, "train__log_every": 1, "train__evaluate_every": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real text in the reference's vocabulary."""
    folder = tmp_path_factory.mktemp("novels") / "corpus"
    build(sorted(HELDOUT.glob("*.jsonl*"))[:1], REFERENCE, folder, workers=1, holdout=0.2)
    return folder


def first_loss(out: Path) -> float:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return float(next(line["loss"] for line in lines if "loss" in line))


def test_a_packaged_model_and_a_run_go_on_with_their_weights(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run.pretrain(recipe_of(corpus, model__start=REFERENCE, **STILL), tmp_path / "named")
    run.pretrain(recipe_of(corpus, model__start=str(tmp_path / "named"), **STILL), tmp_path / "again")
    with caplog.at_level(logging.WARNING):
        counts = recipe_of(corpus, model__start=REFERENCE, model__initialization="counts", **STILL)
        run.pretrain(counts, tmp_path / "counts")
    assert "`model.initialization`: passed over, bertworks-mini brings sizes and weights of its own" in caplog.text
    run.pretrain(recipe_of(corpus, **STILL), tmp_path / "random")

    theirs = load_pre_training(find_model(REFERENCE))[0].state_dict()
    ours = load_pre_training(find_model(tmp_path / "again"))[0].state_dict()
    assert theirs.keys() == ours.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, atol=1e-9, rtol=0, msg=name)
    known, random = first_loss(tmp_path / "named"), first_loss(tmp_path / "random")
    assert known < random - 0.5, "a trained model knows more than the unigram bias of a random one"
    assert first_loss(tmp_path / "again") == pytest.approx(known, abs=1e-6)
    assert first_loss(tmp_path / "counts") == pytest.approx(known, abs=1e-6)


def test_another_vocabulary_is_refused(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    other = tiny_corpus(tmp_path_factory.getbasetemp() / "tiny")
    with pytest.raises(BertworksError, match=r"its vocabulary .* is not the corpus's") as refused:
        run.pretrain(recipe_of(other, model__start=REFERENCE, **STILL), tmp_path / "run")
    assert refused.value.hint == f"build the corpus with `--vocab {REFERENCE}`"
    assert not (tmp_path / "run" / "best").exists()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_corpus(tmp_path_factory.getbasetemp() / "tiny")


@pytest.fixture(scope="module")
def start(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one update with dropout of its own."""
    first = recipe_of(tiny, train__steps=1, model__dropout=0.2, model__attention_dropout=0.25)
    return run.pretrain(first, tmp_path_factory.mktemp("start") / "run").run


def beside(start: Path, corpus: Path, keys: dict[str, object]) -> PretrainRecipe:
    """A recipe that goes on from `start` and says no more of the model than `keys`."""
    given = {key: value for key, value in SETTINGS.items() if not key.startswith("model.")}
    given |= {"data.corpus": str(corpus), "model.start": str(start), "train.steps": 1, "train.evaluate_every": 1}
    return load(PretrainRecipe, None, given | {f"model.{key}": value for key, value in keys.items()})


def dropout_of(model: Path) -> tuple[float, float]:
    config = json.loads((model / "config.json").read_text())
    return config["hidden_dropout_prob"], config["attention_probs_dropout_prob"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [({"dropout": 0.3, "attention_dropout": 0.0}, (0.3, 0.0)), ({"dropout": 0.3}, (0.3, 0.1)), ({}, (0.1, 0.1))],
)
def test_the_config_tells_the_dropout_of_this_training_not_of_the_start(
    start: Path, tiny: Path, tmp_path: Path, keys: dict[str, object], told: tuple[float, float]
) -> None:
    assert dropout_of(start / "best") == (0.2, 0.25)
    run.pretrain(beside(start, tiny, keys), tmp_path / "run")
    assert dropout_of(tmp_path / "run" / "best") == dropout_of(tmp_path / "run" / "last") == told


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({}, []),
        ({"dropout": 0.3, "attention_dropout": 0.0}, []),
        ({"hidden_size": 16, "initialization": "counts", "dropout": 0.3}, ["hidden_size", "initialization"]),
        ({"preset": "tiny", "pre_norm": True, "unigram_bias": False}, ["preset", "pre_norm", "unigram_bias"]),
        ({"max_position_embeddings": 40, "initializer_range": 0.1}, ["max_position_embeddings", "initializer_range"]),
    ],
)
def test_other_keys_of_the_model_beside_a_start_are_named(
    start: Path, tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, keys: dict[str, object], named: list[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        run.pretrain(beside(start, tiny, keys), tmp_path / "run")
    warnings = [record.getMessage() for record in caplog.records if "passed over" in record.getMessage()]
    keys_told = ", ".join(f"`model.{key}`" for key in named)
    assert warnings == ([f"{keys_told}: passed over, {start} brings sizes and weights of its own"] if named else [])
    sizes = json.loads((tmp_path / "run" / "last" / "config.json").read_text())
    assert (sizes["hidden_size"], sizes["num_hidden_layers"], sizes["max_position_embeddings"]) == (16, 2, 40)
