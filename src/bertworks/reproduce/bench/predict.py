"""Prediction: ours against transformers' pipeline, a loop sorted by length, and onnxruntime; text in, answers out.

Every contender answers the same rows, 256 at a time, tokenisation included. A checkpoint that was not fine-tuned gets a
random classifier of two classes, the same for all.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.reproduce.bench.rounds import Contender, Work, race

log = logging.getLogger(__name__)

ROWS = 256  # a turn's smallest piece of work
LENGTH = 512


def contenders(model: str, rows: str, threads: int | None, *, has_bf16: bool) -> list[Contender]:
    """Ours (first), then the rivals; onnxruntime where `onnx` is there to export with."""
    shared = {"model": model, "rows": rows, "threads": threads}
    field = [
        Contender("bertworks", ours, {**shared, "dtype": "auto"}),
        Contender("pipeline, one by one", pipeline_one_by_one, shared),
        Contender("pipeline, batch 32", pipeline_batched, shared),
        Contender("loop, sorted, batch 32", sorted_loop, shared),
    ]
    if has_bf16:
        field.append(Contender("loop, sorted, batch 32, bf16", sorted_loop, {**shared, "bf16": True}))
    lacking = [package for package in ("onnxruntime", "onnx") if not find_spec(package)]
    if lacking:
        log.warning("onnxruntime is left out: %s is not installed (pip install 'bertworks[bench]')", lacking[0])
    else:
        field.append(Contender("onnxruntime, sorted, batch 16", onnx_sorted, shared))
    return field


def ours(settings: dict[str, Any]) -> Work:
    """What `load(…).predict(…)` does."""
    import bertworks
    from bertworks.engine.memory import keep_memory

    keep_memory()
    use_threads(settings)
    model = bertworks.load(settings["model"], dtype=settings["dtype"])
    return answering(settings, model.predict)


def pipeline_one_by_one(settings: dict[str, Any]) -> Work:
    """transformers' pipeline as it comes."""
    return pipeline_of(settings, 1)


def pipeline_batched(settings: dict[str, Any]) -> Work:
    """transformers' pipeline with batch_size=32."""
    return pipeline_of(settings, 32)


def pipeline_of(settings: dict[str, Any], batch_size: int) -> Work:
    """transformers' text-classification pipeline."""
    from transformers import pipeline

    use_threads(settings)
    pipe = pipeline("text-classification", model=settings["model"], device="cpu", batch_size=batch_size)
    return answering(settings, lambda texts: pipe(list(texts), truncation=True, max_length=LENGTH))


def sorted_loop(settings: dict[str, Any]) -> Work:
    """transformers' model in a loop over batches of 32, sorted by length."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    use_threads(settings)
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    model = AutoModelForSequenceClassification.from_pretrained(settings["model"]).eval()
    model = model.to(torch.bfloat16) if settings.get("bf16") else model

    def run(batch: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            found = model(**{name: torch.from_numpy(array) for name, array in batch.items()}).logits
        return np.asarray(found.float().numpy())

    return answering(settings, sorted_by_length(tokenizer, run, 32))


def onnx_sorted(settings: dict[str, Any]) -> Work:
    """onnxruntime in float32 over batches of 16, sorted by length."""
    import onnxruntime
    from transformers import AutoTokenizer

    options = onnxruntime.SessionOptions()
    if settings["threads"]:
        options.intra_op_num_threads = settings["threads"]
    session = onnxruntime.InferenceSession(exported(settings["model"]), options, providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(settings["model"])
    return answering(settings, sorted_by_length(tokenizer, lambda batch: session.run(None, dict(batch))[0], 16))


def exported(model: str) -> str:
    """The rival's model as an ONNX file with free batch and length."""
    import torch
    from transformers import AutoModelForSequenceClassification

    module = AutoModelForSequenceClassification.from_pretrained(model, attn_implementation="eager").eval()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    path = str(Path(tempfile.mkdtemp(prefix="bertworks-bench-"), "model.onnx"))
    axes = {name: {0: "batch", 1: "length"} for name in names} | {"logits": {0: "batch"}}
    example = tuple(torch.ones(2, 16, dtype=torch.int64) for _ in names)
    torch.onnx.export(
        module, example, path, input_names=names, output_names=["logits"], dynamic_axes=axes, dynamo=False
    )
    return path


