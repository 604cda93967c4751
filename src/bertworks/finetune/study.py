"""A study: the same run several times, over seeds or folds; mean and spread, and the model of the one best on dev."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json, whole_directory
from bertworks.base.recipe import to_toml
from bertworks.engine.run_directory import RunDirectory
from bertworks.finetune.outcome import FinetuneResult
from bertworks.finetune.report import write_page
from bertworks.finetune.report_study import page_of_study
from bertworks.finetune.setup import Prepared
from bertworks.stats.results import Word
from bertworks.stats.summary import summarise

log = logging.getLogger(__name__)

# of result.json what is another in each run, and stands in the run's own
OF_ONE_RUN = ("by_class", "by_kind", "confidence", "calibration", "interval", "ece", "ece_before")


@dataclass(frozen=True)
class Parts:
    """The runs of a study.

    word      what sets them apart; the folder of a run is `seed-3` or `fold-3`
    make      number -> the run, ready to begin
    conclude  what result.json says of all runs together, beside mean and spread; it may write files into the folder
    """

    word: Word
    numbers: Sequence[int]
    make: Callable[[int], Prepared]
    conclude: Callable[[Path], dict[str, Any]] = lambda _: {}


def study(
    prepared: Prepared,
    parts: Parts,
    out: Path,
    run_one: Callable[[Prepared, Path], FinetuneResult],
    *,
    resume: bool,
    overwrite: bool,
) -> FinetuneResult:
    """Make every run in a folder of its own, one after another, then write what they say together.

    prepared  the first of the runs; their recipes are equal apart from the seed or the fold
    run_one   one run into a folder, going on with it if it was begun
    A finished run is not made again.
    """
    prepared.start.build(prepared.data.task, prepared.recipe.train.seed)  # before anything is written
    recipe = to_toml(prepared.recipe)
    run = RunDirectory.open(out, recipe, resume=resume, overwrite=overwrite, reads=prepared.reads)
    try:
        return all_parts(prepared, parts, run, run_one)
    finally:
        run.close()


def all_parts(
    prepared: Prepared, parts: Parts, run: RunDirectory, run_one: Callable[[Prepared, Path], FinetuneResult]
) -> FinetuneResult:
    """The runs that are not done yet, then result.json and the best one's model."""
    word, contents = parts.word, []
    for place, number in enumerate(parts.numbers, 1):
        folder = run.path / f"{word}-{number}"
        now = parts.make(number)
        if (folder / "result.json").exists():
            contents.append(finished(folder, now, word))
            continue
        log.info("%s %d (%d of %d)", word, number, place, len(parts.numbers))
        one = run_one(now, folder)
        if one.stopped is not None:
            return FinetuneResult(run.path, {}, one.stopped)
        contents.append(one.content)
    result = together(prepared, parts, contents)
    best = run.path / f"{word}-{result[f'best_{word}']}"
    with whole_directory(run.path / "best", overwrite=True) as folder:
        shutil.copytree(best / ("best" if (best / "best").is_dir() else "last"), folder, dirs_exist_ok=True)
    for split, values in result["mean"].items():
        log.info("%s: %s", split, told(values, result["sd"][split], f"{len(contents)} {word}s"))
    result |= parts.conclude(run.path)
    look(run, prepared, parts, result)
    run.finish(result)
    return FinetuneResult(run.path, result)


def look(run: RunDirectory, prepared: Prepared, parts: Parts, result: dict[str, Any]) -> None:
    """The page of all runs; it is not worth losing a study for."""
    try:
        lines = {number: RunDirectory(run.path / f"{parts.word}-{number}").metrics() for number in parts.numbers}
        write_page(run.path, page_of_study(run.path, prepared, result, lines, parts.word))
    except Exception as error:  # of a drawing or a page, whatever it is: the figures are there
        log.warning("the report is not whole, %s: %s; every figure is in result.json", type(error).__name__, error)
        log.debug("what was not drawn", exc_info=True)


