"""The conditional random field: its sums against every sequence written out, its gradients, its part in the task."""

from __future__ import annotations

from itertools import chain, pairwise, product

import numpy as np
import pytest
import torch

from bertworks.read.tables import parse_table
from bertworks.tasks.crf import Transitions, marginals, negative_log_likelihood
from bertworks.tasks.infer import TagWishes, tag_task
from bertworks.tasks.known import task_from_settings
from bertworks.tasks.tagging import TagTask
from bertworks.tasks.viterbi import legal_tags

TAGS = ("O", "B-X", "I-X")
GOLD = [[0, 1, 2, 0], [1, 2, 2], [0, 0, 1], [1]]
COUNTED = Transitions.counted(GOLD, 3)


def value(path: tuple[int, ...], scores: np.ndarray) -> float:
    """Score of one sequence, straight from the definition."""
    total = COUNTED.first[path[0]] + COUNTED.last[path[-1]] + sum(scores[i, tag] for i, tag in enumerate(path))
    return float(total + sum(COUNTED.follow[a][b] for a, b in pairwise(path)))


def test_counts_are_log_probabilities() -> None:
    assert np.exp(COUNTED.first).sum() == pytest.approx(1, abs=1e-3)
    for tag in range(3):
        leaving = np.exp(COUNTED.follow[tag]).sum() + np.exp(COUNTED.last[tag])
        assert leaving == pytest.approx(1, abs=1e-3)
    assert np.exp(COUNTED.follow[1][2]) == pytest.approx(2.1 / 4.4, abs=1e-3), "I-X after B-X: two of four"
    assert COUNTED.follow[0][2] < COUNTED.follow[1][2]
    assert Transitions.from_settings(COUNTED.settings()) == COUNTED


def test_likelihood_is_the_sum_over_all_sequences() -> None:
    draw = np.random.default_rng(0)
    lengths = [4, 1, 3]
    scores = [draw.normal(0, 2, (length, 3)) for length in lengths]
    tags = [[0, 1, -1, 0], [2], [-1, -1, 1]]
    wanted = 0.0
    for one, gold in zip(scores, tags, strict=True):
        paths = list(product(range(3), repeat=len(one)))
        fitting = [path for path in paths if all(want in (-1, got) for want, got in zip(gold, path, strict=True))]
        assert 0 < len(fitting) < len(paths)
        sums = [np.logaddexp.reduce([value(path, one) for path in some]) for some in (paths, fitting)]
        wanted += sums[0] - sums[1]
    marks = torch.tensor([(number, 1, 1) for number, length in enumerate(lengths) for _ in range(length)])
    flat = torch.tensor(np.concatenate(scores), requires_grad=True)
    found = negative_log_likelihood(COUNTED, flat, torch.tensor([*chain(*tags)]), marks)
    assert float(found.detach()) == pytest.approx(wanted, abs=1e-9)
    assert wanted > 1
    one_each = 0.0
    for number, (one, gold) in enumerate(zip(scores, tags, strict=True)):
        own = marks[marks[:, 0] == number]
        one_each += float(negative_log_likelihood(COUNTED, torch.tensor(one), torch.tensor(gold), own))
    assert one_each == pytest.approx(wanted, abs=1e-9), "padding changes nothing"


def test_marginals_and_best_paths_are_those_of_all_sequences() -> None:
    draw = np.random.default_rng(1)
    scores = [draw.normal(0, 1.5, (length, 3)) for length in (5, 1, 2, 4)]
    legal = [path for path in product(range(3), repeat=5) if legal_bio(path)]
    found = legal_tags(scores, TAGS, "bio", COUNTED)
    assert found[0].tolist() == list(max(legal, key=lambda path: value(path, scores[0])))
    alone = legal_tags(scores, TAGS, "bio")
    assert any(a.tolist() != b.tolist() for a, b in zip(found, alone, strict=True)), "neighbours count"
    for one in scores:
        paths = list(product(range(3), repeat=len(one)))
        odds = np.exp([value(path, one) for path in paths])
        wanted = np.zeros_like(one)
        for path, weight in zip(paths, odds / odds.sum(), strict=True):
            wanted[np.arange(len(one)), path] += weight
        np.testing.assert_allclose(marginals(COUNTED, one), wanted, atol=1e-9)
    assert marginals(COUNTED, np.empty((0, 3))).shape == (0, 3)


def legal_bio(path: tuple[int, ...]) -> bool:
    return all(tag != 2 or before in (1, 2) for before, tag in zip((0, *path), path, strict=False))


def test_the_task_counts_and_stores_its_transitions() -> None:
    table = parse_table(b"EU B-ORG\nsays O\n\nUN B-ORG\nWHO I-ORG\n. O\n\nno O\n", "x.conll")
    task = tag_task(table, wishes=TagWishes(decoder="crf"))
    assert task.transitions == Transitions.counted([[0, 2], [0, 1, 2], [2]], 3)
    stored = task_from_settings(task.settings())
    assert stored == task
    assert isinstance(stored, TagTask)
    assert task.recounted(table.rows[:1]).transitions != task.transitions
    assert tag_task(table).transitions is None
