"""A stream is a function of its purpose and numbers, and of nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bertworks.base.randomness import generator

DRAWN = [432716, 190432, 730315, 429117]  # integers(0, 1_000_000, 4), written down once: other machines must draw them


def test_the_same_on_every_machine() -> None:
    assert generator("mask", 7, 3).integers(0, 1_000_000, 4).tolist() == DRAWN
    np.random.seed(1)  # the global state has no say
    generator("mask", 7, 4).random(100)
    assert generator("mask", np.int64(7), np.uint8(3)).integers(0, 1_000_000, 4).tolist() == DRAWN


def test_two_uses_never_share_a_stream() -> None:
    uses = [("a", ()), ("a", (0,)), ("a", (1,)), ("a", (-1,)), ("a", (1, 2)), ("a", (12,)), ("a", (2, 1)), ("b", (1,))]
    uses += [("a", (2**64,)), ("a1", ()), ("", (1,))]
    draws = {(purpose, numbers): generator(purpose, *numbers).random(1000) for purpose, numbers in uses}
    for (one, drawn), (other, also) in itertools.combinations(draws.items(), 2):
        assert abs(np.corrcoef(drawn, also)[0, 1]) < 0.15, f"{one} and {other} go together"  # 4.7 sd of chance


def test_streams_of_neighbours_are_uniform_together() -> None:
    firsts = np.array([generator("shuffle", 0, index).random() for index in range(4000)])
    assert abs(firsts.mean() - 0.5) < 0.02  # 4.4 sd
    assert np.histogram(firsts, bins=10, range=(0, 1))[0].min() > 320  # expected 400, sd 19


def test_only_integers_name_a_stream() -> None:
    with pytest.raises(TypeError):
        generator("mask", 1.5)  # type: ignore[arg-type]
