"""A search of settings: many runs, each judged on dev, by Optuna; the test file is opened once, by the best of them."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json, remove, whole_directory, whole_file
from bertworks.base.recipe import load, to_toml
from bertworks.engine.run_directory import RunDirectory
from bertworks.finetune.data import Data
from bertworks.finetune.folds import read_rows
from bertworks.finetune.outcome import FinetuneResult, write_predictions
from bertworks.finetune.pruning import Pruned
from bertworks.finetune.recipe import FinetuneRecipe
from bertworks.finetune.run import finetune
from bertworks.finetune.search_space import SPACES, Space, with_keys
from bertworks.finetune.setup import Prepared, prepare_run
from bertworks.finetune.sizes import layer_parameters
from bertworks.predict.directory import load_model
from bertworks.predict.evaluate import evaluate_table
from bertworks.read.tables import read_table

if TYPE_CHECKING:
    from bertworks.finetune.trials import Trials

log = logging.getLogger(__name__)

SMALL = 30e6  # parameters of the layers, below which the space `small` is the default


def search(
    recipe: FinetuneRecipe,
    out: Path,
    *,
    trials: int,
    space: Space | None = None,
    timeout_minutes: float | None = None,
    prune: bool = True,
    resume: bool = True,
    overwrite: bool = False,
) -> FinetuneResult:
    """Try settings, each as a run in `out/trial-<n>`; leave the best one's recipe and model, and what all were worth.

    trials           in all, those of an earlier call of the same search included; a grid has its own end
    space            None = by the size of the model
    timeout_minutes  no trial but the first is begun later; those that are done count
    prune            a trial worse than the median of the others at the same share of the run ends there
    Trials are chosen by dev alone; the test file is not opened before the end, and then by the best trial's model.
    Raises BertworksError where optuna is not installed, there is no dev set, or no trial came to an end.
    """
    from bertworks.finetune.trials import Trials

    check(recipe)
    one = dataclasses.replace(recipe.data, test=None)
    base = dataclasses.replace(recipe, data=one, train=dataclasses.replace(recipe.train, restarts=0))
    data = read_rows(base)
    prepared = prepare_run(base, data)
    prepared.start.build(data.task, base.train.seed)  # before anything is written: weights may be broken
    space = space or SPACES["small" if layer_parameters(prepared.start.config) < SMALL else "paper"]
    number = min(trials, space.size or trials)
    for line in (*prepared.contract.lines(), *told(recipe, space, number, prepared.metric, prune)):
        log.info("%s", line)
    run = opened(recipe, space, out, number, prepared, resume=resume, overwrite=overwrite)
    try:
        study = Trials(out / "study.db", space, recipe.train.seed, prune=prune)
        try:
            stopped = all_trials(base, space, data, run.path, study, number, timeout_minutes)
            return FinetuneResult(out, {}, stopped) if stopped else conclude(recipe, prepared, run, study, space)
        finally:
            study.close()
    finally:
        run.close()


def check(recipe: FinetuneRecipe) -> None:
    """Raise BertworksError for a recipe that says nothing to choose by, and for a test file that is not there."""
    if recipe.data.dev is None and recipe.data.dev_share == 0 and recipe.train.folds is None:
        raise BertworksError("a search chooses by dev, and there is none", "give `--dev F`, or a dev_share above 0")
    if recipe.data.test is not None and not Path(recipe.data.test).exists():
        raise BertworksError(f"{recipe.data.test}: no such file", "it is opened at the end, and must be there then")


def told(recipe: FinetuneRecipe, space: Space, trials: int, metric: str, prune: bool) -> list[str]:
    """What the search will do, for a human."""
    how = "every combination, in an order by" if space.sampler == "grid" else "TPE,"
    ends = "; one worse than the median of the others so far ends early" if prune and is_single(recipe) else ""
    test = "the test file is opened once, at the end, by the best trial" if recipe.data.test else "no test file"
    first = f"search: {trials} trials in the space `{space.name}`, {how} seed {recipe.train.seed}{ends}"
    return [first, *(f"  {line}" for line in space.lines()), f"chosen by {metric} on dev alone; {test}"]


def is_single(recipe: FinetuneRecipe) -> bool:
    """Whether a trial is one run: a study over seeds or folds is not pruned."""
    return recipe.train.seeds == 1 and (recipe.train.folds is None or recipe.train.fold is not None)


def opened(
    recipe: FinetuneRecipe, space: Space, out: Path, trials: int, prepared: Prepared, *, resume: bool, overwrite: bool
) -> RunDirectory:
    """The folder of the search; a finished one of the same recipe goes on where more trials are asked for."""
    lines = "".join(f"{key!r} = {str(one)!r}\n" for key, one in space.tried.items())
    text = f"{to_toml(recipe)}\n[search]\nsampler = {space.sampler!r}\n{lines}"
    result, begun = out / "result.json", out / "recipe.toml"
    if resume and not overwrite and result.exists() and begun.exists() and begun.read_text("utf-8") == text:
        before = read_json(result)
        if len(before.get("trials", ())) < trials:
            if "test" in before["metrics"]:
                log.warning("the test file was opened once already; it will be opened again by the best of more trials")
            remove(result)
    reads = [*prepared.reads, *([Path(recipe.data.test)] if recipe.data.test else [])]
    return RunDirectory.open(out, text, resume=resume, overwrite=overwrite, reads=reads)


def all_trials(
    base: FinetuneRecipe, space: Space, data: Data, out: Path, study: Trials, number: int, minutes: float | None
) -> str | None:
    """The trials that are not done yet; the signal's name where one cut a trial short."""
    shared = None if any(key.startswith("data.") for key in space.tried) else data
    began = time.monotonic()
    for trial in range(number):
        folder = out / f"trial-{trial:03d}"
        if study.is_done(trial):
            if study.state(trial) == "pruned":
                remove(folder)
            continue
        if trial and minutes is not None and time.monotonic() - began >= 60 * minutes:
            log.warning("%g minutes are over after %d of %d trials; the same command goes on", minutes, trial, number)
            break
        params = study.begin(trial)
        log.info("trial %d (%d of %d): %s", trial, trial + 1, number, shown(params))
        stopped = one_trial(with_keys(base, params), folder, shared, study, trial)
        if stopped is not None:
            return stopped
    return None


