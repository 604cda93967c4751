"""Column names → roles: what each column is for, by its name, and in a file without a header by position where plain.

A pair of texts is found only where names say so; two columns that happen to stand first are never a pair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bertworks.base.errors import BertworksError, did_you_mean

# role -> names, in tiers: a name of the first tier wins; several of one later tier are not chosen between
NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "text": (
        ("text",),
        ("sentence",),
        ("review", "content", "comment", "tweet", "utterance", "document", "message", "body", "post", "text a"),
        ("review text", "review body", "comment text", "full text", "article", "query", "headline", "title"),
    ),
    "label": (
        ("label",),
        ("gold label", "labels"),
        ("class", "category", "intent", "sentiment", "is duplicate", "entailment judgment"),
        ("target", "topic", "emotion", "polarity", "rating", "stars", "gold", "y"),
    ),
    "label_text": (("label text",), ("label desc", "label name", "label description", "label str")),
    "score": (("score",), ("similarity score", "relatedness score", "similarity", "relatedness")),
    "id": (("id",), ("index", "idx", "guid", "uid", "pair id", "pairid", "qid", "sentence id", "example id")),
    "question": (("question",),),
    "context": (("context",), ("passage",)),
    "answers": (("answers",),),
    "tokens": (("tokens",),),
    "tags": (("tags",), ("ner tags", "pos tags")),
    "spans": (("spans",), ("entities", "ner", "annotations")),
    "choices": (("choices",), ("endings", "options", "candidates", "passages", "documents")),
    "negative": (("negative",), ("hard negative",)),
    "document": (),  # of tags alone, and never guessed: a CoNLL file says it, or the user
}
PAIRS = (
    ("sentence1", "sentence2"),
    ("sentence 1", "sentence 2"),
    ("premise", "hypothesis"),
    ("sentence a", "sentence b"),
    ("sentencea", "sentenceb"),
    ("text1", "text2"),
    ("text 1", "text 2"),
    ("text a", "text b"),
    ("question1", "question2"),
    ("question 1", "question 2"),
    ("#1 string", "#2 string"),
    ("sent1", "sent2"),
    ("s1", "s2"),
    ("q1", "q2"),
    ("query1", "query2"),
    ("question", "sentence"),  # QNLI
    ("anchor", "positive"),
    ("query", "passage"),
    ("query", "document"),
    ("query", "positive"),
)
SYNONYMS = {"premise": "sentence1", "hypothesis": "sentence2"}  # roles a user may write that are others
ROLES = (*NAMES, "sentence1", "sentence2", *SYNONYMS)
GOLD = ("label", "label_text", "score", "tags", "spans", "answers")
INPUTS = ("text", "sentence1", "sentence2", "negative", "question", "context", "tokens", "choices")
SAMPLE = 2000  # rows looked at where a column without a name is judged
LABEL_CHARS = 40  # a class name is no longer


@dataclass(frozen=True)
class Roles:
    """Which column plays which role.

    columns  role -> index into the header
    because  role -> a reason, where it was not simply the column's name
    """

    columns: dict[str, int]
    because: dict[str, str] = field(default_factory=dict)


def plain_name(name: str) -> str:
    """Lower case, `_`, `-` and `.` as one space: `Gold_Label` is `gold label`."""
    return re.sub(r"[\s_\-.]+", " ", name.strip().strip("\ufeff").lower()).strip()


KNOWN = frozenset(name for tiers in NAMES.values() for tier in tiers for name in tier) | frozenset(
    name for pair in PAIRS for name in pair
)


def known_names(header: Sequence[str]) -> int:
    """How many of the names are known."""
    return sum(plain_name(name) in KNOWN for name in header)


def find_roles(
    path: str,
    header: Sequence[str],
    values: Sequence[Sequence[Any]],
    *,
    has_header: bool,
    columns: Mapping[str, str] | None,
    labelled: bool,
) -> Roles:
    """Choose the columns.

    header    (n,) names, "1", "2" … where the file has none
    values    rows of n cells, for columns without a name only
    columns   role -> name, as the user wrote it; goes before everything found here
    labelled  a gold column must be there
    Raises BertworksError where a named column is missing, two columns fit one role, or no text or gold is found.
    """
    asked = _asked(path, header, columns or {}, has_header=has_header)
    found, because = (_by_name(path, header, asked), {}) if has_header else _by_position(header, values, asked)
    chosen = {role: index for role, index in found.items() if index not in asked.values()}
    if {"text", "sentence1"} & asked.keys():
        chosen = {role: index for role, index in chosen.items() if role not in INPUTS}
    if set(GOLD) & asked.keys():
        chosen = {role: index for role, index in chosen.items() if role not in GOLD}
    chosen.update(asked)
    _complete(path, header, values, chosen, has_header=has_header, labelled=labelled)
    return Roles(chosen, {role: reason for role, reason in because.items() if role not in asked})


def _asked(path: str, header: Sequence[str], columns: Mapping[str, str], *, has_header: bool) -> dict[str, int]:
    found: dict[str, int] = {}
    for written, name in columns.items():
        role = SYNONYMS.get(written, written)
        if role not in NAMES and role not in ("sentence1", "sentence2"):
            close = did_you_mean(written, ROLES)
            raise BertworksError(f"`{written}` is not a role of a column", close or f"roles: {', '.join(ROLES)}")
        exact = [index for index, there in enumerate(header) if there == name]
        near = exact or [index for index, there in enumerate(header) if plain_name(there) == plain_name(name)]
        if not near:
            there = "the columns are" if has_header else "there is no header, the columns are numbered"
            shown = ", ".join(f"`{column}`" for column in header[:30])
            raise BertworksError(
                f"{path}: no column `{name}` for the {role}; {there} {shown}",
                did_you_mean(name, header) or f"name one of them: `--columns {role}=…`",
            )
        if len(near) > 1:
            raise BertworksError(f"{path}: {len(near)} columns are named `{name}`", "rename all but one")
        found[role] = near[0]
    if ("sentence1" in found) != ("sentence2" in found):
        raise BertworksError(
            f"{path}: `--columns` names one text of a pair", "name both, `sentence1=…,sentence2=…`, or `text=…`"
        )
    return found


def _by_name(path: str, header: Sequence[str], asked: Mapping[str, int]) -> dict[str, int]:
    names = [plain_name(name) for name in header]
    found: dict[str, int] = {}
    for first, second in PAIRS:
        if names.count(first) == 1 and names.count(second) == 1:
            found["sentence1"], found["sentence2"] = names.index(first), names.index(second)
            break
    for role, tiers in NAMES.items():
        if role in asked or (role == "text" and ({"text", "sentence1", "tokens"} & asked.keys())):
            continue
        if role in GOLD and set(GOLD) & asked.keys():
            continue
        for tier in tiers:
            there = [i for i, name in enumerate(names) if name in tier and i not in found.values()]
            if len(there) > 1:
                if role in ("text", "label", "score") and not (role == "text" and "sentence1" in found):
                    raise _several(path, role, [header[i] for i in there])
                there = there[:1]
            if there:
                found[role] = there[0]
                break
    _settle(path, header, found)
    return found


def _settle(path: str, header: Sequence[str], found: dict[str, int]) -> None:
    """Decide between the kinds of input a header may name at once."""
    names = [plain_name(name) for name in header]
    if "sentence1" in found and "text" in found:
        if names[found["text"]] == "text":
            pair = " and ".join(f"`{header[found[role]]}`" for role in ("sentence1", "sentence2"))
            raise BertworksError(
                f"{path}: has the text in `{header[found['text']]}` and a pair in {pair}",
                "say which: `--columns text=…` or `--columns sentence1=…,sentence2=…`",
            )
        del found["text"]
    if "sentence2" not in found or names[found["sentence2"]] != "positive":
        found.pop("negative", None)  # else a column of figures may be called so
    if "sentence1" in found:
        for role in ("question", "context"):
            found.pop(role, None)
    if {"tokens", "tags"} <= found.keys() or {"question", "context"} <= found.keys():
        found.pop("text", None)


def _several(path: str, role: str, names: Sequence[str]) -> BertworksError:
    if len(set(names)) < len(names):
        return BertworksError(f"{path}: {len(names)} columns are named `{names[0]}`", "rename all but one")
    shown = " and ".join(f"`{name}`" for name in names)
    return BertworksError(f"{path}: the {role} may be in {shown}", f"say which: `--columns {role}={names[0]}`")


def _by_position(
    header: Sequence[str], values: Sequence[Sequence[Any]], asked: Mapping[str, int]
) -> tuple[dict[str, int], dict[str, str]]:
    """Without a header, two columns are plain where one holds classes and the other text; one column is text."""
    if len(header) == 1:
        return {"text": 0}, {"text": "the only column"}
    if asked:
        only_label = asked.keys() == {"label"} and len(header) == 2
        return ({"text": 1 - asked["label"]}, {"text": "the other column"}) if only_label else ({}, {})
    if len(header) != 2:
        return {}, {}
    classes = [holds_classes([row[index] for row in values[:SAMPLE]]) for index in (0, 1)]
    if classes[0] == classes[1]:
        return {}, {}
    label = classes.index(True)
    return (
        {"text": 1 - label, "label": label},
        {"label": "no header; few values, all short", "text": "no header; the other column"},
    )


def holds_classes(cells: Sequence[Any]) -> bool:
    """Whether a column looks like classes: short values, most of them several times."""
    there = [str(cell) for cell in cells if str(cell).strip()]
    distinct = set(there)
    if not there or max(map(len, distinct)) > LABEL_CHARS:
        return False
    return len(distinct) <= max(2, len(there) // 3)


def _complete(
    path: str,
    header: Sequence[str],
    values: Sequence[Sequence[Any]],
    chosen: Mapping[str, int],
    *,
    has_header: bool,
    labelled: bool,
) -> None:
    no_input = not set(INPUTS) & chosen.keys()
    no_gold = labelled and not {*GOLD, "negative"} & chosen.keys()
    if not no_input and not no_gold:
        return
    lacks = " and ".join(word for word, lacking in (("the text", no_input), ("the label", no_gold)) if lacking)
    shown = ", ".join(f"`{name}`" for name in header[:30])
    kind = "the columns are" if has_header else "there is no header, the columns are numbered"
    raise BertworksError(
        f"{path}: no column is known to hold {lacks}; {kind} {shown}",
        _suggestion(header, values, chosen, no_input=no_input, no_gold=no_gold),
    )


def _suggestion(
    header: Sequence[str], values: Sequence[Sequence[Any]], chosen: Mapping[str, int], *, no_input: bool, no_gold: bool
) -> str:
    """A `--columns` that would do, with the longest free columns as texts and one with few values as label."""
    sample = values[:SAMPLE]
    free = [index for index in range(len(header)) if index not in chosen.values()]
    cells = {index: ["" if row[index] is None else str(row[index]) for row in sample] for index in free}
    wanted: dict[str, str] = {}
    if no_gold:
        labels = [index for index in free if holds_classes(cells[index])]
        if labels:
            label = min(labels, key=lambda index: (len(set(cells[index])) < 2, sum(map(len, cells[index]))))
            wanted["label"] = header[label]
            free.remove(label)
    if no_input and free:
        mean = {index: sum(map(len, cells[index])) / max(1, len(sample)) for index in free}
        texts = sorted(free, key=lambda index: -mean[index])
        if len(texts) > 1 and mean[texts[1]] > 0.4 * mean[texts[0]]:
            first, second = sorted(texts[:2])
            pair = ",".join([f"sentence1={quoted(header[first])}", f"sentence2={quoted(header[second])}"])
            tail = "".join(f",{role}={quoted(name)}" for role, name in wanted.items())
            one = f"text={quoted(header[texts[0]])}"
            return f"say which: `--columns {pair}{tail}` for a pair, `--columns {one}{tail}` for one text"
        wanted["text"] = header[texts[0]]
    only = "" if no_input else "; without labels a file can only be predicted"
    if not wanted:
        return f"say which: `--columns {'text=…,' * no_input}label=…`{only}"
    named = ",".join(f"{role}={quoted(wanted[role])}" for role in ("text", "label") if role in wanted)
    return f"say which, perhaps `--columns {named}`{only}"


def quoted(name: str) -> str:
    """A column's name as `--columns` takes it: in double quotes where it holds `,` or `=`."""
    return f'"{name}"' if set(name) & set(',="') else name
