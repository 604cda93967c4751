"""The whole networks: losses add up, counts scale, heads can be left out, bfloat16 learns the same."""

import math

import pytest
import torch
import torch.nn.functional as F

from bertworks.model.bert import BertForPreTraining, BertForSentence
from bertworks.model.config import BertConfig
from bertworks.model.encoder import BertEncoder
from bertworks.model.heads import Classifier, Pooler
from bertworks.model.initialise import initialise, seeded
from bertworks.model.layout import Rows, pack_rows

CONFIG = BertConfig(211, 24, 2, 3, 41, max_position_embeddings=31)


def batch(seed: int = 0, n: int = 7) -> tuple[Rows, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Packed rows, masked positions and labels, next-sentence labels."""
    generator = torch.Generator().manual_seed(seed)
    sequences = [torch.randint(1, 211, (length,), generator=generator).numpy() for length in range(9, 9 + 2 * n, 2)]
    rows = pack_rows(sequences, None, 31)
    real = torch.nonzero(rows.sequence_ids.reshape(-1) >= 0).squeeze(1)
    positions = real[torch.randperm(len(real), generator=generator)[:17]].sort().values
    labels = torch.randint(0, 211, (17,), generator=generator)
    return rows, positions, labels, torch.arange(n) % 2


def model(dtype: torch.dtype = torch.float64, std: float = 0.2) -> BertForPreTraining:
    built = BertForPreTraining.new(CONFIG, seeded(1))
    initialise(built, std=std, generator=seeded(2))
    return built.to(dtype)


def test_losses_are_cross_entropies_of_the_logits() -> None:
    rows, positions, labels, next_labels = batch()
    built = model()
    words, sentences = built(rows, positions)
    found = built.losses(
        rows, positions, labels, next_labels, masked_scale=1 / 17, sentence_scale=1 / 7, count_correct=True
    )
    expected = (F.cross_entropy(words, labels), F.cross_entropy(sentences, next_labels))
    assert float(found.masked_loss_sum) / 17 == pytest.approx(float(expected[0].detach()), rel=1e-12)
    assert float(found.sentence_loss_sum) / 7 == pytest.approx(float(expected[1].detach()), rel=1e-12)
    assert float(found.loss.detach()) == pytest.approx(float(sum(expected).detach()), rel=1e-12)
    assert int(found.masked_correct) == int((words.argmax(-1) == labels).sum())
    assert int(found.sentence_correct) == int((sentences.argmax(-1) == next_labels).sum())
    gradients = torch.autograd.grad(found.loss, list(built.parameters()))
    for a, b in zip(gradients, torch.autograd.grad(sum(expected), list(built.parameters())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-13)


def test_without_pairs_there_is_no_sentence_loss() -> None:
    rows, positions, labels, _ = batch()
    built = model()
    found = built.losses(rows, positions, labels)
    assert float(found.sentence_loss_sum) == 0
    assert found.sentence_correct is None
    found.loss.backward()
    assert built.pooler.dense.weight.grad is None
    assert built.masked_head.bias.grad.abs().max() > 0


def test_micro_batches_with_the_scale_of_the_whole_give_its_gradient() -> None:
    """With unequal counts in two micro-batches the mean of their means would be another gradient."""
    rows, positions, labels, next_labels = batch()
    flat, owner = rows.input_ids.reshape(-1), rows.sequence_ids.reshape(-1)
    parts = ([0, 1, 2], [3, 4, 5, 6])
    halves = [pack_rows([flat[owner == i].numpy() for i in part], None, 31) for part in parts]
    built = model()
    whole = built.losses(rows, positions, labels, next_labels, masked_scale=1 / 17, sentence_scale=1 / 7).loss
    expected = torch.autograd.grad(whole, list(built.parameters()))
    counts = []
    for half, part in zip(halves, parts, strict=True):
        at, words = [], []
        for position, label in zip(positions.tolist(), labels.tolist(), strict=True):
            sequence = int(owner[position])
            if sequence in part:
                at.append(int(half.first_index[part.index(sequence)]) + position - int(rows.first_index[sequence]))
                words.append(label)
        counts.append(len(at))
        built.losses(
            half, torch.tensor(at), torch.tensor(words), next_labels[part], masked_scale=1 / 17, sentence_scale=1 / 7
        ).loss.backward()
    assert sum(counts) == 17
    assert counts[0] / counts[1] != 3 / 4
    for parameter, gradient in zip(built.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12)


def test_bfloat16_is_near_float32() -> None:
    """Shapes and sums of the half-precision path; its speed is no matter here."""
    rows, positions, labels, next_labels = batch()
    scales = {"masked_scale": 1 / 17, "sentence_scale": 1 / 7}
    losses, gradients = [], []
    for dtype in (torch.float32, torch.bfloat16):
        built = model(dtype, std=0.1)
        for parameter in built.parameters():
            parameter.grad = torch.zeros_like(parameter)
        found = built.losses(rows, positions, labels, next_labels, **scales, direct=True)
        assert found.masked_loss_sum.dtype == torch.float32
        found.loss.backward()
        assert built.encoder.embeddings.word.grad.dtype == dtype
        losses.append(float(found.loss.detach()))
        gradients.append(torch.cat([parameter.grad.flatten().float() for parameter in built.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert losses[1] != losses[0]
    assert float(F.cosine_similarity(gradients[0], gradients[1], dim=0)) > 0.999


def test_one_batch_is_memorised() -> None:
    rows, positions, labels, next_labels = batch()
    built = BertForPreTraining.new(CONFIG, seeded(1))
    optimiser = torch.optim.Adam(built.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        found = built.losses(rows, positions, labels, next_labels, masked_scale=1 / 17, sentence_scale=1 / 7)
        found.loss.backward()
        optimiser.step()
        losses.append(float(found.loss.detach()))
    assert losses[0] == pytest.approx(math.log(211) + math.log(2), abs=0.5)
    assert losses[-1] < 0.1


def test_answers_come_in_the_order_of_the_sequences() -> None:
    built = BertForSentence(BertEncoder(CONFIG), Pooler(CONFIG), Classifier(CONFIG, 3))
    initialise(built, std=0.3, generator=seeded(4))
    sequences = [torch.arange(1, n).numpy() for n in (5, 20, 9, 30, 3)]
    packed = pack_rows(sequences, None, 31)
    assert packed.first_index.tolist() != sorted(packed.first_index.tolist()), "packing must change the order"
    with torch.no_grad():
        together = built(packed)
        alone = torch.cat([built(pack_rows([one], None, 31)) for one in sequences])
    assert float((alone[1:] - alone[:-1]).abs().max()) > 1e-2
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
