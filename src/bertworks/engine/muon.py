"""Muon: momentum whose matrix is made orthogonal before it is applied, for hidden matrices; AdamW for all the rest.

Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon); the update is scaled to AdamW's size as in
Liu et al. 2025, arXiv 2502.16982, so that one learning rate serves both.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from bertworks.engine.optimiser import AdamW
from bertworks.engine.parameters import FlatParameters

# Coefficients of the quintic iteration, from the post above: singular values near 1 after five rounds.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5
_ADAMW_SIZE = 0.2  # root mean square of an AdamW update, arXiv 2502.16982 section 2.2


class Muon:
    """Nesterov momentum, orthogonalised, on the hidden matrices of flat parameters; AdamW on what follows them.

    momentum  share of the running mean that is kept
    pieces    name → number of equal parts a matrix is cut into by rows before it is orthogonalised (query, key and
              value lie in one matrix: 3)
    """

    def __init__(
        self,
        parameters: FlatParameters,
        rest: AdamW,
        *,
        pieces: Callable[[str], int] = lambda name: 1,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        self.parameters, self.rest = parameters, rest
        self.momentum, self.weight_decay = momentum, weight_decay
        self._means = torch.zeros_like(parameters.masters[: parameters.hidden])
        self._groups = self._by_shape(pieces)

    def _by_shape(self, pieces: Callable[[str], int]) -> list[tuple[list[Tensor], list[Tensor], list[Tensor]]]:
        """Masters, gradients and means of the hidden matrices, cut and grouped by shape: a group is one product."""
        groups: dict[tuple[int, ...], tuple[list[Tensor], list[Tensor], list[Tensor]]] = {}
        masters, gradients = self.parameters.named(self.parameters.masters), self.parameters.named(self.parameters.sums)
        start = 0
        for name in self.parameters.names:
            if start >= self.parameters.hidden:
                break
            matrix = masters[name]
            mean = self._means[start : start + matrix.numel()].view(matrix.shape)
            start += matrix.numel()
            for i in range(pieces(name)):
                parts = [whole.chunk(pieces(name))[i] for whole in (matrix, gradients[name], mean)]
                group = groups.setdefault(tuple(parts[0].shape), ([], [], []))
                for column, part in zip(group, parts, strict=True):
                    column.append(part)
        return list(groups.values())

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """One update of the hidden matrices, then AdamW's of the rest."""
        for masters, gradients, means in self._groups:
            gradient, mean = torch.stack(gradients), torch.stack(means)
            mean.lerp_(gradient, 1 - self.momentum)
            update = orthogonal(gradient.lerp_(mean, self.momentum))
            size = _ADAMW_SIZE * max(update.shape[-2:]) ** 0.5
            for i, (master, kept) in enumerate(zip(masters, means, strict=True)):
                kept.copy_(mean[i])
                master.mul_(1 - lr * self.weight_decay).add_(update[i], alpha=-lr * size)
        self.rest.step(lr)

    def state(self) -> dict[str, Tensor]:
        """As AdamW's, with the running means of the hidden matrices."""
        return {"muon.means": self._means, **self.rest.state()}

    def restore(self, saved: dict[str, Tensor]) -> None:
        """As AdamW's."""
        self._means.copy_(saved["muon.means"])
        self.rest.restore(saved)


def orthogonal(matrices: Tensor) -> Tensor:
    """(n, a, b) → matrices of about the same singular vectors, with singular values near 1 (Newton-Schulz)."""
    wide = matrices if matrices.shape[-2] <= matrices.shape[-1] else matrices.mT
    x: Tensor = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    return x if wide is matrices else x.mT
