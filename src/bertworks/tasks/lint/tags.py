"""Tags and marked stretches: scheme, illegal steps, types, edges inside words, one surface with several types."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from bertworks.read.tables import Table
from bertworks.tasks.lint.finding import Example, Finding, Place, examples, share, shown
from bertworks.tasks.schemes import may_begin, may_end, may_follow, scheme_of, spans_of
from bertworks.tasks.task import Row
from bertworks.tasks.words import split_text

RARE_ENTITIES = 10  # a type with fewer entities in train is rare


@dataclass
class _Seen:
    """What one split holds; entities as (place, type, surface)."""

    uneven: list[Example] = field(default_factory=list)
    sequences: list[tuple[Place, list[str]]] = field(default_factory=list)
    entities: list[tuple[Place, str, str]] = field(default_factory=list)
    inside: list[Example] = field(default_factory=list)
    outside: list[Example] = field(default_factory=list)
    spaced: list[Example] = field(default_factory=list)
    crossing: list[Example] = field(default_factory=list)


def check_tags(name: str, table: Table) -> Iterator[Finding]:
    """Findings on the tags, or the marked stretches, of one split."""
    seen = _Seen()
    for index, row in enumerate(table.rows):
        if "tags" in row:
            _look_at_tags(seen, Place(name, index), row)
        elif "spans" in row:
            _look_at_spans(seen, Place(name, index), row)
    for found, level, check, what, advice in (
        (seen.uneven, "error", "uneven_tags", "rows have not one tag a word", "mend or drop these rows"),
        (
            seen.outside,
            "error",
            "outside_text",
            "marked stretches lie outside their text",
            "places count code points from 0",
        ),
        (seen.inside, "warning", "inside_words", "entities begin or end inside a word", "the whole word is taken"),
        (seen.spaced, "warning", "spaces_at_edges", "entities begin or end with a space", "mark the words alone"),
        (seen.crossing, "warning", "overlapping_entities", "entities overlap another one", "of two, the first is kept"),
    ):
        if found:
            told = f"{name}: {len(found):,} {what}"
            yield Finding("error" if level == "error" else "warning", check, told, advice, len(found), examples(found))
    if seen.sequences:
        yield from _steps(name, seen)
    if seen.entities:
        yield from _types(name, seen, len(table.rows))


def tag_counts(table: Table) -> dict[str, int]:
    """Tag, or type of marked stretches, -> how often, the most frequent first."""
    counts: Counter[str] = Counter()
    for row in table.rows:
        if isinstance(row.get("tags"), (list, tuple)):
            counts.update(map(str, row["tags"]))
        counts.update(label for _, _, label in row.get("spans") or ())
    return dict(counts.most_common())


def _look_at_tags(seen: _Seen, place: Place, row: Row) -> None:
    tags: Any = row["tags"]
    words: Any = row.get("tokens")
    if not isinstance(words, (list, tuple)):
        words = [row["text"][start:end] for start, end in split_text(row["text"], "word")] if "text" in row else []
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        seen.uneven.append(Example((place,), f"the tags are {shown(repr(tags))}"))
        return
    if len(tags) != len(words):
        seen.uneven.append(Example((place,), f"{len(words)} words, {len(tags)} tags"))
        return
    seen.sequences.append((place, list(tags)))
    if any(tag[:1] in "BIESLUM" and tag[1:2] in ("-", "") for tag in tags):
        for span in spans_of(tags):
            seen.entities.append((place, span.type, " ".join(map(str, words[span.start : span.end]))))


def _look_at_spans(seen: _Seen, place: Place, row: Row) -> None:
    text = str(row.get("text", ""))
    edges = split_text(text, "word")
    starts, ends = {start for start, _ in edges}, {end for _, end in edges}
    reached = -1
    for start, end, label in sorted(row["spans"]):
        told = f"`{label}` {start} to {end}"
        if not 0 <= start < end <= len(text):
            seen.outside.append(Example((place,), f"{told} of {len(text)} characters"))
            continue
        surface = text[start:end]
        told = f"{told}: `{shown(surface)}`"
        if surface != surface.strip():
            seen.spaced.append(Example((place,), told))
        elif start not in starts or end not in ends:
            seen.inside.append(Example((place,), told))
        if start < reached:
            seen.crossing.append(Example((place,), told))
        reached = max(reached, end)
        seen.entities.append((place, label, surface.strip()))


def _steps(name: str, seen: _Seen) -> Iterator[Finding]:
    scheme = scheme_of([tags for _, tags in seen.sequences])
    words = sum(len(tags) for _, tags in seen.sequences)
    told = f"{name}: {words:,} words; " + (
        "tags mark no spans" if scheme == "plain" else f"written in {scheme.upper()}"
    )
    yield Finding("info", "scheme", told, "", words)
    if scheme in ("plain", "iob1"):
        return
    bad: list[Example] = []
    for place, tags in seen.sequences:
        if tags and not may_begin(tags[0], scheme):
            bad.append(Example((place,), f"`{tags[0]}` begins the row"))
        for before, tag in pairwise(tags):
            if not may_follow(before, tag, scheme):
                bad.append(Example((place,), f"`{tag}` after `{before}`"))
        if tags and not may_end(tags[-1], scheme):
            bad.append(Example((place,), f"`{tags[-1]}` ends the row"))
    if bad:
        told = f"{name}: {len(bad):,} steps from tag to tag that {scheme.upper()} does not have"
        advice = "they are read leniently (I after O opens a span) and never answered"
        yield Finding("warning", "illegal_steps", told, advice, len(bad), examples(bad))


def _types(name: str, seen: _Seen, rows: int) -> Iterator[Finding]:
    counts = Counter(kind for _, kind, _ in seen.entities)
    with_any = len({place for place, _, _ in seen.entities})
    listed = ", ".join(f"{kind or 'untyped'} {count:,}" for kind, count in counts.most_common(20))
    more = f", … ({len(counts) - 20} more)" if len(counts) > 20 else ""
    told = f"{name}: {len(seen.entities):,} entities in {share(with_any, rows)} of the rows: {listed}{more}"
    yield Finding("info", "entities", told, "", len(seen.entities))
    rare = [(kind, count) for kind, count in counts.items() if count < RARE_ENTITIES]
    if rare:
        told = f"{name}: {len(rare):,} of {len(counts):,} types have fewer than {RARE_ENTITIES} entities"
        made = (Example((), f"`{kind}` {count:,}") for kind, count in sorted(rare, key=lambda one: one[1]))
        yield Finding(
            "warning", "rare_types", told, "mark more of them, or join them with a neighbour", len(rare), examples(made)
        )
    yield from _several_types(name, seen.entities)


def _several_types(name: str, entities: Sequence[tuple[Place, str, str]]) -> Iterator[Finding]:
    """One surface with several types, those with the most entities of rarer types first."""
    by_surface: dict[str, Counter[str]] = defaultdict(Counter)
    for _, kind, surface in entities:
        by_surface[surface.casefold()][kind] += 1
    mixed = {surface: kinds for surface, kinds in by_surface.items() if len(kinds) > 1}
    if not mixed:
        return
    rarer = {surface: sum(kinds.values()) - max(kinds.values()) for surface, kinds in mixed.items()}
    places: dict[str, list[Place]] = defaultdict(list)
    for place, kind, surface in entities:
        key = surface.casefold()
        if key in mixed and kind != mixed[key].most_common(1)[0][0] and place not in places[key]:
            places[key].append(place)
    made = (
        Example(
            tuple(places[surface]),
            f"`{shown(surface)}`: " + ", ".join(f"{kind} {count}" for kind, count in mixed[surface].most_common()),
        )
        for surface in sorted(mixed, key=lambda surface: -rarer[surface])
    )
    told = f"{name}: {len(mixed):,} of {len(by_surface):,} surfaces are marked as several types"
    advice = "names are ambiguous, and annotators tire: read the rows named, which have the rarer type"
    yield Finding("info", "surfaces", told, advice, len(mixed), examples(made))
