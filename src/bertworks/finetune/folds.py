"""The runs of a study over folds: every training row is dev once, answered by a model that has not seen it."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np

from bertworks.finetune.data import Data, fold_of, folds_of, read_data
from bertworks.finetune.outcome import judge, write_predictions
from bertworks.finetune.parts import parts
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.setup import Prepared, prepare_run
from bertworks.finetune.study import Parts
from bertworks.tasks.task import Answer

log = logging.getLogger(__name__)

PREDICTIONS_FILE = "predictions-folds.jsonl"


def read_rows(recipe: FinetuneRecipe) -> Data:
    """The rows of a run; of a study over folds those of the first fold, or of the one asked for."""
    if recipe.train.folds is None:
        return read_data(recipe.data)
    return folded(recipe, read_data(dataclasses.replace(recipe.data, dev_share=0.0)))


def folded(recipe: FinetuneRecipe, data: Data) -> Data:
    """Rows already read, as `recipe` splits them where it speaks of folds."""
    train = recipe.train
    if train.folds is None:
        return data
    return fold_of(data, recipe.data, folds=train.folds, fold=train.fold or 0)


def over_folds(prepared: Prepared) -> Parts:
    """`train.folds` runs with one seed; what the recipe leaves open is chosen once, for the first fold."""
    folds = prepared.recipe.train.folds
    assert folds is not None
    return Parts(
        "fold", range(folds), lambda fold: with_fold(prepared, fold), lambda run: out_of_fold(run, prepared, folds)
    )


def with_fold(prepared: Prepared, fold: int) -> Prepared:
    """The run of one fold, alone."""
    recipe = prepared.recipe
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, fold=fold))
    return prepare_run(recipe, folded(recipe, prepared.data))


def out_of_fold(run: Path, prepared: Prepared, folds: int) -> dict[str, Any]:
    """Answer every training row by the model of its fold, write the answers in file order, and score them together.

    Returns entries of result.json: `rows`, and `out_of_fold` with `metrics`, `interval` and, of classes, `by_class`.
    """
    data = prepared.data
    table = data.tables["train"]
    of_row = folds_of(data, prepared.recipe.data, folds)
    found: dict[int, Answer] = {}
    for fold in range(folds):
        rows = np.flatnonzero(of_row == fold).tolist()
        folder = run / f"fold-{fold}"
        directory = folder / ("best" if (folder / "best").is_dir() else "last")
        answers = judge(directory, prepared, [table.rows[row] for row in rows]).answers
        found.update(zip(rows, answers, strict=True))
    in_order = [found[row] for row in range(len(table.rows))]
    write_predictions(run / PREDICTIONS_FILE, table.rows, table.line_numbers, in_order, classes=None)
    metrics = data.task.score(in_order, table.rows)
    log.info("all rows, out of fold: %s", ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()))
    told = parts(data.task, in_order, table.rows, prepared.metric, metrics[prepared.metric])
    by_class = {  # each fold has thresholds of its own
        name: {figure: value for figure, value in figures.items() if figure != "threshold"}
        for name, figures in told.get("by_class", {}).items()
    }
    pooled = {"metrics": metrics, "interval": told.get("interval"), **({"by_class": by_class} if by_class else {})}
    dropped: dict[str, int] = {}
    for one in data.tables.values():
        for reason, count in one.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    number = len(table.rows)
    rows_told = {"train": number, "dev": number, "test": len(data.test), "dropped": dropped}
    return {"rows": rows_told, "out_of_fold": pooled}
