"""Split English and Chinese text into sentences, by where they stand.

One scan finds every mark that can end a sentence; a few questions about its neighbours decide. A border is never set
inside a word, a number or an abbreviation; where English leaves it open ("in the U.S. Army" or "in the U.S. They") a
capital alone does not make one, a word that mostly begins sentences does.
"""

from __future__ import annotations

import re

from bertworks.text.exact import CJK

_LINE_ENDS = "\n\r\x0b\x0c\x85\u2028\u2029"
_WIDE_STOPS = "。！？；｡"
_CLOSERS = "”’»›)\\]}」』）】》〉＂"

# Fast because it begins with one set of characters; what follows depends on which of them was found. Of a row of stops
# only the first is tried, and nothing is given back (*+): ten thousand full stops take as long as ten thousand letters.
# 1: English stop, with its closing quotes, brackets and footnote marks     2: Chinese stop, with its closers
_STOPS = re.compile(
    f"[.!?…{_WIDE_STOPS}{_LINE_ENDS}](?:"
    f"(?<=[.!?…])(?<![.!?…]{{2}})([.!?…]*+[{_CLOSERS}\"']*+(?:\\[[0-9]{{1,3}}\\])*+)(?:\\s+|(?=[{CJK}“「『《【]))"
    f"|(?<=[{_WIDE_STOPS}])([{_WIDE_STOPS}.!?…～~]*[{_CLOSERS}]*)\\s*"
    f"|(?<=[{_LINE_ENDS}])\\s*)"
)
_WORD_AFTER = re.compile(r"[\"'“‘«(\[]*([A-Za-z]+(?:['’][a-z]+)?)")
_ENUMERATOR = re.compile(r"[(\[]?(?:[0-9]+(?:\.[0-9]+)*|[A-Za-z]|[ivxIVX]+)")
LONGEST_ABBREVIATION = 8  # of those below; "U.S.S.R." has seven before its stop
_ACRONYM = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")  # U.S., p.m., Ph.D. is among the words below


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


# Something always follows these.
_LEADING = _words(
    """mr mrs ms mx dr prof rev hon gen col maj capt cmdr lt sgt cpl pvt adm gov sen rep pres supt insp fr st mme mlle
    messrs e.g i.e eg ie cf viz vs v ca approx esp incl resp ed eds trans transl"""
)
# A number follows these, or they are ordinary words.
_BEFORE_NUMBERS = _words(
    """no nos p pp fig figs eq eqs sec sect vol vols ch chap art arts par pt bk op jan feb mar apr jun jul aug sep sept
    oct nov dec"""
)
# These can end a sentence, or stand inside one.
_TRAILING = _words(
    "etc inc ltd co corp bros jr sr esq ph.d phd al est dept univ assn ave blvd rd mt ft min max ext tel"
)
# Words that mostly begin sentences when they have a capital.
_STARTERS = _words(
    """The This That These Those There Then Thus Therefore They Their He His She Her It Its We Our I You Your My A An In
    On At By For From With Without Within To As If When While Where Who What Why How Which After Before Since Until
    Although Though Because But And Or So Yet However Moreover Furthermore Meanwhile Nevertheless Some Many Most Several
    Both Each Every All No Not Other Others Another Such One Two Three Here Now Today Later Once During Under Over
    According Despite Also Only Even Instead Finally First Second It's He's She's They're There's That's Don't I'm"""
)


def split(text: str) -> list[tuple[int, int]]:
    """Start and end (exclusive) of each sentence, in code points.

    Sentences are in order and disjoint, begin and end with a character that is no white space, and together hold every
    such character. A line end is always a border.
    """
    spans: list[tuple[int, int]] = []
    start = len(text) - len(text.lstrip())
    for match in _STOPS.finditer(text, start):
        kind = match.lastindex
        at = match.start()
        if kind is None:
            end = at
            while end > start and text[end - 1].isspace():
                end -= 1
        elif kind == 1:
            end = match.end(1)
            if not _ends_english(text, start, at, end, match.end()):
                continue
        else:
            end = _with_straight_quote(text, start, match.end(2))
        if end > start:
            spans.append((start, end))
        start = max(match.end(), end)
        while start < len(text) and text[start].isspace():
            start += 1
    end = len(text.rstrip())
    if end > start:
        spans.append((start, end))
    return spans


def _ends_english(text: str, start: int, at: int, end: int, following: int) -> bool:
    """Whether the stop at `at`, closed at `end`, ends the sentence begun at `start`; `following` is what comes next."""
    gap = text[end:following]
    if following >= len(text) or (gap != " " and any(char in _LINE_ENDS for char in gap)):
        return True
    if not gap:
        return text[at] in "!?"  # glued to Chinese, where a point may belong to a name and an ellipsis go on
    after = text[following]
    if after.islower() or after in ",;:)]}%":
        return False
    if text[at] != "." or text[at + 1] in ".!?…":
        return True  # what was asked, exclaimed or left open is no abbreviation
    if at - start <= 6 and _ENUMERATOR.fullmatch(text, start, at):
        return False  # "1. Introduction"
    words = text[max(start, at - LONGEST_ABBREVIATION - 1) : at].split()
    before = words[-1].lstrip("([{\"'“‘«") if words else ""
    if len(before) > LONGEST_ABBREVIATION:
        return True
    plain = before.lower()
    if plain in _LEADING:
        return False
    if plain in _BEFORE_NUMBERS:
        return not after.isdigit()
    if plain in _TRAILING or _ACRONYM.fullmatch(before) or (len(before) == 1 and before.isupper()):
        starter = _WORD_AFTER.match(text, following)
        return starter is not None and starter[1] in _STARTERS
    return True


def _with_straight_quote(text: str, start: int, end: int) -> int:
    """The end after a straight quote that closes one opened in this sentence: both look the same."""
    if end < len(text) and text[end] in "\"'" and text.count(text[end], start, end) % 2:
        return end + 1
    return end