def finished(folder: Path, prepared: Prepared, word: str) -> dict[str, Any]:
    """result.json of a run that is done. Raises BertworksError where it was trained on other rows than now given."""
    content: dict[str, Any] = read_json(folder / "result.json")
    if content.get("data") != prepared.fingerprint:
        raise BertworksError(
            f"{folder}: the data changed since this {word} was trained",
            "restore the data, or begin a new study with another `--out`",
        )
    return content


def together(prepared: Prepared, parts: Parts, contents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """result.json of the study; "metrics" holds the means."""
    word = parts.word
    entries = [{word: number, **content["seeds"][0]} for number, content in zip(parts.numbers, contents, strict=True)]
    mean: dict[str, dict[str, float]] = {}
    sd: dict[str, dict[str, float]] = {}
    for split, metrics in entries[0]["metrics"].items():
        summaries = {name: summarise([entry["metrics"][split][name] for entry in entries]) for name in metrics}
        mean[split] = {name: summary.mean for name, summary in summaries.items()}
        sd[split] = {name: summary.sd or 0.0 for name, summary in summaries.items()}
    best = max(entries, key=lambda entry: entry["metrics"].get("dev", {}).get(prepared.metric, 0.0))
    common = {name: value for name, value in contents[0].items() if name not in OF_ONE_RUN}
    collapsed = [str(entry[word]) for entry in entries if entry["collapsed"]]
    told_so = f"{len(collapsed)} of {len(entries)} {word}s learnt nothing: {', '.join(collapsed)}"
    together_as_one = {"seed": prepared.recipe.train.seed, "metrics": mean, "best_step": best["best_step"]}
    return {
        **common,
        **mean_errors(contents),
        "floors": mean_floors(contents),
        "interval": intervals(entries, prepared.metric, word),
        "restarts": [one for entry in entries for one in entry["restarts"]],
        "collapsed": told_so if collapsed else None,
        "metrics": mean,
        "seeds": entries if word == "seed" else [together_as_one],
        f"{word}s": entries,
        "mean": mean,
        "sd": sd,
        f"best_{word}": best[word],
        "best_step": best["best_step"],
        "seconds": round(sum(content["seconds"] for content in contents), 1),
        "command": " ".join(sys.argv),
    }


def mean_floors(contents: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """floor -> split -> metric -> mean over the runs: those of folds differ, those of seeds are one."""
    first: dict[str, dict[str, dict[str, float]]] = contents[0]["floors"]
    if all(content["floors"] == first for content in contents):
        return first
    return {
        floor: {
            split: {name: summarise([one["floors"][floor][split][name] for one in contents]).mean for name in metrics}
            for split, metrics in splits.items()
        }
        for floor, splits in first.items()
        if all(floor in content["floors"] for content in contents)
    }


def mean_errors(contents: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """`ece` and `ece_before` of each split, the means over the runs; only where every run has them."""
    found = {}
    for name in ("ece", "ece_before"):
        if all(name in content for content in contents):
            splits = contents[0][name]
            found[name] = {split: summarise([content[name][split] for content in contents]).mean for split in splits}
    return found


def intervals(entries: Sequence[dict[str, Any]], metric: str, word: str) -> dict[str, dict[str, Any]]:
    """Of each split the 95 % interval of the mean over the runs."""
    found = {}
    for split in entries[0]["metrics"]:
        summary = summarise([entry["metrics"][split][metric] for entry in entries])
        found[split] = {"metric": metric, "low": summary.low, "high": summary.high, "by": f"Student's t over {word}s"}
    return found


def told(mean: dict[str, float], sd: dict[str, float], of: str) -> str:
    """`accuracy 0.8123 ± 0.0040, … (3 seeds)`."""
    figures = ", ".join(f"{name} {value:.4f} ± {sd[name]:.4f}" for name, value in mean.items())
    return f"{figures} ({of})"
