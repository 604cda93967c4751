"""The optimisers against a straight float64 transcription of the original's, and against torch's."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from bertworks.engine.muon import Muon, orthogonal
from bertworks.engine.optimiser import AdamW
from bertworks.engine.parameters import FlatParameters
from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig
from toy_losses import Toy

CPU = torch.device("cpu")
CONFIG = BertConfig(
    vocab_size=23,
    hidden_size=6,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=11,
    max_position_embeddings=13,
)


class Vector(torch.nn.Module):
    """Three weights in a row, as one matrix so that they may decay, or as one vector."""

    def __init__(self, values: list[float], *, is_matrix: bool = False) -> None:
        super().__init__()
        data = torch.tensor(values, dtype=torch.float64)
        self.w = torch.nn.Parameter(data[None] if is_matrix else data)


def as_the_original(
    w: np.ndarray, gradients: Callable[[np.ndarray], np.ndarray], lrs: list[float], *, decay: float
) -> np.ndarray:
    """optimization.py of google-research/bert in float64, a line for a line; no bias correction."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for lr in lrs:
        g = gradients(w)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        update = m / (np.sqrt(v) + 1e-6)
        update = update + decay * w
        w = w - lr * update
    return w


GOLDEN = {  # of the original's own test, continued
    1: (0.732355548, 0.432380541, -0.732380541),
    2: (0.644262325, 0.606905341, -0.906905341),
    10: (0.190685531, 0.123032453, -0.423032453),
    100: (0.401646035, 0.197824449, -0.497824449),
}


def test_adam_without_bias_correction_gives_the_originals_numbers() -> None:
    module = Vector([0.1, -0.2, -0.1])
    parameters = FlatParameters(module, torch.float64, CPU)
    optimiser = AdamW(parameters, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.0, bias_correction=False)
    x = torch.tensor([0.4, 0.2, -0.5], dtype=torch.float64)
    for step in range(1, 101):
        ((x - module.w) ** 2).mean().backward()
        optimiser.step(0.2)
        parameters.clear()
        if step in GOLDEN:
            assert module.w.tolist() == pytest.approx(GOLDEN[step], abs=1e-9)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
@pytest.mark.parametrize("decay", [0.0, 0.01, 0.1])
def test_the_spent_step_count_is_a_bias_correction_of_one(dtype: torch.dtype, bound: float, decay: float) -> None:
    """300 steps of noisy gradients against the transcription; a correction of 1 - 0.9^t would show at once."""
    start, noise = np.linspace(-0.5, 0.7, 3), np.random.default_rng(0).normal(size=(300, 3))
    lrs = [1e-3 * (1 - step / 300) for step in range(300)]
    module = Vector(start.tolist(), is_matrix=True)
    parameters = FlatParameters(module, dtype, CPU)
    optimiser = AdamW(parameters, betas=(0.9, 0.999), weight_decay=decay, bias_correction=False)
    for lr, gradient in zip(lrs, noise, strict=True):
        parameters.sums.copy_(torch.from_numpy(gradient))
        optimiser.step(lr)
    draws = iter(noise)
    wanted = as_the_original(start, lambda w: next(draws), lrs, decay=decay)
    assert np.abs(parameters.masters.double().numpy() - wanted).max() <= bound
    count = optimiser.state()["0.step"]
    assert count.dtype == torch.float32
    assert count == 1e7 + 300, "float32 still counts there"
    assert 0.999 ** float(count) == 0.0
    assert 0.9999 ** float(count) == 0.0


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-14), (torch.float32, 1e-7)], ids=str)
def test_adamw_with_bias_correction_is_torchs(dtype: torch.dtype, bound: float) -> None:
    flat, plain = Toy(3), Toy(3).to(dtype)
    parameters = FlatParameters(flat, dtype, CPU)
    optimiser = AdamW(parameters, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.05)
    matrices = [p for p in plain.parameters() if p.ndim > 1]
    vectors = [p for p in plain.parameters() if p.ndim <= 1]
    theirs = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
        eps=1e-6,
        foreach=False,
        fused=False,
    )
    draw = torch.Generator().manual_seed(0)
    for step in range(50):
        for name, parameter in plain.named_parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draw, dtype=torch.float64).to(dtype)
            parameters.named(parameters.sums)[name].copy_(parameter.grad)
        theirs.param_groups[0]["lr"] = theirs.param_groups[1]["lr"] = 0.01 / (step + 1)
        theirs.step()
        optimiser.step(0.01 / (step + 1))
    ours = dict(flat.named_parameters())
    for name, parameter in plain.named_parameters():
        assert (ours[name] - parameter).abs().max() <= bound, name


