"""The machine's yardstick: how fast it multiplies matrices."""

import time

import torch


def matmul_rate(
    rows: int,
    inner: int,
    columns: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
    seconds: float = 0.1,
) -> float:
    """Operations a second of the product (rows, inner) @ (inner, columns), the best of those done within `seconds`."""
    a = torch.rand(rows, inner, device=device).to(dtype)
    b = torch.rand(inner, columns, device=device).to(dtype)
    float((a @ b)[0, 0])  # memory and kernels; reading a value waits for a GPU
    best, end = 0.0, time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end or not best:
        float((a @ b)[0, 0])
        best = max(best, 2.0 * rows * inner * columns / (time.perf_counter() - begin))
    return best
