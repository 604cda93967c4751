"""Tag schemes: spans as seqeval reads them, leniently and strictly; every scheme written and read back; Viterbi."""

import itertools
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB2, IOBES, Entities

from bertworks.tasks.metrics import span_metrics
from bertworks.tasks.schemes import (
    SCHEMES,
    may_begin,
    may_end,
    may_follow,
    rewritten,
    scheme_of,
    spans_of,
    strict_spans,
    tags_of,
)
from bertworks.tasks.viterbi import legal_tags, legality

TYPES = ("PER", "B-Loc", "ORG")
PREFIXES = {"bio": "BI", "bioes": "BIES", "bilou": "BILU", "bmes": "BMES"}
THEIRS = {"bio": IOB2, "bioes": IOBES, "bilou": BILOU}
SPANNING = [scheme for scheme in SCHEMES if scheme != "plain"]


def tags_in(scheme: str) -> list[str]:
    return ["O", *(f"{prefix}-{kind}" for prefix in PREFIXES[scheme] for kind in TYPES)]


@pytest.mark.parametrize("scheme", THEIRS)
def test_spans_are_seqevals_on_random_tags(scheme: str) -> None:
    draw, labels, met, strict_met = random.Random(3), tags_in(scheme), 0, 0
    for _ in range(10_000):
        tags = draw.choices(labels, k=draw.randint(1, 9))
        as_bioes = [tag.replace("L-", "E-", 1).replace("U-", "S-", 1) for tag in tags] if scheme == "bilou" else tags
        wanted = [(start, end + 1, kind) for kind, start, end in get_entities(as_bioes)]
        assert [tuple(span) for span in spans_of(tags)] == wanted, tags
        strict = [(entity.start, entity.end, entity.tag) for entity in Entities([tags], THEIRS[scheme]).entities[0]]
        assert [tuple(span) for span in strict_spans(tags, scheme)] == strict, tags
        met, strict_met = met + len(wanted), strict_met + len(strict)
    assert met > strict_met > 5_000


@given(st.sampled_from(list(PREFIXES)), st.data())
def test_every_scheme_is_written_and_read_back(scheme: str, data: st.DataObject) -> None:
    tags = data.draw(st.lists(st.sampled_from(tags_in(scheme)), max_size=12))
    spans = spans_of(tags)
    for other in SPANNING:
        written = tags_of(spans, len(tags), other)
        assert spans_of(written) == spans
        assert rewritten(tags, other) == written
        if other != "iob1":
            assert strict_spans(written, other) == spans
            assert all(may_follow(a, b, other) for a, b in itertools.pairwise(written))
            assert all(may_begin(tag, other) for tag in written[:1])
            assert all(may_end(tag, other) for tag in written[-1:])


def test_schemes_are_told_apart() -> None:
    spans = spans_of(["B-A", "I-A", "I-A", "B-A", "O", "B-C", "B-A", "I-A", "B-C"])
    assert {scheme: scheme_of([tags_of(spans, 9, scheme)]) for scheme in SPANNING} == {s: s for s in SPANNING}
    assert scheme_of([["DET", "NOUN", "O"]]) == "plain"
    assert scheme_of([["B", "M", "E", "S"]]) == "bmes"
    assert scheme_of([["B", "I-A"]]) == "plain"
    assert scheme_of([["O", "O"]]) == "bio"
    assert scheme_of([["B-A", "I-A", "O", "I-A", "O", "B-A", "O", "B-C"]]) == "bio", "one slip makes no other scheme"


@pytest.mark.parametrize("scheme", ["bio", "bioes"])
def test_viterbi_finds_the_best_legal_sequence(scheme: str) -> None:
    tags = [tag for tag in tags_in(scheme) if "Loc" not in tag][: 7 if scheme == "bio" else 6]
    first, last, follow = legality(tags, scheme)
    draw, changed = np.random.default_rng(0), 0
    for _ in range(40):
        scores = [draw.normal(size=(length, len(tags))) for length in (2, 4, 1, 3)]
        for each, path in zip(scores, legal_tags(scores, tags, scheme), strict=True):

            def total(way: tuple[int, ...], each: np.ndarray = each) -> float:
                steps = sum(follow[a, b] for a, b in itertools.pairwise(way))
                return float(first[way[0]] + last[way[-1]] + steps + sum(each[i, tag] for i, tag in enumerate(way)))

            assert tuple(path) == max(itertools.product(range(len(tags)), repeat=len(each)), key=total)
            changed += bool((path != each.argmax(-1)).any())
    assert changed > 20
    plain = legal_tags(scores, tags, "plain")
    assert all((path == each.argmax(-1)).all() for path, each in zip(plain, scores, strict=True))
    assert legal_tags([np.empty((0, len(tags)))], tags, scheme)[0].shape == (0,)


def test_scores_are_those_that_conlleval_prints(shared_data: Path) -> None:
    folder = shared_data / "labelled" / "scorers"
    known = json.loads(zstandard.open(folder / "known_answers.json.zst", "rt", encoding="utf-8").read())["conlleval"]
    assert len(known) == 3
    for one in known:
        text = zstandard.open(folder / f"{one['file']}.zst", "rt", encoding="utf-8").read()
        blocks = [[line.split() for line in block.split("\n") if line.strip()] for block in text.split("\n\n")]
        gold, said = ([spans_of([line[at] for line in block]) for block in blocks] for at in (-2, -1))
        found = span_metrics(gold, said)
        wanted = re.search(r"precision: +([\d.]+)%; recall: +([\d.]+)%; FB1: +([\d.]+)", one["report"])
        assert wanted is not None
        told = [f"{100 * found[name]:.2f}" for name in ("precision", "recall", "f1")]
        assert told == list(wanted.groups()), one["file"]
