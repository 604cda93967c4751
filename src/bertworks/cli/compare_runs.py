"""`bertworks compare-runs`: whether one fine-tuning run is better than another, and how sure that is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bertworks.cli import flags

HELP = "Compare two fine-tuning runs or studies: the difference over seeds, and over the rows both answered."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Two runs, and what is compared."""
    parser.add_argument("a", type=Path, metavar="A", help="run, with its result.json")
    parser.add_argument("b", type=Path, metavar="B", help="the run it is compared with")
    parser.add_argument("--split", choices=("dev", "test"), help="which rows; else test where both have it")
    parser.add_argument("--metric", metavar="NAME", help="which figure; else the task's first")
    flags.add(parser, "--json")


def run(args: argparse.Namespace) -> None:
    """Print both, the difference and its intervals."""
    from bertworks.cli.output import print_json, print_table
    from bertworks.finetune.compare import compare_runs

    found = compare_runs(args.a, args.b, split=args.split, metric=args.metric)
    seeds, rows = found.over_seeds, found.over_examples
    if args.json:
        print_json(to_json(found))
        return
    print_table(
        [f"{seeds.metric} on {seeds.split}", "mean", "sd", "seeds"],
        [
            [name, f"{one.mean:.4f}", "-" if one.sd is None else f"{one.sd:.4f}", one.n]
            for name, one in ((args.a, seeds.a), (args.b, seeds.b))
        ],
    )
    print(f"over seeds: {seeds.difference}")
    if seeds.left_out:
        print(f"seeds of one run only, left out: {', '.join(map(str, seeds.left_out))}")
    if found.rows_differ:
        print(f"the two were judged on other {seeds.split} rows: this difference says nothing of the models")
    if rows is not None:
        print(
            f"over rows, seed {seeds.seeds[0]}: difference {rows.difference:+.4f}, interval {rows.low:+.4f} to "
            f"{rows.high:+.4f}, p = {rows.p:.3g} (paired bootstrap, {rows.draws:,} draws)"
        )


def to_json(found: Any) -> dict[str, Any]:
    """The value of `compare-runs --json`."""
    seeds, rows = found.over_seeds, found.over_examples
    summary = seeds.difference.summary
    told = {"mean": summary.mean, "se": summary.se, "low": summary.low, "high": summary.high, "p": seeds.difference.p}
    return {
        "rows_differ": found.rows_differ,
        "metric": seeds.metric,
        "split": seeds.split,
        "seeds": list(seeds.seeds),
        "a": seeds.a.mean,
        "b": seeds.b.mean,
        "over_seeds": told,
        "over_rows": None
        if rows is None
        else {name: getattr(rows, name) for name in ("difference", "low", "high", "p")},
    }
