"""Training the active rows of the word table alone is AdamW over the whole table, bit for bit."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from bertworks.engine.optimiser import AdamW
from bertworks.engine.parameters import FlatParameters
from bertworks.finetune.word_table import ActiveWords

WORDS, WIDTH = 4099, 17  # more elements than one block of the catching up


class Tables(nn.Module):
    """A word table and something beside it."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.word = nn.Parameter(torch.randn(WORDS, WIDTH, generator=generator))
        self.other = nn.Parameter(torch.randn(5, WIDTH, generator=generator))

    def loss(self, ids: torch.Tensor) -> torch.Tensor:
        return (self.word[ids] @ self.other.T).square().sum()


def batches() -> list[np.ndarray]:
    random = np.random.default_rng(1)
    return [random.choice(np.array([3, 7, 11, 4000, 4098]), 6) for _ in range(23)]


def rates() -> list[float]:
    return [1e-2 * (step % 9) / 9 for step in range(23)]


def trained_dense() -> torch.Tensor:
    model = Tables()
    parameters = FlatParameters(model, torch.float32, torch.device("cpu"))
    optimiser = AdamW(parameters, weight_decay=0.3)
    for ids, lr in zip(batches(), rates(), strict=True):
        model.loss(torch.from_numpy(ids)).backward()
        optimiser.step(lr)
        parameters.clear()
    return model.word.detach().clone()


def trained_active(look_at: tuple[int, ...]) -> tuple[torch.Tensor, ActiveWords]:
    model = Tables()
    words = ActiveWords(model, batches(), 0.3)
    parameters = FlatParameters(model, torch.float32, torch.device("cpu"))
    optimiser = AdamW(parameters, weight_decay=0.3)
    for step, (ids, lr) in enumerate(zip(batches(), rates(), strict=True)):
        model.loss(torch.from_numpy(words.compact_ids(ids))).backward()
        optimiser.step(lr)
        parameters.clear()
        words.decayed(lr)
        if step in look_at:
            with words.full_table(parameters.named(parameters.masters)["word"]):
                assert model.word.shape == (WORDS, WIDTH)
            assert model.word.shape[0] == len(words.active)
    return words.table(parameters.named(parameters.masters)["word"]).clone(), words


def test_the_whole_table_ends_as_dense_training_leaves_it() -> None:
    before, dense = Tables().word.detach(), trained_dense()
    active, words = trained_active(())
    idle = np.setdiff1d(np.arange(WORDS), words.active)
    assert words.active.tolist() == [0, 3, 7, 11, 4000, 4098]  # 0 is what padding looks up
    assert (dense[idle] != before[idle]).float().mean() > 0.99, "the idle rows must have decayed, or nothing is shown"
    assert torch.equal(active, dense)


def test_looking_in_between_changes_nothing() -> None:
    assert torch.equal(trained_active((0, 4, 5, 17))[0], trained_dense())


def test_a_checkpoint_puts_both_parts_back() -> None:
    table, words = trained_active(())
    other = ActiveWords(Tables(), batches(), 0.3)
    assert torch.equal(other.restore(table), table[torch.from_numpy(words.active)])
    assert torch.equal(other.table(table[torch.from_numpy(words.active)]), table)


def test_catching_up_matters() -> None:
    table, words = trained_active(())
    idle = np.setdiff1d(np.arange(WORDS), words.active)
    assert not torch.allclose(table[idle], Tables().word.detach()[idle], rtol=1e-3)
