"""What a run is made of, each part built from the recipe: samples, network, optimiser, dropout, state to go on from."""

import dataclasses
import logging
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from bertworks.base.errors import BertworksError
from bertworks.base.places import find_model
from bertworks.corpus.masking import MaskRule
from bertworks.corpus.open import Corpus, open_corpus
from bertworks.engine.checkpoint import copy_tensors
from bertworks.engine.dropout import PooledDropout
from bertworks.engine.muon import Muon
from bertworks.engine.optimiser import AdamW, Optimiser
from bertworks.engine.parameters import FlatParameters
from bertworks.engine.ranks import Ranks
from bertworks.engine.run_directory import RunDirectory
from bertworks.model.bert import BertForPreTraining
from bertworks.model.config import BertConfig, preset
from bertworks.model.pretrained import load_pre_training
from bertworks.pretrain.counted_start import counted_start
from bertworks.pretrain.evaluate import EVALUATION_SEED
from bertworks.pretrain.recipe import ModelRecipe, PretrainRecipe
from bertworks.pretrain.samples import Samples
from bertworks.pretrain.segments import require_documents
from bertworks.pretrain.state import State
from bertworks.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

BESIDE_A_START = ("start", "dropout", "attention_dropout")  # keys of `model` that count where there is a start

DEFAULT_EPOCHS = 10


def run_length(recipe: PretrainRecipe, samples: Samples) -> tuple[float, str]:
    """What ends the run, and its unit: `steps`, `tokens` or `seconds`."""
    settings = recipe.train
    if settings.hours is not None:
        return settings.hours * 3600, "seconds"
    if settings.tokens is not None:
        return float(settings.tokens), "tokens"
    if settings.steps is not None:
        return float(settings.steps), "steps"
    return float(DEFAULT_EPOCHS * samples.number_of_batches(0, settings.batch_tokens)), "steps"


def named_corpus(recipe: PretrainRecipe) -> Corpus:
    """The corpus to train on. Raises BertworksError when the recipe names none."""
    if not recipe.data.corpus:
        raise BertworksError("no corpus to train on is named", "`--corpus DIR`, a folder that `bertworks corpus` wrote")
    return open_corpus(recipe.data.corpus)


def open_samples(
    recipe: PretrainRecipe, corpus: Corpus, tokenizer: Tokenizer
) -> tuple[Samples, Samples, tuple[int, int]]:
    """Training samples, held-out samples, and (tokens, bytes) of the corpus that the held-out ones are from.

    Raises BertworksError where the held-out corpus was built with another vocabulary, or there are too few documents.
    """
    data, train = recipe.data, recipe.train
    rule = MaskRule(data.mask_probability, data.masked, data.kept, data.max_predictions, data.mask_copies)
    everything = np.arange(corpus.number_of_documents)
    other = corpus if data.heldout is None else open_corpus(data.heldout)
    if other.tokenizer_fingerprint != corpus.tokenizer_fingerprint:
        raise BertworksError(
            f"{data.heldout}: was built with another vocabulary than {data.corpus}", "build both with one `--vocab`"
        )
    if data.heldout is None:
        kept, tested = everything[~corpus.is_heldout], everything[corpus.is_heldout]
    else:
        kept, tested = everything, np.arange(other.number_of_documents)
    require_documents(corpus, kept, data.segments)
    segments = "nsp" if data.segments == "nsp-bert" else data.segments
    if len(tested) == 0:
        log.warning("no document is held out: nothing will be evaluated")
    elif len(tested) == 1 and segments == "nsp":
        log.warning("one document is held out: next sentence will not be evaluated")
        segments = "none"
    evaluation = MaskRule()
    return (
        Samples(corpus, tokenizer, kept, segments=data.segments, length=train.length, masks=rule, seed=train.seed),
        Samples(
            other, tokenizer, tested, segments=segments, length=train.length, masks=evaluation, seed=EVALUATION_SEED
        ),
        (int(other.manifest["counts"]["tokens"]), int(other.manifest["counts"]["bytes"])),
    )


