"""The texts of the rows: equal, nearly equal, labelled two ways, in train and dev at once, empty, short or long."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bertworks.read.tables import Table
from bertworks.tasks.lint.finding import Example, Finding, Place, examples, gold_of, share, shown, texts_of
from bertworks.tasks.lint.near import near_duplicates
from bertworks.tasks.split import plain
from bertworks.tasks.task import Row

if TYPE_CHECKING:
    from bertworks.text.tokenizer import Tokenizer

SHORT_WORDS = 2  # a text of at most so many words is very short
LONG_TIMES, LONG_WORDS = 10, 100  # a text of so many medians and more words than this is very long
MOST_NEAR = 500_000  # rows among which near-duplicates are looked for: about a minute
MIXED_SHARE = 0.5  # of the letters of a row are of another script than most rows are written in
SCRIPTS = {
    "latin": "A-Za-z\u00c0-\u024f\u1e00-\u1eff",
    "cjk": "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
    "cyrillic": "\u0400-\u052f",
    "greek": "\u0370-\u03ff",
    "arabic": "\u0600-\u06ff",
    "hebrew": "\u0590-\u05ff",
    "devanagari": "\u0900-\u097f",
    "hangul": "\uac00-\ud7af",
    "thai": "\u0e00-\u0e7f",
}
_SCRIPTS = {name: re.compile(f"[{letters}]+") for name, letters in SCRIPTS.items()}
_WORD = re.compile(f"[{SCRIPTS['cjk']}]|[^\\W{SCRIPTS['cjk']}]+")


class Lengths(NamedTuple):
    """Of the rows of one split: words, or tokens with the special ones."""

    median: float
    most: float
    longest: int


def key_of(row: Row) -> str:
    """What counts as the same input: all texts in lower case, letters and digits only; of a row in words each word."""
    tokens = row.get("tokens")
    if isinstance(tokens, (list, tuple)):
        return "\n".join(plain(str(token)) for token in tokens)
    return "\n".join(plain(text) for text in texts_of(row))


def repeats(rows: Sequence[Row]) -> tuple[int, int]:
    """Rows that repeat an earlier one's text, and texts with two labels or more: the cheap part of this file."""
    labels: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        labels[key_of(row)].add(gold_of(row))
    return len(rows) - len(labels), sum(len(found) > 1 for found in labels.values())


def check_texts(tables: Mapping[str, Table]) -> Iterator[Finding]:
    """Findings on the rows of all splits together."""
    groups: dict[str, list[Place]] = defaultdict(list)
    for name, table in tables.items():
        for index, row in enumerate(table.rows):
            groups[key_of(row)].append(Place(name, index))
    filled = {key: places for key, places in groups.items() if key.strip()}
    yield from _repeated(tables, filled)
    yield from _overlapping(tables, filled)
    yield from _near(tables, filled)
    for name, table in tables.items():
        yield from _empty(name, table)
        yield from _lengths(name, table)
        yield from _scripts(name, table)


def word_lengths(rows: Sequence[Row]) -> list[int]:
    """Words of each row, all its texts together; a Chinese character is a word."""
    return [sum(len(_WORD.findall(text)) for text in texts_of(row)) for row in rows]


def lengths_of(numbers: Sequence[int]) -> Lengths:
    """Median, 95th percentile, maximum."""
    median, most = np.percentile(numbers, [50, 95])
    return Lengths(float(median), float(most), int(max(numbers)))


