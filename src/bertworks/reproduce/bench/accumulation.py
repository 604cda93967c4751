"""What eight rows give when they are fed in different groups: the gradient must be that of their Σ loss / Σ count.

Masked counts are ragged (1, 1, 2, 3, 8, 10, 12, 14), dropout is 0, both networks start from the same weights. A figure
is the gradient's norm over that of one float64 pass of the whole batch; 1 is right.
"""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertworks.engine.optimiser import AdamW
from bertworks.engine.parameters import FlatParameters
from bertworks.engine.step import train_step
from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig
from bertworks.model.layout import pad_rows
from bertworks.model.pretrained import to_hf
from bertworks.pretrain.batches import MicroBatch
from bertworks.pretrain.objective import Objective, target_counts
from bertworks.reproduce.bench.rounds import machine

COUNTS = (1, 1, 2, 3, 8, 10, 12, 14)
LENGTH = 32
CONFIG = BertConfig(97, 32, 2, 4, 64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """`bench accumulation`: ours and transformers' Trainer, the batch whole and one row at a time."""
    rows = _rows()
    right = ours(rows, len(rows), torch.float64)
    found = {
        "bertworks, 8 x 1": ours(rows, len(rows), torch.float32),
        "bertworks, 2 x 4": ours(rows, 4, torch.float32),
        "bertworks, 1 x 8": ours(rows, 1, torch.float32),
        "transformers Trainer, 8 x 1": theirs(rows, len(rows)),
        "transformers Trainer, 1 x 8": theirs(rows, 1),
    }
    contenders = [
        {"name": name, "median": norm / right, "min": norm / right, "max": norm / right} for name, norm in found.items()
    ]
    return {
        "machine": machine(),
        "unit": "of the right gradient",
        "others_cpu": {"median": 0.0, "max": 0.0},
        "contenders": contenders,
        "ratios": [],
    }


def ours(rows: Sequence[MicroBatch], size: int, dtype: torch.dtype) -> float:
    """The gradient's norm that the engine reports for groups of `size` rows."""
    model = BertForPreTraining.new(CONFIG)
    parameters = FlatParameters(model, dtype, torch.device("cpu"))
    groups = [_merged(rows[i : i + size]) for i in range(0, len(rows), size)]
    objective = Objective(model, None, direct=True)
    optimiser = AdamW(parameters)
    return train_step(
        groups, target_counts(groups), objective, parameters, optimiser, lr=0.0, max_grad_norm=0
    ).grad_norm


def theirs(rows: Sequence[MicroBatch], size: int) -> float:
    """The norm that transformers' Trainer logs for the same rows and weights, `size` rows at a time."""
    from transformers import BertConfig as TheirConfig
    from transformers import BertForMaskedLM, Trainer, TrainingArguments

    config = TheirConfig(
        **{name: value for name, value in CONFIG.to_json("BertForMaskedLM").items() if name != "architectures"}
    )
    model = BertForMaskedLM(config)
    model.load_state_dict(to_hf(BertForPreTraining.new(CONFIG)), strict=False)
    model.tie_weights()
    data = []
    for row in rows:
        labels = torch.full((LENGTH,), -100)
        labels[row.masked_positions] = row.masked_labels
        data.append({"input_ids": row.rows.input_ids[0], "labels": labels})
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=len(rows) // size,
            max_steps=1,
            max_grad_norm=1e9,
            logging_steps=1,
            report_to=[],
            use_cpu=True,
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = Trainer(model, settings, train_dataset=data)
        with contextlib.redirect_stdout(sys.stderr):  # the Trainer prints its log
            trainer.train()
        return float(next(line["grad_norm"] for line in trainer.state.log_history if "grad_norm" in line))


def _rows() -> list[MicroBatch]:
    draw = np.random.default_rng(0)
    found = []
    for count in COUNTS:
        ids = draw.integers(5, CONFIG.vocab_size, LENGTH).astype(np.int32)
        positions = np.sort(draw.choice(LENGTH, count, replace=False))
        labels = draw.integers(5, CONFIG.vocab_size, count)
        found.append(_batch([ids], positions, labels))
    return found


def _batch(ids: Sequence[NDArray[np.int32]], positions: NDArray[np.int64], labels: NDArray[np.int64]) -> MicroBatch:
    rows = pad_rows(ids, None, LENGTH)
    return MicroBatch(rows, 0, torch.from_numpy(positions), torch.from_numpy(labels), None, len(ids) * LENGTH, [])


def _merged(rows: Sequence[MicroBatch]) -> MicroBatch:
    ids = [row.rows.input_ids[0].numpy().astype(np.int32) for row in rows]
    positions = np.concatenate([row.masked_positions.numpy() + i * LENGTH for i, row in enumerate(rows)])
    return _batch(ids, positions, np.concatenate([row.masked_labels.numpy() for row in rows]))
