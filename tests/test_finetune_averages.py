"""Means of the weights: against a straight transcription, idle words included, and used where they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertworks.finetune.evaluate import evaluate
from bertworks.model.weight_files import read_weights
from finetune_steps import Steps, prepared_of, start_folder

WORD = "encoder.embeddings.word"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("averages"))


def trail(steps: Steps, number: int) -> list[dict[str, torch.Tensor]]:
    """The weights after each of some updates, in float64."""
    found = []
    for _ in range(number):
        steps.one()
        found.append({name: tensor.double() for name, tensor in steps.weights().items()})
    return found


def expected_mean(weights: list[dict[str, torch.Tensor]], shares: list[float]) -> dict[str, torch.Tensor]:
    total = sum(shares)
    return {
        name: sum(share / total * one[name] for share, one in zip(shares, weights, strict=True)) for name in weights[0]
    }


@pytest.mark.parametrize(
    ("keys", "shares"),
    [
        ({"train__ema": 0.7}, [0.7**5, 0.7**4, 0.7**3, 0.7**2, 0.7, 1.0]),
        ({"train__swa": 0.5, "train__steps": 6}, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
    ],
)
def test_the_mean_is_the_mean_of_all_weights_and_words(
    place: Path, tmp_path: Path, keys: dict[str, object], shares: list[float]
) -> None:
    steps = Steps(prepared_of(place, train__weight_decay=0.9, **keys), lr=0.03)
    weights = trail(steps, 6)
    mean = expected_mean(weights, shares)
    idle = [i for i in range(len(mean[WORD])) if i not in set(steps.network._words.active.tolist())]
    assert (weights[-1][WORD][idle] - mean[WORD][idle]).abs().max() > 1e-3, "idle words must move"
    with steps.network.whole() as model:
        found = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    for name, tensor in mean.items():
        torch.testing.assert_close(found[name].double(), tensor, rtol=1e-5, atol=1e-6)
    steps.network.save(tmp_path / "saved")
    written = read_weights(tmp_path / "saved")
    torch.testing.assert_close(
        written["bert.embeddings.word_embeddings.weight"].double(), mean[WORD], rtol=1e-5, atol=1e-6
    )
    last = steps.weights()
    assert all(torch.equal(last[name].double(), tensor) for name, tensor in weights[-1].items()), (
        "training is untouched"
    )
    torch.testing.assert_close(last["classifier.weight"], found["classifier.weight"], rtol=1, atol=1)
    assert not torch.equal(last["classifier.weight"], found["classifier.weight"])


def test_the_first_mean_is_the_first_weights(place: Path) -> None:
    steps = Steps(prepared_of(place, train__ema=0.999))
    steps.go(1)
    expected = steps.weights()
    with steps.network.whole() as model:
        found = dict(model.named_parameters())
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_before_its_share_of_the_run_the_weights_are_used_as_they_are(place: Path) -> None:
    steps = Steps(prepared_of(place, train__swa=0.2, train__steps=10))
    steps.go(5)
    plain = Steps(prepared_of(place, train__steps=10))
    plain.go(5)
    one, other = (evaluate(run.network, prepared_of(place)) for run in (steps, plain))
    assert one == other
    steps.go(5)
    plain.go(5)
    one, other = (evaluate(run.network, prepared_of(place)) for run in (steps, plain))
    assert one.loss != other.loss


def test_an_update_left_out_is_not_in_the_mean(place: Path) -> None:
    steps = Steps(prepared_of(place, train__ema=0.5))
    steps.go(2)
    before = {name: tensor.clone() for name, tensor in steps.network.averages().items()}
    steps.network.updated(steps.lr, False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in steps.network.averages().items())


def test_half_precision_is_put_back_to_the_bit(place: Path) -> None:
    steps = Steps(prepared_of(place, dtype=torch.bfloat16, train__ema=0.5))
    steps.go(3)
    before = steps.network.parameters.weights.clone()
    with steps.network.whole():
        assert not torch.equal(steps.network.parameters.weights, before)
    assert torch.equal(steps.network.parameters.weights, before)
