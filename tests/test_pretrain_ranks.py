"""Micro-batches and ranks change nothing, dropout on: one gradient, the same losses, also when a run changes them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bertworks.corpus.masking import MaskRule
from bertworks.engine.checkpoint import checkpoints
from bertworks.engine.dropout import PooledDropout
from bertworks.engine.parameters import FlatParameters
from bertworks.engine.ranks import Ranks
from bertworks.engine.step import train_step
from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig
from bertworks.pretrain import run
from bertworks.pretrain.batches import MicroBatch, micro_batches
from bertworks.pretrain.objective import Objective, target_counts
from bertworks.pretrain.samples import Samples
from bertworks.text.tokenizer import Tokenizer
from memory_corpus import random_corpus, small_tokenizer
from tiny_pretraining import flags_of, left_by, recipe_of, tiny_corpus
from toy_losses import Kept, distance
from two_ranks import in_ranks

CPU = torch.device("cpu")
LENGTH = 32
STEPS = 50  # compared after the change of ranks


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return small_tokenizer(tmp_path_factory.mktemp("vocab"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_corpus(tmp_path_factory.getbasetemp() / "tiny")


def batch_of(tokenizer: Tokenizer, micro_tokens: int, ranks: Ranks | None = None) -> list[MicroBatch]:
    samples = Samples(
        random_corpus(50, mean=3), tokenizer, np.arange(50), segments="nsp", length=LENGTH, masks=MaskRule(), seed=1
    )
    return micro_batches(samples.batch(0, 0, 500), LENGTH, micro_tokens, ranks)


class Shares(Ranks):
    """A rank of several that knows the others' counts, so that one process can play them all in turn."""

    def __init__(self, rank: int, world: int, totals: Mapping[str, float]) -> None:
        super().__init__(rank, world)
        self.totals = dict(totals)

    def sum_counts(self, counts: Mapping[str, float]) -> dict[str, float]:
        return self.totals

    def sum_gradients(self, gradients: torch.Tensor, losses: Mapping[str, float]) -> dict[str, float]:
        return dict(losses)


@cache
def dropout_of(rate: float, dtype: torch.dtype) -> PooledDropout:
    return PooledDropout(rate, rate, seed=3, dtype=dtype, device=CPU)


def gradient(
    pieces: list[MicroBatch], tokenizer: Tokenizer, dtype: torch.dtype, *, rate: float, ranks: Ranks | None = None
) -> tuple[torch.Tensor, dict[str, float]]:
    """Of a BERT of two layers on one batch."""
    config = BertConfig(tokenizer.vocab_size, 12, 2, 3, 20, max_position_embeddings=LENGTH)
    model = BertForPreTraining.new(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4).add_(0.01)  # gradients of every size, so that a relative bound means something
    parameters = FlatParameters(model, dtype, CPU)
    kept = Kept(parameters)
    objective = Objective(model, dropout_of(rate, dtype) if rate else None, direct=True)
    objective.step = 17
    report = train_step(
        pieces, target_counts(pieces), objective, parameters, kept, lr=0.0, max_grad_norm=0.0, ranks=ranks
    )
    assert report.finite
    assert kept.gradient is not None
    return kept.gradient, report.losses


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-9), (torch.float32, 1e-5)], ids=str)
@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_any_micro_batch_and_any_ranks_give_one_gradient(
    tokenizer: Tokenizer, dtype: torch.dtype, bound: float, rate: float
) -> None:
    whole = batch_of(tokenizer, 10**6)
    assert len(whole) == 1
    wanted, losses = gradient(whole, tokenizer, dtype, rate=rate)
    size = float(wanted.abs().max())
    assert size > 0.1
    for micro_tokens in (LENGTH, 3 * LENGTH):
        pieces = batch_of(tokenizer, micro_tokens)
        assert len(pieces) > 3
        found, told = gradient(pieces, tokenizer, dtype, rate=rate)
        assert distance(found, wanted) <= bound
        assert told == pytest.approx(losses, rel=bound)
    for world in (2, 3):
        total, sums = torch.zeros_like(wanted), dict.fromkeys(losses, 0.0)
        for rank in range(world):
            mine = Shares(rank, world, target_counts(whole))
            found, told = gradient(batch_of(tokenizer, 64, mine), tokenizer, dtype, rate=rate, ranks=mine)
            assert distance(found, wanted) > 0.01 * size, "a part is not the whole"
            total += found
            sums = {name: sums[name] + told[name] for name in sums}
        assert distance(total, wanted) <= bound
        assert sums == pytest.approx(losses, rel=bound)