def sorted_by_length(
    tokenizer: Any, run: Callable[[dict[str, np.ndarray]], np.ndarray], batch_size: int
) -> Callable[[Sequence[str]], list[int]]:
    """Texts to classes: batches of neighbours in length, padded to the longest, answers in the order of the texts."""

    def answer(texts: Sequence[str]) -> list[int]:
        ids = tokenizer(list(texts), truncation=True, max_length=LENGTH)["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        found = [0] * len(ids)
        for start in range(0, len(order), batch_size):
            members = order[start : start + batch_size]
            batch = tokenizer.pad({"input_ids": [ids[i] for i in members]}, return_tensors="np")
            arrays = {name: batch[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
            arrays["token_type_ids"] = np.zeros_like(arrays["input_ids"])
            for i, logits in zip(members, run(arrays), strict=True):
                found[i] = int(logits.argmax())
        return found

    return answer


def answering(settings: dict[str, Any], answer: Callable[[Sequence[str]], Any]) -> Work:
    """Work in pieces of ROWS texts, round and round."""
    texts = texts_of(settings["rows"])
    places = itertools.cycle(range(0, max(1, len(texts) - ROWS + 1), ROWS))

    def work() -> float:
        start = next(places)
        part = texts[start : start + ROWS]
        answer(part)
        return float(len(part))

    return work


def texts_of(rows: str) -> list[str]:
    """The texts of a file of rows."""
    from bertworks.read.tables import read_table

    table = read_table(rows, labelled=False)
    if table.is_pair:
        raise BertworksError(f"{rows}: holds pairs of texts", "`bench predict` wants one text a row")
    return [str(row["text"]) for row in table.rows]


def use_threads(settings: dict[str, Any]) -> None:
    """As many threads for torch as asked."""
    import torch

    if settings["threads"]:
        torch.set_num_threads(settings["threads"])


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """`bench predict`. Raises BertworksError without a model and rows."""
    from bertworks.base.places import find_model
    from bertworks.engine.precision import cpu_has_bf16
    from bertworks.predict.directory import task_of

    if not options.model or not options.data:
        raise BertworksError("`bench predict` answers rows with a model", "name both: `--model DIR --data FILE`")
    texts_of(options.data)
    path = find_model(Path(options.model))
    with tempfile.TemporaryDirectory(prefix="bertworks-bench-") as folder:
        model = path if task_of(path) is not None else with_classifier(path, Path(folder) / "model")
        chosen = contenders(str(model), options.data, options.threads, has_bf16=cpu_has_bf16())
        return race(chosen, unit="examples", rounds=options.rounds, seconds=options.seconds).result(chosen[0].name)


def with_classifier(path: Path, target: Path) -> Path:
    """The checkpoint with a random classifier of two classes, as a directory that everyone opens."""
    from bertworks.model.bert import BertForSentence
    from bertworks.model.pretrained import load_for_task, save_pretrained
    from bertworks.predict.directory import write_settings
    from bertworks.tasks.labels import Labels
    from bertworks.tasks.sentence import SentenceTask
    from bertworks.text.tokenizer import Tokenizer

    task = SentenceTask("classify", False, Labels(("no", "yes")), truncation="truncate")
    model, _, _ = load_for_task(path, BertForSentence, 2)

    def also(folder: Path) -> None:
        Tokenizer.load(path).save(folder)
        write_settings(folder, task, LENGTH)

    save_pretrained(model, target, settings=task.config_keys(), also=also)
    return target
