"""What ships in the package: novels, held-out chapters, questions to a bank, the reference checkpoint."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

DATA = Path(str(files("bertworks"))) / "data"

NOVELS = DATA / "novels"  # twelve excerpts, one document a chapter
HELDOUT = DATA / "heldout"  # chapters that no checkpoint of this project was trained on
BANKING77_TRAIN = DATA / "banking77" / "train.csv"  # 770 rows, ten an intent
BANKING77_TEST = DATA / "banking77" / "test.csv"  # 3,080 rows, forty an intent


def reference_checkpoint() -> Path | None:
    """The folder of `bertworks-mini`, or None where this build of the package carries none."""
    folder = DATA / "bertworks-mini"
    return folder if (folder / "model.safetensors").is_file() else None
