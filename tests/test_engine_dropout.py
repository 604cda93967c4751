"""Masks from a pool: the right rate, unrelated between uses, and the same for any split of a batch's rows."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from bertworks.engine.dropout import MaskPool, PooledDropout

CPU = torch.device("cpu")
ROWS, HEADS, LENGTH, WIDTH = 11, 2, 17, 40
SHAPES = {"output": (ROWS, LENGTH, WIDTH), "attention_probs": (ROWS, HEADS, LENGTH, LENGTH)}


@pytest.fixture(scope="module")
def source() -> PooledDropout:
    return PooledDropout(0.1, 0.1, seed=3, dtype=torch.float32, device=CPU)


def masks(source: PooledDropout, place: str, layer: int, step: int, first: int = 0, rows: int = ROWS) -> Tensor:
    """Multipliers of some rows of one place, at their full shape."""
    found = source.at(step, first)(place, layer, (rows, *SHAPES[place][1:]), torch.float32, CPU)
    assert found is not None
    return found


def correlation(a: Tensor, b: Tensor) -> float:
    """Of two masks' kept places."""
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_multipliers_are_zero_or_the_inverse_at_the_rate(rate: float) -> None:
    n = 1 << 22
    pool = MaskPool(rate, 7, torch.float32, CPU, elements=n)
    values = pool.multipliers
    assert values.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
    share = float((values == 0).double().mean())
    assert abs(share - rate) < 5 * math.sqrt(rate * (1 - rate) / n)
    assert float(values.double().mean()) == pytest.approx(1.0, abs=5e-3)
    neighbours = values[:-1] * values[1:]
    assert float((neighbours > 0).double().mean()) == pytest.approx((1 - rate) ** 2, abs=2e-3), "no runs"


@pytest.mark.parametrize("place", SHAPES)
def test_any_split_of_the_rows_sees_the_same_masks(source: PooledDropout, place: str) -> None:
    whole = masks(source, place, 1, step=5).clone()
    for sizes in ((1,) * ROWS, (4, 4, 3), (10, 1), (2, 9)):
        first, parts = 0, []
        for size in sizes:
            parts.append(masks(source, place, 1, step=5, first=first, rows=size))
            first += size
        assert torch.equal(torch.cat(parts), whole), sizes
    assert not torch.equal(masks(source, place, 1, step=5, first=1), whole), "rows differ from each other"


def test_rows_of_one_batch_cross_the_borders_of_groups() -> None:
    """A pool so small that a group is two rows: the borders inside a micro-batch change nothing either."""
    pool = MaskPool(0.5, 0, torch.float32, CPU, elements=8 * 640 + 63)
    whole = pool.rows("x", 0, 0, (9, 640))
    assert torch.equal(torch.cat([pool.rows("x", 0, row, (1, 640)) for row in range(9)]), whole)
    assert torch.equal(torch.cat([pool.rows("x", 0, 0, (3, 640)), pool.rows("x", 0, 3, (6, 640))]), whole)
    assert len({tuple(row.tolist()) for row in whole}) > 4


def test_a_row_larger_than_a_slice_is_not_the_same_everywhere() -> None:
    pool = MaskPool(0.5, 0, torch.float32, CPU, elements=1 << 16)
    whole = pool.rows("x", 0, 2, (3, 50_000))
    assert whole.shape == (3, 50_000)
    assert torch.equal(pool.rows("x", 0, 3, (1, 50_000))[0], whole[1])
    assert abs(correlation(whole[0], whole[1])) < 5 / math.sqrt(50_000)
    assert abs(correlation(whole, pool.rows("x", 1, 2, (3, 50_000)))) < 5 / math.sqrt(150_000)


def test_uses_are_unrelated(source: PooledDropout) -> None:
    """Steps, layers and places in every pair: the correlation of 6,358 independent places stays under 5 sd."""
    uses = [masks(source, "output", layer, step) for layer in range(4) for step in range(6)]
    uses += [masks(source, "attention_probs", layer, step) for layer in range(2) for step in range(3)]
    uses.append(source.at(0, 0)("embeddings", -1, SHAPES["output"], torch.float32, CPU))
    length = min(use.numel() for use in uses)
    found = [abs(correlation(a.flatten()[:length], b.flatten()[:length])) for a, b in itertools.combinations(uses, 2)]
    assert max(found) < 5 / math.sqrt(length)
    assert abs(correlation(uses[0], uses[0])) == pytest.approx(1.0), "and equal masks would be seen"


def test_the_rate_holds_in_every_place_of_a_tensor(source: PooledDropout) -> None:
    """Over 400 steps each place is dropped at the rate: no place is always kept or always dropped."""
    kept = sum((masks(source, "output", 2, step) > 0).double() for step in range(400)) / 400
    assert float(kept.mean()) == pytest.approx(0.9, abs=2e-3)
    assert (kept - 0.9).abs().max() < 6 * math.sqrt(0.09 / 400)


def test_masks_do_not_come_round_for_long() -> None:
    """The starts of 20,000 uses of a full-size pool are as many and as even as draws from its places are."""
    pool = MaskPool(0.1, 0, torch.float32, CPU)
    rows = (1, LENGTH, WIDTH)
    starts = [pool.rows(f"output:{step % 4}", step // 4, 0, rows).storage_offset() for step in range(20_000)]
    places = pool.multipliers.numel() * 3 // 4 // 64
    expected = places * (1 - math.exp(-len(starts) / places))  # distinct values among so many draws
    assert len(set(starts)) == pytest.approx(expected, rel=0.01)
    assert all(start % 64 == 0 for start in starts)
    middle = max(starts) / 2
    assert sum(start < middle for start in starts) == pytest.approx(10_000, abs=5 * math.sqrt(5_000))


def test_seeds_and_rates_have_masks_of_their_own() -> None:
    one, same, other = (PooledDropout(0.1, 0.2, seed=seed, dtype=torch.float32, device=CPU) for seed in (1, 1, 2))
    assert torch.equal(masks(one, "output", 0, 0), masks(same, "output", 0, 0))
    assert abs(correlation(masks(one, "output", 0, 0), masks(other, "output", 0, 0))) < 0.06
    assert float((masks(one, "attention_probs", 0, 0) == 0).double().mean()) == pytest.approx(0.2, abs=0.02)
    assert float((masks(one, "output", 0, 0) == 0).double().mean()) == pytest.approx(0.1, abs=0.02)


def test_a_rate_of_nothing_gives_no_mask() -> None:
    source = PooledDropout(0.0, 0.1, seed=0, dtype=torch.float32, device=CPU)
    assert source.at(0, 0)("output", 0, (2, 3, 5), torch.float32, CPU) is None
    assert source.at(0, 0)("attention_probs", 0, (2, 3, 5, 5), torch.float32, CPU) is not None
