"""However eight rows are fed, the gradient is that of each loss's sum over its count."""

import math

import pytest
import torch

from bertworks.engine.optimiser import AdamW
from bertworks.engine.parameters import FlatParameters
from bertworks.engine.step import train_step
from toy_losses import (
    EIGHT_ROWS,
    LENGTH,
    Kept,
    Part,
    Toy,
    by_hand,
    counts_of,
    distance,
    eight_rows,
    gradient_of,
    grouped,
)

BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-5}
SPLITS = {"8x1": (8,), "2x4": (4, 4), "1x8": (1,) * 8, "short last group": (3, 3, 2), "ragged": (1, 5, 2)}


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_any_grouping_gives_the_gradient_of_sum_over_count(split: tuple[int, ...], dtype: torch.dtype) -> None:
    rows = eight_rows()
    wanted, losses = by_hand(rows)
    found, report = gradient_of(grouped(rows, split), dtype)
    assert distance(found, wanted) <= BOUNDS[dtype]
    assert report.losses == pytest.approx(losses, rel=BOUNDS[dtype])
    assert report.loss == pytest.approx(sum(losses.values()), rel=BOUNDS[dtype])
    assert report.grad_norm == pytest.approx(float(wanted.norm()), rel=1e-6)
    assert report.finite


def test_a_mean_of_means_would_be_seen() -> None:
    rows = eight_rows()
    wanted, _ = by_hand(rows)
    means = torch.stack([by_hand([row])[0] for row in rows]).mean(0)
    assert distance(means, wanted) > 0.1
    assert sum(EIGHT_ROWS[:4]) == 7
    assert sum(EIGHT_ROWS[4:]) == 44


def test_each_loss_has_its_own_count() -> None:
    """Twice the words of every row change the words' mean by nothing, and leave the classes' alone."""
    rows = eight_rows()
    twice = [Part(r.input_ids, r.places.repeat(2), r.targets.repeat(2), r.classes) for r in rows]
    found, _ = gradient_of(grouped(twice, (8,)), torch.float64)
    assert distance(found, by_hand(rows)[0]) <= 1e-12
    assert counts_of(twice)["mlm_loss"] == 2 * counts_of(rows)["mlm_loss"]


def test_micro_batches_without_targets_count_nothing() -> None:
    rows = eight_rows()
    nothing = torch.zeros(0, dtype=torch.int64)
    empty = Part(torch.zeros(1, LENGTH, dtype=torch.int64), nothing, nothing, None)
    assert distance(gradient_of([empty, *rows, empty], torch.float64)[0], by_hand(rows)[0]) <= 1e-12
    gradient, report = gradient_of([empty], torch.float64)
    assert not gradient.any()
    assert report.losses == {"mlm_loss": 0.0, "nsp_loss": 0.0}


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_clipping_comes_after_the_division(split: tuple[int, ...]) -> None:
    rows = eight_rows()
    wanted, _ = by_hand(rows)
    bound = float(wanted.norm()) / 3
    clipped, report = gradient_of(grouped(rows, split), torch.float64, max_grad_norm=bound)
    assert distance(clipped, wanted / 3) <= 1e-9
    assert report.grad_norm == pytest.approx(3 * bound), "the norm before clipping is told"
    untouched, _ = gradient_of(grouped(rows, split), torch.float64, max_grad_norm=4 * bound)
    assert distance(untouched, wanted) <= 1e-9


@pytest.mark.parametrize("poison", [math.nan, math.inf], ids=str)
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(poison: float, where: str) -> None:
    toy = Toy()
    parameters = FlatParameters(toy, torch.float32, torch.device("cpu"))
    optimiser = AdamW(parameters)

    def losses(part: Part, scales: dict[str, float]) -> dict[str, torch.Tensor]:
        parts = {name: total * scales[name] for name, total in toy(part).items()}
        if is_poisoned and where == "loss":
            parts["nsp_loss"] = parts["nsp_loss"] + poison
        if is_poisoned and where == "gradient":
            toy.norm.bias.register_hook(lambda gradient: gradient * poison)
        return parts

    rows = eight_rows()
    is_poisoned = False
    assert train_step(rows, counts_of(rows), losses, parameters, optimiser, lr=0.1).finite
    before = {"masters": parameters.masters.clone(), **{k: v.clone() for k, v in optimiser.state().items()}}
    assert before["0.exp_avg"].any()
    is_poisoned = True
    report = train_step(rows, counts_of(rows), losses, parameters, optimiser, lr=0.1)
    assert not report.finite
    assert torch.equal(before.pop("masters"), parameters.masters)
    assert all(torch.equal(value, optimiser.state()[name]) for name, value in before.items())
    assert not parameters.sums.any(), "and the next step starts from zero"


def test_the_norm_of_many_elements_is_not_lost_in_float32() -> None:
    toy = Toy()
    parameters = FlatParameters(toy, torch.float32, torch.device("cpu"))
    parameters.sums = torch.full((30_000_001,), 0.01)
    exact = 0.01 * math.sqrt(30_000_001)
    assert parameters.gradient_norm() == pytest.approx(exact, rel=1e-5)
    assert Kept(parameters).gradient is None
    assert float(torch.linalg.vector_norm(parameters.sums)) != pytest.approx(exact, rel=1e-4), "one sum would be short"
