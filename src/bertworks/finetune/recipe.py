"""The recipe of a fine-tuning run: the only place where its defaults are written.

`None` means "chosen for this data and this model" (sizes.py); the choice is printed before training and stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from bertworks.base.places import PRESET
from bertworks.base.recipe import Problem, setting
from bertworks.finetune.switches import unfit
from bertworks.tasks.names import TaskName


@dataclass(frozen=True)
class ModelRecipe:
    """Where the weights come from."""

    start: str = "bertworks-mini"  # run, model directory, packaged name, or preset:NAME (random weights)
    vocab: str | None = None  # folder or vocab.txt: needed by a preset, else the one saved with the checkpoint
    dropout: float | None = setting(None, ge=0, lt=1)  # hidden, attention, classifier; none = as the checkpoint says
    pooling: Literal["cls", "mean", "max", "last4", "weighted", "attention"] = "cls"  # of states, for the head
    head: Literal["linear", "mlp"] = "linear"  # mlp = a hidden layer with tanh before the classes
    head_size: int | None = setting(None, ge=1)  # of the mlp's hidden layer; none = the encoder's width
    prior_bias: bool = False  # the classifier's bias begins at how frequent each class, label or tag is
    reinit_layers: int = setting(0, ge=0)  # highest layers, and the pooler, that begin at random again
    freeze: int | Literal["encoder"] | None = setting(None, ge=0)  # embeddings and so many lowest layers do not learn
    layer: int | None = setting(None, ge=1)  # that the head reads; those above are left out. none = the last
    lora_rank: int | None = setting(None, ge=1)  # adapters of this rank learn instead of the encoder; none = no LoRA
    lora_alpha: float = setting(16.0, gt=0)  # the adapters' product counts alpha / rank
    lora_targets: tuple[Literal["query", "key", "value"], ...] = ("query", "value")  # of each layer

    def problems(self) -> Iterable[Problem]:
        """What the keys must agree on."""
        if self.head_size is not None and self.head != "mlp":
            yield Problem("head_size", "`head_size` is of the head `mlp`", "add `head = mlp`, or leave it out")
        if self.reinit_layers and self.start.startswith(PRESET):
            yield Problem("reinit_layers", f"all weights of `{self.start}` are random", "leave it out")
        if self.lora_rank is None:
            return
        if not self.lora_targets:
            yield Problem("lora_targets", "names nothing", "query and value are usual")
        for key, is_on in (("freeze", self.freeze is not None), ("reinit_layers", self.reinit_layers > 0)):
            if is_on:
                yield Problem(key, f"`{key}` and `lora_rank` are both given: LoRA freezes all layers", "leave one out")


@dataclass(frozen=True)
class DataRecipe:
    """Which rows are read, how they are split, and how they become windows."""

    train: str = ""  # file of rows
    dev: str | None = None  # none = a part of train is held out
    test: str | None = None  # opened once, after training
    task: TaskName | None = None  # none = told by the columns and the labels
    scheme: Literal["bio", "bioes", "bilou", "bmes"] | None = None  # of tags, to learn and answer in; none = as written
    decoder: Literal["viterbi", "argmax", "crf"] | None = (
        None  # of tags: legal ones, each word's, a CRF; none = viterbi
    )
    context: int = setting(0, ge=0)  # of tags: tokens of the document read before a row and after it; 64 is usual
    columns: dict[str, str] = field(default_factory=dict)  # role -> column name, beside the names known by themselves
    encoding: str = "utf-8"  # of text files; UTF-16 is known by its first bytes
    max_length: int | None = setting(None, ge=8)  # of a window; none = the model's positions, at most 512
    truncation: Literal["windows", "truncate", "head+tail"] = "windows"  # of a text longer than a window
    train_windows: int = setting(8, ge=1)  # of one row in one update; longer rows show other ones every epoch
    dev_share: float = setting(0.1, ge=0, lt=1)  # of train, without a dev file; 0 = no dev, the last model counts
    split_seed: int = setting(0, ge=0, lt=2**63)  # apart from train.seed: all seeds of a study share one split
    oversample: float = setting(0.0, ge=0, le=1)  # 0 = rows once an epoch, 1 = all classes equally often
    mask_words: float = setting(0.0, ge=0, lt=1)  # share of a training row's words read as [MASK], others every epoch
    replace_words: float = setting(
        0.0, ge=0, lt=1
    )  # share replaced by what the start guesses there, others every epoch


@dataclass(frozen=True)
class LossRecipe:
    """What training minimises instead of the task's plain loss; dev is judged by the plain one, answers are untouched.

    Sources: training_loss.py.
    """

    class_weights: Literal["balanced", "sqrt"] | dict[str, float] | None = None  # by the inverse of counts, or as given
    focal_gamma: float = setting(0.0, ge=0)  # less of what is already easy; 2 is usual, 0 = off
    logit_adjustment: float = setting(0.0, ge=0)  # this times the log of the class's share on its logit; 0 = off
    label_smoothing: float = setting(0.0, ge=0, lt=1)  # share of a target that goes to all classes alike; 0 = off


@dataclass(frozen=True)
class AuxiliaryRecipe:
    """Further losses on the shared encoder while it learns; their heads are not saved. Sources: auxiliary.py."""

    layers: dict[str, float] = field(default_factory=dict)  # layer -> weight of the task's loss by a head there
    mlm: float = setting(0.0, ge=0)  # weight of the loss of masked tokens of the training texts; 0 = off
    nsp: float = setting(0.0, ge=0)  # weight of the next-sentence loss on their halves; 0 = off
    first_steps: int = setting(0, ge=0)  # updates of mlm and nsp alone, then the task alone; 0 = all together

    def problems(self) -> Iterable[Problem]:
        """What the keys must agree on."""
        for layer, weight in self.layers.items():
            if not layer.isascii() or not layer.isdigit() or int(layer) < 1 or not 0 <= weight < math.inf:
                what = f"`{layer} = {weight:g}` is not a layer from 1 on and a weight from 0 on"
                yield Problem("layers", what, "write `layers = { 2 = 0.3 }`")
        if self.first_steps and not self.has_texts:
            yield Problem("first_steps", "neither `mlm` nor `nsp` is on, nothing comes first", "give one a weight")

    @property
    def by_layer(self) -> dict[int, float]:
        """Layer -> weight, from below, without those that weigh nothing."""
        return {int(layer): weight for layer, weight in sorted(self.layers.items(), key=_number) if weight}

    @property
    def has_texts(self) -> bool:
        """Whether masked tokens or pairs are learnt."""
        return self.mlm > 0 or self.nsp > 0

    @property
    def is_on(self) -> bool:
        """Whether there is any further loss."""
        return self.has_texts or bool(self.by_layer)


def _number(item: tuple[str, float]) -> int:
    return int(item[0])


@dataclass(frozen=True)
class TrainRecipe:
    """How the weights move."""

    steps: int | None = setting(None, ge=1)  # updates; none = from epochs
    epochs: float | None = setting(None, gt=0)  # none = by the number of rows
    lr: float | None = setting(None, gt=0)  # peak; none = by the size of the encoder
    batch_size: int | None = setting(None, ge=1)  # rows an update; none = 32, or 16 below 1,000 rows
    batch_growth: float = setting(1.0, ge=1)  # times as many rows an update in each epoch as in the one before
    batch_most: int | None = setting(None, ge=1)  # rows an update may grow to; none = 8 times batch_size
    warmup: float = setting(0.1, ge=0, le=1)  # share of the steps
    schedule: Literal["linear", "bert", "constant", "cosine", "trapezoid"] = "linear"  # of the rate after the warm-up
    cooldown: float = setting(0.2, ge=0, le=1)  # share of the steps in which `trapezoid` falls to 0
    weight_decay: float = setting(0.01, ge=0)  # not on biases and layer norms
    l2: float = setting(0.0, ge=0)  # times the weights, added to their gradient: what weight_decay is decoupled from
    adam_epsilon: float = setting(1e-8, gt=0)  # as torch; the 2018 release had 1e-6
    gradient_scale: float = setting(1.0, gt=0, le=1)  # of the gradient before clipping; without clipping Adam undoes it
    max_grad_norm: float = setting(1.0, ge=0)  # 0 = no clipping
    gradient_ema: float = setting(0.0, ge=0, lt=1)  # share kept in a running mean of gradients that moves the weights
    update_cap: float = setting(0.0, ge=0)  # greatest Euclidean norm of an update of all weights; 0 = no cap
    seed: int = setting(0, ge=0, lt=2**63)
    seeds: int = setting(1, ge=1)  # runs with seed, seed + 1, …; mean and spread are reported
    folds: int | None = setting(None, ge=2)  # runs, each with another fold of train as dev; none = one run, one dev
    fold: int | None = setting(None, ge=0)  # of the folds this one alone, from 0; none = all, one after another
    evaluations: int | None = setting(None, ge=1)  # on dev, an epoch; none = 3 while they cost little, 30 in all
    patience: int | None = setting(None, ge=1)  # stop after so many evaluations without a better one; none = never
    calibrate: bool = False  # a temperature chosen on dev goes into the classifier; classes and labels only
    restarts: int = setting(2, ge=0)  # of a run that collapsed to one class, each with half the rate and another seed
    metric: str | None = None  # what "best" means; none = the task's own
    checkpoint_every: int | None = setting(None, ge=1)  # steps; none = about every 2 minutes
    log_every: int = setting(10, ge=1)  # steps
    layer_decay: float = setting(1.0, gt=0, le=1)  # the rate's factor from each layer to the one below it
    unfreeze: bool = False  # first the head alone learns, then every epoch one layer more from the top
    ema: float | None = setting(None, gt=0, lt=1)  # decay of a running mean of the weights, used in their place
    swa: float | None = setting(None, gt=0, le=1)  # last share of the run whose weights are averaged
    fgm: float | None = setting(None, gt=0)  # length of the adversarial step on the word table
    r_drop: float | None = setting(None, gt=0)  # weight of the divergence between two passes with other dropout

    def problems(self) -> Iterable[Problem]:
        """What the keys must agree on."""
        if self.folds is not None and self.seeds > 1:
            what = f"`folds` {self.folds} and `seeds` {self.seeds} are both given"
            yield Problem("folds", what, "a study is over folds or over seeds; leave one out")
        if self.fold is not None and self.fold >= (self.folds or 0):
            what = f"there is no fold {self.fold} of {self.folds}" if self.folds else "`fold` is given without `folds`"
            yield Problem("fold", what, "folds are counted from 0: `folds = 5` has 0 to 4")
        if self.ema is not None and self.swa is not None:
            yield Problem("swa", "`ema` and `swa` are both given", "one mean of the weights is used; leave one out")


@dataclass(frozen=True)
class MachineRecipe:
    """What the run may use; none of it is part of what a resumed run must agree on."""

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    micro_tokens: int = setting(2048, ge=1)  # places of rows computed at a time; the update does not depend on it
    threads: int | None = setting(None, ge=1, le=1024)  # none = all cores
    keep_memory: bool = True  # the allocator setting that avoids page faults on glibc


@dataclass(frozen=True)
class FinetuneRecipe:
    """One fine-tuning run, or one study over seeds."""

    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    loss: LossRecipe = field(default_factory=LossRecipe)
    auxiliary: AuxiliaryRecipe = field(default_factory=AuxiliaryRecipe)
    train: TrainRecipe = field(default_factory=TrainRecipe)
    machine: MachineRecipe = field(default_factory=MachineRecipe)

    def problems(self) -> Iterable[Problem]:
        """What the sections must agree on."""
        if self.train.steps is not None and self.train.epochs is not None:
            what = "`steps` and `epochs` are both given"
            yield Problem("train.steps", what, "one of them ends the run; leave the other out")
        if self.model.start.startswith(PRESET) and self.model.vocab is None:
            what = f"`{self.model.start}` has no vocabulary of its own"
            yield Problem("model.vocab", what, "name one: `--vocab DIR`")
        if self.train.folds is not None and self.data.dev is not None:
            what = f"`folds` {self.train.folds} and a dev file are both given"
            yield Problem("train.folds", what, "each fold of train is dev once; leave `--dev` or the folds out")
        is_judged = self.data.dev is not None or self.data.dev_share > 0 or self.train.folds is not None
        if not is_judged and self.train.patience is not None:
            yield Problem("train.patience", "early stopping needs a dev set", "give `--dev F`, or a dev_share above 0")
        yield from self._frozen_problems()
        yield from self._of_techniques()
        yield from self._of_auxiliaries()

    def _frozen_problems(self) -> Iterable[Problem]:
        """What has no effect on layers that do not learn."""
        model, train = self.model, self.train
        if model.lora_rank is not None and self.train.calibrate:
            what = "`calibrate` and `model.lora_rank` are both given: the adapter's folder would lack the temperature"
            yield Problem("train.calibrate", what, "leave one out")
        if model.lora_rank is not None or model.freeze == "encoder":
            key = "lora_rank" if model.lora_rank is not None else "freeze"
            if train.unfreeze:
                yield Problem("train.unfreeze", f"`model.{key}` keeps the layers as they are", "leave one of them out")
        if model.freeze == "encoder" and train.layer_decay != 1:
            yield Problem("train.layer_decay", "no layer learns that could have a lower rate", "leave it out")
        is_still = model.lora_rank is not None or model.freeze is not None or train.unfreeze
        if train.fgm is not None and is_still:
            what = "`fgm` follows the gradient of the word table, which is frozen here"
            yield Problem("train.fgm", what, "leave `freeze`, `unfreeze` and `lora_rank` out")
        if train.r_drop is not None and model.dropout == 0:
            yield Problem("train.r_drop", "two passes without dropout are equal", "give a `model.dropout` above 0")

    def _of_techniques(self) -> Iterable[Problem]:
        train, data = self.train, self.data
        if train.warmup + (train.cooldown if train.schedule == "trapezoid" else 0) > 1:
            yield Problem("train.cooldown", "warm-up and cool-down are longer than the run", "shorten one of them")
        if train.batch_most is not None and train.batch_growth == 1:
            what = "`batch_most` is given, but the batch does not grow"
            yield Problem("train.batch_most", what, "set `batch_growth` above 1")
        if data.mask_words + data.replace_words > 1:
            what = f"mask_words {data.mask_words:g} and replace_words {data.replace_words:g} are more than all words"
            yield Problem("data.replace_words", what, "lower one of them")
        if data.decoder == "crf" and self.loss != LossRecipe():
            what = "[loss] changes the loss of single words, the decoder crf has one of whole rows"
            yield Problem("data.decoder", what, "leave [loss] out, or take another decoder")
        if train.l2 and train.unfreeze:
            yield Problem("train.l2", "`l2` pulls on all weights, `unfreeze` keeps some still", "leave one of them out")
        if data.task is not None:
            yield from unfit(self, data.task)

    def _of_auxiliaries(self) -> Iterable[Problem]:
        model, auxiliary = self.model, self.auxiliary
        if model.layer is not None and model.lora_rank is not None:
            what = "adapters go with all layers of the start, `layer` leaves some out"
            yield Problem("model.layer", what, "leave one of them out")
        frozen = math.inf if model.freeze == "encoder" else (model.freeze or 0)
        below = [layer for layer in auxiliary.by_layer if layer <= frozen]
        if below:
            what = f"layer {below[0]} and those below it are frozen: a head there would change nothing that is saved"
            yield Problem("auxiliary.layers", what, "freeze less, or leave it out")
        if auxiliary.has_texts and model.freeze == "encoder":
            key = "auxiliary.mlm" if auxiliary.mlm else "auxiliary.nsp"
            yield Problem(key, "the encoder is frozen, it learns nothing from texts", "leave one of them out")
        if auxiliary.first_steps and self.train.unfreeze:
            what = "at first `unfreeze` keeps the layers still, and the heads of `first_steps` learn through them"
            yield Problem("auxiliary.first_steps", what, "leave one of them out")
