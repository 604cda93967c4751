"""Tags of words and the spans they mark: IOB1, BIO, BIOES, BILOU and BMES, told apart, read and written.

A tag is `O`, or a prefix and a type (`B-PER`); a scheme without types has bare prefixes (`B`). Tags that are none of
these, such as parts of speech, are the scheme `plain`: they mark no spans.

Two rules read spans. The lenient one is conlleval's (and seqeval's default): I after O, or after another type, opens a
span. The strict one (seqeval's `mode="strict"`) takes only spans that are written as their scheme wants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

TWO, FOUR = ("iob1", "bio"), ("bioes", "bilou", "bmes")
SCHEMES = (*TWO, *FOUR, "plain")
OUTSIDE = "O"
_TAG = re.compile(r"([BIOESLUM])(?:-(.*))?", re.DOTALL)
_PREFIXES = {"iob1": "BI", "bio": "BI", "bioes": "BIES", "bilou": "BILU", "bmes": "BMES"}
_AS_BIES = str.maketrans("LUM", "ESI")  # of another scheme's prefixes, what they are in BIOES


class Span(NamedTuple):
    """Words [start, end) of one type."""

    start: int
    end: int
    type: str


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag that is not plain, the prefix as in BIOES: `L-PER` is ("E", "PER"), `O` ("O", "").

    >>> split_tag("U-B-Loc")
    ('S', 'B-Loc')
    """
    found = _TAG.fullmatch(tag)
    return (found[1].translate(_AS_BIES), found[2] or "") if found else (OUTSIDE, "")


def scheme_of(sequences: Iterable[Sequence[str]]) -> str:
    """The scheme that tags are written in. Between IOB1 and BIO the one they break less often, at a tie BIO."""
    there = [list(tags) for tags in sequences]
    distinct = {tag for tags in there for tag in tags} - {OUTSIDE}
    matches = [_TAG.fullmatch(tag) for tag in distinct]
    if not distinct or not all(found and found[1] != OUTSIDE for found in matches):
        return "plain" if distinct else "bio"
    if len({found[2] is None for found in matches if found}) > 1:
        return "plain"  # some with a type, some without
    prefixes = {found[1] for found in matches if found}
    for scheme in ("bio", *FOUR):
        if prefixes <= set(_PREFIXES[scheme]):
            return scheme if scheme != "bio" or _breaks_bio(there) <= _breaks_iob1(there) else "iob1"
    return "plain"


def spans_of(tags: Sequence[str]) -> list[Span]:
    """Spans by the lenient rule, in order; of any scheme but plain."""
    found: list[Span] = []
    before, type_before, start = OUTSIDE, "", -1
    for place, tag in enumerate((*tags, OUTSIDE)):
        prefix, kind = split_tag(tag)
        is_other = kind != type_before
        if start >= 0 and (before in "ES" or prefix in "BSO" or is_other):
            found.append(Span(start, place, type_before))
            start = -1
        if prefix != OUTSIDE and (prefix in "BS" or before in "ESO" or is_other):
            start = place
        before, type_before = prefix, kind
    return found


def strict_spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """Spans that are written as BIO, or the schemes of four prefixes, want; IOB1 is to be rewritten first."""
    found: list[Span] = []
    split = [split_tag(tag) for tag in tags]
    place = 0
    while place < len(split):
        prefix, kind = split[place]
        end = place + 1
        if prefix in "BS":
            while prefix == "B" and end < len(split) and split[end] == ("I", kind):
                end += 1
            if scheme in FOUR and prefix == "B":
                is_closed = end < len(split) and split[end] == ("E", kind)
                end += is_closed
            else:
                is_closed = True
            if is_closed:
                found.append(Span(place, end, kind))
        place = end
    return found


def tags_of(spans: Iterable[Span], length: int, scheme: str) -> list[str]:
    """Tags of `length` words in a scheme; of spans that overlap the first counts, or the longer one."""
    tags = [OUTSIDE] * length
    last: Span | None = None
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if last is not None and span.start < last.end:
            continue
        touches = last is not None and last.end == span.start and last.type == span.type
        for place, prefix in zip(range(span.start, span.end), _written(span, scheme, touches=touches), strict=True):
            tags[place] = f"{prefix}-{span.type}" if span.type else prefix
        last = span
    return tags


def rewritten(tags: Sequence[str], scheme: str) -> list[str]:
    """Tags of any scheme but plain, in another one."""
    return tags_of(spans_of(tags), len(tags), scheme)


def is_of_another(tag: str, scheme: str) -> bool:
    """Whether a tag has a prefix that a scheme, any but plain, does not have: `S-PER` is no BIO."""
    found = _TAG.fullmatch(tag)
    return found is not None and found[1] not in _PREFIXES[scheme] + OUTSIDE


def may_begin(tag: str, scheme: str) -> bool:
    """Whether a legal sequence of BIO or a scheme of four prefixes begins with a tag."""
    return may_follow(OUTSIDE, tag, scheme)


def may_end(tag: str, scheme: str) -> bool:
    """Whether a legal sequence ends with a tag."""
    return may_follow(tag, OUTSIDE, scheme)


def may_follow(tag: str, after: str, scheme: str) -> bool:
    """Whether `after` may stand behind `tag`; in `plain` and IOB1 anything may."""
    if scheme in ("plain", "iob1"):
        return True
    (prefix, kind), (next_prefix, next_kind) = split_tag(tag), split_tag(after)
    goes_on = next_prefix in "IE"
    if scheme == "bio":
        return not goes_on or (prefix in "BI" and kind == next_kind)
    is_open = prefix in "BI"
    return goes_on == is_open and (not is_open or kind == next_kind)


def _written(span: Span, scheme: str, *, touches: bool) -> str:
    """The prefixes of one span. touches: a span of the same type ends where this one begins."""
    length = span.end - span.start
    if scheme == "iob1":
        return ("B" if touches else "I") + "I" * (length - 1)
    if scheme == "bio":
        return "B" + "I" * (length - 1)
    four = {"bioes": "BIES", "bilou": "BILU", "bmes": "BMES"}[scheme]  # begin, inside, end, single
    return four[3] if length == 1 else four[0] + four[1] * (length - 2) + four[2]


def _breaks_bio(sequences: Sequence[Sequence[str]]) -> int:
    return sum(
        not may_follow(before, tag, "bio")
        for tags in sequences
        for before, tag in zip((OUTSIDE, *tags), tags, strict=False)
    )


def _breaks_iob1(sequences: Sequence[Sequence[str]]) -> int:
    """B where no span of its type stands before."""
    return sum(
        split_tag(tag)[0] == "B" and split_tag(before) not in (("B", split_tag(tag)[1]), ("I", split_tag(tag)[1]))
        for tags in sequences
        for before, tag in zip((OUTSIDE, *tags), tags, strict=False)
    )
