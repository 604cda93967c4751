"""Questions on texts: answers that are not where they should be, questions without an answer, long answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bertworks.read.tables import Table
from bertworks.tasks.lint.finding import Example, Finding, Place, examples, share, shown
from bertworks.tasks.lint.texts import lengths_of, word_lengths

MOST_WORDS = 30  # of an answer; longer ones are never given


def check_answers(name: str, table: Table) -> Iterator[Finding]:
    """Findings on the gold answers of one split."""
    off: list[Example] = []
    lost: list[Example] = []
    empty: list[Example] = []
    without = 0
    texts: list[tuple[Place, str]] = []
    for index, row in enumerate(table.rows):
        place, context, answers = Place(name, index), str(row["context"]), row.get("answers") or []
        without += not answers
        for text, start in answers:
            texts.append((place, text))
            there = context[start : start + len(text)] if start >= 0 else ""
            if not text.strip():
                empty.append(Example((place,), "an answer without text; no answer is an empty list"))
            elif text not in context:
                lost.append(Example((place,), f"`{shown(text)}` stands nowhere in its text"))
            elif start >= 0 and there != text:
                off.append(Example((place,), f"at {start:,} stands `{shown(there)}`, not `{shown(text)}`"))
    rows = len(table.rows)
    if empty:
        told = f"{name}: {len(empty):,} answers hold no text"
        yield Finding(
            "error", "empty_answers", told, "give an empty list where there is no answer", len(empty), examples(empty)
        )
    if lost:
        told = f"{name}: {len(lost):,} answers stand nowhere in their text"
        advice = "they cannot be learnt or given; is the text cut off, or the answer reworded?"
        yield Finding("warning", "lost_answers", told, advice, len(lost), examples(lost))
    if off:
        told = f"{name}: {len(off):,} answers stand in their text, but not at their place"
        advice = "places count code points from 0; such answers are scored by their text, and not learnt from"
        yield Finding("warning", "misplaced_answers", told, advice, len(off), examples(off))
    level = "warning" if without == rows else "info"
    told = f"{name}: {share(without, rows)} of the questions have no answer"
    yield Finding("warning" if level == "warning" else "info", "unanswered", told, "", without)
    if texts:
        yield from _answer_lengths(name, texts)
    yield from _ids(name, table)


def _answer_lengths(name: str, texts: list[tuple[Place, str]]) -> Iterator[Finding]:
    counts = word_lengths([{"text": text} for _, text in texts])
    found = lengths_of(counts)
    told = (
        f"{name}: {found.median:.0f} words in the median answer, 95% up to {found.most:.0f}, longest {found.longest:,}"
    )
    yield Finding("info", "answer_words", told, "", len(texts))
    long = sorted((at for at, count in enumerate(counts) if count > MOST_WORDS), key=lambda at: -counts[at])
    if long:
        told = f"{name}: {share(len(long), len(texts))} of the answers have more than {MOST_WORDS} words"
        made = (Example((texts[at][0],), f"{counts[at]:,} words: {shown(texts[at][1])}") for at in long)
        advice = f"an answer given has at most {MOST_WORDS} tokens; shorten them to what answers the question"
        yield Finding("warning", "long_answers", told, advice, len(long), examples(made))


def _ids(name: str, table: Table) -> Iterator[Finding]:
    """Scorers tell questions apart by their id."""
    counts = Counter(str(row["id"]) for row in table.rows if row.get("id") not in (None, ""))
    repeated = {one for one, count in counts.items() if count > 1}
    if repeated:
        places: dict[str, list[Place]] = {one: [] for one in repeated}
        for index, row in enumerate(table.rows):
            if str(row.get("id")) in repeated:
                places[str(row["id"])].append(Place(name, index))
        made = (Example(tuple(found), f"id `{one}`") for one, found in places.items())
        told = f"{name}: {len(repeated):,} ids stand on several questions"
        yield Finding("warning", "repeated_ids", told, "number them anew", len(repeated), examples(made))