def build_model(recipe: PretrainRecipe, tokenizer: Tokenizer, unigram: NDArray[np.float64]) -> BertForPreTraining:
    """A network with random weights, or the one the recipe starts from.

    Raises BertworksError where the start's vocabulary is not the corpus's.
    """
    settings = recipe.model
    if settings.origin is not None:
        unused = [key for key in vars(settings) if key not in BESIDE_A_START and differs(settings, key)]
        if unused:
            keys = ", ".join(f"`model.{key}`" for key in unused)
            log.warning("%s: passed over, %s brings sizes and weights of its own", keys, settings.origin)
        start = find_model(settings.origin)
        model, config, report = load_pre_training(start)
        if report.heads_not_found:
            log.warning("%s: %s start from random weights", settings.origin, ", ".join(report.heads_not_found))
        check_length(recipe, config)
        theirs = Tokenizer.load(start)
        if theirs.fingerprint != tokenizer.fingerprint:
            raise BertworksError(
                f"{settings.origin}: its vocabulary ({theirs.vocab_size:,} tokens) is not the corpus's "
                f"({tokenizer.vocab_size:,})",
                f"build the corpus with `--vocab {settings.origin}`",
            )
        model.encoder.config = dataclasses.replace(  # saved with the weights
            config, hidden_dropout_prob=settings.dropout, attention_probs_dropout_prob=settings.attention_dropout
        )
        return model
    sizes = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    config = dataclasses.replace(
        preset(settings.size, tokenizer.vocab_size),
        **{name: getattr(settings, name) for name in sizes if getattr(settings, name) is not None},
        max_position_embeddings=settings.max_position_embeddings,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.attention_dropout,
        initializer_range=settings.initializer_range,
        pre_norm=settings.pre_norm,
    )
    check_length(recipe, config)
    model = BertForPreTraining.new(config, torch.Generator().manual_seed(recipe.train.seed))
    if settings.unigram_bias:
        with torch.no_grad():
            model.masked_head.bias.copy_(torch.from_numpy(unigram))
    return model


def differs(settings: ModelRecipe, key: str) -> bool:
    """Whether a key of the section was given another value than its default."""
    return bool(getattr(settings, key) != getattr(ModelRecipe(), key))


def wants_counts(recipe: PretrainRecipe) -> bool:
    """Whether the first weights are to be made from counts; those of a model to go on from are left as they are."""
    return recipe.model.initialization == "counts" and recipe.model.origin is None


def count_first_weights(
    model: BertForPreTraining, parameters: FlatParameters, corpus: Corpus, samples: Samples, ranks: Ranks
) -> None:
    """Put the counted start in place of the random one; the first rank counts, the others take what it found."""
    log.info("first weights: counting which words stand near each other")
    if ranks.is_first:
        exact = cast(BertForPreTraining, parameters.exact_copy(model))  # its parameters are the masters
        counted_start(exact, corpus, samples.documents, samples.seed)
    ranks.copy_first(parameters.masters)
    parameters.publish()


def check_length(recipe: PretrainRecipe, config: BertConfig) -> None:
    """Raise BertworksError when samples would be longer than the position table."""
    is_new = recipe.model.origin is None
    if recipe.train.length > config.max_position_embeddings:
        raise BertworksError(
            f"length {recipe.train.length} is more than the model's {config.max_position_embeddings} positions",
            "shorten `train.length`" + (", or raise `model.max_position_embeddings`" if is_new else ""),
        )


def build_optimiser(recipe: PretrainRecipe, parameters: FlatParameters) -> Optimiser:
    """AdamW, the original's Adam, or Muon on the layers' matrices with AdamW on the rest."""
    settings = recipe.train
    rest = AdamW(
        parameters,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        bias_correction=settings.optimizer != "adam-bert",
        first=parameters.hidden if settings.optimizer == "muon" else 0,
    )
    if settings.optimizer != "muon":
        return rest
    return Muon(parameters, rest, pieces=lambda name: 3 if ".qkv." in name else 1, weight_decay=settings.weight_decay)


def build_dropout(recipe: PretrainRecipe, dtype: torch.dtype, device: torch.device) -> PooledDropout | None:
    """The source of dropout masks, None where both rates are 0."""
    hidden, attention = recipe.model.dropout, recipe.model.attention_dropout
    if not hidden and not attention:
        return None
    return PooledDropout(hidden, attention, seed=recipe.train.seed, dtype=dtype, device=device)


def restore(
    run: RunDirectory, parameters: FlatParameters, optimiser: Optimiser, corpus: Corpus, tokenizer: Tokenizer
) -> State:
    """Put the newest checkpoint's weights and moments back; a fresh state where there is none.

    Metrics of updates that will be done again are dropped.
    Raises BertworksError when the corpus or its vocabulary changed since.
    """
    checkpoint = run.latest()
    if checkpoint is None:
        run.rewind(0)
        return State()
    for name, now in (("corpus", corpus.fingerprint), ("tokenizer", tokenizer.fingerprint)):
        before = checkpoint.state[name]
        if before != now:
            raise BertworksError(
                f"{checkpoint.path}: the {name} changed since this run began "
                f"(fingerprint {before[:4]}…, now {now[:4]}…)",
                f"restore the {name}, or begin a new run with another `--out`",
            )
    copy_tensors(parameters.named(parameters.masters), checkpoint.model, str(checkpoint.path))
    optimiser.restore(checkpoint.optimizer)
    parameters.publish()
    state = State.from_json(checkpoint.state)
    run.rewind(state.cursor.step)
    log.info("going on from step %d (%s)", state.cursor.step, checkpoint.path)
    return state