@pytest.mark.parametrize("pre_norm", [False, True])
def test_vectors_do_not_decay_and_all_else_does(pre_norm: bool) -> None:
    """With no gradient only decay moves a weight; the original exempts `LayerNorm`, `layer_norm` and `bias` by name."""
    model = BertForPreTraining.new(BertConfig(**{**CONFIG.__dict__, "pre_norm": pre_norm}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(1 + torch.rand(parameter.shape))
    parameters = FlatParameters(model, torch.float64, CPU, is_hidden=lambda name: ".layers." in name)
    before = {name: value.clone() for name, value in parameters.named(parameters.masters).items()}
    AdamW(parameters, weight_decay=0.1, bias_correction=False).step(0.5)
    decayed = set()
    for name, parameter in model.named_parameters():
        factor = (parameter / before[name]).detach()
        assert factor.min() == pytest.approx(float(factor.max())), name
        if factor.flatten()[0] == pytest.approx(1 - 0.5 * 0.1):
            decayed.add(name)
        else:
            assert torch.equal(parameter, before[name]), name
    exempt = {name for name in before if "norm" in name or name.endswith("bias")}
    assert decayed == set(before) - exempt
    assert exempt == {name for name, value in before.items() if value.ndim == 1}
    tables = {"encoder.embeddings.word", "encoder.embeddings.position", "encoder.embeddings.token_type"}
    assert tables | {"next_sentence_head.classifier.weight", "pooler.dense.weight"} < decayed
    assert {"masked_head.bias", "encoder.layers.1.qkv.bias", "masked_head.norm.weight"} < exempt


def test_moments_saved_and_restored_go_on_to_the_bit() -> None:
    for kind in ("adamw", "adam-bert", "muon"):
        broken, whole = (optimised(kind) for _ in range(2))
        for step in range(7):
            stepped(*whole, step)
        for step in range(4):
            stepped(*broken, step)
        saved = {name: value.clone() for name, value in broken[1].state().items()}
        assert any(value.any() for value in saved.values())
        fresh, optimiser = optimised(kind)
        fresh.masters.copy_(broken[0].masters)
        optimiser.restore(saved)
        for step in range(4, 7):
            stepped(fresh, optimiser, step)
        assert torch.equal(fresh.masters, whole[0].masters), kind
        assert not torch.equal(fresh.masters, broken[0].masters)


def optimised(kind: str) -> tuple[FlatParameters, AdamW | Muon]:
    """Parameters of a small BERT and an optimiser over them."""
    model = BertForPreTraining.new(CONFIG)
    parameters = FlatParameters(model, torch.float32, CPU, is_hidden=lambda name: ".layers." in name)
    rest = AdamW(parameters, bias_correction=kind != "adam-bert", first=parameters.hidden if kind == "muon" else 0)
    return parameters, Muon(parameters, rest, pieces=pieces) if kind == "muon" else rest


def pieces(name: str) -> int:
    """As pre-training cuts: query, key and value apart."""
    return 3 if ".qkv." in name else 1


def stepped(parameters: FlatParameters, optimiser: AdamW | Muon, step: int) -> None:
    """One update with a gradient that depends on the step."""
    parameters.sums.copy_(torch.randn(len(parameters), generator=torch.Generator().manual_seed(step)))
    optimiser.step(1e-2)


@pytest.mark.parametrize("shape", [(31, 31), (23, 97), (97, 23), (5, 7)])
@pytest.mark.parametrize("size", [1e-5, 1.0, 1e4])
def test_orthogonal_keeps_singular_vectors_and_brings_values_near_one(shape: tuple[int, int], size: float) -> None:
    draw = torch.Generator().manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(*shape, generator=draw, dtype=torch.float64), full_matrices=False)
    values = torch.logspace(-1.5, 0, min(shape), dtype=torch.float64) * size
    found = orthogonal((u * values @ v)[None])[0]
    core = u.mT @ found @ v.mT
    assert core.diagonal().min() > 0.65, "the least value was 1/30 of the largest"
    assert core.diagonal().max() < 1.25
    assert (core - core.diagonal().diag()).abs().max() < 1e-9


def test_orthogonal_of_nothing_is_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(2, 3, 5)), torch.zeros(2, 3, 5))


