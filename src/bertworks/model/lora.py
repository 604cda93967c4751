"""Low-rank adapters (Hu et al. 2021): W + alpha / rank · B A on queries, keys or values, with W as it was.

The sum is made before the product with the states: what is trained and what is saved merged are the same numbers.

Letters: E hidden size, r rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertworks.model.encoder import BertEncoder, Layer, linear
from bertworks.model.names import QKV


class LoraQkv(nn.Module):
    """Stands where a layer's `qkv` stood, frozen inside; A at random, B zero, so that it begins as it was.

    <target>_a (r, E), <target>_b (E, r) for each target of "query", "key", "value"; A as peft draws it, uniform within
    1 / √E
    """

    def __init__(
        self, base: nn.Linear, targets: Sequence[str], rank: int, alpha: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        width = base.in_features
        self.targets, self.scale = tuple(targets), alpha / rank
        self.base = nn.Parameter(base.weight.detach(), requires_grad=False)
        self.bias = nn.Parameter(base.bias.detach(), requires_grad=False)
        for target in self.targets:
            bound = 1 / math.sqrt(width)
            first = torch.empty(rank, width).uniform_(-bound, bound, generator=generator)
            self.register_parameter(f"{target}_a", nn.Parameter(first))
            self.register_parameter(f"{target}_b", nn.Parameter(torch.zeros(width, rank)))

    def factors(self, target: str) -> tuple[Tensor, Tensor]:
        """A (r, E) and B (E, r) of a target."""
        return self.get_parameter(f"{target}_a"), self.get_parameter(f"{target}_b")

    @property
    def weight(self) -> Tensor:
        """(3E, E) with the adapters in it."""
        parts = list(self.base.chunk(len(QKV)))
        for target in self.targets:
            first, second = self.factors(target)
            parts[QKV.index(target)] = torch.addmm(parts[QKV.index(target)], second, first, alpha=self.scale)
        return torch.cat(parts)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, E) -> (…, 3E)."""
        return F.linear(hidden, self.weight, self.bias)


def add_adapters(
    encoder: BertEncoder, targets: Sequence[str], rank: int, alpha: float, generator: torch.Generator
) -> None:
    """Freeze the encoder and put adapters into each layer."""
    for parameter in encoder.parameters():
        parameter.requires_grad_(False)
    for layer in encoder.layers:
        layer.register_module("qkv", LoraQkv(own_qkv(layer), targets, rank, alpha, generator))


def own_qkv(layer: nn.Module) -> nn.Linear:
    """The layer's plain linear map; it must have one."""
    assert isinstance(layer, Layer)
    assert isinstance(layer.qkv, nn.Linear)
    return layer.qkv


def adapters(encoder: BertEncoder) -> list[LoraQkv]:
    """Of each layer in order; none where there are none."""
    found: list[nn.Module] = [layer.get_submodule("qkv") for layer in encoder.layers]
    return [module for module in found if isinstance(module, LoraQkv)]


@contextmanager
def merged(encoder: BertEncoder) -> Iterator[None]:
    """Inside, each layer has a plain `qkv` with its adapters' sum; without adapters nothing changes."""
    there = adapters(encoder)
    try:
        for layer, adapter in zip(encoder.layers, there, strict=False):
            plain = linear(adapter.base.shape[1], adapter.base.shape[0])
            plain.weight = nn.Parameter(adapter.weight.detach(), requires_grad=False)
            plain.bias = nn.Parameter(adapter.bias.detach(), requires_grad=False)
            layer.register_module("qkv", plain)
        yield
    finally:
        for layer, adapter in zip(encoder.layers, there, strict=False):
            layer.register_module("qkv", adapter)
