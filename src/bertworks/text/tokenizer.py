"""Text to token ids and back.

T  tokens of one text        V  tokens of the vocabulary

The work is done by the Rust library `tokenizers`, or by exact.py where the original's rules are wanted to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding as RustEncoding
from tokenizers import Tokenizer as RustTokenizer

from bertworks.base.errors import BertworksError
from bertworks.text.exact import ExactPieces, Pieces
from bertworks.text.folder import read_description, write_folder
from bertworks.text.rules import Description, build_rust
from bertworks.text.vocabulary import CONTINUATION

Ids = npt.NDArray[np.int32]

BATCH_CHARS = 1 << 20  # of text in work at once: 5,000 sentences keep the threads busy, and take 50 MB
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Encoding:
    """One text in tokens.

    input_ids       (T,) int32
    offset_mapping  (T, 2) int32, start and end (exclusive) in code points of the text
    word_ids        (T,) int32, the word each token belongs to; punctuation marks are words
    """

    input_ids: Ids
    offset_mapping: Ids
    word_ids: Ids


class Tokenizer:
    """A BERT vocabulary with its rules.

    tokens, vocab, vocab_size       (V,) tokens in id order, token -> id, V
    lowercase                       whether texts are lower-cased
    pad_token_id, unk_token_id, …   ids of the special tokens, read from the vocabulary
    special_ids                     ids of all special tokens, ascending
    continuation                    (V,) bool, True for pieces that go on a word ("##ing")
    fingerprint                     hex SHA-256 of everything that decides which ids a text gets
    """

    def __init__(self, description: Description) -> None:
        self._description = description
        self.tokens: list[str] = list(description.tokens)
        self.vocab: dict[str, int] = description.vocab
        self.vocab_size = len(self.tokens)
        self.lowercase = description.rules.lowercase
        self.pad_token_id, self.unk_token_id, self.cls_token_id, self.sep_token_id, self.mask_token_id = (
            self.vocab[description.special_names[role]] for role in ("pad", "unk", "cls", "sep", "mask")
        )
        special = {token.content for token in description.added if token.special}
        self.special_ids: tuple[int, ...] = tuple(sorted(self.vocab[token] for token in special))
        in_model = self.tokens[: description.model_tokens]
        self.continuation: npt.NDArray[np.bool_] = np.zeros(self.vocab_size, dtype=bool)
        self.continuation[: len(in_model)] = [token.startswith(CONTINUATION) for token in in_model]

    @staticmethod
    def load(path: str | Path, *, lowercase: bool | None = None, exact: bool = False) -> Tokenizer:
        """The tokenizer of a folder (`tokenizer.json` or `vocab.txt`, and `tokenizer_config.json`) or of a `vocab.txt`.

        lowercase  None = as the folder says; where it says nothing, lower-cased if no token holds a capital
        exact      the original release's rules to the letter (slower); a folder saved with them keeps them
        Raises BertworksError for what is missing, broken, repeated or not WordPiece.
        """
        return Tokenizer(read_description(Path(path), lowercase=lowercase, exact=exact))

    def save(self, directory: str | Path) -> None:
        """Write the four files transformers' AutoTokenizer reads into `directory`, which is made if need be."""
        write_folder(self._description, Path(directory))

    def encode(self, texts: Sequence[str], *, specials: bool = False) -> list[Ids]:
        """The ids of each text, int32 (T,), without [CLS] and [SEP] around.

        specials  whether "[SEP]", "[MASK]" and the like in a text are the special tokens; else they are plain text
        """
        return list(chain.from_iterable(self._encode_batch(batch, specials) for batch in _batches(texts)))

    def encode_with_offsets(self, texts: Sequence[str], *, specials: bool = False) -> list[Encoding]:
        """The ids of each text with the places they come from; `specials` as in `encode`."""
        if self._description.rules.exact:
            return [_encoding(self._exact_pieces(text, specials)) for text in _checked(texts)]
        return [
            Encoding(
                np.array(rust.ids, dtype=np.int32),
                np.array(rust.offsets, dtype=np.int32).reshape(-1, 2),
                np.array([-1 if word is None else word for word in rust.word_ids], dtype=np.int32),
            )
            for batch in _batches(texts)
            for rust in self._rust(specials).encode_batch(_without_surrogates(batch), add_special_tokens=False)
        ]

    def decode(self, ids: Sequence[int] | Ids, *, skip_specials: bool = True) -> str:
        """Readable text of ids: pieces joined, no space before marks such as "." and ","; specials left out.

        Raises BertworksError for an id outside the vocabulary.
        """
        listed = [int(token_id) for token_id in ids]
        outside = [token_id for token_id in listed if not 0 <= token_id < self.vocab_size]
        if outside:
            raise BertworksError(
                f"id {outside[0]:,} is outside the vocabulary of {self.vocab_size:,} tokens",
                "the ids were made with another vocabulary",
            )
        return self._plain.decode(listed, skip_special_tokens=skip_specials)

    def _encode_batch(self, batch: list[str], specials: bool) -> Iterator[Ids]:
        """Rows of one array: a call of numpy a text costs more than the text's tokens."""
        rows: Sequence[Sequence[int]]
        if self._description.rules.exact:
            rows = [self._exact_pieces(text, specials).ids if specials else self._exact.encode(text) for text in batch]
        else:
            encoded: list[RustEncoding] = self._rust(specials).encode_batch_fast(
                _without_surrogates(batch), add_special_tokens=False
            )
            rows = [rust.ids for rust in encoded]
        ends = np.cumsum([len(row) for row in rows]).tolist()
        flat = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=ends[-1])
        return (flat[start:end] for start, end in zip([0, *ends], ends, strict=False))

    def _exact_pieces(self, text: str, specials: bool) -> Pieces:
        """The original's pieces; with `specials`, special tokens cut the text first, each a word of its own."""
        if not specials:
            return self._exact.encode_with_offsets(text)
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        words: list[int] = []
        start = 0
        for match in [*self._special_pattern.finditer(text), None]:
            pieces = self._exact.encode_with_offsets(text[start : match.start() if match else None])
            next_word = words[-1] + 1 if words else 0
            ids += pieces.ids
            spans += [(first + start, end + start) for first, end in pieces.spans]
            words += [next_word + word for word in pieces.words]
            if match:
                ids.append(self.vocab[match[0]])
                spans.append(match.span())
                words.append(words[-1] + 1 if words else 0)
                start = match.end()
        return Pieces(tuple(ids), tuple(spans), tuple(words))

    @cached_property
    def _exact(self) -> ExactPieces:
        return ExactPieces(self.vocab, unk_token_id=self.unk_token_id, lowercase=self.lowercase)

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        longest_first = sorted((self.tokens[token_id] for token_id in self.special_ids), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)))

    def _rust(self, specials: bool) -> RustTokenizer:
        return self._with_specials if specials else self._plain

    @cached_property
    def _plain(self) -> RustTokenizer:
        return build_rust(self._description, specials=False)

    @cached_property
    def _with_specials(self) -> RustTokenizer:
        return build_rust(self._description, specials=True)

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of everything that decides which ids a text gets."""
        return self._description.fingerprint

    def __reduce__(self) -> tuple[type[Tokenizer], tuple[Description]]:
        return Tokenizer, (self._description,)  # the library's own pickle forgets what is plain text

    def __repr__(self) -> str:
        casing = "uncased" if self.lowercase else "cased"
        return f"Tokenizer({self.vocab_size:,} tokens, {casing}{', exact' * self._description.rules.exact})"


def _checked(texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str):
        raise TypeError("encode takes a list of texts; for one text give [text]")
    return texts


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in turn, in lists of about BATCH_CHARS."""
    batch: list[str] = []
    chars = 0
    for text in _checked(texts):
        batch.append(text)
        chars += len(text)
        if chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _without_surrogates(batch: list[str]) -> list[str]:
    """Half surrogate pairs, which no UTF-8 can hold, as U+FFFD, which is dropped; the offsets stay."""
    try:
        "".join(batch).encode()
    except UnicodeEncodeError:
        return [_SURROGATES.sub("\ufffd", text) for text in batch]
    return batch


def _encoding(pieces: Pieces) -> Encoding:
    return Encoding(
        np.array(pieces.ids, dtype=np.int32),
        np.array(pieces.spans, dtype=np.int32).reshape(-1, 2),
        np.array(pieces.words, dtype=np.int32),
    )