def test_dropout_was_on_and_another_step_has_other_masks(tokenizer: Tokenizer) -> None:
    whole = batch_of(tokenizer, 10**6)
    without, _ = gradient(whole, tokenizer, torch.float64, rate=0.0)
    with_dropout, _ = gradient(whole, tokenizer, torch.float64, rate=0.1)
    assert distance(with_dropout, without) > 1e-2


def stopped_at(step: int, corpus: Path, out: Path) -> None:
    """Train on one rank until `step`, where a SIGTERM comes."""
    real = run.train_step

    def interrupted(*words: Any, **settings: Any) -> Any:
        interrupted.calls += 1  # type: ignore[attr-defined]
        if interrupted.calls == step:  # type: ignore[attr-defined]
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*words, **settings)

    interrupted.calls = 0  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "train_step", interrupted)
        result = run.pretrain(changed(corpus), out)
    assert (result.steps, result.stopped) == (step, "SIGTERM")


def changed(corpus: Path) -> Any:
    return recipe_of(corpus, train__steps=10 + STEPS, train__log_every=1, train__checkpoint_every=1000)


def gone_on(corpus: str, out: str) -> list[Any]:
    """In a rank: to the end of the run."""
    torch.set_num_threads(1)
    result = run.pretrain(changed(Path(corpus)), Path(out))
    return [result.steps, result.stopped, result.figures["mlm_loss"]]


@pytest.mark.slow  # three runs, two of them started from nothing
def test_a_run_that_goes_on_with_two_ranks_has_the_losses_of_one(corpus: Path, tmp_path: Path) -> None:
    run.pretrain(changed(corpus), tmp_path / "one")
    stopped_at(10, corpus, tmp_path / "two")
    ended = in_ranks("test_pretrain_ranks", "gone_on", str(corpus), str(tmp_path / "two"))
    assert [end[:2] for end in ended] == [[10 + STEPS, None]] * 2
    one, two = left_by(tmp_path / "one"), left_by(tmp_path / "two")
    assert len(one["metrics"]) == len(two["metrics"]) == 10 + STEPS + 6
    for line, other in zip(one["metrics"], two["metrics"], strict=True):
        assert line.keys() == other.keys()
        for name in line.keys() & {"loss", "mlm_loss", "nsp_loss"}:
            assert other[name] == pytest.approx(line[name], rel=1e-5), (line["step"], name)
        assert (line["step"], line["tokens"]) == (other["step"], other["tokens"])
    assert one["metrics"][-2]["loss"] != two["metrics"][-2]["loss"], "two ranks did add in another order"
    losses = [line["loss"] for line in one["metrics"] if "split" not in line]
    assert max(losses) - min(losses) > 0.1, "and the losses moved"


def stopped_by_one(corpus: str, out: str) -> list[Any]:
    """In a rank: a SIGTERM reaches the second rank only."""
    torch.set_num_threads(1)
    if os.environ["RANK"] == "1":
        real = run.train_step

        def interrupted(*words: Any, **settings: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return real(*words, **settings)

        run.train_step = interrupted
    result = run.pretrain(changed(Path(corpus)), Path(out))
    return [result.steps, result.stopped]


@pytest.mark.slow  # two ranks started from nothing
def test_a_signal_to_one_rank_stops_all_at_the_same_step(corpus: Path, tmp_path: Path) -> None:
    assert in_ranks("test_pretrain_ranks", "stopped_by_one", str(corpus), str(tmp_path / "run")) == [[1, "SIGTERM"]] * 2
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["1"]


@pytest.mark.slow  # torchrun and two ranks, each started from nothing
def test_torchrun_trains_as_one_program(corpus: Path, tmp_path: Path) -> None:
    words = ["pretrain", "--out", str(tmp_path / "two"), "--json", *flags_of(corpus, train__steps=12)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*torchrun, "-m", "bertworks", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["steps"] == 12, "and one rank speaks for all"
    run.pretrain(recipe_of(corpus, train__steps=12), tmp_path / "one")
    one, two = left_by(tmp_path / "one"), left_by(tmp_path / "two")
    assert two["result"]["metrics"]["heldout"] == pytest.approx(one["result"]["metrics"]["heldout"], rel=1e-4)
    log = (tmp_path / "two" / "log.txt").read_text()
    assert log.count("step 10,") == 1
