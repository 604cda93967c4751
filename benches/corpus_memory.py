"""Peak memory of building a corpus, for inputs of different size: it must not grow with them.

    python benches/corpus_memory.py TEXT… --vocab DIR [--megabytes 100 1000] [--workers 2]

The input is made of salted copies: the documents of TEXT again and again, each with its number before it, so that no
two are equal. Memory is that of the build and all its workers together, sampled every 20 ms (the proportional set size
of Linux, which shares common pages among processes; the resident size where that is not there).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bertworks.read.documents import read_documents

SAMPLE_SECONDS = 0.02


def main() -> None:
    """Measure each size in a fresh process and print a line for each, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="+")
    parser.add_argument("--vocab", required=True)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    peaks = []
    for megabytes in args.megabytes:
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder, "text.jsonl")
            write_salted(args.text, text, megabytes * 1_000_000)
            words = ["corpus", str(text), "--vocab", args.vocab, "--out", f"{folder}/c", "--workers", str(args.workers)]
            result = measure([sys.executable, "-m", "bertworks", *words, "--json", "--quiet"])
        peaks.append(result["peak_bytes"])
        print(json.dumps({"megabytes": megabytes, **result}), flush=True)
    print(f"largest to smallest: {max(peaks) / min(peaks):.3f}; peak {max(peaks) / 1e6:,.0f} MB")


def write_salted(paths: list[str], target: Path, size: int) -> None:
    """Write documents of `paths`, over and over, until the file has `size` bytes."""
    written = copy = 0
    with target.open("w", encoding="utf-8") as handle:
        while written < size:
            for number, document in enumerate(read_documents(paths)):
                line = json.dumps({"text": f"{copy} {number}. {document.text}"}, ensure_ascii=False) + "\n"
                written += len(line.encode())
                handle.write(line)
                if written >= size:
                    break
            copy += 1


def measure(words: list[str]) -> dict[str, float]:
    """Run a command; its peak memory with all its children, and what it printed."""
    peak, started = 0, time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            peak = max(peak, sum(memory(pid) for pid in family(process.pid)))
            time.sleep(SAMPLE_SECONDS)
        assert process.stdout is not None
        printed = json.loads(process.stdout.read())
    kept = {name: printed[name] for name in ("documents", "tokens", "text_bytes", "dropped")}
    return {"peak_bytes": peak, "seconds": round(time.monotonic() - started, 1), **kept}


def family(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from family(int(child))


def memory(pid: int) -> int:
    """Bytes of one process, 0 when it has just ended."""
    for file, name in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
