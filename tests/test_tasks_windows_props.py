"""Windows over long texts: every token is read, every word is owned once, by a window that holds all of it."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bertworks.tasks.windows import OVERLAP, Part, cut_lengths, head, head_and_tail, pair_parts, pair_rooms, parts

WORDS = st.lists(st.integers(1, 9), min_size=0, max_size=120)


def starts_of(lengths: list[int]) -> np.ndarray:
    starts = np.zeros(sum(lengths), bool)
    starts[np.cumsum([0, *lengths[:-1]]) if lengths else []] = True
    return starts


def check_cover(found: list[Part], starts: np.ndarray, room: int) -> None:
    read = np.zeros(len(starts), int)
    for part in found:
        assert 0 <= part.end - part.start <= room
        read[part.start : part.end] += 1
    assert (read >= 1).all()
    assert sum(part.words for part in found) == starts.sum()


@given(WORDS, st.integers(4, 200))
@example([3] * 300, 126)
@settings(max_examples=400, deadline=None)
def test_parts_cover_a_text(lengths: list[int], room: int) -> None:
    starts = starts_of(lengths)
    found = parts(starts, room)
    check_cover(found, starts, room)
    assert [part.start for part in found] == sorted({part.start for part in found})
    if len(starts) <= room:
        assert len(found) == 1
    else:
        assert len(found) > 1
        least = room - room // OVERLAP - room // OVERLAP // 2  # each further window reads at least so many new tokens
        assert len(found) <= 2 + (len(starts) - room) / least


@given(st.lists(st.integers(1, 3), min_size=100, max_size=200), st.integers(64, 150))
@settings(max_examples=100, deadline=None)
def test_a_window_holds_the_words_it_owns_with_context(lengths: list[int], room: int) -> None:
    starts = starts_of(lengths)
    found = parts(starts, room)
    assume(len(found) > 1)
    begins = np.flatnonzero(starts)
    ends = np.append(begins[1:], len(starts))
    owned = 0
    for part in found:
        for begin, end in zip(begins[owned : owned + part.words], ends[owned : owned + part.words], strict=True):
            assert part.start <= begin < end <= part.end
        owned += part.words
        assert starts[part.start]  # no window begins inside a word
    borders = np.cumsum([part.words for part in found])[:-1]
    for border, left, right in zip(begins[borders], found, found[1:], strict=False):
        assert right.start <= border <= left.end
        assert abs((left.end - border) - (border - right.start)) <= 2 * 3 + 1  # the middle, up to a word


@given(WORDS, WORDS, st.integers(5, 120))
@settings(max_examples=400, deadline=None)
def test_pairs_are_covered_on_both_sides(a: list[int], b: list[int], room: int) -> None:
    starts_a, starts_b = starts_of(a), starts_of(b)
    found = pair_parts(starts_a, starts_b, room)
    for part_a, part_b in found:
        assert part_a.end - part_a.start + part_b.end - part_b.start <= room
    check_cover([part for part, _ in found], starts_a, room)
    check_cover([part for _, part in found], starts_b, room)
    shorter = min(len(starts_a), len(starts_b))
    if shorter <= room // 2:  # then it is whole in every window
        side = 0 if len(starts_a) <= len(starts_b) else 1
        assert all(pair[side].end - pair[side].start == shorter for pair in found)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 250))
@settings(max_examples=500, deadline=None)
def test_truncation_is_the_originals_loop(length_a: int, length_b: int, room: int) -> None:
    a, b = length_a, length_b
    while a + b > room:  # SPEC: pop from the longer, at a tie from the second
        if a > b:
            a -= 1
        else:
            b -= 1
    assert cut_lengths(length_a, length_b, room) == (a, b)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(4, 250))
@settings(max_examples=300, deadline=None)
def test_rooms_fill_what_there_is(length_a: int, length_b: int, room: int) -> None:
    room_a, room_b = pair_rooms(length_a, length_b, room)
    if length_a + length_b <= room:
        assert (room_a, room_b) == (length_a, length_b)
    else:
        assert room_a + room_b == room
        assert min(room_a, room_b) == min(length_a, length_b, room // 2)


@given(WORDS, st.integers(1, 200))
@settings(max_examples=300, deadline=None)
def test_words_read_by_the_head_are_whole(lengths: list[int], kept: int) -> None:
    whole = int((np.cumsum(lengths) <= kept).sum())
    assert head(starts_of(lengths), kept).words == whole


def test_head_and_tail_keep_both_ends() -> None:
    starts = starts_of([2] * 50)
    at, words = head_and_tail(starts, 41)
    assert at.tolist() == [*range(10), *range(69, 100)]
    assert words == 5 + 15  # of the tail's 31 tokens the first ends a word that began before
    assert head_and_tail(starts, 100)[1] == 50
