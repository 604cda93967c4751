"""How right an answer's text is: the official scripts of SQuAD 1.1, SQuAD 2.0 and CMRC 2018, rule by rule.

SQuAD: evaluate-v1.1.py and evaluate-v2.0.py of rajpurkar/SQuAD-explorer. CMRC: cmrc2018_evaluate.py of ymcui/cmrc2018.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
# the marks that CMRC's script removes; the ASCII full stop is not among them
_CMRC_MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》……·、「」（）－～『』")
_CJK = re.compile(r"[\u4e00-\u9fa5]")


class Right(NamedTuple):
    """Of one question: exact match and F1, each 0 to 1, the best over the gold answers."""

    exact: float
    f1: float


def normalised(text: str) -> str:
    """Lower case, ASCII punctuation and the articles gone, white space as one space.

    >>> normalised("The  U.S.-based  A")
    'usbased'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def squad(said: str, gold: Sequence[str]) -> Right:
    """SQuAD 2.0's rule, which is 1.1's but for empty answers: no gold answer is the gold answer "".

    Gold answers of which nothing is left are passed over; where none is left, "" is right.
    """
    wanted = [text for text in gold if normalised(text)] or [""]
    return Right(
        max(float(normalised(said) == normalised(text)) for text in wanted), max(_f1(said, text) for text in wanted)
    )


def cmrc(said: str, gold: Sequence[str]) -> Right:
    """CMRC 2018's rule: characters of Chinese, words of the rest; F1 of the longest common stretch of both."""
    wanted = gold or [""]
    exact = max(float(_cmrc_plain(said) == _cmrc_plain(text)) for text in wanted)
    return Right(exact, max(_cmrc_f1(said, text) for text in wanted))


RULES: dict[str, Callable[[str, Sequence[str]], Right]] = {"squad": squad, "cmrc": cmrc}


class Best(NamedTuple):
    """The greatest mean score, and the threshold that gives it: no answer where the null score is above it."""

    score: float
    threshold: float


def best_threshold(
    scores: Sequence[float], has_answer: Sequence[bool], said: Sequence[str], null: Sequence[float]
) -> Best:
    """The threshold on the null scores with the best mean score, ties in the null score kept together.

    scores      of each question where its answer is given
    has_answer  whether there is a gold answer
    said        the answers
    null        the greater, the likelier is no answer
    The official script splits ties and cannot name a threshold below its start of 0 (docs/formats.md).
    """
    total = len(scores)
    current = float(sum(not has for has in has_answer))
    best, threshold = current, min(null, default=0.0) - 1.0
    order = sorted(range(total), key=null.__getitem__)
    for place, i in enumerate(order):
        if has_answer[i]:
            current += scores[i]
        elif said[i]:
            current -= 1
        is_last_of_tie = place + 1 == total or null[order[place + 1]] > null[i]
        if is_last_of_tie and current > best:
            best, threshold = current, null[i]
    return Best(best / max(total, 1), threshold)


def official_best(
    scores: Sequence[float], has_answer: Sequence[bool], said: Sequence[str], null: Sequence[float]
) -> Best:
    """As evaluate-v2.0.py's `find_best_thresh`, flaws and all: from 0.0 on, one question at a time."""
    current = float(sum(not has for has in has_answer))
    best, threshold = current, 0.0
    for i in sorted(range(len(scores)), key=null.__getitem__):
        current += scores[i] if has_answer[i] else -1 if said[i] else 0
        if current > best:
            best, threshold = current, null[i]
    return Best(best / max(len(scores), 1), threshold)


def _f1(said: str, gold: str) -> float:
    ours, theirs = normalised(said).split(), normalised(gold).split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))


def _cmrc_plain(text: str) -> str:
    return "".join(char for char in text.lower().strip() if char not in _CMRC_MARKS)


def _cmrc_segments(text: str) -> list[str]:
    """Chinese characters and removed marks end a run; marks are dropped, a run is split at white space."""
    found: list[str] = []
    run = ""
    for char in text.lower().strip():
        if _CJK.match(char) or char in _CMRC_MARKS:
            found.extend(run.split())
            run = ""
            if char not in _CMRC_MARKS:
                found.append(char)
        else:
            run += char
    return [*found, *run.split()]


def _cmrc_f1(said: str, gold: str) -> float:
    ours, theirs = _cmrc_segments(said), _cmrc_segments(gold)
    longest = _longest_common(ours, theirs)
    return 2 * longest / (len(ours) + len(theirs)) if longest else 0.0


def _longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """The length of the longest stretch that both hold."""
    best = 0
    row = [0] * (len(b) + 1)
    for one in a:
        row = [0, *(row[j] + 1 if one == other else 0 for j, other in enumerate(b))]
        best = max(best, *row)
    return best
