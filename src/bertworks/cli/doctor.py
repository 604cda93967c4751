"""`bertworks doctor`: what this machine has, and the schema of recipes."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bertworks import __version__
from bertworks.base import recipe
from bertworks.base.errors import BertworksError
from bertworks.cli import flags
from bertworks.cli.output import print_json, print_table

HELP = "Check the machine, the versions and the settings; or print the JSON Schema of recipes."

RECIPES = {
    "pretrain": ("bertworks.pretrain.recipe", "PretrainRecipe"),
    "finetune": ("bertworks.finetune.recipe", "FinetuneRecipe"),
}
NEEDED = ("torch", "tokenizers", "safetensors", "numpy", "pyarrow", "pydantic", "scikit-learn", "scipy")
INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")
MATMUL_SIZE = 2048  # 17 GFLOP a product: a tenth of a second on two cores, and past every cache
MATMUL_SECONDS = 1.0


@dataclass(frozen=True)
class Machine:
    """What a result depends on besides the recipe."""

    bertworks: str
    python: str
    system: str
    processor: str
    cores: int
    load: float | None  # running processes, mean of a minute; above 0 the rate below is not the machine's best
    instructions: list[str]
    bf16: bool
    dtype: str
    device: str
    torch_build: str
    allocator: str
    free_gigabytes: float
    matmul_gflops: float
    data: str | None
    versions: dict[str, str | None]


def arguments(parser: argparse.ArgumentParser) -> None:
    """`--schema` and the shared flags."""
    parser.add_argument(
        "--schema", nargs="?", const="all", choices=("all", *RECIPES), help="print the JSON Schema of recipes, and stop"
    )
    flags.add(parser, "--threads", "--json")


def run(args: argparse.Namespace) -> int:
    """Print the schema, or what was measured; 1 when a package that is needed is missing."""
    if args.schema:
        print_json(schemas(args.schema), indent=2)
        return 0
    flags.use_threads(args.threads)
    machine = measure()
    if args.json:
        print_json(asdict(machine))
    else:
        report(machine)
    missing = [name for name, version in machine.versions.items() if version is None]
    if missing:
        raise BertworksError(f"{', '.join(missing)} not installed", "`pip install bertworks` brings them", exit_code=1)
    return 0


def schemas(name: str) -> dict[str, Any]:
    """The schema of one command's recipes, or of any of them."""
    found = [
        recipe.schema(getattr(importlib.import_module(module), kind))
        for command, (module, kind) in RECIPES.items()
        if name in (command, "all")
    ]
    return found[0] if len(found) == 1 else {"$schema": found[0].pop("$schema"), "anyOf": found}


def measure() -> Machine:
    """Everything `doctor` tells, in about two seconds, most of them to load torch and to multiply matrices."""
    import torch

    from bertworks.engine.matmul_rate import matmul_rate
    from bertworks.engine.memory import keep_memory
    from bertworks.engine.precision import choose_device, choose_dtype, cpu_has_bf16

    keeps = keep_memory()
    has_mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    device = choose_device("auto")
    return Machine(
        bertworks=__version__,
        python=platform.python_version(),
        system=platform.platform(),
        processor=_processor_line("model name") or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        instructions=[
            name for name in INSTRUCTIONS if name in (_processor_line("flags") + _processor_line("Features")).split()
        ],
        bf16=cpu_has_bf16(),
        dtype=choose_dtype("auto", device)[1],
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        torch_build=f"{torch.__version__}, {torch.get_num_threads()} threads, " + ("MKL" if has_mkl else "no MKL"),
        allocator="glibc, kept memory (set by commands, never on import)" if keeps else "not glibc, left as it is",
        free_gigabytes=round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
        matmul_gflops=round(matmul_rate(*[MATMUL_SIZE] * 3, seconds=MATMUL_SECONDS) / 1e9, 1),
        data=os.environ.get("BERTWORKS_DATA"),
        versions={name: _version(name) for name in NEEDED},
    )


def report(machine: Machine) -> None:
    """Print what was measured, one fact a line."""
    rows = [
        ("bertworks", f"{machine.bertworks}, python {machine.python} at {sys.prefix}"),
        ("system", machine.system),
        ("processor", f"{machine.processor}, {machine.cores} cores to use, load {machine.load}"),
        ("instructions", " ".join(machine.instructions) or "unknown"),
        ("bf16", f"{'yes' if machine.bf16 else 'no'}; --dtype auto takes {machine.dtype}"),
        ("device", machine.device),
        ("torch", machine.torch_build),
        ("allocator", machine.allocator),
        ("free disk", f"{machine.free_gigabytes} GB at {Path.cwd()}"),
        ("matmul", f"{machine.matmul_gflops} GFLOP/s, float32, {MATMUL_SIZE} x {MATMUL_SIZE}"),
        ("BERTWORKS_DATA", machine.data or "not set: tests and benchmarks on real data are skipped"),
        *((name, version or "not installed") for name, version in machine.versions.items()),
    ]
    print_table(("what", "found"), rows)


def _processor_line(name: str) -> str:
    """What Linux says about the first processor; "" elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.split(":")[0].strip() == name), "")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
