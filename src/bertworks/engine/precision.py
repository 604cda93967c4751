"""Which number format to compute in, decided by the machine's instructions and said with its reason."""

from pathlib import Path

import torch

from bertworks.base.errors import BertworksError

# Instruction flags that make a bf16 matrix product faster than a float32 one; without them it is emulated, and slower.
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this processor has bf16 matrix instructions, by its flags (False where they cannot be read)."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return bool(_BF16_FLAGS & set(value.split()))
    return False


def choose_dtype(name: str, device: torch.device) -> tuple[torch.dtype, str]:
    """Resolve `auto`, `float32`, `bfloat16` or `float64` to a dtype and one sentence that says why.

    Raises BertworksError for another name.
    """
    named = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
    if name in named:
        return named[name], f"{name}, as asked"
    if name != "auto":
        raise BertworksError(f"unknown dtype `{name}`", "choose auto, float32 or bfloat16")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported():
            return torch.bfloat16, "bfloat16: the GPU has it"
        return torch.float32, "float32: the GPU has no bfloat16"
    if device.type == "cpu" and cpu_has_bf16():
        return torch.bfloat16, "bfloat16: the processor has bf16 instructions"
    return torch.float32, f"float32: no bf16 instructions on this {device.type}"


def choose_device(name: str) -> torch.device:
    """`auto` takes the first GPU if there is one, else the CPU; anything else is handed to torch.

    Raises BertworksError for a device that torch does not know or does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        why = str(error).splitlines()[0]
        reason = "torch knows no such kind" if why.startswith("Expected one of") else why
        raise BertworksError(f"device `{name}` cannot be used: {reason}", "cpu, cuda, cuda:1, … or auto") from error
    return device
