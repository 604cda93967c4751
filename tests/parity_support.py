"""Ours beside transformers' BERT: the same weights, the same sequences, the same recorded dropout masks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig
from bertworks.model.layout import Rows
from bertworks.model.pretrained import to_hf

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-10}
GRADIENT_BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-9}


def difference(a: Tensor, b: Tensor) -> float:
    """The project's measure: max |a - b| / max(1, max |b|)."""
    assert a.shape == b.shape, (a.shape, b.shape)
    assert torch.isfinite(b).all()
    return float((a - b).abs().max() / b.abs().max().clamp(min=1))


def relative(a: Tensor, b: Tensor) -> float:
    """max |a - b| / max |b|: for gradients, which are small."""
    assert a.shape == b.shape, (a.shape, b.shape)
    assert b.abs().max() > 0
    return float((a - b).abs().max() / b.abs().max())


def randomise(module: nn.Module, seed: int, std: float) -> None:
    """Weights for which every part of the network matters: biases and LayerNorms too."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        drawn = torch.randn(parameter.shape, generator=generator)
        with torch.no_grad():
            parameter.copy_(1 + 0.2 * drawn if name.endswith("norm.weight") else std * drawn)


def pre_training(config: BertConfig, dtype: torch.dtype, *, seed: int = 0, std: float = 0.1) -> BertForPreTraining:
    """Our model with random weights everywhere."""
    model = BertForPreTraining.new(config)
    randomise(model, seed, std)
    return model.to(dtype)


def transformers_twin(model: nn.Module, kind: str = "BertForPreTraining") -> nn.Module:
    """transformers' model with the weights of ours, eager attention, evaluation mode."""
    import transformers

    config = getattr(model, "encoder", model).config
    content = config.to_json(kind)
    architecture = content["architectures"][0]
    config_class = transformers.MegatronBertConfig if config.pre_norm else transformers.BertConfig
    settings = config_class(**{k: v for k, v in content.items() if k not in ("architectures", "torch_dtype")})
    settings._attn_implementation = "eager"
    twin = getattr(transformers, architecture)(settings)
    weights = to_hf(model)
    missing, unexpected = twin.load_state_dict(weights, strict=False)
    allowed = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    assert set(missing) <= allowed, missing
    assert not unexpected
    twin.to(next(model.parameters()).dtype)
    twin.tie_weights()
    return twin.eval()


def some_sequences(
    n: int, shortest: int, longest: int, vocab_size: int, seed: int = 0
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Ids and 0/1 types of sequences of different lengths."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(shortest, longest + 1, n)
    lengths[0] = longest
    ids = [rng.integers(1, vocab_size, length).astype(np.int32) for length in lengths]
    types = [(np.arange(length) >= length // 2).astype(np.int8) for length in lengths]
    return ids, types


def transformers_inputs(ids: Sequence[np.ndarray], types: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """What transformers' models take: padded on the right, with an attention mask."""
    length = max(map(len, ids))
    padded = {name: torch.zeros(len(ids), length, dtype=torch.long) for name in ("input_ids", "token_type_ids")}
    attention_mask = torch.zeros(len(ids), length, dtype=torch.long)
    for row, (one, kinds) in enumerate(zip(ids, types, strict=True)):
        padded["input_ids"][row, : len(one)] = torch.from_numpy(one)
        padded["token_type_ids"][row, : len(one)] = torch.from_numpy(kinds)
        attention_mask[row, : len(one)] = 1
    return {**padded, "attention_mask": attention_mask}


def by_sequence(hidden: Tensor, rows: Rows) -> list[Tensor]:
    """Hidden states (R, L, E) as one (T_i, E) for each sequence, in input order."""
    flat, ids = hidden.reshape(-1, hidden.shape[-1]), rows.sequence_ids.reshape(-1)
    return [flat[ids == i] for i in range(len(rows.first_index))]


class RecordedMasks:
    """Dropout masks drawn once for padded rows, handed to our model and to transformers'."""

    def __init__(self, config: BertConfig, n_rows: int, length: int, dtype: torch.dtype, p: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        hidden = (n_rows, length, config.hidden_size)
        probs = (n_rows, config.num_attention_heads, length, length)
        places = [("embeddings", -1, hidden)]
        for layer in range(config.num_hidden_layers):
            places += [
                ("attention_probs", layer, probs),
                ("attention_output", layer, hidden),
                ("output", layer, hidden),
            ]
        self.masks: dict[tuple[str, int], Tensor] = {}
        for place, layer, shape in places:
            kept = torch.rand(shape, generator=generator) >= p
            self.masks[place, layer] = kept.to(dtype) / (1 - p)

    def __call__(
        self, place: str, layer: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Tensor | None:
        mask = self.masks[place, layer]
        assert tuple(shape) == tuple(mask.shape)
        assert dtype == mask.dtype
        return mask

    @contextmanager
    def in_transformers(self) -> Iterator[list[tuple[str, int]]]:
        """Let torch's dropout, as transformers calls it, use the masks in the order of the forward pass."""
        order = list(self.masks)
        used: list[tuple[str, int]] = []

        def dropout(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
            assert training
            assert p > 0
            key = order[len(used)]
            used.append(key)
            assert x.shape == self.masks[key].shape, (key, x.shape)
            return x * self.masks[key]

        with mock.patch("torch.nn.functional.dropout", dropout):
            yield used
        assert used == order


class RepackedMasks:
    """Recorded masks of padded rows, moved to where packed rows hold the same tokens."""

    def __init__(self, recorded: RecordedMasks, padded: Rows, packed: Rows) -> None:
        self.recorded, self.padded, self.packed = recorded, padded, packed

    def __call__(
        self, place: str, layer: int, shape: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> Tensor | None:
        mask = self.recorded.masks[place, layer]
        moved = torch.full(tuple(shape), 1.0, dtype=dtype)
        length = self.packed.input_ids.shape[1]
        for i, n in enumerate(self.padded.lengths.tolist()):
            row, start = divmod(int(self.packed.first_index[i]), length)
            stop = start + n
            if place == "attention_probs":
                moved[row, :, start:stop, start:stop] = mask[i, :, :n, :n]
            else:
                moved[row, start:stop] = mask[i, :n]
        return moved
