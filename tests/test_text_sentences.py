"""Sentence borders: the cases English and Chinese are known for."""

from __future__ import annotations

import pytest

from bertworks.text.sentences import split


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split(text)]


# Each case is written with | where a border must be; spaces around it are the text's own.
ENGLISH = [
    "The cat sat. |The dog ran! |Did it? |Yes.",
    "Mr. Smith met Dr. Jones on Baker St. in London. |They spoke.",
    "Prof. J. R. R. Tolkien wrote it. |It sold well.",
    "It cost $3.50, i.e. less than e.g. Version 2.1.3 did. |Good.",
    "He lives in the U.S. Army barracks. |She left the U.S. |They wrote.",
    "We met at 5 p.m. on Jan. 5, 1990. |It rained.",
    "See Fig. 3 and No. 7 of vol. 2. |See also Eq. 4.",
    "He said no. |Then he left.",
    "Acme Inc. Announced results with Beta Ltd. and Co. partners. |The rest waited.",
    "Smith et al. (2010) disagree. |Others, etc., agree.",
    '"Stop!" he cried. |"Why?" |She ran.',
    'He said "yes." |Then (he did.) |[She did.] |‘Fine.’ |End.',
    "Well... |Maybe. |And then... nothing happened. |What?! |Really.",
    "It grew.[1] |It fell.[12][3] |It ended.",
    "1. Introduction to it. |2.1. Methods used. |IV. Results.",
    "Use example.com or a.b.c for it. |OK.",
    "Line one\n|line two\r\n|line three\u2028|line four.",
    "  Leading space. |Trailing space.   ",
    "A paragraph.\n\n\n|Another one",
    "We took vitamin C. |The rest took D.",
    "Washington, D.C. is warm. |In D.C. |The heat stays.",
    "Émile left. |Élise stayed. |Ça va.",
]
CHINESE = [
    "你好。|我是学生！|你呢？|好；|再见。",
    "他说：“我走了。”|然后他走了。",
    "（他来了。）|她没有来。",
    "真的？！|是的。",
    '他说"好。"|然后走了。|"再见。"',
    "价格是3.14元。|版本是2.0。",
    "你好!|我是谁?|他是Inc.公司的人。",
    "我……我不知道。|走吧。",
    "第一行\n|第二行",
    "「走吧！」|他喊道。|『好。』|完。",
    "这是U.S.的地图。|完",
]


@pytest.mark.parametrize("marked", ENGLISH + CHINESE)
def test_borders(marked: str) -> None:
    text = marked.replace("|", "")
    assert sentences(text) == [part.strip() for part in marked.split("|")]


def test_cases_hold_borders_and_traps() -> None:
    """Power: the cases above have borders, and stops that are none."""
    marked = "".join(ENGLISH)
    assert marked.count("|") > 30
    assert marked.count(". ") > marked.count(". |") + 10


@pytest.mark.parametrize("text", ["", "   ", "\n\n", "\u2028"])
def test_nothing_to_split(text: str) -> None:
    assert split(text) == []


def test_offsets_count_code_points() -> None:
    text = "\U0001f600 Hi. \U00020000。Bye"
    assert split(text) == [(0, 5), (6, 8), (8, 11)]
    assert sentences(text) == ["\U0001f600 Hi.", "\U00020000。", "Bye"]
