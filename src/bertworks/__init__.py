"""BERT as one tool: raw text, vocabulary, corpus, pre-training, fine-tuning, answers.

in          text, or rows with labels
out         a model that answers, and how sure its numbers are
read first  docs/walk.md, then api.py

Importing this loads no torch: a name of the API is fetched from api.py when it is first asked for.
"""

import logging
import sys
import types
from typing import TYPE_CHECKING, Any

from bertworks.base.errors import BertworksError

if TYPE_CHECKING:
    from bertworks.api import Model as Model
    from bertworks.api import TextClassifier as TextClassifier
    from bertworks.api import finetune as finetune
    from bertworks.api import load as load

__version__ = "0.1.0"
__all__ = ["load", "Model", "finetune", "TextClassifier", "BertworksError", "__version__"]

logging.getLogger("bertworks").addHandler(logging.NullHandler())  # the API is silent unless the program listens


def __getattr__(name: str) -> Any:
    """A public name of api.py, loaded on first use."""
    if name not in __all__:
        raise AttributeError(f"module `bertworks` has no attribute `{name}`")
    import importlib

    return getattr(importlib.import_module("bertworks.api"), name)


def __dir__() -> list[str]:
    return __all__


class _Package(types.ModuleType):
    """The package; here `finetune` is the function, although a room has that name and imports bind rooms as well."""

    @property
    def finetune(self) -> Any:
        """The function of api.py."""
        return __getattr__("finetune")

    @finetune.setter
    def finetune(self, room: types.ModuleType) -> None:
        """What the import system does with a room; it stays reachable as `from bertworks.finetune… import`."""


sys.modules[__name__].__class__ = _Package
