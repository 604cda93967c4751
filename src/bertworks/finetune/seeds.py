"""A study: the same run with several seeds, its mean and spread, and the model of the seed that is best on dev."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json, whole_directory
from bertworks.base.recipe import to_toml
from bertworks.engine.run_directory import RunDirectory
from bertworks.finetune.outcome import FinetuneResult
from bertworks.finetune.report import write_page
from bertworks.finetune.report_seeds import page_of_seeds
from bertworks.finetune.setup import Prepared
from bertworks.stats.summary import summarise

log = logging.getLogger(__name__)

# of result.json what is another in each seed, and stands in the seed's own
OF_ONE_SEED = ("by_class", "by_kind", "confidence", "calibration", "interval", "ece", "ece_before")


def study(
    prepared: Prepared, out: Path, run_one: Callable[[Prepared, Path], FinetuneResult], *, resume: bool, overwrite: bool
) -> FinetuneResult:
    """Run every seed into `out/seed-<s>`, one after another, then write what they say together.

    run_one  one run of one seed into a folder, going on with it if it was begun
    A finished seed is not run again; all seeds share the rows and their split.
    """
    train = prepared.recipe.train
    prepared.start.build(prepared.data.task, train.seed)  # before anything is written: weights may be broken
    recipe = to_toml(prepared.recipe)
    run = RunDirectory.open(out, recipe, resume=resume, overwrite=overwrite, reads=prepared.reads)
    try:
        return all_seeds(prepared, run, run_one)
    finally:
        run.close()


def all_seeds(
    prepared: Prepared, run: RunDirectory, run_one: Callable[[Prepared, Path], FinetuneResult]
) -> FinetuneResult:
    """The seeds that are not done yet, then result.json and the best one's model."""
    train = prepared.recipe.train
    contents = []
    for seed in range(train.seed, train.seed + train.seeds):
        folder = run.path / f"seed-{seed}"
        if (folder / "result.json").exists():
            contents.append(finished(folder, prepared))
            continue
        log.info("seed %d (%d of %d)", seed, seed - train.seed + 1, train.seeds)
        one = run_one(with_seed(prepared, seed), folder)
        if one.stopped is not None:
            return FinetuneResult(run.path, {}, one.stopped)
        contents.append(one.content)
    result = together(prepared, contents)
    best = run.path / f"seed-{result['best_seed']}"
    with whole_directory(run.path / "best", overwrite=True) as folder:
        shutil.copytree(best / ("best" if (best / "best").is_dir() else "last"), folder, dirs_exist_ok=True)
    for split, values in result["mean"].items():
        log.info("%s: %s", split, told(values, result["sd"][split], len(contents)))
    look(run, prepared, result)
    run.finish(result)
    return FinetuneResult(run.path, result)


def look(run: RunDirectory, prepared: Prepared, result: dict[str, Any]) -> None:
    """The page of all seeds; it is not worth losing a study for."""
    try:
        folders = {entry["seed"]: run.path / f"seed-{entry['seed']}" for entry in result["seeds"]}
        lines = {seed: RunDirectory(folder).metrics() for seed, folder in folders.items()}
        write_page(run.path, page_of_seeds(run.path, prepared, result, lines))
    except Exception as error:  # of a drawing or a page, whatever it is: the figures are there
        log.warning("the report is not whole, %s: %s; every figure is in result.json", type(error).__name__, error)
        log.debug("what was not drawn", exc_info=True)


def finished(folder: Path, prepared: Prepared) -> dict[str, Any]:
    """result.json of a seed that is done. Raises BertworksError where it was trained on other rows than now given."""
    content: dict[str, Any] = read_json(folder / "result.json")
    if content.get("data") != prepared.fingerprint:
        raise BertworksError(
            f"{folder}: the data changed since this seed was trained",
            "restore the data, or begin a new study with another `--out`",
        )
    return content


def with_seed(prepared: Prepared, seed: int) -> Prepared:
    """The same run with another seed, alone."""
    recipe = prepared.recipe
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, seed=seed, seeds=1))
    return dataclasses.replace(prepared, recipe=recipe, contract=dataclasses.replace(prepared.contract, recipe=recipe))


def together(prepared: Prepared, contents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """result.json of the study; "metrics" holds the means."""
    entries = [entry for content in contents for entry in content["seeds"]]
    mean: dict[str, dict[str, float]] = {}
    sd: dict[str, dict[str, float]] = {}
    for split, metrics in entries[0]["metrics"].items():
        summaries = {name: summarise([entry["metrics"][split][name] for entry in entries]) for name in metrics}
        mean[split] = {name: summary.mean for name, summary in summaries.items()}
        sd[split] = {name: summary.sd or 0.0 for name, summary in summaries.items()}
    best = max(entries, key=lambda entry: entry["metrics"].get("dev", {}).get(prepared.metric, 0.0))
    common = {name: value for name, value in contents[0].items() if name not in OF_ONE_SEED}
    collapsed = [str(entry["seed"]) for entry in entries if entry["collapsed"]]
    told_so = f"{len(collapsed)} of {len(entries)} seeds learnt nothing: {', '.join(collapsed)}"
    return {
        **common,
        **mean_errors(contents),
        "interval": intervals(entries, prepared.metric),
        "restarts": [one for entry in entries for one in entry["restarts"]],
        "collapsed": told_so if collapsed else None,
        "metrics": mean,
        "seeds": entries,
        "mean": mean,
        "sd": sd,
        "best_seed": best["seed"],
        "best_step": best["best_step"],
        "seconds": round(sum(content["seconds"] for content in contents), 1),
        "command": " ".join(sys.argv),
    }


def mean_errors(contents: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """`ece` and `ece_before` of each split, the means over the seeds; only where every seed has them."""
    found = {}
    for name in ("ece", "ece_before"):
        if all(name in content for content in contents):
            splits = contents[0][name]
            found[name] = {split: summarise([content[name][split] for content in contents]).mean for split in splits}
    return found


def intervals(entries: Sequence[dict[str, Any]], metric: str) -> dict[str, dict[str, Any]]:
    """Of each split the 95 % interval of the mean over the seeds."""
    found = {}
    for split in entries[0]["metrics"]:
        summary = summarise([entry["metrics"][split][metric] for entry in entries])
        found[split] = {"metric": metric, "low": summary.low, "high": summary.high, "by": "Student's t over seeds"}
    return found


def told(mean: dict[str, float], sd: dict[str, float], seeds: int) -> str:
    """`accuracy 0.8123 ± 0.0040, … (3 seeds)`."""
    figures = ", ".join(f"{name} {value:.4f} ± {sd[name]:.4f}" for name, value in mean.items())
    return f"{figures} ({seeds} seeds)"
