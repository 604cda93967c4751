"""A look at the text before the work: the first documents as a human reads them, and whether the vocabulary fits."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bertworks.base.errors import BertworksError
from bertworks.read.documents import Document, Reading, ReadReport, read_documents
from bertworks.text.sentences import split
from bertworks.text.tokenizer import Tokenizer

FILES = 8  # looked into, spread evenly over the input
CHARS_PER_FILE = 20_000  # about 4,000 tokens: a share of 5% is known within 1%
EXAMPLE_CHARS = 110
FEW_CJK = 2000  # characters; ordinary Chinese text uses 3,500
_CJK = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\uac00-\ud7af]")


@dataclass(frozen=True)
class Example:
    """One document for human eyes: where it stands, how it was cut, how it begins, as text and as tokens."""

    source: str
    sentences: int
    tokens: int
    text: str
    pieces: str

    def __str__(self) -> str:
        size = f"{self.sentences:,} sentence{'s' * (self.sentences != 1)}, {self.tokens:,} tokens"
        return f"{self.source}: {size}\n  text    {self.text}\n  tokens  {self.pieces}"


@dataclass(frozen=True)
class Preview:
    """What a look at the text showed.

    examples  the first documents
    files     path → how it was read, of the files looked into
    tokens    looked at
    unknown   of them, [UNK]
    bytes     of their text
    """

    examples: list[Example]
    files: dict[Path, str]
    tokens: int
    unknown: int
    bytes: int


def preview(
    files: Sequence[Path], tokenizer: Tokenizer, how: Reading, *, max_unknown: float, examples: int = 2
) -> Preview:
    """Look into up to 8 of `files`.

    Raises BertworksError when more than the share `max_unknown` of a file's sampled tokens are [UNK].
    """
    step = max(1, len(files) // FILES)
    shown: list[Example] = []
    read: dict[Path, str] = {}
    tokens = unknown = text_bytes = 0
    for path in files[::step][:FILES]:
        report = ReadReport()
        documents = _first_documents(path, how, report)
        ids = [np.concatenate(_encoded(document.text, tokenizer)) for document in documents]
        sampled = sum(map(len, ids))
        lost = sum(int(np.count_nonzero(one == tokenizer.unk_token_id)) for one in ids)
        if lost > max_unknown * sampled:
            raise _unknown(path, sampled, lost, max_unknown, documents, tokenizer)
        shown += [_example(document, tokenizer) for document in documents[: examples - len(shown)]]
        read |= report.files
        tokens += sampled
        unknown += lost
        text_bytes += sum(len(document.text.encode()) for document in documents)
    return Preview(shown, read, tokens, unknown, text_bytes)


def _first_documents(path: Path, how: Reading, report: ReadReport) -> list[Document]:
    """Documents until there is enough text; the last one cut."""
    found: list[Document] = []
    chars = 0
    for document in read_documents([path], how, report):
        found.append(Document(document.text[: CHARS_PER_FILE - chars], document.source))
        chars += len(found[-1].text)
        if chars >= CHARS_PER_FILE:
            break
    return found


def _encoded(text: str, tokenizer: Tokenizer) -> list[np.ndarray]:
    return [np.zeros(0, dtype=np.int32), *tokenizer.encode([text[start:end] for start, end in split(text)])]


def _example(document: Document, tokenizer: Tokenizer) -> Example:
    sentences = _encoded(document.text, tokenizer)[1:]
    spans = split(document.text)
    text = document.text[slice(*spans[0])] if spans else ""
    pieces = " ".join(tokenizer.tokens[token_id] for token_id in sentences[0]) if sentences else ""
    return Example(document.source, len(spans), sum(map(len, sentences)), _cut(text), _cut(pieces))


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= EXAMPLE_CHARS else text[: EXAMPLE_CHARS - 1] + "…"


def _unknown(
    path: Path, sampled: int, lost: int, limit: float, documents: Sequence[Document], tokenizer: Tokenizer
) -> BertworksError:
    words = Counter(
        document.text[start:end]
        for document in documents
        for encoding in tokenizer.encode_with_offsets([document.text])
        for token_id, (start, end) in zip(encoding.input_ids, encoding.offset_mapping.tolist(), strict=True)
        if token_id == tokenizer.unk_token_id
    )
    chinese = sum(count for word, count in words.items() if _CJK.search(word))
    there = sum(len(token) == 1 and _CJK.match(token) is not None for token in tokenizer.tokens)
    if 2 * chinese > lost and there < FEW_CJK:
        why = f"the vocabulary has {f'only {there:,}' if there else 'no'} CJK characters"
    else:
        often = ", ".join(f"`{word[:20]}`" for word, _ in words.most_common(3))
        why = f"most often unknown: {often}"
    return BertworksError(
        f"{path}: {100 * lost / sampled:.1f}% of {sampled:,} sampled tokens became `[UNK]` (limit {100 * limit:g}%)",
        f"{why}; learn a vocabulary from this text with `bertworks vocab`, or allow it with `--max-unknown`",
    )
