"""The demo: bundled text becomes a vocabulary, a corpus, a model; the reference shows what longer training buys.

Every stage calls what its command calls. `demo` is the table of contents.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertworks.base.files import claim_out, remove, write_json
from bertworks.corpus.build import build
from bertworks.pretrain.recipe import DataRecipe, ModelRecipe, PretrainRecipe, TrainRecipe
from bertworks.pretrain.run import PretrainResult, pretrain
from bertworks.read.documents import read_documents
from bertworks.reproduce import bundled, told
from bertworks.reproduce.few_shot import FewShot, few_shot, go_on
from bertworks.reproduce.guesses import guess
from bertworks.text.learn import learn

Say = Callable[[str], None]


@dataclass(frozen=True)
class DemoSettings:
    """How long each part takes.

    minutes     of pre-training
    vocab_size  word pieces
    few_shot    the fine-tuning runs
    """

    minutes: float = 2.0
    vocab_size: int = 4096
    few_shot: FewShot = field(default_factory=FewShot)


MARKS = ("vocab", "result.json")  # one of them stands in an old demo's folder
QUICK = DemoSettings(minutes=0.1, few_shot=FewShot(seeds=2, epochs=1))


def demo(out: Path, settings: DemoSettings, say: Say, *, overwrite: bool = False) -> dict[str, Any]:
    """Run all stages into the folder `out`; what happens is told to `say`, a paragraph a stage.

    Returns the content of `out/result.json`, which is written last. Raises BertworksError where `out` holds something.
    """
    claim_out(out, overwrite, marks=MARKS)
    remove(out)
    began = time.monotonic()
    vocab = learn_vocabulary(out, settings.vocab_size, say)
    corpus = build_corpus(out, vocab, say)
    say(told.before_pretraining(settings.minutes))
    trained = pretrain_small(out, corpus, settings.minutes)
    go_on(trained.stopped)
    say(told.pretrained(trained.figures, trained.run))
    reference = bundled.reference_checkpoint()
    model = reference or trained.run / "last"
    guesses = guess(model, out / "heldout")
    say(told.guessed(guesses, is_reference=reference is not None))
    say(told.before_few_shot(settings.few_shot.seeds))
    bought = few_shot(model, out / "intents", settings.few_shot)
    result: dict[str, Any] = {
        "seconds": round(time.monotonic() - began, 1),
        "unigram_entropy": trained.figures["unigram_entropy"],
        "mlm_loss": trained.figures["mlm_loss"],
        "fill_top1": guesses.top1,
        "fill_top1_unigram": guesses.unigram_top1,
        "reference": reference is not None,
        "table": bought.table(is_reference=reference is not None),
    }
    write_json(out / "result.json", result)
    say(told.bought(bought, is_reference=reference is not None))
    say(told.closing(out, result["seconds"]))
    return result


def learn_vocabulary(out: Path, size: int, say: Say) -> Path:
    """A WordPiece vocabulary from the novels."""
    began = time.monotonic()
    tokenizer = learn((document.text for document in read_documents([bundled.NOVELS])), size=size)
    tokenizer.save(out / "vocab")
    say(f"1. vocabulary: {tokenizer.vocab_size:,} word pieces from twelve novels; {_since(began)}; {out / 'vocab'}")
    return out / "vocab"


def build_corpus(out: Path, vocab: Path, say: Say) -> Path:
    """Ids, sentences and documents on disk."""
    began = time.monotonic()
    corpus = build([bundled.NOVELS], vocab, out / "corpus")
    say(
        f"2. corpus: {corpus.number_of_documents:,} chapters, {corpus.number_of_sentences:,} sentences, "
        f"{corpus.number_of_tokens:,} tokens; {_since(began)}; {out / 'corpus'}"
    )
    return out / "corpus"


def pretrain_small(out: Path, corpus: Path, minutes: float) -> PretrainResult:
    """A small BERT, masked words and next sentence, for so many minutes."""
    return pretrain(small_recipe(corpus, minutes), out / "pretrained")


def small_recipe(corpus: Path, minutes: float) -> PretrainRecipe:
    """What gets furthest in two minutes of two cores: few layers, short rows, many small updates, many masks."""
    return PretrainRecipe(
        model=ModelRecipe(
            preset="tiny", dropout=0.0, attention_dropout=0.0, initializer_range=0.04, initialization="counts"
        ),
        data=DataRecipe(corpus=str(corpus), mask_probability=0.3),
        train=TrainRecipe(
            hours=minutes / 60,
            length=64,
            batch_tokens=2048,
            optimizer="muon",  # further down a minute than AdamW, by docs/log.md
            lr=4e-3,
            evaluate_every=250,
            evaluation_tokens=16_384,
        ),
    )


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"
