"""A toy problem that a tiny network learns in seconds: which kind of thing a text speaks of."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bertworks.base.recipe import load
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig
from bertworks.model.pretrained import save_pretrained
from bertworks.text.tokenizer import Tokenizer

KINDS = {
    "animal": ("cat", "dog", "cow", "hen"),
    "colour": ("red", "blue", "green", "black"),
    "metal": ("iron", "gold", "tin", "zinc"),
}
FILLERS = ("the", "a", "some", "very", "big", "small", "old", "new", "we", "saw", "it", "there", "now", ".", ",", "!")
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def vocabulary(folder: Path) -> Path:
    """A `vocab.txt` of all words of the toy problem, some in pieces."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [*SPECIALS, *FILLERS, *(word for kind in KINDS.values() for word in kind), "##s", "##ish", "un"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder


def model_folder(folder: Path, *, dropout: float = 0.1, pre_norm: bool = False, positions: int = 40) -> Path:
    """A random pre-trained model with 2 layers of 24, 3 heads; sizes no two of which are equal."""
    tokenizer = Tokenizer.load(vocabulary(folder.parent / "vocab"), lowercase=True)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=52,
        max_position_embeddings=positions,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        initializer_range=0.2,
        pre_norm=pre_norm,
    )
    model = BertForPreTraining.new(config, torch.Generator().manual_seed(5))
    save_pretrained(model, folder, also=tokenizer.save)
    return folder


def toy_rows(
    number: int, *, seed: int = 0, longest: int = 6, kinds: Sequence[str] = tuple(KINDS)
) -> list[dict[str, Any]]:
    """Rows of text and label: fillers around one telling word."""
    random = np.random.default_rng(seed)
    rows = []
    for i in range(number):
        kind = kinds[i % len(kinds)]
        words = random.choice(FILLERS, int(random.integers(2, longest))).tolist()
        words.insert(int(random.integers(0, len(words))), str(random.choice(KINDS[kind])))
        rows.append({"text": f"{' '.join(words)} {i % 7}", "label": kind})
    return rows


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Rows as a CSV file with a header."""
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_tags(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """The same rows as words with tags: the telling word and the one before it are a span of its kind."""
    sentences = []
    for row in rows:
        words = row["text"].split()
        place = next(i for i, word in enumerate(words) if word in KINDS[row["label"]])
        tags = ["O"] * len(words)
        tags[max(0, place - 1) : place + 1] = [f"B-{row['label']}", f"I-{row['label']}"][
            : place - max(0, place - 1) + 1
        ]
        sentences.append("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)))
    path.write_text("\n".join(sentences), encoding="utf-8")
    return path


def choice_rows(number: int, *, most: int = 3, longest: int = 6, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of context, question and options: the option of the context's kind is right; 2 to `most` options."""
    random = np.random.default_rng(seed)
    rows = []
    for i, row in enumerate(toy_rows(number, seed=seed, longest=longest)):
        others = [kind for kind in KINDS if kind != row["label"]]
        count = most if most <= 3 else 2 + i % (most - 1)
        kinds = [others[j % 2] for j in range(count - 1)]
        options = [f"a {random.choice(KINDS[kind])}" for kind in kinds]
        label = int(random.integers(0, count))
        options.insert(label, f"it {random.choice(KINDS[row['label']])}")
        rows.append({"context": row["text"], "question": "we saw ?", "choices": options, "label": label})
    return rows


def pair_rows(number: int, *, seed: int = 0, longest: int = 6) -> list[dict[str, Any]]:
    """Rows of two texts, the first of which speaks of an animal, and a score: 5 where the second does too, else 1."""
    random = np.random.default_rng(seed)
    rows = toy_rows(number, seed=seed, longest=longest, kinds=("animal", "colour", "animal", "metal"))
    return [
        {
            "sentence1": f"a {random.choice(FILLERS)} {random.choice(KINDS['animal'])}",
            "sentence2": row["text"],
            "score": 5 if row["label"] == "animal" else 1,
        }
        for row in rows
    ]


def triplet_rows(number: int, *, seed: int = 0, longest: int = 6) -> list[dict[str, Any]]:
    """Rows of anchor, positive (the same kind of thing) and negative (another)."""
    random = np.random.default_rng(seed)
    kinds = list(KINDS)
    rows = []
    for i, row in enumerate(toy_rows(number, seed=seed, longest=longest)):
        word = next(word for word in row["text"].split() if word in KINDS[row["label"]])
        other = kinds[(kinds.index(row["label"]) + 1) % len(kinds)]
        negative = f"now {random.choice(KINDS[other])}"
        rows.append({"anchor": row["text"], "positive": f"old {word} {FILLERS[i % 16]}", "negative": negative})
    return rows


def write_choices(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """The same rows as `write_rows` writes, as questions with three options, or such questions; JSON lines."""
    rows = rows if "choices" in rows[0] else choice_rows(len(rows))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def toy_recipe(start: Path, train: Path, **keys: object) -> FinetuneRecipe:
    """A short run on one thread; keys with `__` for the dot: `train__steps=3`."""
    settings: dict[str, object] = {
        "model.start": str(start),
        "data.train": str(train),
        "train.steps": 24,
        "train.lr": 1e-2,
        "train.batch_size": 8,
        "train.evaluations": 1,
        "machine.threads": 1,
        "machine.keep_memory": False,
    }
    settings |= {key.replace("__", "."): value for key, value in keys.items()}
    return load(FinetuneRecipe, None, {key: value for key, value in settings.items() if value is not None})
