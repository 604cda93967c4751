"""Gradients and updates held back: torch's coupled Adam as oracle, formulas written out, states that come back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bertworks.engine.moderation import AveragedGradient, CappedUpdate, GradientChange
from bertworks.engine.optimiser import AdamW, Optimiser
from bertworks.engine.parameters import FlatParameters
from bertworks.engine.step import train_step

STEPS = 17
Wrap = Callable[[FlatParameters, AdamW], Optimiser]


class Line(nn.Module):
    """A matrix (3, 5) and a vector (5,)."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(4)
        self.matrix = nn.Parameter(torch.randn(3, 5, generator=draw, dtype=torch.float64))
        self.vector = nn.Parameter(torch.randn(5, generator=draw, dtype=torch.float64))

    def loss(self, step: int) -> Tensor:
        x = torch.from_numpy(np.random.default_rng(step).normal(size=(7, 3)))
        return (x @ self.matrix + self.vector).tanh().square().sum() * (1 + 5 * (step % 3))


def plain(parameters: FlatParameters, adam: AdamW) -> Optimiser:
    return adam


def trained(
    wrap: Wrap = plain,
    change: GradientChange | None = None,
    clip: float = 0.0,
    restart_at: int = -1,
    weight_decay: float = 0.0,
) -> list[Tensor]:
    """The masters after each update; at `restart_at` all goes through saved tensors into new objects."""
    model = Line()
    parameters = FlatParameters(model, torch.float64, torch.device("cpu"))
    optimiser = wrap(parameters, AdamW(parameters, eps=1e-12, weight_decay=weight_decay))
    seen = []
    for step in range(STEPS):
        if step == restart_at:
            saved = {name: value.clone() for name, value in optimiser.state().items()}
            optimiser = wrap(parameters, AdamW(parameters, eps=1e-12, weight_decay=weight_decay))
            optimiser.restore(saved)
        losses = lambda batch, scales: {"loss": model.loss(batch) * scales["loss"]}  # noqa: E731
        train_step([step], {"loss": 7.0}, losses, parameters, optimiser, lr=0.05, max_grad_norm=clip, change=change)
        seen.append(parameters.masters.clone())
    return seen


def test_coupled_l2_is_torchs_adam_and_not_its_adamw() -> None:
    model = Line()
    adam = torch.optim.Adam(
        [{"params": [model.matrix], "weight_decay": 0.3}, {"params": [model.vector]}], lr=0.05, eps=1e-12
    )
    for step in range(STEPS):
        adam.zero_grad()
        (model.loss(step) / 7).backward()  # type: ignore[no-untyped-call]
        adam.step()
    expected = torch.cat([model.matrix.detach().flatten(), model.vector.detach()])
    found = trained(change=GradientChange(l2=0.3))[-1]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert (trained(weight_decay=0.3)[-1] - found).abs().max() > 1e-2


def test_adam_undoes_a_scale_unless_the_gradient_is_clipped() -> None:
    half = GradientChange(scale=0.5)
    torch.testing.assert_close(trained(change=half)[-1], trained()[-1], rtol=1e-8, atol=1e-8)
    assert (trained(change=half, clip=0.7)[-1] - trained(clip=0.7)[-1]).abs().max() > 1e-3
    assert (trained(clip=0.7)[-1] - trained()[-1]).abs().max() > 1e-3, "clipping must bite"


def test_a_mean_of_gradients_is_what_the_formula_says() -> None:
    model, mean, share = Line(), torch.zeros(20, dtype=torch.float64), 0.7
    adam = torch.optim.Adam(model.parameters(), lr=0.05, eps=1e-12)
    for step in range(STEPS):
        adam.zero_grad()
        (model.loss(step) / 7).backward()  # type: ignore[no-untyped-call]
        assert model.matrix.grad is not None
        assert model.vector.grad is not None
        mean = share * mean + (1 - share) * torch.cat([model.matrix.grad.flatten(), model.vector.grad])
        fed = mean / (1 - share ** (step + 1))
        model.matrix.grad.copy_(fed[:15].view(3, 5))
        model.vector.grad.copy_(fed[15:])
        adam.step()
    expected = torch.cat([model.matrix.detach().flatten(), model.vector.detach()])
    found = trained(lambda parameters, adam: AveragedGradient(parameters, adam, share))
    torch.testing.assert_close(found[-1], expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found[0], trained()[0], rtol=1e-12, atol=1e-12)
    assert (found[-1] - trained()[-1]).abs().max() > 1e-3


def test_no_update_is_longer_than_the_cap_and_shorter_ones_are_left_alone() -> None:
    begun = torch.cat([one.detach().flatten() for one in Line().parameters()])

    def sizes(seen: list[Tensor]) -> list[float]:
        return [float((b - a).norm()) for a, b in zip([begun, *seen], seen, strict=False)]

    cap = sorted(sizes(trained()))[STEPS // 2]
    capped = trained(lambda parameters, adam: CappedUpdate(parameters, adam, cap))
    assert max(sizes(trained())) > 1.05 * cap
    assert max(sizes(capped)) <= cap * (1 + 1e-12)
    first = (trained()[0] - begun) / (capped[0] - begun)
    torch.testing.assert_close(first, torch.full_like(first, float(first[0])), rtol=1e-6, atol=0)
    far = trained(lambda parameters, adam: CappedUpdate(parameters, adam, 1e6))
    assert all(torch.equal(a, b) for a, b in zip(far, trained(), strict=True))


@pytest.mark.parametrize("restart_at", [1, 8])
def test_states_come_back(restart_at: int) -> None:
    def both(parameters: FlatParameters, adam: AdamW) -> Optimiser:
        return AveragedGradient(parameters, CappedUpdate(parameters, adam, 0.1), 0.8)

    found, expected = trained(both, restart_at=restart_at), trained(both)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_an_update_that_is_left_out_does_not_enter_the_mean() -> None:
    model = Line()
    parameters = FlatParameters(model, torch.float64, torch.device("cpu"))
    optimiser = AveragedGradient(parameters, AdamW(parameters), 0.5)
    spoilt = lambda batch, scales: {"loss": model.loss(batch) * float("nan")}  # noqa: E731
    before = parameters.masters.clone()
    assert not train_step([0], {"loss": 7.0}, spoilt, parameters, optimiser, lr=0.1).finite
    assert torch.equal(parameters.masters, before)
    assert float(optimiser.state()["gradient_ema.updates"]) == 0
    assert not optimiser.state()["gradient_ema.mean"].any()
