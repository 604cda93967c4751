"""`bertworks bench`: measure speed against others on this machine."""

from __future__ import annotations

import argparse
import importlib

from bertworks.base.errors import BertworksError
from bertworks.cli import flags

HELP = "Measure speed against others on this machine, in turns. Needs the extra `bench`."

# name -> module of reproduce/bench with `measure(options) -> result`
BENCHES = {
    "pretrain": "bertworks.reproduce.bench.pretrain",
    "finetune": "bertworks.reproduce.bench.finetune",
    "predict": "bertworks.reproduce.bench.predict",
    "corpus": "bertworks.reproduce.bench.corpus",
    "masking": "bertworks.reproduce.bench.masking",
    "startup": "bertworks.reproduce.bench.startup",
    "accumulation": "bertworks.reproduce.bench.accumulation",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", choices=sorted(BENCHES), metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("text", nargs="*", metavar="TEXT", help="files of text (corpus)")
    flags.add(parser, "--corpus", "--model", "--vocab", "--train", "--data", "--threads", "--json")
    parser.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="counted turns of each contender (default 5)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="length of a turn (default 10)")
    parser.add_argument("--rows", type=int, default=500, metavar="N", help="rows (predict; default 500)")
    parser.add_argument("--shape", default="4x256", metavar="LxE", help="layers x width (pretrain; default 4x256)")
    parser.add_argument("--dropout", type=float, default=0.1, metavar="P", help="dropout of both contenders (pretrain)")
    parser.add_argument("--compiled", action="store_true", help="the rival under torch.compile too (pretrain)")


def run(args: argparse.Namespace) -> int:
    from bertworks.cli.output import print_json, print_table

    flags.use_threads(args.threads)
    try:
        bench = importlib.import_module(BENCHES[args.name])
        result = bench.measure(args)
    except ModuleNotFoundError as error:
        raise BertworksError(
            f"`bench {args.name}` needs the package `{error.name}`", "pip install 'bertworks[bench]'"
        ) from error
    if args.json:
        print_json(result)
        return 0
    contenders = [[one["name"], one["median"], one["min"], one["max"]] for one in result["contenders"]]
    print_table(["contender", f"median {result['unit']}", "min", "max"], contenders)
    if result["ratios"]:
        print()
        ratios = [[f"{one['of']} / {one['to']}", one["median"], one["min"], one["max"]] for one in result["ratios"]]
        print_table(["ratio, round by round", "median", "min", "max"], ratios)
    print(
        f"\n{result['machine']['processor']}, {result['machine']['processors']} processors; others used "
        f"{result['others_cpu']['median']:.0%} (at most {result['others_cpu']['max']:.0%}) of them"
    )
    return 0
