"""The fused decoder and loss against torch's own cross-entropy with full logits."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bertworks.model.fused_cross_entropy import SAFE_SUMS, fused_cross_entropy

P, E, V = 37, 13, 211
LOSS_BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-6}


def problem(dtype: torch.dtype, *, offset: float = 0.0, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """hidden, table, bias (all wanting gradients) and labels; `offset` moves every logit."""
    generator = torch.Generator().manual_seed(1)
    hidden, table, bias = (
        (scale * torch.randn(shape, generator=generator)).to(dtype)
        for shape, scale in (((P, E), spread), ((V, E), 1.0), ((V,), 1.0))
    )
    labels = torch.randint(0, V, (P,), generator=generator)
    labels[:3] = labels[3]  # a word predicted several times: its gradients add up
    return hidden.requires_grad_(), table.requires_grad_(), (bias + offset).requires_grad_(), labels


def reference(hidden: Tensor, table: Tensor, bias: Tensor, labels: Tensor, scale: float) -> tuple[Tensor, list[Tensor]]:
    """In float64, by torch alone."""
    leaves = [tensor.detach().double().requires_grad_() for tensor in (hidden, table, bias)]
    loss = F.cross_entropy(F.linear(leaves[0], leaves[1], leaves[2]), labels, reduction="sum")
    (loss * scale).backward()
    return loss.detach(), [leaf.grad for leaf in leaves if leaf.grad is not None]


def relative(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("chunk_rows", [1, 5, 37, 64, None])
@pytest.mark.parametrize("dtype", LOSS_BOUNDS, ids=["float64", "float32"])
def test_loss_and_gradients_are_those_of_full_logits(dtype: torch.dtype, chunk_rows: int | None) -> None:
    hidden, table, bias, labels = problem(dtype)
    expected, gradients = reference(hidden, table, bias, labels, 1 / P)
    found = fused_cross_entropy(hidden, table, bias, labels, scale=1 / P, chunk_rows=chunk_rows)
    found.loss.backward()
    assert relative(found.loss_sum, expected) <= LOSS_BOUNDS[dtype]
    assert relative(found.loss.detach(), expected / P) <= LOSS_BOUNDS[dtype]
    for leaf, gradient in zip((hidden, table, bias), gradients, strict=True):
        assert gradient.abs().max() > 1e-4
        assert relative(leaf.grad, gradient) <= LOSS_BOUNDS[dtype]


@pytest.mark.parametrize("offset", [-300.0, -90.0, 90.0, 300.0])
@pytest.mark.parametrize("dtype", LOSS_BOUNDS, ids=["float64", "float32"])
def test_logits_whose_exponentials_leave_the_range_are_done_again(dtype: torch.dtype, offset: float) -> None:
    hidden, table, bias, labels = problem(dtype, offset=offset)
    sums = F.linear(hidden, table, bias).exp().sum(-1)
    assert not bool(((sums > SAFE_SUMS[0]) & (sums < SAFE_SUMS[1])).all()), "the offset must leave the safe range"
    expected, gradients = reference(hidden, table, bias, labels, 0.5)
    found = fused_cross_entropy(hidden, table, bias, labels, scale=0.5)
    found.loss.backward()
    # float32 logits near 300 carry 300 * 2^-24 each, whoever sums them
    bound = LOSS_BOUNDS[dtype] if dtype == torch.float64 else 1e-6 * abs(offset)
    assert relative(found.loss_sum, expected) <= bound
    for leaf, gradient in zip((hidden, table, bias), gradients, strict=True):
        assert relative(leaf.grad, gradient) <= bound


def test_one_extreme_row_does_not_spoil_its_chunk() -> None:
    hidden, table, bias, labels = problem(torch.float32)
    with torch.no_grad():
        hidden[7] *= 40
    expected, gradients = reference(hidden, table, bias, labels, 1.0)
    found = fused_cross_entropy(hidden, table, bias, labels)
    found.loss.backward()
    assert float(F.linear(hidden, table, bias).detach()[7].max()) > 90, "the row must overflow float32"
    assert relative(found.loss_sum, expected) <= 1e-5
    assert relative(hidden.grad, gradients[0]) <= 1e-5


def test_a_confident_prediction_keeps_its_small_gradient() -> None:
    """Where p is nearly 1 the gradient is a small difference; it is as exact as softmax minus one-hot."""
    table = torch.eye(V)[:, :E].contiguous().requires_grad_()
    labels = torch.arange(E)
    hidden = (20.0 * torch.eye(E)).requires_grad_()
    bias = torch.zeros(V, requires_grad=True)
    _, gradients = reference(hidden, table, bias, labels, 1.0)
    fused_cross_entropy(hidden, table, bias, labels).loss.backward()
    assert float(gradients[0].abs().max()) < 1e-6
    assert float((hidden.grad.double() - gradients[0]).abs().max()) < 1e-7


def test_nan_is_told_not_hidden() -> None:
    hidden, table, bias, labels = problem(torch.float32)
    with torch.no_grad():
        hidden[3, 2] = float("nan")
    assert torch.isnan(fused_cross_entropy(hidden, table, bias, labels).loss_sum)


def test_direct_gradients_are_added_to_what_is_there() -> None:
    hidden, table, bias, labels = problem(torch.float64)
    _, gradients = reference(hidden, table, bias, labels, 1 / P)
    table.grad, bias.grad = torch.ones_like(table), torch.full_like(bias, 2.0)
    kept = table.grad
    for _ in range(2):  # two micro-batches
        fused_cross_entropy(hidden, table, bias, labels, scale=1 / P, direct=True).loss.backward()
    assert table.grad is kept, "the buffer itself is written"
    assert relative(table.grad - 1, 2 * gradients[1]) <= 1e-12
    assert relative(bias.grad - 2, 2 * gradients[2]) <= 1e-12
    assert relative(hidden.grad, 2 * gradients[0]) <= 1e-12


def test_direct_gradients_refuse_a_factor_they_cannot_follow() -> None:
    hidden, table, bias, labels = problem(torch.float32)
    with pytest.raises(ValueError, match=r"need a `\.grad`"):
        fused_cross_entropy(hidden, table, bias, labels, direct=True)
    table.grad, bias.grad = torch.zeros_like(table), torch.zeros_like(bias)
    loss = fused_cross_entropy(hidden, table, bias, labels, direct=True).loss
    with pytest.raises(ValueError, match="entered the total with 3"):
        (3 * loss).backward()


def test_a_factor_reaches_the_gradients_that_autograd_gets() -> None:
    hidden, table, bias, labels = problem(torch.float64)
    _, gradients = reference(hidden, table, bias, labels, 3.0)
    (3 * fused_cross_entropy(hidden, table, bias, labels).loss).backward()
    for leaf, gradient in zip((hidden, table, bias), gradients, strict=True):
        assert relative(leaf.grad, gradient) <= 1e-12


def test_without_gradients_nothing_is_written() -> None:
    hidden, table, bias, labels = problem(torch.float32)
    table.grad, bias.grad = torch.zeros_like(table), torch.zeros_like(bias)
    with torch.no_grad():
        found = fused_cross_entropy(hidden, table, bias, labels, direct=True, count_correct=True)
    assert not found.loss.requires_grad
    assert not table.grad.any()
    expected, _ = reference(hidden, table, bias, labels, 1.0)
    assert relative(found.loss_sum, expected) <= 1e-6


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_a_frozen_part_gets_no_gradient(frozen: int) -> None:
    *leaves, labels = problem(torch.float64)
    _, gradients = reference(*leaves, labels, 1.0)
    leaves[frozen].requires_grad_(False)
    fused_cross_entropy(*leaves, labels).loss.backward()
    for index, (leaf, gradient) in enumerate(zip(leaves, gradients, strict=True)):
        if index == frozen:
            assert leaf.grad is None
        else:
            assert relative(leaf.grad, gradient) <= 1e-12


def test_hits_are_counted_over_all_chunks() -> None:
    hidden, table, bias, labels = problem(torch.float32)
    best = F.linear(hidden, table, bias).argmax(-1)
    labels[::2] = best[::2]
    expected = int((best == labels).sum())
    assert 0 < expected < P
    found = fused_cross_entropy(hidden, table, bias, labels, count_correct=True, chunk_rows=7)
    assert int(found.correct) == expected
    assert fused_cross_entropy(hidden, table, bias, labels).correct is None


def test_bfloat16_sums_in_float32() -> None:
    hidden, table, bias, labels = problem(torch.bfloat16)
    expected, gradients = reference(hidden, table, bias, labels, 1 / P)
    found = fused_cross_entropy(hidden, table, bias, labels, scale=1 / P)
    assert found.loss_sum.dtype == torch.float32
    found.loss.backward()
    assert table.grad.dtype == torch.bfloat16
    assert relative(found.loss_sum, expected) <= 1e-2
    assert relative(table.grad, gradients[1]) <= 2e-2


def test_no_predictions_are_a_loss_of_zero() -> None:
    hidden, table, bias, labels = problem(torch.float32)
    found = fused_cross_entropy(hidden[:0], table, bias, labels[:0])
    found.loss.backward()
    assert float(found.loss_sum) == 0
    assert not table.grad.any()
