"""The recipe of a pre-training run: the only place where its defaults are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from bertworks.base.errors import BertworksError

SHORTEST = 8  # tokens of a sample: three specials, and something on both sides


@dataclass(frozen=True)
class ModelRecipe:
    """The network, and where its first weights come from."""

    preset: Literal["tiny", "mini", "small", "medium", "base", "large"] = "mini"
    hidden_size: int | None = None  # None = the preset's; likewise below
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    intermediate_size: int | None = None
    max_position_embeddings: int = 512
    dropout: float = 0.1  # of hidden states
    attention_dropout: float = 0.1
    initializer_range: float = 0.02
    pre_norm: bool = False  # LayerNorm before the sublayers; saved as transformers' MegatronBert
    unigram_bias: bool = True  # the decoder's bias starts at the log frequency of each token
    initialization: Literal["random", "counts"] = "random"  # counts = counted_start.py; a `start` goes before it
    start: str | None = None  # run, model directory or packaged name to go on from, with fresh moments


@dataclass(frozen=True)
class DataRecipe:
    """Which text is read, and what becomes of it."""

    corpus: str = ""
    heldout: str | None = None  # another corpus to evaluate on; None = the documents that `corpus` holds out
    segments: Literal["nsp", "nsp-bert", "sop", "none"] = "nsp"
    mask_probability: float = 0.15
    masked: float = 0.8  # of the chosen tokens: replaced by [MASK]
    kept: float = 0.1  # left as they are; the rest become random tokens
    max_predictions: int = 0  # a sample; 0 = no cap
    mask_copies: int = 0  # 0 = new masks every epoch; k = static masks of k copies


@dataclass(frozen=True)
class TrainRecipe:
    """How long, and how the weights move. Exactly one of steps, tokens, hours ends the run; none means 10 epochs."""

    steps: int | None = None
    tokens: int | None = None  # real tokens read
    hours: float | None = None  # wall clock
    length: int = 128  # tokens of a full sample, specials included
    batch_tokens: int = 8192  # real tokens an update, over all ranks
    optimizer: Literal["adamw", "muon", "adam-bert"] = "adamw"  # adam-bert = the original's, without bias correction
    lr: float = 1e-3
    schedule: Literal["linear", "bert", "constant", "cosine", "trapezoid"] = "linear"
    warmup: float = 0.06  # share of the run
    cooldown: float = 0.2  # share of the run in which `trapezoid` falls to 0
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-6
    max_grad_norm: float = 1.0
    seed: int = 0
    checkpoint_every: int = 1000  # steps
    evaluate_every: int = 500  # steps
    evaluation_tokens: int = 65_536  # of held-out text, at most, each time
    log_every: int = 20  # steps
    max_bad_steps: int = 3  # updates in a row that are not finite, then the run stops

    def __post_init__(self) -> None:
        given = [name for name in ("steps", "tokens", "hours") if getattr(self, name) is not None]
        if len(given) > 1:
            hint = "one of them ends the run; leave the others out"
            raise BertworksError(f"train: {' and '.join(given)} are given", hint)
        every = ("checkpoint_every", "evaluate_every", "log_every")
        for name in (*given, "lr", "batch_tokens", "evaluation_tokens", "max_bad_steps", *every):
            if getattr(self, name) <= 0:
                raise BertworksError(f"train: {name} is {getattr(self, name)}, must be more than 0")
        for name in ("warmup", "cooldown"):
            if not 0 <= getattr(self, name) <= 1:
                raise BertworksError(f"train: {name} is {getattr(self, name)}, must be a share of the run, 0 to 1")
        if self.length < SHORTEST:
            raise BertworksError(f"train: length is {self.length}, must be {SHORTEST} or more")


@dataclass(frozen=True)
class MachineRecipe:
    """What the run may use; none of it is part of what a resumed run must agree on."""

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    micro_tokens: int = 8192  # row places computed at a time; the update does not depend on it
    threads: int | None = None  # None = all cores
    keep_memory: bool = True  # the allocator setting that avoids page faults on glibc


@dataclass(frozen=True)
class PretrainRecipe:
    """One pre-training run."""

    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    train: TrainRecipe = field(default_factory=TrainRecipe)
    machine: MachineRecipe = field(default_factory=MachineRecipe)
