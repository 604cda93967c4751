"""What pre-training bought: BANKING77 with ten questions an intent, from random and from pre-trained weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.finetune.floors import tfidf_classifier
from bertworks.finetune.recipe import DataRecipe, FinetuneRecipe, ModelRecipe, TrainRecipe
from bertworks.finetune.run import finetune
from bertworks.model.config import PRESETS
from bertworks.model.pretrained import read_config
from bertworks.read.tables import read_table
from bertworks.reproduce import bundled
from bertworks.stats.paired import PairedDifference, paired_difference
from bertworks.stats.results import read_result
from bertworks.stats.summary import Summary, summarise

METRIC = "accuracy"
DROPOUT = 0.1  # of both starts, whatever a checkpoint was trained with
EXIT_CODES = {"SIGINT": 130}  # as a shell reports it; any other signal is a failure


@dataclass(frozen=True)
class FewShot:
    """Size of the comparison.

    seeds   runs from each start
    epochs  passes over the 770 rows
    rate    peak learning rate, the same for both starts
    """

    seeds: int = 3
    epochs: float = 12.0
    rate: float = 3e-4  # 1e-3 leaves random weights where they were


@dataclass(frozen=True)
class Bought:
    """Test accuracies.

    floor       of TF-IDF + logistic regression
    random      over seeds, from random weights
    pretrained  over the same seeds, from pre-trained weights
    difference  pretrained - random, seed by seed
    """

    floor: float
    random: Summary
    pretrained: Summary
    difference: PairedDifference

    def table(self, *, is_reference: bool) -> list[dict[str, Any]]:
        """One row a start: `start`, `mean`, `sd`, `n`; the floor has nothing random, so its spread is 0 and n is 1."""
        pretrained = "reference" if is_reference else "pretrained"
        rows: list[dict[str, Any]] = [{"start": "tfidf", "mean": self.floor, "sd": 0.0, "n": 1}]
        for name, one in (("random", self.random), (pretrained, self.pretrained)):
            rows.append({"start": name, "mean": one.mean, "sd": one.sd or 0.0, "n": one.n})
        return rows


def few_shot(model: Path, out: Path, settings: FewShot) -> Bought:
    """Fine-tune from random weights and from `model` with the same recipe, seeds and rows; leave both runs in `out`."""
    starts: Mapping[str, ModelRecipe] = {
        "random": ModelRecipe(start=f"preset:{preset_of(model)}", vocab=str(model), dropout=DROPOUT),
        "pretrained": ModelRecipe(start=str(model), dropout=DROPOUT),
    }
    scores = {}
    for name, start in starts.items():
        go_on(finetune(few_shot_recipe(start, settings), out / name).stopped)
        scores[name] = list(read_result(out / name).values("test", METRIC).values())
    return Bought(
        floor(),
        summarise(scores["random"]),
        summarise(scores["pretrained"]),
        paired_difference(scores["pretrained"], scores["random"]),
    )


def go_on(stopped: str | None) -> None:
    """Raise BertworksError where a signal cut a stage short: what follows would compare unlike things."""
    if stopped is not None:
        raise BertworksError(
            f"stopped by {stopped}", "the demo begins anew: `--overwrite`", exit_code=EXIT_CODES.get(stopped, 1)
        )


def few_shot_recipe(start: ModelRecipe, settings: FewShot) -> FinetuneRecipe:
    """All 770 rows train, none are held out: with ten an intent, one of ten would be missed; the last weights count."""
    return FinetuneRecipe(
        model=start,
        data=DataRecipe(
            train=str(bundled.BANKING77_TRAIN), test=str(bundled.BANKING77_TEST), dev_share=0.0, max_length=64
        ),
        train=TrainRecipe(epochs=settings.epochs, lr=settings.rate, seeds=settings.seeds),
    )


def floor() -> float:
    """Accuracy of TF-IDF + logistic regression on the same rows."""
    train, test = (read_table(path).rows for path in (bundled.BANKING77_TRAIN, bundled.BANKING77_TEST))
    numbers = {label: number for number, label in enumerate(sorted({row["label"] for row in train}))}
    answers = tfidf_classifier(train, [numbers[row["label"]] for row in train])(test)
    return sum(numbers[row["label"]] == answer for row, answer in zip(test, answers, strict=True)) / len(test)


def preset_of(model: Path) -> str:
    """The preset with the sizes of a model, so that random weights start from the same network."""
    config = read_config(model)
    return next(name for name, sizes in PRESETS.items() if all(getattr(config, key) == sizes[key] for key in sizes))
