"""Self-attention of all heads: explicit products on a CPU, the platform's fused kernel on a GPU.

Letters: R rows, L row length, E hidden size, H heads, D head size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(qkv: Tensor, bias: Tensor | None, heads: int, kept: Tensor | None) -> Tensor:
    """Mix the values of each row: softmax(q kᵀ / √D + bias) v, heads side by side.

    qkv   (R, L, 3E), the query, key and value of every token
    bias  added to the scores, broadcast to (R, H, L, L), or None
    kept  (R, H, L, L) multipliers of the probabilities (dropout), or None
    Returns (R, L, E).
    """
    n_rows, length, width = qkv.shape
    head_dim = width // 3 // heads
    query, key, value = qkv.view(n_rows, length, 3, heads, head_dim).permute(2, 0, 3, 1, 4).unbind(0)  # (R, H, L, D)
    if qkv.is_cuda and kept is None:
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    else:
        scores = (query * head_dim**-0.5) @ key.mT
        if bias is not None:
            scores = scores + bias
        probs = torch.softmax(scores, -1)
        mixed = (probs if kept is None else probs * kept) @ value
    return mixed.transpose(1, 2).reshape(n_rows, length, -1)
