"""Going on from a model: by name, from a run, with the weights it had; another vocabulary is refused."""

import json
import logging
from pathlib import Path

import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.base.places import PACKAGED, find_model
from bertworks.corpus.build import build
from bertworks.model.pretrained import load_pre_training
from bertworks.pretrain import run
from bertworks.reproduce.bundled import HELDOUT
from tiny_pretraining import recipe_of, tiny_corpus

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
