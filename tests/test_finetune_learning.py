"""Which parts learn and how fast: frozen layers, new ones, gradual unfreezing, a rate for each layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertworks.base.errors import BertworksError
from bertworks.finetune.learning import part_of
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.run import finetune
from bertworks.model.bert import BertForSentence
from finetune_steps import Steps, prepared_of, start_folder

LAYERS = 2


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_folder(tmp_path_factory.mktemp("learning"))


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[int]:
    """Parts with a tensor that changed."""
    return {part_of(name, LAYERS) for name in before if not torch.equal(before[name], after[name])}


def test_without_a_switch_nothing_is_there(place: Path) -> None:
    steps = Steps(prepared_of(place))
    assert isinstance(steps.network.model, BertForSentence)
    assert len(steps.optimiser._adam.param_groups) == 2
    assert steps.network.second_pass is None
    assert steps.network.averages() == {}
    assert steps.network.parameters.frozen == {}
    assert FinetuneRecipe().train.layer_decay == 1


def test_layers_that_begin_anew_and_no_others(place: Path) -> None:
    plain = prepared_of(place)
    fresh = prepared_of(place, model__reinit_layers=1)
    one = plain.start.build(plain.data.task, 3).state_dict()
    other = fresh.start.build(fresh.data.task, 3).state_dict()
    changed = {name for name in one if not torch.equal(one[name], other[name])}
    assert {part_of(name, LAYERS) for name in changed} == {LAYERS, LAYERS + 1}
    assert {name for name in changed if part_of(name, LAYERS) > LAYERS} == {"pooler.dense.weight"}, "its bias was 0"
    assert torch.equal(one["classifier.weight"], other["classifier.weight"]), "the head is drawn as before"
    weight = other["encoder.layers.1.output.weight"]
    assert weight.std() == pytest.approx(0.88 * plain.start.config.initializer_range, rel=0.1)
    again = fresh.start.build(fresh.data.task, 4).state_dict()
    assert not torch.equal(weight, again["encoder.layers.1.output.weight"]), "each seed has its own"


@pytest.mark.parametrize(("freeze", "learning"), [(0, {1, 2, 3}), (1, {2, 3}), ("encoder", {3})])
def test_frozen_parts_keep_their_bits_and_cost_no_backward_pass(
    place: Path, freeze: int | str, learning: set[int]
) -> None:
    steps = Steps(prepared_of(place, model__freeze=freeze, train__weight_decay=0.5))
    graph = []
    lowest = min(learning)
    for number, layer in enumerate(steps.network.model.encoder.layers, 1):
        layer.register_forward_hook(
            lambda module, given, made, number=number: graph.append((number, made.requires_grad))
        )
    before = steps.weights()
    steps.go(4)
    assert moved(before, steps.weights()) == learning
    assert {name for name in before if part_of(name, LAYERS) < lowest} == set(steps.network.parameters.frozen)
    assert dict(graph) == {1: lowest <= 1}, "the highest layer is computed at the tokens read alone"
    assert len(steps.network.parameters) == sum(
        before[name].numel() for name in before if part_of(name, LAYERS) in learning
    )


def test_gradual_unfreezing_goes_down_one_part_an_epoch(place: Path) -> None:
    steps = Steps(prepared_of(place, train__unfreeze=True, train__steps=40, train__weight_decay=0.5))
    per_epoch = steps.batches.steps_per_epoch
    assert [steps.network.learning.lowest(epoch * per_epoch) for epoch in range(5)] == [3, 2, 1, 0, 0]
    for lowest in (3, 2, 1, 0):
        before = steps.weights()
        steps.go(per_epoch)
        assert moved(before, steps.weights()) == set(range(lowest, 4))
    counts = {name: int(count) for name, count in steps.optimiser.state().items() if name.endswith(".step")}
    assert sorted(set(counts.values())) == [n * per_epoch for n in (1, 2, 3, 4)], "each has its own correction"


def test_unfreezing_is_a_function_of_the_step(place: Path) -> None:
    whole = Steps(prepared_of(place, train__unfreeze=True, train__steps=40))
    whole.go(12)
    late = Steps(prepared_of(place, train__unfreeze=True, train__steps=40))
    late.network.restore(whole.weights(), "memory")
    late.optimiser.restore({name: tensor.clone() for name, tensor in whole.optimiser.state().items()})
    late.step = whole.step
    whole.go(3)
    late.go(3)
    assert all(torch.equal(late.weights()[name], tensor) for name, tensor in whole.weights().items())


def test_a_rate_for_each_layer_is_torchs_with_groups(place: Path) -> None:
    decay, weight_decay = 0.5, 0.3
    steps = Steps(
        prepared_of(place, dtype=torch.float64, train__layer_decay=decay, train__weight_decay=weight_decay), lr=1e-3
    )
    plain = Steps(prepared_of(place, dtype=torch.float64, train__weight_decay=weight_decay), lr=1e-3)
    named = {name: view.clone().requires_grad_() for name, view in plain.network.parameters.named(
        plain.network.parameters.masters).items()}  # fmt: skip
    groups = [
        {
            "params": [tensor],
            "lr": 1e-3 * decay ** (LAYERS + 1 - part_of(name, LAYERS)),
            "weight_decay": weight_decay if tensor.ndim > 1 else 0.0,
        }
        for name, tensor in named.items()
    ]
    theirs = torch.optim.AdamW(groups, eps=1e-8)
    gradients = torch.randn(5, len(plain.network.parameters), dtype=torch.float64, generator=torch.manual_seed(1))
    ours = steps.network.parameters
    for gradient in gradients:
        ours.sums.copy_(gradient)
        for name, tensor in plain.network.parameters.named(gradient).items():
            named[name].grad = tensor
        steps.optimiser.step(1e-3)
        theirs.step()
    found = ours.named(ours.masters)
    assert len({part_of(name, LAYERS) for name in found}) == 4
    for name, tensor in named.items():
        torch.testing.assert_close(found[name], tensor.detach(), rtol=1e-12, atol=1e-15)


def test_idle_words_decay_at_the_rate_of_their_part(place: Path) -> None:
    steps = Steps(prepared_of(place, train__layer_decay=0.5, train__weight_decay=0.5))
    before = steps.weights()["encoder.embeddings.word"]
    steps.go(5)
    after = steps.weights()["encoder.embeddings.word"]
    words = steps.network._words
    assert words is not None
    idle = sorted(set(range(len(before))) - set(words.active.tolist()))
    assert idle, "some words of the vocabulary must not occur"
    expected = before[idle]
    for _ in range(5):
        expected = expected * torch.tensor(1.0 - 1e-2 * 0.125 * 0.5)
    assert torch.equal(after[idle], expected)


def test_parts_at_one_rate_are_the_sweep(place: Path) -> None:
    plain = Steps(prepared_of(place, dtype=torch.float64))
    parts = Steps(prepared_of(place, dtype=torch.float64, train__layer_decay=0.5))
    parts.network.learning.factors[:] = [1.0] * 4
    for group in parts.optimiser._adam.param_groups:
        group["factor"] = 1.0
    assert len(parts.optimiser._adam.param_groups) == 8
    plain.go(6)
    parts.go(6)
    found = parts.weights()
    for name, tensor in plain.weights().items():  # not the same bits: a run's last elements are computed one by one
        torch.testing.assert_close(found[name], tensor, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model__reinit_layers": 3}, r"`model.reinit_layers` is 3, the model has 2 layers"),
        ({"model__freeze": 3}, r"`model.freeze` is 3, the model has 2 layers"),
    ],
)
def test_more_layers_than_there_are_is_refused(
    place: Path, tmp_path: Path, keys: dict[str, object], message: str
) -> None:
    with pytest.raises(BertworksError, match=message):
        finetune(prepared_of(place, **keys).recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model__freeze": "encoder", "train__unfreeze": True}, r"`model.freeze` keeps the layers as they are"),
        ({"model__lora_rank": 2, "train__unfreeze": True}, r"`model.lora_rank` keeps the layers as they are"),
        ({"model__lora_rank": 2, "model__freeze": 1}, r"`freeze` and `lora_rank` are both given"),
        ({"model__lora_rank": 2, "model__reinit_layers": 1}, r"`reinit_layers` and `lora_rank` are both given"),
        ({"model__freeze": "encoder", "train__layer_decay": 0.9}, r"no layer learns that could have a lower rate"),
        ({"model__freeze": 0, "train__fgm": 1.0}, r"`fgm` follows the gradient of the word table, which is frozen"),
        ({"train__unfreeze": True, "train__fgm": 1.0}, r"`fgm` follows the gradient of the word table"),
        ({"train__ema": 0.9, "train__swa": 0.5}, r"`ema` and `swa` are both given"),
        ({"model__head_size": 5}, r"`head_size` is of the head `mlp`"),
        ({"model__dropout": 0.0, "train__r_drop": 1.0}, r"two passes without dropout are equal"),
        ({"model__start": "preset:tiny", "model__vocab": "v", "model__reinit_layers": 1}, r"all weights .* are random"),
    ],
)
def test_switches_that_contradict_each_other_are_refused(place: Path, keys: dict[str, object], message: str) -> None:
    with pytest.raises(BertworksError, match=message):
        prepared_of(place, **keys)
