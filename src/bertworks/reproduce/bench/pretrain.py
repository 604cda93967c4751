"""Pre-training: ours against transformers' BertForPreTraining with AdamW in a plain loop, same samples, same losses.

Both read the same samples of the same corpus (pairs, masks of 15 %). The rival pads each batch to its longest sample
and divides Σ loss by Σ count; only real tokens are counted for both. `strongest` gives the rival our allocator setting,
fused AdamW, the largest batch that helps it, and torch.compile.
"""

import argparse
from typing import Any

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.corpus.masking import MaskRule
from bertworks.corpus.open import open_corpus
from bertworks.model.config import BertConfig
from bertworks.pretrain.plan import flops_per_token
from bertworks.pretrain.recipe import ModelRecipe, PretrainRecipe, TrainRecipe
from bertworks.pretrain.samples import Samples
from bertworks.reproduce.bench.rounds import Contender, Work, race

LENGTH = 128
BATCH_TOKENS = 8192


def contenders(
    corpus: str, *, layers: int, hidden: int, dropout: float, threads: int | None, compiled: bool
) -> list[Contender]:
    """Ours (first), then the rivals; with `compiled` the strongest of them under torch.compile too."""
    shared = {"corpus": corpus, "layers": layers, "hidden": hidden, "dropout": dropout, "threads": threads}
    field = [
        Contender("bertworks", ours, shared),
        Contender("transformers", theirs, {**shared, "batch": 8}),
        Contender("transformers, strongest", theirs, {**shared, "batch": 16, "keep_memory": True, "fused": True}),
    ]
    if compiled:
        strongest = {**shared, "batch": 16, "keep_memory": True, "fused": True, "compile": True}
        field.append(Contender("transformers, strongest, compiled", theirs, strongest))
    return field


def ours(settings: dict[str, Any]) -> Work:
    """The loop of bertworks.pretrain.run, without its logging."""
    import torch

    from bertworks.engine.memory import keep_memory
    from bertworks.engine.parameters import FlatParameters
    from bertworks.engine.step import train_step
    from bertworks.pretrain.batches import micro_batches
    from bertworks.pretrain.objective import Objective, target_counts
    from bertworks.pretrain.setup import build_dropout, build_model, build_optimiser

    keep_memory()
    _use_threads(settings)
    samples = _samples(settings["corpus"])
    recipe = PretrainRecipe(
        model=ModelRecipe(
            hidden_size=settings["hidden"],
            num_hidden_layers=settings["layers"],
            num_attention_heads=_heads(settings),
            intermediate_size=4 * settings["hidden"],
            dropout=settings["dropout"],
            attention_dropout=settings["dropout"],
            unigram_bias=False,
        ),
        train=TrainRecipe(batch_tokens=BATCH_TOKENS),
    )
    device = torch.device("cpu")
    model = build_model(recipe, samples.tokenizer, np.zeros(samples.tokenizer.vocab_size))
    parameters = FlatParameters(model, torch.float32, device)
    optimiser = build_optimiser(recipe, parameters)
    objective = Objective(model, build_dropout(recipe, torch.float32, device), direct=True)
    count = samples.number_of_batches(0, BATCH_TOKENS) - 1

    def work() -> float:
        batch = samples.batch(0, objective.step % count, BATCH_TOKENS)
        pieces = micro_batches(batch, LENGTH, BATCH_TOKENS)
        train_step(pieces, target_counts(pieces), objective, parameters, optimiser, lr=1e-4)
        objective.step += 1
        return float(sum(piece.tokens for piece in pieces))

    return work


