"""FGM and R-Drop: the second pass is another one, moves what it should, and leaves nothing behind."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from scipy.special import rel_entr

from bertworks.base.errors import BertworksError
from bertworks.finetune.adversarial import perturbed
from bertworks.finetune.divergence import divergence
from bertworks.finetune.objective import loss_count
from bertworks.tasks.answering import SpanTask
from bertworks.tasks.intent_slots import SLOT, FrameTask
from bertworks.tasks.labels import Labels
from bertworks.tasks.sentence import SentenceTask
from bertworks.tasks.several import LabelsTask
from bertworks.tasks.tagging import TagTask
from finetune_steps import Steps, prepared_of, start_folder
from finetune_support import toy_rows, write_rows

CLASSES = Labels(("a", "b", "c"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("passes"))


def gradient_of(steps: Steps, step: int = 0) -> torch.Tensor:
    """Of one update, without doing it."""
    batches = steps.batches.micro_batches(step)
    counts = loss_count(batches)
    steps.network.objective.step = step
    for batch in batches:
        steps.network.objective(batch, {"loss": 1 / counts["loss"]})["loss"].backward()
    found = steps.network.parameters.sums.clone()
    steps.network.parameters.clear()
    return found


def test_the_step_has_its_length_and_the_table_comes_back() -> None:
    word = torch.randn(7, 5, generator=torch.manual_seed(2))
    gradient = torch.randn(7, 5, generator=torch.manual_seed(3))
    before = word.clone()
    with perturbed(word, gradient, 0.7):
        difference = word - before
        assert float(difference.norm()) == pytest.approx(0.7, rel=1e-5)
        torch.testing.assert_close(difference, 0.7 * gradient / gradient.norm(), rtol=1e-4, atol=1e-6)
    assert torch.equal(word, before)
    for useless in (torch.zeros(7, 5), torch.full((7, 5), math.nan)):
        with perturbed(word, useless, 0.7):
            assert torch.equal(word, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_adversarial_pass_is_harder_and_both_gradients_count(place: Path, dtype: torch.dtype) -> None:
    steps = Steps(prepared_of(place, train__fgm=0.3, dtype=dtype))
    word = steps.network.model.encoder.embeddings.word
    before = word.detach().clone()
    first = gradient_of(steps)
    seen = []
    steps.optimiser.step = lambda lr: seen.append(steps.network.parameters.sums.clone())
    report = steps.one()
    assert report.second["loss"] > report.losses["loss"] + 1e-3
    assert report.loss == report.losses["loss"], "the loss that is told is the plain one"
    assert torch.equal(word.detach(), before)
    second = seen[0] - first
    if dtype == torch.float32:
        assert second.norm() > 0.1 * first.norm()
        assert not torch.allclose(second, first, rtol=1e-3)


def test_another_length_teaches_another_network(place: Path) -> None:
    found = []
    for epsilon in (None, 0.3, 0.6):
        steps = Steps(prepared_of(place, train__fgm=epsilon))
        steps.go(2)
        found.append(steps.weights()["classifier.weight"])
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])


@pytest.mark.parametrize(
    "keys", [{"train__fgm": 0.5}, {"train__r_drop": 2.0}, {"train__fgm": 0.5, "train__r_drop": 1.0}]
)
def test_micro_batches_change_nothing(place: Path, keys: dict[str, object]) -> None:
    keys = {"train__batch_size": 32, **keys}
    runs = [Steps(prepared_of(place, dtype=torch.float64, **keys), micro_tokens=tokens) for tokens in (4096, 1)]
    assert len(runs[1].batches.micro_batches(0)) > len(runs[0].batches.micro_batches(0)), "the second must be cut"
    found: list[torch.Tensor] = []
    for run in runs:
        run.optimiser.step = lambda lr, run=run: found.append(run.network.parameters.sums.clone())
    reports = [run.one() for run in runs]
    assert found[0].abs().max() > 1e-2
    # the task's loss is summed in float32
    assert reports[0].loss == pytest.approx(reports[1].loss, rel=1e-6)
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-9)


def test_r_drop_adds_the_divergence_of_two_masks(place: Path) -> None:
    losses = {}
    for weight in (None, 1.0, 3.0):
        steps = Steps(prepared_of(place, train__r_drop=weight, dtype=torch.float64))
        losses[weight] = steps.one().loss
    apart = (losses[3.0] - losses[1.0]) / 2
    assert apart > 1e-4, "two masks must disagree"
    steps = Steps(prepared_of(place, dtype=torch.float64))
    objective = steps.network.objective
    batches = steps.batches.micro_batches(0)
    count = loss_count(batches)["loss"]
    both, divergences = [], []
    for batch in batches:
        assert objective.dropout is not None
        passes = [
            steps.network.model(batch.rows, objective.dropout.at(0, batch, again=again)) for again in (False, True)
        ]
        task = steps.network._task
        both += [task.loss_sum(logits, batch.targets, batch.weights).item() for logits in passes]
        one, other = (torch.softmax(logits.float(), -1).detach().numpy() for logits in passes)
        divergences.append(0.5 * (rel_entr(one, other) + rel_entr(other, one)).sum())
    assert losses[None] == pytest.approx(both[0] / count, rel=1e-6)
    assert apart == pytest.approx(sum(divergences) / count, rel=1e-4)
    assert losses[1.0] == pytest.approx((sum(both) / 2 + sum(divergences)) / count, rel=1e-5)


def test_each_task_compares_its_own_distributions() -> None:
    generator = torch.manual_seed(5)
    one, other = torch.randn(5, 3, generator=generator), torch.randn(5, 3, generator=generator)
    weights = torch.tensor([1.0, 0.5, 0.5, 1.0, 2.0])

    def both(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(0.5 * (rel_entr(p.numpy(), q.numpy()) + rel_entr(q.numpy(), p.numpy())))

    several = LabelsTask(False, CLASSES, (0.5,) * 3)
    p, q = torch.sigmoid(one), torch.sigmoid(other)
    expected = ((both(p, q) + both(1 - p, 1 - q)).mean(-1) * weights).sum()
    assert float(divergence(several, one, other, one, weights)) == pytest.approx(float(expected), rel=1e-4)
    targets = torch.tensor([[0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 0], [1, 0, 1]])
    spans = SpanTask()
    expected = torch.tensor(0.0, dtype=torch.float64)
    for window, weight in ((slice(0, 2), 1.0), (slice(2, 5), 0.5)):
        p, q = torch.softmax(one[window, :2], 0), torch.softmax(other[window, :2], 0)
        expected += weight * both(p, q).sum(0).mean()
    found = divergence(spans, one[:, :2], other[:, :2], targets, torch.tensor([1.0, 1.0, 0.5, 0.5, 0.5]))
    assert float(found) == pytest.approx(float(expected), rel=1e-4)
    same = SentenceTask("classify", False, CLASSES)
    assert float(divergence(same, one, one, targets, weights)) == 0


def test_what_has_no_two_distributions_is_refused(place: Path, tmp_path: Path) -> None:
    scores = [{"text": row["text"], "score": i / 7} for i, row in enumerate(toy_rows(30))]
    rows = write_rows(tmp_path / "scores.csv", scores)
    with pytest.raises(
        BertworksError, match=r"compares distributions over classes, labels, tags or tokens; score has no such"
    ):
        prepared_of(place, train__r_drop=1.0, data__train=str(rows), data__task="score")


def test_intents_and_slots_compare_both_their_distributions() -> None:
    generator = torch.manual_seed(6)
    one, other = torch.randn(4, 5, generator=generator), torch.randn(4, 5, generator=generator)
    task = FrameTask(Labels(("go", "come")), TagTask(CLASSES, "plain", written="plain"))
    targets = torch.tensor([[0, SLOT + 1], [2, SLOT], [1, SLOT], [1, SLOT + 1]])
    weights = torch.tensor([1.0, 0.5, 0.5, 2.0])
    found = divergence(task, one, other, targets, weights)
    expected = 0.0
    for row, (_, kind) in enumerate(targets.tolist()):
        part = slice(2, None) if kind == SLOT else slice(0, 2)
        p, q = torch.softmax(one[row, part], 0).numpy(), torch.softmax(other[row, part], 0).numpy()
        expected += float(weights[row]) * 0.5 * (rel_entr(p, q) + rel_entr(q, p)).sum()
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_a_crf_is_refused(place: Path) -> None:
    with pytest.raises(BertworksError, match=r"a CRF has one over whole rows"):
        prepared_of(place, train__r_drop=1.0, data__train=str(place / "tags.conll"), data__decoder="crf")