def test_muon_moves_hidden_matrices_by_orthogonal_updates_each_of_query_key_value_alone() -> None:
    parameters, muon = optimised("muon")
    assert isinstance(muon, Muon)
    before = {name: value.clone() for name, value in parameters.named(parameters.masters).items()}
    gradients = torch.randn(len(parameters), generator=torch.Generator().manual_seed(0))
    parameters.sums.copy_(gradients)
    muon.step(0.1)
    nesterov = parameters.named(gradients * 0.05 * 1.95)  # mean = 0.05 g, update = 0.05 g + 0.95 mean
    hidden = [name for name, value in before.items() if ".layers." in name and value.ndim == 2]
    assert len(hidden) == 2 * 4
    for name in hidden:
        moved = parameters.named(parameters.masters)[name] - before[name] * (1 - 0.1 * 0.01)
        for part, gradient in zip(moved.chunk(pieces(name)), nesterov[name].chunk(pieces(name)), strict=True):
            wanted = -0.1 * 0.2 * math.sqrt(max(part.shape)) * orthogonal(gradient[None])[0]
            assert torch.allclose(part, wanted, atol=1e-6), name
    reference, adamw = optimised("adamw")
    reference.sums.copy_(gradients)
    adamw.step(0.1)
    rest = slice(parameters.hidden, None)
    assert torch.equal(parameters.masters[rest], reference.masters[rest]), "everything else is AdamW's"
    assert not torch.equal(parameters.masters, reference.masters)


def test_masters_in_float32_keep_updates_that_bfloat16_loses() -> None:
    """1,000 updates of 1e-5: masters drift exactly as float32 weights do, and the weights are the masters rounded."""
    low, high = (Vector([0.5, -1.0, 2.0], is_matrix=True) for _ in range(2))
    rounded, exact = FlatParameters(low, torch.bfloat16, CPU), FlatParameters(high, torch.float32, CPU)
    optimisers = [AdamW(parameters, weight_decay=0.0) for parameters in (rounded, exact)]
    without_masters = torch.tensor([0.5, -1.0, 2.0], dtype=torch.bfloat16)
    for _ in range(1000):
        for parameters, optimiser in zip((rounded, exact), optimisers, strict=True):
            parameters.gradients.copy_(torch.tensor([0.25, -0.5, 1.0]))
            parameters.collect()
            optimiser.step(1e-5)
            parameters.clear()
        without_masters -= torch.tensor([1e-5, -1e-5, 1e-5], dtype=torch.bfloat16)
    assert rounded.masters.dtype == rounded.sums.dtype == torch.float32
    assert optimisers[0].state()["0.exp_avg"].dtype == torch.float32
    assert torch.equal(rounded.masters, exact.masters)
    assert exact.masters.tolist() == pytest.approx([0.49, -0.99, 1.99], abs=1e-4)
    assert low.w.dtype == torch.bfloat16
    assert torch.equal(low.w.detach().flatten(), exact.masters.to(torch.bfloat16))
    assert without_masters.tolist() == [0.5, -1.0, 2.0], "without masters nothing would have moved"


def test_gradients_of_micro_batches_are_summed_in_float32() -> None:
    module = Vector([0.0, 0.0, 0.0])
    parameters = FlatParameters(module, torch.bfloat16, CPU)
    for _ in range(1000):
        parameters.gradients.copy_(torch.tensor([1.0, 0.25, 3.0]))
        parameters.collect()
        assert not parameters.gradients.any()
    assert parameters.sums.tolist() == [1000.0, 250.0, 3000.0]
    parameters.clear()
    assert not parameters.sums.any()


def test_flat_parameters_are_the_module() -> None:
    model = BertForPreTraining.new(CONFIG)
    values = {name: value.detach().clone() for name, value in model.named_parameters()}
    parameters = FlatParameters(model, torch.float32, CPU, is_hidden=lambda name: ".layers." in name)
    assert len(parameters) == sum(value.numel() for value in values.values())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, values[name])
        assert parameter.data_ptr() == parameters.named(parameters.weights)[name].data_ptr()
        assert parameter.grad is not None
        assert parameter.grad.data_ptr() == parameters.named(parameters.gradients)[name].data_ptr()
    assert parameters.hidden < parameters.decayed < len(parameters)
    kinds = [(values[name].ndim == 1, ".layers." not in name) for name in parameters.names]
    borders = [i for i, (a, b) in enumerate(itertools.pairwise(kinds)) if a[0] != b[0]]
    assert len(borders) == 1, "all matrices stand before all vectors"
    model.encoder.embeddings.word.grad.fill_(2.0)
    assert parameters.gradients.sum() == 2.0 * model.encoder.embeddings.word.numel()
