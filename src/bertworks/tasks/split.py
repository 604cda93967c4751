"""Rows → train and dev, or folds, by the rows' content: rows in any order give the same split, a new row moves few.

Letters: N rows.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.tasks.labels import canonical
from bertworks.tasks.task import Row

BY_CLASS, BY_SCORE, BY_ROW = "class by class", "tenth by tenth of the scores", "row by row"
BY_QUERY = "query by query"  # rows of an equal first text stand on one side
BINS = 10  # of scores: tenths of the rows, by value
LEAST_DOCUMENTS = 10  # fewer are not held out whole
LEAST_ROWS = 8  # fewer cannot spare a row for dev that says anything


def split_rows(rows: Sequence[Row], *, by: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a share of the rows, class by class, tenth by tenth of the scores, or of all rows alike.

    by     BY_CLASS, BY_SCORE, BY_ROW or BY_QUERY
    share  0 < share < 1, of each class, rounded so that the whole comes out right; each class keeps a row in train
    Rows with equal texts, apart from case, spaces and punctuation, stand on one side: dev holds nothing that train has;
    where rows say which document they are of, and there are documents enough, a document stands on one side.
    Returns indices into rows, both ascending.
    Raises BertworksError where there are too few rows.
    """
    if len(rows) < LEAST_ROWS:
        raise BertworksError(
            f"{len(rows)} rows are too few to hold some out for dev",
            f"give a file, `--dev F`, {LEAST_ROWS} rows, or none: `--data.dev_share 0` keeps the last model",
        )
    strata = _strata(rows, by)
    by_stratum = _grouped(rows, strata, by=by, seed=seed)
    wanted = _shares({stratum: sum(map(len, there)) for stratum, there in by_stratum.items()}, share)
    dev = [members for stratum, there in by_stratum.items() for members in _take(there, wanted[stratum])]
    held_out = np.zeros(len(rows), bool)
    for members in dev:
        held_out[members] = True
    if by == BY_CLASS:
        _keep_each(held_out, dev, strata)
    if not held_out.any():
        raise BertworksError(
            f"no row of {len(rows)} can be held out for dev: each is the only one of its class, or all are alike",
            "give a file, `--dev F`, or more rows of each class",
        )
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def fold_rows(rows: Sequence[Row], *, by: str, folds: int, seed: int) -> np.ndarray:
    """(N,) int64: the fold of each row, 0 … folds - 1, each with as many rows of every class as can be.

    by, seed  as `split_rows`, and its rules hold: equal texts in one fold, documents whole
    A group of rows goes where its class has the fewest rows so far, the large groups first.
    Raises BertworksError where there are fewer groups than folds.
    """
    by_stratum = _grouped(rows, _strata(rows, by), by=by, seed=seed)
    number = sum(map(len, by_stratum.values()))
    if number < folds:
        what = "documents" if are_documents_whole(rows, by) else "different texts"
        raise BertworksError(f"{len(rows)} rows with {number} {what} make no {folds} folds", "give more rows, or fewer")
    fold = np.empty(len(rows), np.int64)
    sizes = np.zeros(folds, np.int64)
    for groups in by_stratum.values():
        own = np.zeros(folds, np.int64)
        for members in sorted(groups, key=len, reverse=True):
            chosen = int(np.lexsort((sizes, own))[0])  # fewest of this class, then of all, then the first
            fold[members] = chosen
            own[chosen] += len(members)
            sizes[chosen] += len(members)
    return fold


def _grouped(rows: Sequence[Row], strata: Sequence[str], *, by: str, seed: int) -> dict[str, list[list[int]]]:
    """Stratum -> its groups of rows that stand on one side, in an order that the seed gives."""
    groups: dict[str, list[int]] = defaultdict(list)
    whole = are_documents_whole(rows, by)
    for index, row in enumerate(rows):
        key = plain(row["sentence1"]) if by == BY_QUERY else content_key(row)
        groups[str(row["document"]) if whole else key].append(index)
    by_stratum: dict[str, list[list[int]]] = defaultdict(list)
    for key in sorted(groups, key=lambda key: _rank(key, seed)):
        members = groups[key]
        by_stratum[Counter(strata[index] for index in members).most_common(1)[0][0]].append(members)
    return by_stratum


def are_documents_whole(rows: Sequence[Row], by: str) -> bool:
    """Whether all rows name their documents, so many that some can be held out whole, and nothing else parts them."""
    documents = {row.get("document") for row in rows}
    return by == BY_ROW and len(documents) >= LEAST_DOCUMENTS and all(documents)


def content_key(row: Row) -> str:
    """What counts as the same text: all texts of the row in lower case, letters and digits only."""
    texts = [row[role] for role in ("text", "sentence1", "sentence2") if isinstance(row.get(role), str)]
    if isinstance(row.get("context"), str):
        texts.append(row["context"])  # questions on one text stay together
    elif isinstance(row.get("question"), str):
        texts.append(row["question"])
    if isinstance(row.get("tokens"), (list, tuple)):
        texts.append(" ".join(map(str, row["tokens"])))
    return "\n".join(plain(text) for text in texts)


def plain(text: str) -> str:
    """Compatibility forms and case folded, letters and digits only; a text without any is itself.

    >>> plain("Where's my CARD?!")
    'wheresmycard'
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, folded)) or folded.strip()


def _rank(key: str, seed: int) -> bytes:
    return blake2b(key.encode("utf-8", "surrogatepass"), key=seed.to_bytes(8, "little"), digest_size=16).digest()


def _strata(rows: Sequence[Row], by: str) -> list[str]:
    """The class of each row, or the tenth its score lies in, or one for all."""
    if by in (BY_ROW, BY_QUERY):
        return [""] * len(rows)
    if by == BY_SCORE:
        values = np.array([row.get("score", row.get("label", 0)) for row in rows], np.float64)
        edges = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
        return [str(tenth) for tenth in np.searchsorted(edges, values, side="right").tolist()]
    return [canonical(str(row.get("label", row.get("label_text", "")))) for row in rows]


def _shares(sizes: dict[str, int], share: float) -> dict[str, int]:
    """Rows to hold out of each stratum: largest remainders, so that the sum is right; never all of a stratum."""
    total = max(1, round(share * sum(sizes.values())))
    wanted = {stratum: min(int(share * size), size - 1) for stratum, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda stratum: (int(share * sizes[stratum]) - share * sizes[stratum], stratum))
    for stratum in by_remainder:
        if sum(wanted.values()) >= total:
            break
        if wanted[stratum] < sizes[stratum] - 1:
            wanted[stratum] += 1
    return wanted


def _take(groups: Sequence[list[int]], wanted: int) -> list[list[int]]:
    """The first groups that fit in `wanted` rows; one too large is passed over."""
    taken: list[list[int]] = []
    room = wanted
    for members in groups:
        if len(members) <= room:
            taken.append(members)
            room -= len(members)
        if not room:
            break
    return taken


def _keep_each(held_out: np.ndarray, dev: Sequence[Sequence[int]], strata: Sequence[str]) -> None:
    """Give back to train the groups with a class that only dev would have: equal texts may carry several labels."""
    in_train = {stratum for stratum, out in zip(strata, held_out.tolist(), strict=True) if not out}
    for members in dev:
        if any(strata[index] not in in_train for index in members):
            held_out[members] = False
            in_train.update(strata[index] for index in members)
