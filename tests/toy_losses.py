"""A small network with two losses of unequal counts: words at some places, and one class a row.

Letters: B rows, L = 7 row length, E = 5 width, V = 23 words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertworks.engine.parameters import FlatParameters
from bertworks.engine.ranks import Ranks
from bertworks.engine.step import StepReport, train_step

LENGTH, WIDTH, WORDS, CLASSES = 7, 5, 23, 2
EIGHT_ROWS = (1, 1, 2, 3, 8, 10, 12, 14)  # targets of eight rows: two ranks get 7 and 44 (rows of LENGTH are repeated)


@dataclass
class Part:
    """Rows of a batch: ids (B, L), flat places (P,) of the targets, targets (P,), classes (B,) or None."""

    input_ids: Tensor
    places: Tensor
    targets: Tensor
    classes: Tensor | None


class Toy(nn.Module):
    """A table, a hidden matrix with bias and LayerNorm, the table again as decoder, and a classifier."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(WORDS, WIDTH, generator=draw, dtype=torch.float64))
        self.hidden = nn.Parameter(torch.randn(WIDTH, WIDTH, generator=draw, dtype=torch.float64))
        self.hidden_bias = nn.Parameter(torch.randn(WIDTH, generator=draw, dtype=torch.float64))
        self.norm = nn.LayerNorm(WIDTH, dtype=torch.float64)
        self.classifier = nn.Parameter(torch.randn(CLASSES, WIDTH, generator=draw, dtype=torch.float64))

    def forward(self, part: Part) -> dict[str, Tensor]:
        """Sums of both losses."""
        states = self.norm(torch.tanh(self.table[part.input_ids] @ self.hidden + self.hidden_bias))
        words = states.flatten(0, 1)[part.places] @ self.table.T
        sums = {"mlm_loss": F.cross_entropy(words, part.targets, reduction="sum")}
        classes = torch.zeros(()) if part.classes is None else states.mean(1) @ self.classifier.T
        sums["nsp_loss"] = classes if part.classes is None else F.cross_entropy(classes, part.classes, reduction="sum")
        return sums


def eight_rows(counts: Sequence[int] = EIGHT_ROWS, seed: int = 1) -> list[Part]:
    """One part a row, with so many targets each (a place may be asked twice)."""
    draw = torch.Generator().manual_seed(seed)
    return [
        Part(
            torch.randint(WORDS, (1, LENGTH), generator=draw),
            torch.randint(LENGTH, (count,), generator=draw),
            torch.randint(WORDS, (count,), generator=draw),
            torch.randint(CLASSES, (1,), generator=draw),
        )
        for count in counts
    ]


def joined(parts: Sequence[Part]) -> Part:
    """Several rows as one part."""
    rows = torch.cat([part.input_ids for part in parts])
    places = torch.cat([part.places + i * LENGTH for i, part in enumerate(parts)])
    return Part(
        rows,
        places,
        torch.cat([part.targets for part in parts]),
        torch.cat([p.classes for p in parts if p.classes is not None]),
    )


def grouped(parts: Sequence[Part], sizes: Sequence[int]) -> list[Part]:
    """Parts of so many rows each."""
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [joined(parts[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def counts_of(parts: Sequence[Part]) -> dict[str, float]:
    """Targets of both losses."""
    pairs = sum(0 if part.classes is None else len(part.classes) for part in parts)
    return {"mlm_loss": sum(len(part.targets) for part in parts), "nsp_loss": pairs}


class Kept:
    """An optimiser that changes nothing and keeps the gradient it was given."""

    gradient: Tensor | None = None

    def __init__(self, parameters: FlatParameters) -> None:
        self.parameters = parameters

    def step(self, lr: float) -> None:
        """Keep what an optimiser would see."""
        self.gradient = self.parameters.sums.clone()

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, saved: dict[str, Tensor]) -> None:
        """Nothing."""


def gradient_of(
    parts: Sequence[Part], dtype: torch.dtype, *, max_grad_norm: float = 0.0, ranks: Ranks | None = None
) -> tuple[Tensor, StepReport]:
    """What train_step hands to the optimiser for these micro-batches, and its report."""
    toy = Toy()
    parameters = FlatParameters(toy, dtype, torch.device("cpu"))
    kept = Kept(parameters)

    def losses(part: Part, scales: Mapping[str, float]) -> dict[str, Tensor]:
        return {name: total * scales[name] for name, total in toy(part).items()}

    report = train_step(
        parts, counts_of(parts), losses, parameters, kept, lr=0.0, max_grad_norm=max_grad_norm, ranks=ranks
    )
    assert kept.gradient is not None
    assert not parameters.sums.any(), "gradients are cleared for the next step"
    return kept.gradient, report


def by_hand(parts: Sequence[Part]) -> tuple[Tensor, dict[str, float]]:
    """One float64 pass over all rows: gradient of each loss's sum over its count, in the flat order, and the losses."""
    toy = Toy()
    whole = joined(parts)
    sums, counts = toy(whole), counts_of([whole])
    means = {name: sums[name] / counts[name] for name in sums}
    sum(means.values()).backward()
    names = FlatParameters(Toy(), torch.float64, torch.device("cpu")).names
    named = dict(toy.named_parameters())
    return torch.cat([named[name].grad.flatten() for name in names]), {n: float(m.detach()) for n, m in means.items()}


def distance(a: Tensor, b: Tensor) -> float:
    """Largest difference over the size of b, or over 1."""
    return float((a.double() - b.double()).abs().max() / max(1.0, float(b.abs().max())))
