"""Ours against transformers' Trainer on published sets: same rows, same hyper-parameters, paired seeds.

    python tools/against_trainer.py --model DIR --out DIR [--sets mrpc rte …] [--seeds 5]

Reads BERTWORKS_DATA/labelled. A set has at most 1,500 training and 1,000 scored rows, those of the smallest BLAKE2b of
their texts (MRPC is whole); both sides read the same two CSV files. Results are appended to OUT/results.jsonl as they
come, a finished one is not run again, and the table is printed from that file: run it as often as you like.
"""

import argparse
import contextlib
import csv
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bertworks.engine.memory import keep_memory
from bertworks.read.tables import Table, read_table
from bertworks.stats.paired import paired_difference
from bertworks.tasks.metrics import class_metrics, score_metrics

# name -> (train file, scored file, metric, columns)
SETS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "mrpc": ("mrpc/msr_paraphrase_train.txt.zst", "mrpc/msr_paraphrase_test.txt.zst", "accuracy", {}),
    "rte": ("rte/train.tsv.zst", "rte/dev.tsv.zst", "accuracy", {}),
    "sst2": ("sst/stsa.binary.train.zst", "sst/stsa.binary.dev.zst", "accuracy", {}),
    "cola": ("cola/in_domain_train.tsv.zst", "cola/in_domain_dev.tsv.zst", "mcc", {}),
    "stsb": ("stsb/train.tsv.zst", "stsb/dev.tsv.zst", "pearson", {}),
}
TRAIN_ROWS, SCORED_ROWS = 1_500, 1_000
EPOCHS, LR, BATCH, WARMUP, DECAY, LENGTH = 3, 1e-4, 32, 0.1, 0.01, 128


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    keep_memory()
    args.out.mkdir(parents=True, exist_ok=True)
    done = results(args.out)
    for seed in range(args.seeds):
        for name in args.sets:
            train, scored = subsets(name, args.out)
            for side, run in (("bertworks", ours), ("transformers", theirs)):
                if (name, side, seed) in done:
                    continue
                began = time.monotonic()
                value = run(args.model, train, scored, SETS[name][2], seed)
                line = {"set": name, "side": side, "seed": seed, "value": value, "seconds": time.monotonic() - began}
                with open(args.out / "results.jsonl", "a") as handle:
                    handle.write(json.dumps(line) + "\n")
                print(json.dumps(line), file=sys.stderr, flush=True)
    report(args.out)


def subsets(name: str, out: Path) -> tuple[Path, Path]:
    """The two CSV files of a set, written once."""
    folder = Path(os.environ["BERTWORKS_DATA"]) / "labelled"
    files = []
    limits = (None, None) if name == "mrpc" else (TRAIN_ROWS, SCORED_ROWS)
    for source, limit, part in zip(SETS[name][:2], limits, ("train", "scored"), strict=True):
        target = out / f"{name}.{part}.csv"
        if not target.exists():
            table = read_table(folder / source, columns=SETS[name][3] or None)
            write_rows(table, limit, target)
        files.append(target)
    return files[0], files[1]


def write_rows(table: Table, limit: int | None, target: Path) -> None:
    """The `limit` rows of the smallest hash, in file order."""
    roles = [role for role in ("sentence1", "sentence2", "text", "label", "score") if role in table.columns]
    texts = [role for role in roles if role not in ("label", "score")]
    digests = [hashlib.blake2b("\0".join(str(row[role]) for role in texts).encode()).digest() for row in table.rows]
    order = sorted(range(len(digests)), key=digests.__getitem__)[:limit]
    with open(target, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(roles)
        writer.writerows([table.rows[i][role] for role in roles] for i in sorted(order))


def ours(model: Path, train: Path, scored: Path, metric: str, seed: int) -> float:
    """bertworks.finetune without early stopping: the last model counts."""
    from bertworks.base.recipe import load
    from bertworks.finetune.recipe import FinetuneRecipe
    from bertworks.finetune.run import finetune

    task = "score" if metric == "pearson" else "classify"
    settings = {
        "model.start": str(model), "model.dropout": 0.1, "data.train": str(train), "data.test": str(scored),
        "data.task": task, "data.max_length": LENGTH, "data.truncation": "truncate", "data.dev_share": 0.0,
        "train.epochs": EPOCHS, "train.lr": LR, "train.batch_size": BATCH, "train.warmup": WARMUP,
        "train.weight_decay": DECAY, "train.seed": seed, "machine.dtype": "float32",
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        result = finetune(load(FinetuneRecipe, None, settings), Path(folder) / "run")
        return float(result.metrics["test"][metric])


def theirs(model: Path, train: Path, scored: Path, metric: str, seed: int) -> float:
    """transformers' Trainer with dynamic padding, the same numbers."""
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    rows, tests = read_rows(train), read_rows(scored)
    is_score = metric == "pearson"
    labels = sorted({row["label"] for row in rows}) if not is_score else [""]
    tokenizer = AutoTokenizer.from_pretrained(model)

    def encoded(chosen: list[dict[str, str]]) -> list[dict[str, Any]]:
        texts = [[row[name] for name in ("sentence1", "sentence2", "text") if name in row] for row in chosen]
        found = [tokenizer(*text, truncation=True, max_length=LENGTH) for text in texts]
        for one, row in zip(found, chosen, strict=True):
            one["labels"] = float(row["score"]) if is_score else labels.index(row["label"])
        return [dict(one) for one in found]

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        settings = TrainingArguments(
            folder, num_train_epochs=EPOCHS, learning_rate=LR, per_device_train_batch_size=BATCH, warmup_steps=WARMUP,
            weight_decay=DECAY, lr_scheduler_type="linear", seed=seed, report_to=[], use_cpu=True, save_strategy="no",
            disable_tqdm=True, logging_steps=10_000, per_device_eval_batch_size=32,
        )  # fmt: skip
        torch.manual_seed(seed)
        network = AutoModelForSequenceClassification.from_pretrained(
            model, num_labels=len(labels), hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1
        )
        trainer = Trainer(
            network, settings, train_dataset=encoded(rows), data_collator=DataCollatorWithPadding(tokenizer)
        )
        trainer.train()
        logits = trainer.predict(encoded(tests)).predictions
    if is_score:
        gold = [float(row["score"]) for row in tests]
        return float(score_metrics(np.asarray(gold), np.asarray(logits)[:, 0])[metric])
    right = np.asarray([labels.index(row["label"]) for row in tests])
    return float(class_metrics(right, np.argmax(logits, -1))[metric])


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a header."""
    with open(path, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def results(out: Path) -> dict[tuple[str, str, int], float]:
    """What stands in results.jsonl."""
    path = out / "results.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {(line["set"], line["side"], line["seed"]): line["value"] for line in lines}


def report(out: Path) -> None:
    """A row a set: rows, both means, paired difference with its interval."""
    found = results(out)
    for name in SETS:
        seeds = sorted(
            seed
            for (which, side, seed) in found
            if (which, side) == (name, "bertworks") and (name, "transformers", seed) in found
        )
        if len(seeds) < 2:
            continue
        a, b = ([found[name, side, seed] for seed in seeds] for side in ("bertworks", "transformers"))
        sizes = [len(read_rows(out / f"{name}.{part}.csv")) for part in ("train", "scored")]
        print(f"{name}: {sizes[0]} / {sizes[1]} rows, {SETS[name][2]}, ours {np.mean(a):.4f}, theirs {np.mean(b):.4f}, "
              f"{paired_difference(a, b)}")  # fmt: skip


if __name__ == "__main__":
    main()
