"""The explicit attention against torch's own, forward and backward, chunk by chunk."""

import pytest
import torch
from torch import Tensor

from bertworks.model import attention
from bertworks.model.attention import attend
from bertworks.model.layout import attention_bias, pack_rows

R, L, H, D = 5, 7, 3, 11


def problem(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """qkv, a bias that hides the last keys of some rows, dropout multipliers, a gradient from above."""
    generator = torch.Generator().manual_seed(2)
    qkv = torch.randn(R, L, 3 * H * D, generator=generator, dtype=dtype)
    bias = torch.zeros(R, 1, 1, L, dtype=dtype)
    bias[1, ..., 4:] = bias[3, ..., 2:] = -10_000
    kept = (torch.rand(R, H, L, L, generator=generator) > 0.3).to(dtype) / 0.7
    return qkv, bias, kept, torch.randn(R, L, H * D, generator=generator, dtype=dtype)


def slow_attention(qkv: Tensor, bias: Tensor | None, kept: Tensor | None) -> Tensor:
    """Head by head, row by row, by the formula."""
    rows = []
    for r in range(len(qkv)):
        heads = []
        for h in range(H):
            query, key, value = (qkv[r, :, part * H * D + h * D : part * H * D + (h + 1) * D] for part in range(3))
            scores = query @ key.T / D**0.5
            if bias is not None:
                scores = scores + bias[r, 0]
            probs = torch.exp(scores) / torch.exp(scores).sum(-1, keepdim=True)
            heads.append((probs if kept is None else probs * kept[r, h]) @ value)
        rows.append(torch.cat(heads, -1))
    return torch.stack(rows)


@pytest.mark.parametrize("chunk_tokens", [1, 14, 1024], ids=["one row", "two rows", "all rows"])
@pytest.mark.parametrize("with_kept", [False, True], ids=["", "dropout"])
@pytest.mark.parametrize("with_bias", [False, True], ids=["", "bias"])
def test_attention_is_its_formula(
    with_bias: bool, with_kept: bool, chunk_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "CHUNK_TOKENS", chunk_tokens)
    qkv, bias, kept, above = problem(torch.float64)
    bias_or_none, kept_or_none = bias if with_bias else None, kept if with_kept else None
    ours, theirs = qkv.clone().requires_grad_(), qkv.clone().requires_grad_()
    mixed = attend(ours, bias_or_none, H, kept_or_none)
    expected = slow_attention(theirs, bias_or_none, kept_or_none)
    torch.testing.assert_close(mixed, expected, rtol=1e-12, atol=1e-12)
    mixed.backward(above)
    expected.backward(above)
    assert theirs.grad.abs().min(dim=0).values.max() > 0
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-11, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(attend(qkv, bias_or_none, H, kept_or_none), expected, rtol=1e-12, atol=1e-12)


def test_gradients_are_the_limit_of_differences() -> None:
    qkv, bias, kept, _ = problem(torch.float64)
    small = qkv[1:3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: attend(x, bias[1:3], H, kept[1:3]), small)


def test_packed_rows_attend_within_their_sequence_only() -> None:
    sequences = [torch.arange(1, n + 1).numpy() for n in (3, 4, 2)]
    rows = pack_rows(sequences, None, 9)
    bias = attention_bias(rows, torch.float64)
    assert bias is not None
    assert bias.shape == (1, 1, 9, 9)
    qkv = torch.randn(1, 9, 3 * H * D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mixed = attend(qkv, bias, H, None)
    for i, n in enumerate((3, 4, 2)):
        start = int(rows.first_index[i])
        alone = attend(qkv[:, start : start + n], None, H, None)
        torch.testing.assert_close(mixed[:, start : start + n], alone, rtol=1e-12, atol=1e-12)


def test_float32_is_near_float64() -> None:
    qkv, bias, kept, above = problem(torch.float64)
    exact, single = qkv.clone().requires_grad_(), qkv.float().requires_grad_()
    attend(exact, bias, H, kept).backward(above)
    attend(single, bias.float(), H, kept.float()).backward(above.float())
    assert float((single.grad - exact.grad).abs().max() / exact.grad.abs().max()) < 1e-6


def test_large_scores_stay_finite() -> None:
    qkv, _, _, _ = problem(torch.float32)
    mixed = attend(1000 * qkv, None, H, None)
    assert torch.isfinite(mixed).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_with_and_without_gradients_the_result_is_one(dtype: torch.dtype) -> None:
    qkv, bias, _, _ = problem(torch.float64)
    exact = attend(qkv, bias, H, None)
    narrow = qkv.to(dtype)
    learning = attend(narrow.clone().requires_grad_(), bias.to(dtype), H, None)
    assert learning.requires_grad
    bound = 1e-6 if dtype == torch.float32 else 3e-2
    for mixed in (attend(narrow, bias.to(dtype), H, None), learning.detach()):
        assert mixed.dtype == dtype
        assert 0 < float((mixed - exact).abs().max()) < bound