def one_trial(recipe: FinetuneRecipe, folder: Path, data: Data | None, study: Trials, trial: int) -> str | None:
    """One run, and what the study is told of it."""
    if (folder / "result.json").exists():  # the search was killed before the study knew
        study.complete(trial, read_json(folder / "result.json"))
        return None
    try:
        found = finetune(recipe, folder, data=data, report=study.report_of(trial))
    except Pruned:
        study.end(trial, "pruned", "")
        log.info("trial %d is pruned: worse than the median of the others so far", trial)
        remove(folder)
        return None
    except BertworksError as error:
        if error.exit_code != 1:  # a setting that does not fit, not a run that went wrong
            raise BertworksError(f"trial {trial}: {error.message}", error.hint) from error
        study.end(trial, "failed", error.message)
        log.warning("trial %d failed: %s", trial, error.message)
        return None
    if found.stopped is None:
        study.complete(trial, found.content)
    return found.stopped


def shown(params: dict[str, Any]) -> str:
    """`lr 3e-05, batch_size 16`: names without their sections."""
    return ", ".join(
        f"{key.rpartition('.')[2]} {f'{value:.4g}' if isinstance(value, float) else value}"
        for key, value in params.items()
    )


def conclude(
    recipe: FinetuneRecipe, prepared: Prepared, run: RunDirectory, study: Trials, space: Space
) -> FinetuneResult:
    """best.toml, best/, the figures of the test file, and result.json, which ends the search."""
    trials = study.told()
    done = [one for one in trials if one["state"] == "complete"]
    if not done:
        raise BertworksError(
            f"{run.path}: no trial of {len(trials)} came to an end",
            "lower the rates, or lengthen the time",
            exit_code=1,
        )
    best = max(done, key=lambda one: (one["value"], -one["trial"]))
    folder = run.path / best["folder"]
    content = read_json(folder / "result.json")
    write_best(recipe, load(FinetuneRecipe, folder / "recipe.toml"), run.path)
    with whole_directory(run.path / "best", overwrite=True) as copy:
        shutil.copytree(folder / "best", copy, dirs_exist_ok=True)
    log.info("best: trial %d, %s %.4f on dev; %s", best["trial"], prepared.metric, best["value"], shown(best["params"]))
    result = {
        **content,
        **tested(recipe, prepared, run.path, content),
        "best_trial": best["trial"],
        "trials": trials,
        "space": {"name": space.name, "sampler": space.sampler, "tried": {k: str(v) for k, v in space.tried.items()}},
        "seconds": round(sum(one["seconds"] or 0.0 for one in trials), 1),
        "command": " ".join(sys.argv),
    }
    run.finish(result)
    return FinetuneResult(run.path, result)


def write_best(recipe: FinetuneRecipe, trial: FinetuneRecipe, out: Path) -> None:
    """The best trial's recipe with nothing left open, and the test file that trials do not see."""
    data = dataclasses.replace(trial.data, test=recipe.data.test)
    train = dataclasses.replace(trial.train, restarts=recipe.train.restarts)
    with whole_file(out / "best.toml", text=True) as handle:
        handle.write(f"# bertworks finetune {out}/best.toml --out RUN\n")
        handle.write(to_toml(dataclasses.replace(trial, data=data, train=train)))


def tested(recipe: FinetuneRecipe, prepared: Prepared, out: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Entries of result.json with the figures of the test file, answered by the best model; none without the file."""
    asked = recipe.data
    if asked.test is None:
        return {}
    table = read_table(
        asked.test, columns=asked.columns, encoding=asked.encoding, may_lack_gold=prepared.data.task.name == "embed"
    )
    opened = load_model(out / "best")
    opened.model.to(prepared.machine.device, prepared.machine.dtype)
    scored = evaluate_table(opened, table)
    log.info("test: %s", ", ".join(f"{name} {value:.4f}" for name, value in scored.metrics.items()))
    write_predictions(out / "predictions-test.jsonl", table.rows, table.line_numbers, scored.answers)
    metrics = {**content["metrics"], "test": scored.metrics}
    told: dict[str, Any] = {"metrics": metrics, "rows": {**content["rows"], "test": scored.rows}}
    seeds: Sequence[dict[str, Any]] = content["seeds"]
    if len(seeds) == 1 and "folds" not in content:
        told |= {"seeds": [{**seeds[0], "metrics": metrics}], "mean": metrics}
    return told
