"""The original's instance builder to the letter: create_pretraining_data.py, draw by draw, from one generator.

Training does not run this: segments.py plans `nsp-bert` for all documents at once, equal in distribution. This is what
it is measured against, and what makes the very instances that the released script makes of a text and a seed.

Letters: D documents, M tokens of a pair without its specials, T tokens a document's instances aim at.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bertworks.text.tokenizer import Tokenizer

Sentence = Sequence[int]  # ids without specials
Document = Sequence[Sentence]

RANDOM_TRIES = 10  # to hit another document; then the document itself is taken, and still called random


@dataclass(frozen=True)
class Instance:
    """One pair with its masks.

    input_ids, token_type_ids         (T,) with [CLS] and [SEP]s, masks in place
    masked_positions, masked_labels   (P,) ascending places, and the ids that stood there
    is_random                         next_sentence_label
    """

    input_ids: list[int]
    token_type_ids: list[int]
    masked_positions: list[int]
    masked_labels: list[int]
    is_random: bool


@dataclass(frozen=True)
class Settings:
    """The script's flags, with its defaults."""

    seed: int = 12345
    max_length: int = 128
    max_predictions: int = 20
    duplicates: int = 10
    mask_probability: float = 0.15
    short_probability: float = 0.1
    whole_words: bool = False


def read_documents(lines: Iterable[str], tokenizer: Tokenizer) -> list[list[list[int]]]:
    """One sentence a line, an empty line between documents; what has no tokens is left out."""
    documents: list[list[list[int]]] = [[]]
    for line in lines:
        text = line.strip()
        if not text:
            documents.append([])
        elif len(ids := tokenizer.encode([text])[0]):
            documents[-1].append(ids.tolist())
    return [document for document in documents if document]


def create_instances(documents: Iterable[Document], tokenizer: Tokenizer, settings: Settings) -> list[Instance]:
    """All instances in the order the script writes them."""
    draw = random.Random(settings.seed)
    shuffled = list(documents)
    draw.shuffle(shuffled)
    instances = []
    for _ in range(settings.duplicates):
        for number in range(len(shuffled)):
            for a, b, is_random in document_pairs(shuffled, number, settings, draw):
                instances.append(_instance(a, b, is_random, tokenizer, settings, draw))
    draw.shuffle(instances)
    return instances


def document_pairs(
    documents: Sequence[Document], number: int, settings: Settings, draw: random.Random
) -> Iterable[tuple[list[int], list[int], bool]]:
    """The pairs (A, B, whether B is random) of one pass over one document.

    Lazy: the masks of a pair are drawn before the next pair is.
    """
    document = documents[number]
    limit = settings.max_length - 3
    target = limit
    if draw.random() < settings.short_probability:
        target = draw.randint(2, limit)
    chunk: list[Sentence] = []
    tokens = 0
    i = 0
    while i < len(document):
        chunk.append(document[i])
        tokens += len(document[i])
        if i == len(document) - 1 or tokens >= target:
            a_end = draw.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
            a = _joined(chunk[:a_end])
            is_random = len(chunk) == 1 or draw.random() < 0.5
            if is_random:
                b = _random_segment(documents, number, target - len(a), draw)
                i -= len(chunk) - a_end  # the sentences that were not used are read again
            else:
                b = _joined(chunk[a_end:])
            _truncate(a, b, limit, draw)
            yield a, b, is_random
            chunk, tokens = [], 0
        i += 1


def _random_segment(documents: Sequence[Document], number: int, wanted: int, draw: random.Random) -> list[int]:
    """Sentences of another document from a random one on, until `wanted` tokens are there; at least one sentence."""
    for _ in range(RANDOM_TRIES):
        other = draw.randint(0, len(documents) - 1)
        if other != number:
            break
    start = draw.randint(0, len(documents[other]) - 1)
    segment: list[int] = []
    for sentence in documents[other][start:]:
        segment.extend(sentence)
        if len(segment) >= wanted:
            break
    return segment


def _truncate(a: list[int], b: list[int], limit: int, draw: random.Random) -> None:
    """Drop tokens of the longer side (a tie: B), by a coin at its front or its end, until both fit."""
    while len(a) + len(b) > limit:
        longer = a if len(a) > len(b) else b
        if draw.random() < 0.5:
            del longer[0]
        else:
            longer.pop()


def _instance(
    a: list[int], b: list[int], is_random: bool, tokenizer: Tokenizer, settings: Settings, draw: random.Random
) -> Instance:
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    input_ids = [cls, *a, sep, *b, sep]
    positions, labels = mask_tokens(input_ids, tokenizer, settings, draw)
    return Instance(input_ids, [0] * (len(a) + 2) + [1] * (len(b) + 1), positions, labels, is_random)


def mask_tokens(
    input_ids: list[int], tokenizer: Tokenizer, settings: Settings, draw: random.Random
) -> tuple[list[int], list[int]]:
    """Choose and replace tokens in place; returns the places, ascending, and what stood there.

    Specials other than [CLS] and [SEP] may be chosen, and any token of the vocabulary may be drawn, as in the script.
    With whole words a piece that goes on a word joins the set before it, even across [SEP].
    """
    untouched = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    candidates: list[list[int]] = []
    for place, token in enumerate(input_ids):
        if token in untouched:
            continue
        if settings.whole_words and candidates and tokenizer.continuation[token]:
            candidates[-1].append(place)
        else:
            candidates.append([place])
    draw.shuffle(candidates)
    wanted = min(settings.max_predictions, max(1, round(len(input_ids) * settings.mask_probability)))
    chosen: dict[int, int] = {}
    for places in candidates:
        if len(chosen) >= wanted:
            break
        if len(chosen) + len(places) > wanted:
            continue
        for place in places:
            chosen[place] = token = input_ids[place]
            if draw.random() < 0.8:
                input_ids[place] = tokenizer.mask_token_id
            elif draw.random() >= 0.5:
                input_ids[place] = draw.randint(0, tokenizer.vocab_size - 1)
            else:
                input_ids[place] = token
    positions = sorted(chosen)
    return positions, [chosen[place] for place in positions]


def _joined(sentences: Iterable[Sentence]) -> list[int]:
    return [token for sentence in sentences for token in sentence]
