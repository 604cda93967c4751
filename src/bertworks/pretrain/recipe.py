"""The recipe of a pre-training run: the only place where its defaults are written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from bertworks.base.places import PRESET
from bertworks.base.recipe import Problem, setting

SHORTEST = 8  # tokens of a sample: three specials, and something on both sides


@dataclass(frozen=True)
class ModelRecipe:
    """The network, and where its first weights come from."""

    preset: Literal["tiny", "mini", "small", "medium", "base", "large"] = "mini"
    hidden_size: int | None = setting(None, ge=1)  # None = the preset's; likewise below
    num_hidden_layers: int | None = setting(None, ge=1)
    num_attention_heads: int | None = setting(None, ge=1)
    intermediate_size: int | None = setting(None, ge=1)
    max_position_embeddings: int = setting(512, ge=1)
    dropout: float = setting(0.1, ge=0, lt=1)  # of hidden states
    attention_dropout: float = setting(0.1, ge=0, lt=1)
    initializer_range: float = setting(0.02, gt=0)
    pre_norm: bool = False  # LayerNorm before the sublayers; saved as transformers' MegatronBert
    unigram_bias: bool = True  # the decoder's bias starts at the log frequency of each token
    initialization: Literal["random", "counts"] = "random"  # counts = counted_start.py; a `start` goes before it
    start: str | None = None  # run, model directory or packaged name to go on from, with fresh moments; or preset:NAME

    @property
    def origin(self) -> str | None:
        """The model to go on from; None where the weights are new."""
        return None if self.start is None or self.start.startswith(PRESET) else self.start

    @property
    def size(self) -> str:
        """The preset's name, from `preset:NAME` where the start says so."""
        return self.start.removeprefix(PRESET) if self.start and self.origin is None else self.preset


@dataclass(frozen=True)
class DataRecipe:
    """Which text is read, and what becomes of it."""

    corpus: str = ""
    heldout: str | None = None  # another corpus to evaluate on; None = the documents that `corpus` holds out
    segments: Literal["nsp", "nsp-bert", "sop", "none"] = "nsp"
    mask_probability: float = setting(0.15, gt=0, lt=1)
    masked: float = setting(0.8, ge=0, le=1)  # of the chosen tokens: replaced by [MASK]
    kept: float = setting(0.1, ge=0, le=1)  # left as they are; the rest become random tokens
    max_predictions: int = setting(0, ge=0)  # a sample; 0 = no cap
    mask_copies: int = setting(0, ge=0)  # 0 = new masks every epoch; k = static masks of k copies


@dataclass(frozen=True)
class TrainRecipe:
    """How long, and how the weights move. Exactly one of steps, tokens, hours ends the run; none means 10 epochs."""

    steps: int | None = setting(None, ge=1)
    tokens: int | None = setting(None, ge=1)  # real tokens read
    hours: float | None = setting(None, gt=0)  # wall clock
    length: int = setting(128, ge=SHORTEST)  # tokens of a full sample, specials included
    batch_tokens: int = setting(8192, ge=1)  # real tokens an update, over all ranks
    optimizer: Literal["adamw", "muon", "adam-bert"] = "adamw"  # adam-bert = the original's, without bias correction
    lr: float = setting(1e-3, gt=0)
    schedule: Literal["linear", "bert", "constant", "cosine", "trapezoid"] = "linear"
    warmup: float = setting(0.06, ge=0, le=1)  # share of the run
    cooldown: float = setting(0.2, ge=0, le=1)  # share of the run in which `trapezoid` falls to 0
    weight_decay: float = setting(0.01, ge=0)
    beta1: float = setting(0.9, ge=0, lt=1)
    beta2: float | None = setting(None, ge=0, lt=1)  # none = 0.98; 0.999 for adam-bert, as the original
    epsilon: float = setting(1e-6, gt=0)
    max_grad_norm: float = setting(1.0, ge=0)  # 0 = no clipping
    seed: int = setting(0, ge=0, lt=2**63)
    checkpoint_every: int = setting(1000, ge=1)  # steps
    evaluate_every: int = setting(500, ge=1)  # steps
    evaluation_tokens: int = setting(65_536, ge=1)  # of held-out text, at most, each time
    log_every: int = setting(20, ge=1)  # steps
    max_bad_steps: int = setting(3, ge=1)  # updates in a row that are not finite, then the run stops

    @property
    def betas(self) -> tuple[float, float]:
        """Both of Adam's, the second one by the optimiser where it is not given."""
        default = 0.999 if self.optimizer == "adam-bert" else 0.98
        return self.beta1, default if self.beta2 is None else self.beta2


@dataclass(frozen=True)
class MachineRecipe:
    """What the run may use; none of it is part of what a resumed run must agree on."""

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    micro_tokens: int = setting(8192, ge=1)  # row places computed at a time; the update does not depend on it
    threads: int | None = setting(None, ge=1, le=1024)  # None = all cores
    keep_memory: bool = True  # the allocator setting that avoids page faults on glibc


@dataclass(frozen=True)
class PretrainRecipe:
    """One pre-training run."""

    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    train: TrainRecipe = field(default_factory=TrainRecipe)
    machine: MachineRecipe = field(default_factory=MachineRecipe)

    def problems(self) -> Iterable[Problem]:
        """What the sections must agree on."""
        train, data = self.train, self.data
        given = [name for name in ("steps", "tokens", "hours") if getattr(train, name) is not None]
        if len(given) > 1:
            named = " and ".join(f"`{name}`" for name in given)
            yield Problem(f"train.{given[0]}", f"{named} are given", "one of them ends the run; leave the others out")
        if train.warmup + (train.cooldown if train.schedule == "trapezoid" else 0) > 1:
            yield Problem("train.warmup", "warm-up and cool-down are longer than the run", "together at most 1")
        if data.masked + data.kept > 1:
            yield Problem("data.masked", "`masked` and `kept` are more than all chosen tokens", "together at most 1")
