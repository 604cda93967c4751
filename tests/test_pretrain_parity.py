"""Fifty updates of ours against a plain loop over transformers' BertForPreTraining: the same losses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertworks.corpus.open import open_corpus
from bertworks.model.pretrained import save_pretrained
from bertworks.pretrain.evaluate import unigram_log_probs
from bertworks.pretrain.recipe import PretrainRecipe
from bertworks.pretrain.run import pretrain
from bertworks.pretrain.samples import Sample, Samples
from bertworks.pretrain.setup import build_model, open_samples
from bertworks.pretrain.state import Cursor
from tiny_pretraining import left_by, recipe_of, tiny_corpus

STEPS = 50
OVERRIDES = {
    "train__steps": STEPS,
    "train__log_every": 1,
    "train__lr": 3e-3,
    "train__warmup": 0.1,
    "train__weight_decay": 0.1,
    "train__evaluate_every": 1000,
    "train__checkpoint_every": 1000,
    "model__unigram_bias": False,
    "model__dropout": 0.0,
    "model__attention_dropout": 0.0,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_corpus(tmp_path_factory.getbasetemp() / "tiny")


def theirs(recipe: PretrainRecipe, folder: Path) -> list[tuple[float, float]]:
    """(MLM, NSP) losses of a plain loop: padded batches, sums over counts, clipping, AdamW, linear schedule."""
    transformers = pytest.importorskip("transformers")
    corpus = open_corpus(recipe.data.corpus)
    tokenizer = corpus.tokenizer()
    samples, _, _ = open_samples(recipe, corpus, tokenizer)
    save_pretrained(build_model(recipe, tokenizer, unigram_log_probs(corpus, samples.documents)), folder)
    model = transformers.BertForPreTraining.from_pretrained(folder, attn_implementation="eager").train()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    settings = recipe.train
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.epsilon,
    )
    schedule = transformers.get_linear_schedule_with_warmup(optimiser, STEPS // 10, STEPS)
    losses = []
    for batch in batches_of(samples, settings.batch_tokens):
        mlm, nsp = plain_losses(model, batch)
        (mlm + nsp).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append((mlm.item(), nsp.item()))
    return losses


def batches_of(samples: Samples, batch_tokens: int) -> list[list[Sample]]:
    cursor, batches = Cursor(), []
    while cursor.step < STEPS:
        batches.append(samples.batch(cursor.epoch, cursor.batch, batch_tokens))
        cursor.advance(0, samples.number_of_batches(cursor.epoch, batch_tokens))
    return batches


def plain_losses(model: Any, batch: list[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ loss / Σ count of masked words, and of pairs."""
    width = max(len(sample.input_ids) for sample in batch)
    ids, types, attended, labels = (np.zeros((len(batch), width), np.int64) for _ in range(4))
    labels -= 100
    for row, sample in enumerate(batch):
        n = len(sample.input_ids)
        ids[row, :n], types[row, :n], attended[row, :n] = sample.input_ids, sample.token_type_ids, 1
        labels[row, sample.masked_positions] = sample.masked_labels
    found = model(
        input_ids=torch.from_numpy(ids),
        token_type_ids=torch.from_numpy(types),
        attention_mask=torch.from_numpy(attended),
    )
    words = F.cross_entropy(
        found.prediction_logits.flatten(0, 1), torch.from_numpy(labels).flatten(), ignore_index=-100
    )
    pairs = torch.tensor([int(sample.is_random) for sample in batch])
    return words, F.cross_entropy(found.seq_relationship_logits, pairs)


def test_fifty_losses_are_those_of_a_plain_loop(corpus: Path, tmp_path: Path) -> None:
    recipe = recipe_of(corpus, **OVERRIDES)
    pretrain(recipe, tmp_path / "run")
    lines = [line for line in left_by(tmp_path / "run")["metrics"] if "split" not in line]
    ours = np.array([(line["mlm_loss"], line["nsp_loss"]) for line in lines])
    wanted = np.array(theirs(recipe, tmp_path / "start"))
    assert ours.shape == wanted.shape == (STEPS, 2)
    assert np.abs(ours - wanted).max() <= 1e-4
    assert wanted[:5, 0].mean() - wanted[-5:, 0].mean() > 0.1, "the loop learns, so its losses depend on every update"
    assert any(line["grad_norm"] > 1 for line in lines), "the clipping bites"
