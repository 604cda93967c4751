"""Random weights: the asked distribution, from the given generator and no other."""

import math

import pytest
import torch
from torch import nn

from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import preset
from bertworks.model.encoder import BertEncoder
from bertworks.model.initialise import initialise, seeded

CONFIG = preset("tiny", 3001)


@pytest.mark.parametrize(
    ("kind", "spread", "furthest"), [("truncated_normal", 0.02 * 0.8796, 0.04), ("normal", 0.02, math.inf)]
)
def test_matrices_have_the_asked_spread(kind: str, spread: float, furthest: float) -> None:
    model = BertForPreTraining.new(CONFIG, seeded(1), initialisation=kind)
    table = model.encoder.embeddings.word.detach()
    n = table.numel()
    assert abs(float(table.mean())) < 5 * spread / n**0.5
    assert float(table.std()) == pytest.approx(spread, rel=5 / (2 * n) ** 0.5)
    assert float(table.abs().max()) <= furthest
    assert float(table.abs().max()) > 0.0399, "the tail must be there"
    assert table[0].abs().sum() > 0, "[PAD] is not special"
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == (1.0 if name.endswith("norm.weight") else 0.0)).all(), name
        else:
            assert float(parameter.detach().std()) == pytest.approx(spread, rel=0.25), name


def test_truncated_normal_has_the_shape_of_its_quantiles() -> None:
    weight = nn.ParameterDict({"weight": torch.empty(400, 500)})
    initialise(weight, std=1.0, generator=seeded(3))
    drawn = weight["weight"].detach()
    inside = math.erf(1 / math.sqrt(2)) / math.erf(math.sqrt(2))  # share within one std, of those within two
    assert float((drawn.abs() < 1).float().mean()) == pytest.approx(inside, abs=0.005)


def test_weights_are_a_function_of_the_generator_alone() -> None:
    first = BertForPreTraining.new(CONFIG, seeded(7))
    torch.manual_seed(123)
    before = torch.get_rng_state()
    second = BertForPreTraining.new(CONFIG, seeded(7))
    assert torch.equal(torch.get_rng_state(), before), "the global generator was used"
    other = BertForPreTraining.new(CONFIG, seeded(8))
    for (name, a), b, c in zip(first.named_parameters(), second.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.ndim == 1 or not torch.equal(a, c), name


def test_scale_is_configurable_and_kind_is_checked() -> None:
    encoder = BertEncoder(CONFIG)
    initialise(encoder, std=0.1, generator=seeded(0))
    assert float(encoder.embeddings.word.detach().std()) == pytest.approx(0.088, rel=0.02)
    with pytest.raises(ValueError, match="xavier"):
        initialise(encoder, std=0.1, generator=seeded(0), kind="xavier")


def test_untrained_loss_is_near_log_of_the_vocabulary() -> None:
    from bertworks.model.layout import pad_rows

    model = BertForPreTraining.new(CONFIG, seeded(0))
    rows = pad_rows([torch.arange(5, 60).numpy()], None)
    at = torch.arange(1, 50)
    losses = model.losses(rows, at, rows.input_ids.reshape(-1)[at], torch.tensor([1]), count_correct=True)
    assert float(losses.masked_loss_sum) / 49 == pytest.approx(math.log(3001), abs=0.3)
    assert float(losses.sentence_loss_sum) == pytest.approx(math.log(2), abs=0.2)
