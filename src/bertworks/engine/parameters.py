"""All parameters of a model in flat buffers, so that the optimiser, clipping and ranks are each one sweep.

Letters: N elements of all parameters together. The order is: the matrices that the caller names hidden (Muon's), the
other matrices and tables, then vectors, that is biases and LayerNorm, which do not decay, as in optimization.py.
"""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from bertworks.base.errors import BertworksError

# Elements whose squares are summed in float32: one sum over all is 5 % short at 10^8 elements, runs of these 3e-6.
_NORM_RUN = 4096


def norm(buffer: Tensor) -> float:
    """Euclidean norm of a buffer (N,)."""
    whole = len(buffer) // _NORM_RUN * _NORM_RUN
    runs = torch.linalg.vector_norm(buffer[:whole].view(-1, _NORM_RUN), dim=1)
    return float(torch.cat([runs, buffer[whole:]]).to(torch.float64).norm())


class FlatParameters:
    """Float32 masters, compute-precision weights and gradients of a module, each one buffer of N elements.

    The module's parameters become views of `weights`, their `.grad` views of `gradients`. Where the module computes in
    float32 or float64, `masters` and `weights` are the same memory. In lower precision, `sums` collects the gradients
    of the micro-batches in float32.

    hidden, decayed  the first `hidden` elements are hidden matrices, the first `decayed` are matrices and tables
    frozen           name → exact values of the parameters that want no gradient; they are in none of the buffers
    """

    def __init__(
        self,
        module: nn.Module,
        dtype: torch.dtype,
        device: torch.device,
        *,
        is_hidden: Callable[[str], bool] = lambda name: False,
    ) -> None:
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        if not named:
            raise BertworksError("the model has no parameter to train", "unfreeze a layer")
        ordered = sorted(named, key=lambda item: (item[1].ndim <= 1, not is_hidden(item[0])))  # stable
        self.frozen = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}
        self.hidden = sum(p.numel() for name, p in ordered if p.ndim > 1 and is_hidden(name))
        self.dtype = dtype
        self.names = [name for name, _ in ordered]
        self.shapes = {name: tuple(p.shape) for name, p in ordered}
        self.decayed = sum(p.numel() for _, p in ordered if p.ndim > 1)
        total = sum(p.numel() for _, p in ordered)
        master_dtype = torch.float64 if dtype == torch.float64 else torch.float32
        self.masters = torch.empty(total, dtype=master_dtype, device=device)
        for name, view in self._views(self.masters):
            view.copy_(dict(ordered)[name].detach())
        module.to(device=device, dtype=dtype)
        self.weights = self.masters if dtype == master_dtype else self.masters.to(dtype)
        self.gradients = torch.zeros(total, dtype=dtype, device=device)
        self.sums = self.gradients if dtype == master_dtype else torch.zeros_like(self.masters)
        parameters = dict(module.named_parameters())
        for (name, weight), (_, gradient) in zip(self._views(self.weights), self._views(self.gradients), strict=True):
            parameters[name].data = weight
            parameters[name].grad = gradient

    def __len__(self) -> int:
        return self.masters.numel()

    def _views(self, buffer: Tensor) -> Iterator[tuple[str, Tensor]]:
        start = 0
        for name in self.names:
            shape = self.shapes[name]
            stop = start + torch.Size(shape).numel()
            yield name, buffer[start:stop].view(shape)
            start = stop

    def named(self, buffer: Tensor) -> dict[str, Tensor]:
        """Name → view of an N-element buffer of this layout (masters, gradients or an optimiser's moments)."""
        return dict(self._views(buffer))

    def runs(self, key: Callable[[str], int]) -> list[tuple[slice, int]]:
        """Stretches of neighbouring elements whose names have one key; what decays and what does not are kept apart."""
        found: list[tuple[slice, int]] = []
        start = 0
        for name in self.names:
            stop = start + torch.Size(self.shapes[name]).numel()
            if found and found[-1][1] == key(name) and start != self.decayed:
                found[-1] = (slice(found[-1][0].start, stop), key(name))
            else:
                found.append((slice(start, stop), key(name)))
            start = stop
        return found

    def collect(self) -> None:
        """After a micro-batch's backward: add its low-precision gradients to the float32 sums."""
        if self.sums is not self.gradients:
            self.sums.add_(self.gradients)
            self.gradients.zero_()

    def gradient_norm(self) -> float:
        """Euclidean norm of all gradients together."""
        return norm(self.sums)

    def clear(self) -> None:
        """Zero the gradients."""
        self.gradients.zero_()
        if self.sums is not self.gradients:
            self.sums.zero_()

    def exact_copy(self, module: nn.Module) -> nn.Module:
        """The module with the masters' values: itself where it computes with them, else a copy in their precision."""
        if self.weights is self.masters:
            return module
        copied = copy.deepcopy(module).to(self.masters.dtype)
        masters = {**self.named(self.masters), **self.frozen}
        for name, parameter in copied.named_parameters():
            if name in masters:
                parameter.data = masters[name]
        return copied

    def publish(self) -> None:
        """Round the masters into the weights that the module computes with."""
        if self.weights is not self.masters:
            self.weights.copy_(self.masters)
