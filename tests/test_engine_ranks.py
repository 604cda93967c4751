"""Two processes give the gradient of one, with unequal counts, and agree on when to stop."""

from typing import Any

import pytest
import torch

from bertworks.engine.ranks import Ranks
from toy_losses import by_hand, distance, eight_rows, gradient_of, grouped
from two_ranks import in_ranks

SHARES = {"4 + 4": [[4], [4]], "1 + 7": [[1], [3, 4]], "none + 8": [[], [8]]}


def fed_by_ranks(shares: dict[str, list[list[int]]]) -> dict[str, Any]:
    """In one rank: its gradient and losses of every split and dtype; and what the ranks agree on."""
    ranks = Ranks.from_environment()
    found: dict[str, Any] = {}
    for name, sizes in shares.items():
        rows = eight_rows()
        mine = rows[: sum(sizes[0])] if ranks.rank == 0 else rows[sum(sizes[0]) :]
        for dtype in (torch.float64, torch.float32):
            gradient, report = gradient_of(grouped(mine, sizes[ranks.rank]), dtype, ranks=ranks, max_grad_norm=0.5)
            found[f"{name} {dtype}"] = [gradient.tolist(), report.losses, report.grad_norm]
    found["counts"] = ranks.sum_counts({"b": 2 + ranks.rank, "a": 1})
    found["agreed"] = [ranks.agree(0, 1.5 + ranks.rank), ranks.agree(15 * ranks.rank, 2.0 + ranks.rank)]
    values = torch.arange(3.0) + ranks.rank
    ranks.copy_first(values)
    found["copied"] = values.tolist()
    ranks.wait()
    return found


def test_two_ranks_give_the_gradient_of_sum_over_count() -> None:
    first, second = in_ranks("test_engine_ranks", "fed_by_ranks", SHARES)
    wanted, losses = by_hand(eight_rows())
    norm = float(wanted.norm())
    assert norm > 1, "the clipping at 0.5 bites"
    for name in SHARES:
        for dtype, bound in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
            gradient, reported, found_norm = first[f"{name} {dtype}"]
            assert distance(torch.tensor(gradient, dtype=torch.float64), wanted * (0.5 / norm)) <= bound
            assert reported == pytest.approx(losses, rel=bound)
            assert found_norm == pytest.approx(norm, rel=1e-6)
            assert first[f"{name} {dtype}"] == second[f"{name} {dtype}"], "ranks must stay equal to the bit"
    assert first["counts"] == {"a": 2, "b": 5}
    assert first["copied"] == second["copied"] == [0, 1, 2]
    assert first["agreed"] == second["agreed"] == [[0, 1.5], [15, 2.0]], "any rank's signal, the first rank's clock"


def test_alone_needs_no_group() -> None:
    ranks = Ranks.alone()
    assert ranks.sum_counts({"a": 3}) == {"a": 3}
    assert ranks.agree(2, 7.5) == (2, 7.5)
    assert ranks.is_first
    ranks.wait()
    rows = eight_rows()
    assert distance(gradient_of(rows, torch.float64, ranks=ranks)[0], by_hand(rows)[0]) <= 1e-9


@pytest.mark.parametrize("count", [0, 1, 7, 8])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_shares_cover_everything_once_in_order(world: int, count: int) -> None:
    shares = [Ranks(rank, world).share(count) for rank in range(world)]
    assert [i for share in shares for i in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