def theirs(settings: dict[str, Any]) -> Work:
    """transformers' BertForPreTraining, padded batches, AdamW and clipping in a plain loop."""
    import torch
    from transformers import BertConfig, BertForPreTraining

    if settings.get("keep_memory"):
        from bertworks.engine.memory import keep_memory

        keep_memory()
    _use_threads(settings)
    samples = _samples(settings["corpus"])
    config = BertConfig(
        vocab_size=samples.tokenizer.vocab_size,
        hidden_size=settings["hidden"],
        num_hidden_layers=settings["layers"],
        num_attention_heads=_heads(settings),
        intermediate_size=4 * settings["hidden"],
        hidden_dropout_prob=settings["dropout"],
        attention_probs_dropout_prob=settings["dropout"],
    )
    model = BertForPreTraining(config).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01, fused=settings.get("fused", False))
    called = torch.compile(model) if settings.get("compile") else model
    size, position = settings["batch"], 0

    def work() -> float:
        nonlocal position
        chosen = [samples.sample(0, position + i) for i in range(size)]
        position = (position + size) % (len(samples.plan(0)) - size)
        batch = _padded(chosen, LENGTH if settings.get("compile") else max(len(one.input_ids) for one in chosen))
        labels, nsp = batch.pop("labels"), batch.pop("next_sentence_label")
        out = called(**batch)
        words = torch.nn.functional.cross_entropy(
            out.prediction_logits.view(-1, config.vocab_size), labels.view(-1), ignore_index=-100, reduction="sum"
        )
        pairs = torch.nn.functional.cross_entropy(out.seq_relationship_logits, nsp, reduction="sum")
        (words / (labels != -100).sum() + pairs / size).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        return float(batch["attention_mask"].sum())

    return work


def _padded(chosen: list[Any], length: int) -> dict[str, Any]:
    import torch

    shape = (len(chosen), length)
    arrays = {name: np.zeros(shape, np.int64) for name in ("input_ids", "token_type_ids", "attention_mask")}
    arrays["labels"] = np.full(shape, -100, np.int64)
    for row, one in enumerate(chosen):
        n = len(one.input_ids)
        arrays["input_ids"][row, :n] = one.input_ids
        arrays["token_type_ids"][row, :n] = one.token_type_ids
        arrays["attention_mask"][row, :n] = 1
        arrays["labels"][row, one.masked_positions] = one.masked_labels
    batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
    batch["next_sentence_label"] = torch.tensor([int(one.is_random) for one in chosen])
    return batch


def matmul(settings: dict[str, Any]) -> Work:
    """The yardstick: a 4096³ float32 product; a unit is one operation."""
    import torch

    _use_threads(settings)
    size = 4096
    a, b = torch.randn(size, size), torch.randn(size, size)

    def work() -> float:
        torch.mm(a, b)
        return 2.0 * size**3

    return work


def _samples(corpus: str) -> Samples:
    opened = open_corpus(corpus)
    everything = np.arange(opened.number_of_documents)
    return Samples(opened, opened.tokenizer(), everything, segments="nsp", length=LENGTH, masks=MaskRule(), seed=0)


def _heads(settings: dict[str, Any]) -> int:
    """Heads of 64 for 256, of 32 for 384 (MiniLM's shape), as published models of these widths have them."""
    hidden = int(settings["hidden"])
    return 12 if hidden == 384 else hidden // 64


def _use_threads(settings: dict[str, Any]) -> None:
    import torch

    if settings["threads"]:
        torch.set_num_threads(settings["threads"])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """`bench pretrain`: the race, and beside it the share of the machine's matmul rate that ours reached.

    Raises BertworksError without `--corpus`, or for a `--shape` that is not LAYERSxWIDTH.
    """
    if not options.corpus:
        raise BertworksError("`bench pretrain` reads a corpus", "name one with `--corpus DIR`, from `bertworks corpus`")
    layers, _, width = options.shape.partition("x")
    if not (layers.isdigit() and width.isdigit()):
        raise BertworksError(f"shape `{options.shape}` is not LAYERSxWIDTH", "such as 4x256 or 6x384")
    chosen = contenders(
        options.corpus,
        layers=int(layers),
        hidden=int(width),
        dropout=options.dropout,
        threads=options.threads,
        compiled=options.compiled,
    )
    chosen.append(Contender("4096³ float32 product", matmul, {"threads": options.threads}))
    result = race(chosen, unit="tokens", rounds=options.rounds, seconds=options.seconds).result(chosen[0].name)
    yardstick = result["contenders"].pop()
    result["ratios"].pop()
    recipe = PretrainRecipe(train=TrainRecipe(length=LENGTH))
    vocab_size = open_corpus(options.corpus).vocab_size
    config = BertConfig(vocab_size, int(width), int(layers), _heads({"hidden": width}), 4 * int(width))
    operations = flops_per_token(recipe, config) * result["contenders"][0]["max"]
    result["matmul"] = {"flops_per_second": yardstick["max"], "share_of_best_round": operations / yardstick["max"]}
    return result
