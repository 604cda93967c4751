"""Decoder and cross-entropy in one: the loss and its gradients from chunks of rows, without keeping logits of (P, V).

With e = exp(z) and s its row sums, the gradient by the logits is (e - s onehot) / s. It is never formed: e - s onehot
stays in the buffer of the logits, and the row factor 1 / s moves to the small operand of each product.

Letters: P predicted positions, E hidden size, V vocabulary.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

LOGITS_BYTES = 64 << 20  # of one chunk; smaller chunks sweep the table's gradient more often
LEAST_CHUNK_ROWS = 64
ALIGNED_COLUMNS = 64  # a row of logits begins on a cache line: the products over it run 1.4 times as fast
# Row sums of exp(z) within these bounds lose nothing in float32: what counts in them is a normal number, so is 1 / s
SAFE_SUMS = (1e-25, 1e30)


class FusedLoss(NamedTuple):
    """The loss of P predictions.

    loss      () scale times the sum, to be differentiated
    loss_sum  () sum of the losses in nats, without gradient
    correct   () int64, predictions equal to their label; None unless asked for
    """

    loss: Tensor
    loss_sum: Tensor
    correct: Tensor | None


def fused_cross_entropy(
    hidden: Tensor,
    table: Tensor,
    bias: Tensor,
    labels: Tensor,
    *,
    scale: float = 1.0,
    direct: bool = False,
    count_correct: bool = False,
    chunk_rows: int | None = None,
) -> FusedLoss:
    """Sum of the cross-entropies of softmax(hidden tableᵀ + bias) against labels.

    hidden      (P, E); table (V, E); bias (V,); labels (P,) int64
    scale       of the loss: 1 / count, so that the gradients are those of the mean over the whole batch
    direct      add the gradients of table and bias to their `.grad`, which must exist, instead of handing them to
                autograd: saves three passes over the table. The loss must then enter the total with factor 1.
    chunk_rows  most rows of logits in memory at once; None takes LOGITS_BYTES of them
    """
    wanted = tuple(torch.is_grad_enabled() and tensor.requires_grad for tensor in (hidden, table, bias))
    if direct and any(tensor.grad is None for tensor, wants in zip((table, bias), wanted[1:], strict=True) if wants):
        raise ValueError("direct gradients need a `.grad` on the table and on the bias")
    row_bytes = len(table) * statistics_dtype(hidden).itemsize
    most = chunk_rows or max(LEAST_CHUNK_ROWS, LOGITS_BYTES // row_bytes)
    n_chunks = max(1, -(-len(labels) // most))
    chunk_rows = max(1, -(-len(labels) // n_chunks))  # even: a short last chunk would run at half the speed
    outputs = FusedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, table, bias, labels, (scale, direct, count_correct, chunk_rows), wanted
    )
    return FusedLoss(outputs[0], outputs[1], outputs[2] if count_correct else None)


class FusedCrossEntropy(torch.autograd.Function):
    """Forward and backward of the decoder with its loss; the gradients are made in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        table: Tensor,
        bias: Tensor,
        labels: Tensor,
        settings: tuple[float, bool, bool, int],
        wanted: tuple[bool, bool, bool],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The scaled loss, the sum and the number of hits."""
        scale, direct, count_correct, chunk_rows = settings
        loss_sum = torch.zeros((), dtype=torch.float64, device=hidden.device)
        correct = torch.zeros((), dtype=torch.int64, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wanted[0] else None
        grad_table, grad_bias = (
            (tensor.grad if direct else torch.zeros_like(tensor)) if wants else None
            for tensor, wants in zip((table, bias), wanted[1:], strict=True)
        )
        buffer = logits_buffer(min(chunk_rows, len(labels)), table, hidden)
        for begin in range(0, len(labels), chunk_rows):
            inputs, targets = hidden[begin : begin + chunk_rows], labels[begin : begin + chunk_rows, None]
            logits = fill_logits(buffer[: len(inputs)], inputs, table, bias)
            if count_correct:
                correct += (logits.argmax(-1, keepdim=True) == targets).sum()
            target_logits = logits.gather(1, targets)
            sums, shift = exponentiate(logits, inputs, table, bias)
            loss_sum += (sums.log() + shift - target_logits).sum(dtype=torch.float64)
            if any(wanted):
                logits.scatter_add_(1, targets, -sums)
                weights, factors = logits.to(hidden.dtype), (scale / sums).to(hidden.dtype)  # (chunk, V), (chunk, 1)
            if grad_hidden is not None:
                torch.mul(weights @ table, factors, out=grad_hidden[begin : begin + chunk_rows])
            if grad_table is not None:
                grad_table.addmm_(weights.mT, inputs * factors)
            if grad_bias is not None:
                grad_bias.addmv_(weights.mT, factors.squeeze(1))
        ctx.direct = direct
        ctx.save_for_backward(grad_hidden, *(None, None) if direct else (grad_table, grad_bias))
        loss_sum = loss_sum.to(statistics_dtype(hidden))
        ctx.mark_non_differentiable(loss_sum, correct)
        return loss_sum * scale, loss_sum, correct

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the forward pass times the factor with which the loss entered the total."""
        factor = upstream[0]
        on_cpu = factor.device.type == "cpu"  # elsewhere looking at the factor would wait for the device
        is_one = on_cpu and float(factor) == 1.0
        if ctx.direct and on_cpu and not is_one:
            raise ValueError(f"direct gradients have factor 1, the loss entered the total with {float(factor)}")
        grads = (grad if grad is None or is_one else grad * factor.to(grad.dtype) for grad in ctx.saved_tensors)
        return (*grads, None, None, None)


def statistics_dtype(tensor: Tensor) -> torch.dtype:
    """What sums and logarithms are computed in: at least float32."""
    return torch.promote_types(tensor.dtype, torch.float32)


def logits_buffer(n_rows: int, table: Tensor, hidden: Tensor) -> Tensor:
    """Memory for (n_rows, V) logits, whose rows begin at multiples of ALIGNED_COLUMNS."""
    columns = -(-len(table) // ALIGNED_COLUMNS) * ALIGNED_COLUMNS
    return torch.empty(n_rows, columns, dtype=statistics_dtype(hidden), device=hidden.device)[:, : len(table)]


def fill_logits(buffer: Tensor, inputs: Tensor, table: Tensor, bias: Tensor) -> Tensor:
    """buffer <- inputs tableᵀ + bias."""
    if inputs.dtype == buffer.dtype:
        torch.mm(inputs, table.mT, out=buffer)
    else:
        buffer.copy_(inputs @ table.mT)
    return buffer.add_(bias)


def exponentiate(logits: Tensor, inputs: Tensor, table: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """logits <- exp(logits - shift); returns the row sums and the shifts, both (n, 1).

    In one sweep with shift 0 where every sum is safe; else the logits are made again from inputs, table and bias, and
    the shift is the row's maximum. On a GPU looking at the sums would wait for it, and float16 has too small a range.
    """
    if logits.device.type == "cpu" and inputs.dtype != torch.float16:
        sums = logits.exp_().sum(-1, keepdim=True)
        lowest, highest = sums.aminmax()
        if lowest > SAFE_SUMS[0] and highest < SAFE_SUMS[1]:  # false for NaN
            return sums, torch.zeros_like(sums)
        fill_logits(logits, inputs, table, bias)
    shift = logits.amax(-1, keepdim=True)
    return logits.sub_(shift).exp_().sum(-1, keepdim=True), shift
