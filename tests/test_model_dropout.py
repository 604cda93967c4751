"""Dropout: asked for at the right places, at the right rate, from the given generator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bertworks.model.bert import BertForSentence
from bertworks.model.config import BertConfig
from bertworks.model.dropout import TorchDropout
from bertworks.model.encoder import BertEncoder
from bertworks.model.heads import Classifier, Pooler
from bertworks.model.initialise import seeded
from bertworks.model.layout import pad_rows

CONFIG = BertConfig(53, 12, 2, 3, 17, max_position_embeddings=19)
ROWS = pad_rows([torch.arange(1, n).numpy() for n in (6, 9, 4, 8, 5)], None)
CPU = torch.device("cpu")


def test_each_place_is_asked_for_once() -> None:
    asked: list[tuple[str, int, tuple[int, ...]]] = []

    def record(place: str, layer: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor | None:
        asked.append((place, layer, tuple(shape)))
        assert dtype == torch.float32
        assert device == CPU
        return None

    model = BertForSentence(BertEncoder(CONFIG), Pooler(CONFIG), Classifier(CONFIG, 2))
    logits = model(ROWS, record)
    hidden, probs = (5, 8, 12), (5, 3, 8, 8)
    layers = [[("attention_probs", i, probs), ("attention_output", i, hidden), ("output", i, hidden)] for i in range(2)]
    assert asked == [("embeddings", -1, hidden), *layers[0], *layers[1], ("classifier", -1, (5, 12))]
    assert torch.equal(logits, model(ROWS)), "None drops nothing"


def test_rates_scale_and_generator() -> None:
    dropout = TorchDropout(0.1, 0.3, seeded(1))
    hidden = dropout("output", 0, (200, 500), torch.float32, CPU)
    probs = dropout("attention_probs", 0, (200, 500), torch.float32, CPU)
    assert hidden is not None
    assert probs is not None
    for kept, share in ((hidden, 0.1), (probs, 0.3)):
        values = kept.unique()
        assert values.numel() == 2
        torch.testing.assert_close(values, torch.tensor([0.0, 1 / (1 - share)]))
        assert abs(float((kept == 0).float().mean()) - share) < 5 * (share * (1 - share) / 100_000) ** 0.5
    again = TorchDropout(0.1, 0.3, seeded(1))
    assert torch.equal(again("output", 0, (200, 500), torch.float32, CPU), hidden)
    assert not torch.equal(again("output", 1, (200, 500), torch.float32, CPU), hidden)


def test_a_rate_of_zero_costs_nothing() -> None:
    dropout = TorchDropout(0.0, 0.0, seeded(1))
    assert dropout("output", 0, (2, 2), torch.float32, CPU) is None
    assert dropout("attention_probs", 0, (2, 2), torch.float32, CPU) is None
    assert TorchDropout.of(CONFIG, seeded(1)).hidden == 0.1


def test_dropout_changes_training_and_its_mean_is_the_undropped() -> None:
    encoder = BertEncoder(CONFIG, seeded(3))
    source = TorchDropout(0.1, 0.1, seeded(5))
    with torch.no_grad():
        plain = encoder.embeddings(ROWS)
        drawn = torch.stack([encoder.embeddings(ROWS, source) for _ in range(2000)])
    assert not torch.equal(drawn[0], plain)
    standard_error = plain.abs() * (0.1 / 0.9 / 2000) ** 0.5
    assert ((drawn.mean(0) - plain).abs() <= 6 * standard_error + 1e-6).all()