def check_windows(name: str, table: Table, tokenizer: Tokenizer, window: int) -> Iterator[Finding]:
    """Tokens of the rows, specials included, and the share that one window does not hold."""
    counts = np.zeros(len(table.rows), np.int64)
    texts = [texts_of(row) for row in table.rows]
    for side in range(max(map(len, texts))):
        places = [index for index, parts in enumerate(texts) if side < len(parts)]
        pieces = tokenizer.encode([texts[index][side] for index in places])
        counts[places] += [len(ids) + 1 for ids in pieces]  # [SEP]
    counts += 1  # [CLS]
    found = lengths_of(counts.tolist())
    over = np.flatnonzero(counts > window)
    told = f"{name}: {found.median:.0f} tokens in the median row, 95% up to {found.most:.0f}, longest {found.longest:,}"
    order = over[np.argsort(-counts[over], kind="stable")].tolist()
    yield Finding(
        "info",
        "tokens",
        f"{told}; {share(len(over), len(counts))} of the rows are longer than a window of {window}",
        "longer texts are read in overlapping windows: slower, and nothing is lost" if order else "",
        len(order),
        examples(Example((Place(name, index),), f"{counts[index]:,} tokens") for index in order),
    )


def _text(tables: Mapping[str, Table], place: Place) -> str:
    return " / ".join(shown(text) for text in texts_of(tables[place.split].rows[place.row]))


def _repeated(tables: Mapping[str, Table], groups: Mapping[str, list[Place]]) -> Iterator[Finding]:
    """Exact duplicates within a split, and equal texts with different labels anywhere."""
    same: list[Example] = []
    clashing: list[Example] = []
    extra = 0
    for places in groups.values():
        if len(places) == 1:
            continue
        by_split: dict[str, list[Place]] = defaultdict(list)
        for place in places:
            by_split[place.split].append(place)
        for own in by_split.values():
            if len(own) > 1:
                extra += len(own) - 1
                same.append(Example(tuple(own), _text(tables, own[0])))
        labels = Counter(gold_of(tables[split].rows[index]) for split, index in places)
        if len(labels) > 1:
            told = ", ".join(f"`{shown(label)}` {count}" for label, count in labels.most_common())
            clashing.append(Example(tuple(places), f"{told}: {_text(tables, places[0])}"))
    rows = sum(len(table.rows) for table in tables.values())
    if same:
        told = f"{share(extra, rows)} of the rows repeat an earlier text of their file, but for case and punctuation"
        advice = "drop the copies, unless how often a text comes is part of the task"
        yield Finding("warning", "duplicates", told, advice, extra, examples(same))
    if clashing:
        told = (
            f"{len(clashing):,} texts stand with different labels, in {sum(len(one.places) for one in clashing):,} rows"
        )
        advice = "decide for one label each; no model can learn both"
        yield Finding("warning", "conflicts", told, advice, len(clashing), examples(clashing))


def _overlapping(tables: Mapping[str, Table], groups: Mapping[str, list[Place]]) -> Iterator[Finding]:
    """Texts of dev and test that an earlier split has."""
    names = list(tables)
    for at, name in enumerate(names[1:], 1):
        for earlier in names[:at]:
            found = [places for places in groups.values() if {name, earlier} <= {place.split for place in places}]
            own = sum(place.split == name for places in found for place in places)
            if not own:
                continue
            told = f"{share(own, len(tables[name].rows))} of the rows of {name} stand in {earlier} too"
            pairs = (tuple(place for place in places if place.split in (earlier, name)) for places in found)
            yield Finding(
                "warning",
                "overlap",
                told,
                f"take them out of {earlier}: the figures of {name} flatter",
                own,
                examples(Example(places, _text(tables, places[0])) for places in pairs),
            )


