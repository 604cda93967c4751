"""Self-attention of all heads: explicit products where gradients are wanted on a CPU, torch's fused kernel elsewhere.

The CPU's fused kernel takes five times its forward time to go backward, and has no dropout; batched products, one
softmax in place and a backward pass written out are faster and keep one (R, H, L, L) tensor instead of four. Forward
alone the kernel is the faster one in float32 (by 1.5 with heads of 32), the products in half precision.

Letters: R rows, L row length, E hidden size, H heads, D head size; n rows of a chunk.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

WIDE = (torch.float32, torch.float64)
CHUNK_TOKENS = 1024  # worked on at once: their scores stay in a core's share of the cache


def attend(qkv: Tensor, bias: Tensor | None, heads: int, kept: Tensor | None) -> Tensor:
    """Mix the values of each row: softmax(q kᵀ / √D + bias) v, heads side by side.

    qkv   (R, L, 3E), the query, key and value of every token
    bias  added to the scores, broadcast to (R, H, L, L), or None
    kept  (R, H, L, L) multipliers of the probabilities (dropout), or None
    Returns (R, L, E).
    """
    keeps_probs = torch.is_grad_enabled() and qkv.requires_grad
    if kept is None and (qkv.is_cuda or (qkv.dtype in WIDE and not keeps_probs)):
        n_rows, length, width = qkv.shape
        query, key, value = qkv.view(n_rows, length, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        mask = None if bias is None else bias.expand(n_rows, heads, length, length)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return mixed.transpose(1, 2).reshape(n_rows, length, width // 3)
    rows: Tensor = Attention.apply(qkv, bias, heads, kept, keeps_probs)  # type: ignore[no-untyped-call]
    return rows


class Attention(torch.autograd.Function):
    """Explicit attention, chunk by chunk of rows, with its backward pass."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, bias: Tensor | None, heads: int, kept: Tensor | None, keeps_probs: bool
    ) -> Tensor:
        """(R, L, 3E) -> (R, L, E)."""
        n_rows, length, width = qkv.shape
        head_dim = width // 3 // heads
        parts = qkv.view(n_rows, length, 3, heads, head_dim).permute(2, 0, 3, 1, 4)  # (3, R, H, L, D)
        mixed = qkv.new_empty(n_rows, length, heads, head_dim)
        split = qkv.new_empty(parts.shape) if keeps_probs else None
        probs = qkv.new_empty(n_rows, heads, length, length) if keeps_probs else None
        for rows in chunks(n_rows, length):
            chunk = parts[:, rows].contiguous() if split is None else split[:, rows].copy_(parts[:, rows])
            query, key, value = chunk.flatten(1, 2)  # (n H, L, D)
            weights = chunk_probs(query, key, bias, rows, heads, None if probs is None else probs[rows])
            if kept is not None:
                weights = weights * kept[rows]
            mixed[rows] = (weights.flatten(0, 1) @ value).view(-1, heads, length, head_dim).transpose(1, 2)
        if split is not None:
            ctx.save_for_backward(split, probs, kept)
        return mixed.view(n_rows, length, heads * head_dim)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """(R, L, E) -> (R, L, 3E)."""
        split, probs, kept = ctx.saved_tensors
        _, n_rows, heads, length, head_dim = split.shape
        grad_mixed = upstream[0].view(n_rows, length, heads, head_dim).transpose(1, 2)  # (R, H, L, D)
        grad_qkv = split.new_empty(n_rows, length, 3, heads, head_dim)
        for rows in chunks(n_rows, length):
            query, key, value = split[:, rows].flatten(1, 2)  # (n H, L, D)
            weights = probs[rows].flatten(0, 1)  # (n H, L, L)
            factors = None if kept is None else kept[rows].reshape(weights.shape)
            grad_out = grad_mixed[rows].reshape(query.shape)
            grads = torch.empty_like(split[:, rows]).flatten(1, 2)
            torch.bmm((weights if factors is None else weights * factors).mT, grad_out, out=grads[2])
            grad_scores = grad_out @ value.mT
            if factors is not None:
                grad_scores *= factors
            torch._softmax_backward_data(grad_scores, weights, -1, weights.dtype, grad_input=grad_scores)
            scaled_product(grad_scores, key, grads[0])
            scaled_product(grad_scores.mT, query, grads[1])
            grad_qkv[rows] = grads.view(3, -1, heads, length, head_dim).permute(1, 3, 0, 2, 4)
        return grad_qkv.view(n_rows, length, -1), None, None, None, None


def chunks(n_rows: int, length: int) -> Iterator[slice]:
    """Slices of rows of about CHUNK_TOKENS tokens."""
    step = max(1, CHUNK_TOKENS // length)
    return (slice(begin, min(begin + step, n_rows)) for begin in range(0, n_rows, step))


def chunk_probs(query: Tensor, key: Tensor, bias: Tensor | None, rows: slice, heads: int, out: Tensor | None) -> Tensor:
    """Attention probabilities (n, H, L, L) of some rows; query, key (n H, L, D).

    The softmax sums in float32 where the tensors are of half precision.
    """
    length = query.shape[1]
    if out is None:
        out = query.new_empty(len(query) // heads, heads, length, length)
    scores = out.view(-1, length, length)
    if bias is None:
        torch.baddbmm(scores, query, key.mT, beta=0, alpha=query.shape[2] ** -0.5, out=scores)
    else:
        out.copy_(bias[rows].expand_as(out))
        scores.baddbmm_(query, key.mT, alpha=query.shape[2] ** -0.5)
    return torch.softmax(out, -1, out=out)


def scaled_product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """out <- left right / √D, with D the width of right."""
    torch.baddbmm(out, left, right, beta=0, alpha=right.shape[2] ** -0.5, out=out)
