"""Masking on one core: ours, a block of samples at a time, against transformers' collator on the same rows.

Both choose 15 % of the tokens and replace them 80/10/10; tokens counted are all tokens of the rows, specials included.
"""

import argparse
from typing import Any

import numpy as np

from bertworks.base.randomness import generator
from bertworks.corpus.masking import BLOCK, MaskRule, apply_masks, draw_masks
from bertworks.reproduce.bench.rounds import Contender, Work, race

LENGTH = 128
VOCABULARY = 30_522
MASK_ID = 103


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """`bench masking`: rates on one thread."""
    field = [Contender("bertworks", ours), Contender("transformers, collator", theirs)]
    return race(field, unit="tokens", rounds=options.rounds, seconds=min(options.seconds, 3.0)).result("bertworks")


def ours(settings: dict[str, Any]) -> Work:
    """Blocks of full samples, as pretrain.samples makes them."""
    lengths = np.full(BLOCK, LENGTH)
    tokens = _tokens()
    allowed = np.ones(tokens.shape, bool)
    allowed[:, [0, -1]] = False
    replacements = np.arange(1000, VOCABULARY, dtype=np.int32)
    rule, block = MaskRule(), 0

    def work() -> float:
        nonlocal block
        block += 1
        input_ids = tokens.reshape(-1).copy()
        masks = draw_masks(rule, lengths, allowed.reshape(-1), len(replacements), generator("mask", 0, 0, block))
        apply_masks(rule, input_ids, masks, MASK_ID, replacements)
        return float(tokens.size)

    return work


def theirs(settings: dict[str, Any]) -> Work:
    """DataCollatorForLanguageModeling.torch_mask_tokens on a batch of the same size, one thread."""
    import torch
    from transformers import BertTokenizerFast, DataCollatorForLanguageModeling

    torch.set_num_threads(1)
    names = ["[PAD]", *(f"t{i}" for i in range(1, VOCABULARY))]
    for name, number in (("[UNK]", 100), ("[CLS]", 101), ("[SEP]", 102), ("[MASK]", MASK_ID)):
        names[number] = name
    tokenizer = BertTokenizerFast(vocab={name: i for i, name in enumerate(names)})
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    tokens = torch.from_numpy(_tokens().astype(np.int64))
    special = torch.zeros_like(tokens)
    special[:, [0, -1]] = 1

    def work() -> float:
        collator.torch_mask_tokens(tokens.clone(), special_tokens_mask=special.clone())
        return float(tokens.numel())

    return work


def _tokens() -> "np.ndarray[Any, np.dtype[np.int32]]":
    draw = np.random.default_rng(0)
    return draw.integers(1000, VOCABULARY, (BLOCK, LENGTH), dtype=np.int32)