def _near(tables: Mapping[str, Table], groups: Mapping[str, list[Place]]) -> Iterator[Finding]:
    """Texts that share four fifths of their words, within a split and between splits."""
    firsts = [places[0] for places in groups.values()]
    cut = len(firsts) > MOST_NEAR
    firsts = firsts[:MOST_NEAR]
    rows = [texts_of(tables[split].rows[index]) for split, index in firsts]
    within: list[Example] = []
    between: dict[str, list[Example]] = defaultdict(list)
    for index, like, similarity in near_duplicates(rows):
        here, there = firsts[index], firsts[like]
        labels = [gold_of(tables[place.split].rows[place.row]) for place in (there, here)]
        other = "" if labels[0] == labels[1] else f", labels `{shown(labels[0])}` and `{shown(labels[1])}`"
        example = Example((there, here), f"{similarity:.0%} alike{other}: {_text(tables, here)}")
        (within if here.split == there.split else between[here.split]).append(example)
    limit = f" (among the first {MOST_NEAR:,} distinct texts)" if cut else ""
    if within:
        told = f"{len(within):,} rows share four fifths of their words with an earlier row of their file{limit}"
        advice = "look whether they are copies; other labels on them are often mistakes"
        yield Finding("info", "near_duplicates", told, advice, len(within), examples(within))
    for name, found in between.items():
        told = (
            f"{share(len(found), len(tables[name].rows))} of the rows of {name} are nearly rows of another split{limit}"
        )
        advice = f"such rows of {name} are easier than new texts will be"
        yield Finding("warning", "near_overlap", told, advice, len(found), examples(found))


def _empty(name: str, table: Table) -> Iterator[Finding]:
    found = [index for index, row in enumerate(table.rows) if not all(text.strip() for text in texts_of(row))]
    if found:
        told = f"{name}: {share(len(found), len(table.rows))} of the rows have an empty text"
        advice = "they are kept, and read as [CLS][SEP]; drop them if that is not meant"
        yield Finding(
            "warning", "empty", told, advice, len(found), examples(Example((Place(name, at),), "") for at in found)
        )


def _lengths(name: str, table: Table) -> Iterator[Finding]:
    counts = word_lengths(table.rows)
    found = lengths_of(counts)
    told = f"{name}: {found.median:.0f} words in the median row, 95% up to {found.most:.0f}, longest {found.longest:,}"
    yield Finding("info", "words", told, "", len(counts))
    short = [index for index, count in enumerate(counts) if 0 < count <= SHORT_WORDS]
    if short:
        told = f"{name}: {share(len(short), len(counts))} of the rows have at most {SHORT_WORDS} words"
        made = (Example((Place(name, index),), _text({name: table}, Place(name, index))) for index in short)
        yield Finding("info", "short", told, "", len(short), examples(made))
    limit = max(LONG_WORDS, LONG_TIMES * found.median)
    long = sorted((index for index, count in enumerate(counts) if count > limit), key=lambda index: -counts[index])
    if long:
        told = f"{name}: {share(len(long), len(counts))} of the rows are very long, more than {limit:.0f} words"
        advice = "look whether several texts have run together, as after a quote that is not closed"
        made = (Example((Place(name, index),), f"{counts[index]:,} words") for index in long)
        yield Finding("warning", "long", told, advice, len(long), examples(made))


def _scripts(name: str, table: Table) -> Iterator[Finding]:
    main: list[str] = []
    letters: Counter[str] = Counter()
    for row in table.rows:
        text = " ".join(texts_of(row))
        patterns = {"latin": _SCRIPTS["latin"]} if text.isascii() else _SCRIPTS
        counts = {script: sum(map(len, pattern.findall(text))) for script, pattern in patterns.items()}
        letters.update(counts)
        most = max(counts, key=lambda script: counts[script])
        main.append(most if counts[most] > MIXED_SHARE * sum(counts.values()) else "")
    total = sum(letters.values())
    if not total:
        return
    usual = Counter(script for script in main if script).most_common(1)
    other = [index for index, script in enumerate(main) if script and usual and script != usual[0][0]]
    if not other:
        return
    kinds = ", ".join(f"{script} {count / total:.1%}" for script, count in letters.most_common() if count)
    told = (
        f"{name}: {share(len(other), len(main))} of the rows are written in another script than most; letters: {kinds}"
    )
    made = (
        Example((Place(name, index),), f"{main[index]}: {_text({name: table}, Place(name, index))}") for index in other
    )
    yield Finding(
        "info", "scripts", told, "is the model's vocabulary made for all of them?", len(other), examples(made)
    )
