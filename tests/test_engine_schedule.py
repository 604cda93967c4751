"""Learning rates at the steps where they are got wrong: 0, 1, the warm-up's end, the last."""

from collections.abc import Mapping

import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.engine.parameters import FlatParameters
from bertworks.engine.schedule import KINDS, Schedule
from bertworks.engine.step import train_step
from toy_losses import Part, Toy, counts_of, eight_rows, grouped


def test_the_originals_schedule_to_the_digit() -> None:
    schedule = Schedule("bert", 1e-4, total=1_000_000, warmup=10_000)
    wanted = {0: 0.0, 1: 1e-8, 9_999: 9.999e-5, 10_000: 9.9e-5, 500_000: 5e-5, 999_999: 1e-10, 1_000_000: 0.0}
    for step, lr in wanted.items():
        assert schedule.lr(step) == pytest.approx(lr, rel=1e-9, abs=1e-20), step


def test_linear_reaches_its_peak_and_falls_to_nothing() -> None:
    schedule = Schedule("linear", 2e-3, total=100, warmup=10)
    rates = [schedule.lr(step) for step in range(101)]
    assert rates[0] == 0
    assert rates[1] == pytest.approx(2e-4)
    assert rates[10] == 2e-3 == max(rates)
    assert rates[11] == pytest.approx(2e-3 * 89 / 90)
    assert rates[99] == pytest.approx(2e-3 / 90)
    assert rates[100] == 0


def test_cosine_constant_and_trapezoid() -> None:
    cosine = Schedule("cosine", 1.0, total=50, warmup=10)
    assert [cosine.lr(step) for step in (5, 10, 30, 50)] == pytest.approx([0.5, 1.0, 0.5, 0.0])
    constant = Schedule("constant", 1.0, total=50, warmup=10)
    assert [constant.lr(step) for step in (0, 10, 49)] == [0.0, 1.0, 1.0]
    trapezoid = Schedule("trapezoid", 1.0, total=50, warmup=10, cooldown=20)
    assert [trapezoid.lr(step) for step in (0, 5, 10, 29, 30, 40, 49)] == [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.05]


@pytest.mark.parametrize("kind", KINDS)
def test_no_rate_leaves_its_bounds(kind: str) -> None:
    for warmup, cooldown in ((0, 0), (7, 0), (0, 7), (7, 7), (31, 31)):
        schedule = Schedule(kind, 1.0, total=31, warmup=warmup, cooldown=cooldown)
        rates = [schedule.lr(step) for step in (0, 0.5, 6.9, 7, 24, 30.99, 31, 40)]
        assert all(0 <= rate <= 1 for rate in rates)
        assert max(rates) > 0.5


def test_one_rate_an_update_however_many_micro_batches() -> None:
    """Accumulation does not advance the schedule: 1 and 8 micro-batches see the same rates."""
    seen: dict[int, list[float]] = {}
    for pieces in (1, 8):
        parameters = FlatParameters(TOY, torch.float64, torch.device("cpu"))
        schedule = Schedule("linear", 1.0, total=5, warmup=2)
        rates = Noted(parameters)
        parts = grouped(eight_rows(), [8 // pieces] * pieces)
        for step in range(5):
            train_step(parts, counts_of(parts), scaled_by_toy, parameters, rates, lr=schedule.lr(step))
        seen[pieces] = rates.lrs
    assert seen[1] == seen[8] == pytest.approx([0, 0.5, 1, 2 / 3, 1 / 3])


TOY = Toy()


def scaled_by_toy(part: Part, scales: Mapping[str, float]) -> dict[str, torch.Tensor]:
    return {name: total * scales[name] for name, total in TOY(part).items()}


class Noted:
    """An optimiser that notes its rates."""

    def __init__(self, parameters: FlatParameters) -> None:
        self.lrs: list[float] = []

    def step(self, lr: float) -> None:
        """Note it."""
        self.lrs.append(lr)

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing."""
        return {}

    def restore(self, saved: dict[str, torch.Tensor]) -> None:
        """Nothing."""


def test_an_unknown_schedule_is_told_with_the_known_ones() -> None:
    with pytest.raises(BertworksError, match="unknown schedule `liner`") as caught:
        Schedule("liner", 1.0, total=1)
    assert "linear" in caught.value.hint
