"""The activation functions by the name a config gives them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

ACTIVATION_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # x Φ(x) by erf: the 2018 release and transformers
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),  # Google's code since February 2019
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "linear": lambda x: x,
}


def activate(x: Tensor, name: str) -> Tensor:
    """The activation `name` of BertConfig.hidden_act, elementwise."""
    return ACTIVATION_FUNCTIONS[name](x)
