"""Judge a pre-training run on held-out text and package it as the reference: half precision, with its model card.

    python tools/package_reference.py RUN --corpus CORPUS --heldout CORPUS [--out FOLDER]

The held-out corpus is read whole: 15 % masks, 80/10/10, balanced pairs, over as many draws of pairs as give 5,000.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from bertworks.base.files import write_json
from bertworks.corpus.masking import MaskRule
from bertworks.corpus.open import open_corpus
from bertworks.engine.memory import keep_memory
from bertworks.engine.run_directory import RunDirectory
from bertworks.model.config import number_of_parameters
from bertworks.model.pretrained import load_pre_training, save_pretrained
from bertworks.pretrain.evaluate import EVALUATION_SEED, bits_per_byte, evaluate, evaluation_batches, unigram_log_probs
from bertworks.pretrain.samples import Samples

PAIRS = 5_000
LENGTH = 128

CARD = """# bertworks-mini

A small BERT (post-LN, {parameters:,} parameters: {layers} layers x {hidden}, vocabulary {vocab:,}, uncased English)
that bertworks pre-trained with its own commands: masked tokens and next sentence. It is here to show what pre-training
buys and to give small tasks a start. It is not a good language model, and says nothing reliable about the world.

## Data
English Wikipedia (CC BY-SA 3.0, Wikipedia contributors; 145 MB of whole articles of 2014, 2018 and 2021), 28 English
novels (public domain), technical documents (Python PEPs, Rust RFCs, the Rust book; public domain, CC0, MIT or
Apache-2.0). {tokens:.1f} M tokens were read, of a corpus of {corpus_tokens:.1f} M; 20 M were counted for the first
weights: word vectors, and heads that begin by looking at their neighbours (`model.initialization = "counts"`; the
architecture is plain BERT). The weights are Apache-2.0 as the package.

## Figures
On held-out Wikipedia articles alone, length {length}, 15 % of the tokens masked (80/10/10), balanced pairs:

| figure | value |
|---|---|
{rows}

{few_shot}
How it was trained: `recipes/reference-mini.toml`, then `recipes/reference-mini-last.toml`; `docs/log.md` has the curve.
The paper's NSP accuracy of 97-98 % is that of its own data: pairs of up to 512 tokens, more than half of them random,
and a larger network.
"""


def main() -> None:
    """Evaluate, save, write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", default="last", help="folder of the run: last or best")
    parser.add_argument("--corpus", type=Path, required=True, help="what it was trained on")
    parser.add_argument("--heldout", type=Path, required=True)
    parser.add_argument("--few-shot", default="", help="sentences for the card: what few labels give from it")
    parser.add_argument("--tokens-before", type=int, default=0, help="read by the legs before this run")
    parser.add_argument("--out", type=Path, default=Path("src/bertworks/data/bertworks-mini"))
    args = parser.parse_args()
    keep_memory()
    corpus, heldout = open_corpus(args.corpus), open_corpus(args.heldout)
    tokenizer = heldout.tokenizer()
    model, config, _ = load_pre_training(args.run / args.model)
    documents = np.arange(heldout.number_of_documents)
    samples = Samples(
        heldout, tokenizer, documents, segments="nsp", length=LENGTH, masks=MaskRule(), seed=EVALUATION_SEED
    )
    draws = -(-PAIRS // len(samples.plan(0)))
    batches = evaluation_batches(samples, heldout.number_of_tokens * 2, 4096, epochs=draws)
    unigram = unigram_log_probs(corpus, np.flatnonzero(~corpus.is_heldout))
    figures = evaluate(model, batches, unigram, torch.device("cpu"))
    counts = heldout.manifest["counts"]
    figures["bits_per_byte"] = bits_per_byte(figures["mlm_loss"], counts["tokens"], counts["bytes"])
    print(json.dumps(figures, indent=2))
    read = args.tokens_before + max(line["tokens"] for line in RunDirectory(args.run).metrics())
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:,.4g} |" for name, value in figures.items())
    card = CARD.format(
        parameters=number_of_parameters(config),
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        vocab=config.vocab_size,
        tokens=read / 1e6,
        corpus_tokens=corpus.number_of_tokens / 1e6,
        length=LENGTH,
        rows=rows,
        few_shot=f"{args.few_shot}\n" if args.few_shot else "",
    )

    def add_files(folder: Path) -> None:
        tokenizer.save(folder)
        described = {"format": 1, "task": "pretrain", "segments": "nsp", "max_length": LENGTH}
        write_json(folder / "bertworks.json", described)
        write_json(folder / "figures.json", {"tokens": read, **figures})
        (folder / "README.md").write_text(card, encoding="utf-8")

    save_pretrained(model, args.out, dtype=torch.float16, also=add_files, overwrite=True)


if __name__ == "__main__":
    main()
