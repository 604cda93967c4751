"""What a recipe leaves open, chosen by the size of the data and of the model.

Sources: small models take 3 to 5 times the base rate (Turc et al. 2019 tried up to 3e-4; MiniRBT 5e-5 to 1e-4); few
rows want many passes (Mosbach et al. 2020: 20 epochs on 2,500 rows); docs/log.md has our own scans.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from bertworks.base.errors import BertworksError
from bertworks.finetune.epochs import Epochs
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.model.config import BertConfig, number_of_parameters

# parameters of the layers (embeddings do not count) -> peak rate; the last holds for all that is larger
RATES = ((5e6, 2e-4), (30e6, 1e-4), (150e6, 3e-5), (math.inf, 2e-5))
RANDOM_FACTOR = 3.0  # random weights have nothing to forget
SMALL_DATA_ROWS = 1000
ROWS_SEEN = 10_000  # by a small set in all its epochs
LEAST_EPOCHS, MOST_EPOCHS = 3, 100
MANY_ROWS = 100_000  # two epochs are enough
MOST_EVALUATIONS = 30
EVALUATION_SHARE = 0.15  # of the time that training takes; a row forward costs a third of a row trained
LONGEST = 512


@dataclass(frozen=True)
class Plan:
    """How the run goes: counted in updates.

    steps_per_epoch  of the first epoch; `epochs` knows the others where the batch grows
    """

    steps: int
    steps_per_epoch: int
    warmup_steps: int
    evaluate_every: int
    epochs: Epochs


def resolve(recipe: FinetuneRecipe, config: BertConfig, *, is_random: bool, rows: int, dev_rows: int) -> FinetuneRecipe:
    """The recipe with nothing left open.

    Raises BertworksError for a max_length the model does not have, and a batch that shrinks.
    """
    train, data = recipe.train, recipe.data
    positions = config.max_position_embeddings
    if data.max_length is not None and data.max_length > positions:
        raise BertworksError(
            f"max_length {data.max_length} is more than the model's {positions} positions",
            f"longer texts are read in windows of {positions}; leave `--max-length` out",
        )
    batch_size = train.batch_size or (16 if rows < SMALL_DATA_ROWS else 32)
    batch_most = train.batch_most or (8 * batch_size if train.batch_growth > 1 else None)
    if batch_most is not None and batch_most < batch_size:
        raise BertworksError(
            f"train.batch_most {batch_most} is below batch_size {batch_size}", "a batch grows from batch_size on"
        )
    lr = train.lr or next(rate for most, rate in RATES if layer_parameters(config) <= most) * (
        RANDOM_FACTOR if is_random else 1
    )
    epochs = train.epochs
    if epochs is None and train.steps is None:
        few = min(MOST_EPOCHS, max(LEAST_EPOCHS, math.ceil(ROWS_SEEN / rows)))
        epochs = float(2 if rows > MANY_ROWS else few)
    evaluations = train.evaluations or (3 if dev_rows <= EVALUATION_SHARE * rows else 1)
    return dataclasses.replace(
        recipe,
        data=dataclasses.replace(data, max_length=data.max_length or min(LONGEST, positions)),
        train=dataclasses.replace(
            train, batch_size=batch_size, batch_most=batch_most, lr=lr, epochs=epochs, evaluations=evaluations
        ),
    )


def plan_of(recipe: FinetuneRecipe, rows: int) -> Plan:
    """The counts of a resolved recipe."""
    train = recipe.train
    assert train.batch_size is not None
    assert train.evaluations is not None
    epochs = Epochs(rows, train.batch_size, train.batch_growth, train.batch_most)
    steps = train.steps or max(1, epochs.steps_in(train.epochs or 1))
    mean_steps = max(1, round(steps / epochs.done(steps))) if train.batch_growth > 1 else epochs.steps(0)
    every = max(1, mean_steps // train.evaluations, math.ceil(steps / MOST_EVALUATIONS))
    return Plan(steps, epochs.steps(0), math.ceil(train.warmup * steps), every, epochs)


def layer_parameters(config: BertConfig) -> int:
    """Parameters of the network without its tables of embeddings."""
    tables = config.vocab_size + config.max_position_embeddings + config.type_vocab_size
    return number_of_parameters(config) - tables * config.hidden_size
