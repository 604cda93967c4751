"""Decoder and cross-entropy in one: the loss and its gradients from chunks of rows, without keeping logits of (P, V).

Letters: P predicted positions, E hidden size, V vocabulary.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK_ROWS = 256  # 256 x 30,522 float32 logits are 31 MB


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
    chunk_rows: int = CHUNK_ROWS,
) -> FusedLoss:
    """Sum of cross-entropies of softmax(hidden tableᵀ + bias) against labels.

    hidden  (P, E); table (V, E); bias (V,); labels (P,) int64
    scale   of the loss: 1 / count, so that the gradients are those of the mean over the whole batch
    direct  add the gradients of table and bias to their `.grad`, which must exist, instead of returning them to autograd: saves
            two passes over a table. The loss must then enter the total with factor 1.
    """
    loss_sum, correct, loss = FusedCrossEntropy.apply(
        hidden, table, bias, labels, scale, direct, count_correct, chunk_rows
    )
    return FusedLoss(loss, loss_sum, correct if count_correct else None)


class FusedCrossEntropy(torch.autograd.Function):
    """Forward and backward of the decoder with its loss; the backward pass is done inside the forward one."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        table: Tensor,
        bias: Tensor,
        labels: Tensor,
        scale: float,
        direct: bool,
        count_correct: bool,
        chunk_rows: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        needs_gradient = any(ctx.needs_input_grad[:3])
        loss_sum = torch.zeros((), dtype=torch.float64, device=hidden.device)
        correct = torch.zeros((), dtype=torch.int64, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if needs_gradient else None
        if needs_gradient:
            grad_table = table.grad if direct else torch.zeros_like(table)
            grad_bias = bias.grad if direct else torch.zeros_like(bias)
        for begin in range(0, len(labels), chunk_rows):
            rows = slice(begin, begin + chunk_rows)
            logits = torch.addmm(bias, hidden[rows], table.mT)  # (chunk, V)
            if count_correct:
                correct += (logits.argmax(-1) == labels[rows]).sum()
            log_probs = torch.log_softmax(logits, -1)
            loss_sum -= log_probs.gather(1, labels[rows, None]).sum()
            if needs_gradient:
                grad_logits = log_probs.exp_()
                grad_logits[torch.arange(len(grad_logits)), labels[rows]] -= 1
                grad_logits *= scale
                torch.mm(grad_logits, table, out=grad_hidden[rows])
                grad_table.addmm_(grad_logits.mT, hidden[rows])
                grad_bias += grad_logits.sum(0)
        if needs_gradient:
            ctx.direct = direct
            ctx.save_for_backward(grad_hidden, *(() if direct else (grad_table, grad_bias)))
        loss_sum = loss_sum.to(hidden.dtype if hidden.dtype == torch.float64 else torch.float32)
        ctx.mark_non_differentiable(loss_sum, correct)
        return loss_sum, correct, loss_sum * scale

    @staticmethod
    def backward(ctx: Any, _sum: Tensor, _correct: Tensor, upstream: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, *grads = ctx.saved_tensors
        factor = upstream.to(grad_hidden.dtype)
        if ctx.direct:
            if float(upstream) != 1:
                raise ValueError(f"direct gradients are written with factor 1, the loss entered the total with {float(upstream)}")
            grad_table = grad_bias = None
        else:
            grad_table, grad_bias = (grad * factor for grad in grads)
        return grad_hidden * factor, grad_table, grad_bias, None, None, None, None, None
