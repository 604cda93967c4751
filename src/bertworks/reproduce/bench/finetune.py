"""Fine-tuning: ours against transformers' Trainer with dynamic padding, same rows, batches of 32, AdamW, clipping.

The rival's turn is the inside of Trainer's loop (`training_step`, clipping, optimiser, schedule) without logging and
saving. A second rival has our allocator setting; on a processor with bf16 instructions a third one computes in it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.reproduce.bench.rounds import Contender, Work, race

BATCH_SIZE = 32
LENGTH = 128


def contenders(start: str, train: str, threads: int | None, *, has_bf16: bool) -> list[Contender]:
    """Ours (first), then the rivals."""
    shared = {"start": start, "train": train, "threads": threads}
    field = [
        Contender("bertworks", ours, {**shared, "dtype": "auto"}),
        Contender("Trainer", theirs, shared),
        Contender("Trainer, our allocator setting", theirs, {**shared, "keep_memory": True}),
    ]
    if has_bf16:
        field.insert(1, Contender("bertworks, float32", ours, {**shared, "dtype": "float32"}))
        field.append(Contender("Trainer, bf16", theirs, {**shared, "bf16": True}))
        field.append(
            Contender("Trainer, bf16, our allocator setting", theirs, {**shared, "bf16": True, "keep_memory": True})
        )
    return field


def ours(settings: dict[str, Any]) -> Work:
    """The loop of bertworks.finetune.run, without evaluation and files."""
    from bertworks.base.recipe import load
    from bertworks.engine.optimiser import AdamW
    from bertworks.engine.step import train_step
    from bertworks.finetune.batches import TrainingBatches
    from bertworks.finetune.data import read_data
    from bertworks.finetune.network import Network
    from bertworks.finetune.objective import loss_count
    from bertworks.finetune.recipe import FinetuneRecipe
    from bertworks.finetune.setup import prepare_run

    given = {
        "model.start": settings["start"],
        "data.train": settings["train"],
        "data.max_length": LENGTH,
        "data.truncation": "truncate",
        "train.batch_size": BATCH_SIZE,
        "machine.dtype": settings["dtype"],
        "machine.threads": settings["threads"],
    }
    recipe = load(FinetuneRecipe, None, {name: value for name, value in given.items() if value is not None})
    prepared = prepare_run(recipe, read_data(recipe.data))
    network = Network(prepared)
    optimiser = AdamW(network.parameters, eps=1e-8)
    batches = TrainingBatches(
        network.compact(prepared.windows),
        prepared.data.task,
        batch_size=BATCH_SIZE,
        seed=0,
        micro_batch_tokens=prepared.recipe.machine.micro_tokens,
        train_windows=1,
    )

    def work() -> float:
        step = network.objective.step
        micro_batches = batches.micro_batches(step)
        train_step(micro_batches, loss_count(micro_batches), network.objective, network.parameters, optimiser, lr=1e-6)
        network.updated(1e-6, is_done=True)
        network.objective.step += 1
        return float(len(batches.rows_of(step)))

    return work


def theirs(settings: dict[str, Any]) -> Work:
    """Trainer's own step over its own data loader."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    if settings.get("keep_memory"):
        from bertworks.engine.memory import keep_memory

        keep_memory()
    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    tokenizer = AutoTokenizer.from_pretrained(settings["start"])
    rows, classes = encoded(settings["train"], tokenizer)
    model = AutoModelForSequenceClassification.from_pretrained(settings["start"], num_labels=classes)
    arguments = TrainingArguments(
        tempfile.mkdtemp(prefix="bertworks-bench-"),
        per_device_train_batch_size=BATCH_SIZE,
        learning_rate=1e-6,
        weight_decay=0.01,
        warmup_steps=10,
        use_cpu=True,
        bf16=settings.get("bf16", False),
        report_to=[],
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer)
    trainer.create_optimizer_and_scheduler(num_training_steps=1_000_000)
    trainer.current_gradient_accumulation_steps = 1  # set by `train`, which is not called
    model.train()
    batches = endless(trainer)

    def work() -> float:
        batch = next(batches)
        count = len(batch["labels"])
        trainer.training_step(model, batch)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        model.zero_grad()
        return float(count)

    return work


def endless(trainer: Any) -> Iterator[dict[str, Any]]:
    """Batches of the Trainer's loader, epoch after epoch."""
    while True:
        yield from trainer.get_train_dataloader()


def encoded(train: str, tokenizer: Any) -> tuple[list[dict[str, Any]], int]:
    """The rows as the Trainer takes them, and how many classes there are; the same rows that ours trains on."""
    from bertworks.finetune.data import read_data
    from bertworks.finetune.recipe import DataRecipe
    from bertworks.tasks.sentence import SentenceTask

    data = read_data(DataRecipe(train=train))
    assert isinstance(data.task, SentenceTask)
    rows = []
    for row in data.train:
        texts = [row[role] for role in ("text", "sentence1", "sentence2") if role in row]
        rows.append(
            {**tokenizer(*texts, truncation=True, max_length=LENGTH), "labels": int(data.task.gold(row, train))}
        )
    return rows, data.task.num_outputs


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """`bench finetune`. Raises BertworksError without a model and rows."""
    from bertworks.base.places import find_model
    from bertworks.engine.precision import cpu_has_bf16

    if not options.model or not options.train:
        raise BertworksError("`bench finetune` trains a checkpoint on rows", "name both: `--model DIR --train FILE`")
    start = str(find_model(Path(options.model)))
    chosen = contenders(start, options.train, options.threads, has_bf16=cpu_has_bf16())
    return race(chosen, unit="examples", rounds=options.rounds, seconds=options.seconds).result(chosen[0].name)
