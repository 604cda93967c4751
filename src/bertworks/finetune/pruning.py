"""What ends a run before its time: a search that knows better settings."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[int, int, float], None]
"""Called after an evaluation on dev: updates done, updates of the whole run, the metric that counts."""


class Pruned(Exception):
    """The run is not worth going on with; its folder is left to whoever asked for the report."""
