"""Files of GLUE and its relatives, known by their header or by their positions; quotes in them are plain characters.

Columns and rules: the 2018 release's `run_classifier.py`, and transformers' `data/processors/glue.py` for the sets that
Google's code does not read. SST-2, RTE and WNLI need no entry: their headers say it all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """How one published file is read.

    header  the first line, or None where the columns are known by position
    names   names of the columns in a file without header; roles follow from them as from any header
    columns role -> name, where the name alone does not say it
    short   what is done with a line of too few or too many fields: "drop" and count, or "pad" and cut
    """

    name: str
    header: tuple[str, ...] | None
    names: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    short: str = "drop"


BY_HEADER = (
    Known(
        "MRPC",
        ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"),
        columns=(("sentence1", "#1 String"), ("sentence2", "#2 String"), ("label", "Quality")),
    ),
    Known(
        "MRPC test",
        ("index", "#1 ID", "#2 ID", "#1 String", "#2 String"),
        columns=(("sentence1", "#1 String"), ("sentence2", "#2 String"), ("id", "index")),
    ),
    Known("QQP", ("id", "qid1", "qid2", "question1", "question2", "is_duplicate")),
    Known("QQP test", ("id", "question1", "question2")),
    Known("QNLI", ("index", "question", "sentence", "label")),
)
STARTS = (  # headers that differ between releases in how many annotators' columns they have
    (Known("STS-B", None), ("index", "genre", "filename", "year")),
    (Known("MNLI", None), ("index", "promptID", "pairID", "genre")),
    (Known("SNLI or MNLI", None), ("gold_label", "sentence1_binary_parse", "sentence2_binary_parse")),
    (Known("SICK", None), ("pair_ID", "sentence_A", "sentence_B")),
)
# the third column is the authors' mark: nothing, or stars and question marks
COLA = Known("CoLA", None, ("source", "label", "mark", "sentence"))
STS_BENCHMARK = Known(
    "STS benchmark",
    None,
    ("genre", "filename", "year", "id", "score", "sentence1", "sentence2"),
    short="pad",
)
CODAH = Known(
    "CODAH",
    None,
    ("category", "question", *(f"choice{i}" for i in range(4)), "label"),
)


def known(records: Sequence[Sequence[str]]) -> Known | None:
    """The published file that these first lines, split at tabs, belong to; None for any other."""
    if not records:
        return None
    first = tuple(cell.strip().lstrip("\ufeff") for cell in records[0])
    for entry in BY_HEADER:
        if first == entry.header:
            return entry
    for entry, start in STARTS:
        if first[: len(start)] == start:
            return entry
    if all(len(record) == 4 and record[1] in ("0", "1") and not record[2].strip(" *?") for record in records):
        return COLA
    if all(_is_sts(record) for record in records):
        return STS_BENCHMARK
    if all(_is_codah(record) for record in records):
        return CODAH
    return None


def _is_codah(record: Sequence[str]) -> bool:
    """A letter for the category, or none; a prompt; four endings; the number of the right one."""
    return len(record) == 7 and len(record[0]) <= 1 and not record[0].isdigit() and record[6] in ("0", "1", "2", "3")


def _is_sts(record: Sequence[str]) -> bool:
    if len(record) < 7 or not record[0].startswith("main-"):
        return False
    try:
        return 0 <= float(record[4]) <= 5
    except ValueError:
        return False
