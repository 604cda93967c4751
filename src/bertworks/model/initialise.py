"""Random weights: the original's truncated normal, or transformers' plain one, from an explicit generator."""

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

TRUNCATION = 2.0  # standard deviations; values beyond are redrawn, the rest not rescaled: std is 0.88 of the asked
INITIALISATIONS = ("truncated_normal", "normal")


def initialise(
    module: nn.Module,
    *,
    std: float,
    generator: torch.Generator,
    kind: str = "truncated_normal",
    only: Collection[str] | None = None,
) -> None:
    """Fill the parameters in place: matrices and tables at random, LayerNorm weights 1, biases 0.

    std   standard deviation asked for, before truncation
    kind  "truncated_normal" as the 2018 release, "normal" as transformers
    only  names of the parameters to fill; None is all
    Nothing is drawn on the meta device. The order of drawing is that of the parameters' names: equal seeds give equal
    weights on every machine.
    """
    if kind not in INITIALISATIONS:
        raise ValueError(f"kind {kind!r} is none of {INITIALISATIONS}")
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters(), key=lambda item: item[0]):
            if parameter.is_meta or (only is not None and name not in only):
                continue
            if parameter.ndim > 1:
                fill_random(parameter, std, generator, kind)
            elif name.endswith("norm.weight"):
                parameter.fill_(1.0)
            else:
                parameter.zero_()


def fill_random(parameter: Tensor, std: float, generator: torch.Generator, kind: str) -> None:
    """Draw one tensor in place, in float32 whatever its dtype."""
    drawn = torch.empty(parameter.shape, dtype=torch.float32)
    if kind == "normal":
        drawn.normal_(0, std, generator=generator)
    else:
        share = math.erf(TRUNCATION / math.sqrt(2))  # of a normal within the bounds; its quantiles are drawn evenly
        drawn.uniform_(-share, share, generator=generator).erfinv_().mul_(std * math.sqrt(2))
        drawn.clamp_(-TRUNCATION * std, TRUNCATION * std)
    parameter.copy_(drawn)


def seeded(seed: int) -> torch.Generator:
    """A torch generator on the CPU."""
    return torch.Generator().manual_seed(seed)
