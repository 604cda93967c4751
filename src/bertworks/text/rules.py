"""What makes two tokenizers the same: tokens, special tokens, and the rules by which text becomes words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property

from tokenizers import AddedToken
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

from bertworks.text import exact
from bertworks.text.vocabulary import CONTINUATION, SPECIAL_NAMES

MAX_WORD_CHARS = 100  # as `tokenizers` and transformers; a longer word becomes one [UNK]. The original: 200 (exact.py)


@dataclass(frozen=True)
class Rules:
    """How text becomes words and words become pieces.

    strip_accents           None = as `lowercase`, which is the original's rule
    tokenize_chinese_chars  every CJK ideograph is a word
    clean_text              drop control characters, make every white space a space
    max_word_chars          a longer word is one [UNK]; 200 where `exact`
    exact                   the original's rules in Python (exact.py) instead of those of `tokenizers`
    normalizer              a foreign `tokenizer.json`'s own, as JSON, in place of the three flags above
    pre_tokenizer           likewise, in place of splitting at white space and punctuation
    """

    lowercase: bool
    strip_accents: bool | None = None
    tokenize_chinese_chars: bool = True
    clean_text: bool = True
    max_word_chars: int = MAX_WORD_CHARS
    exact: bool = False
    normalizer: str | None = None
    pre_tokenizer: str | None = None

    @property
    def is_standard(self) -> bool:
        """Whether transformers' BertTokenizer, given only the flags, does the same."""
        return (
            self.clean_text
            and self.max_word_chars == MAX_WORD_CHARS
            and not self.exact
            and self.normalizer is None
            and self.pre_tokenizer is None
        )


@dataclass(frozen=True)
class Added:
    """A token found in the text before it is split into words."""

    content: str
    special: bool = True
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False

    def for_rust(self) -> AddedToken:
        """The same as the library writes it."""
        return AddedToken(
            self.content,
            special=self.special,
            single_word=self.single_word,
            lstrip=self.lstrip,
            rstrip=self.rstrip,
            normalized=self.normalized,
        )


@dataclass(frozen=True)
class Description:
    """All that a tokenizer is.

    tokens         in id order; the first `model_size` are WordPiece's, the rest are found whole only
    added          tokens looked for in the text; the five special ones among them
    special_names  role ("pad", "unk", "cls", "sep", "mask") -> token
    """

    tokens: tuple[str, ...]
    rules: Rules
    special_names: Mapping[str, str] = field(default_factory=lambda: dict(SPECIAL_NAMES))
    added: tuple[Added, ...] = tuple(Added(token) for token in SPECIAL_NAMES.values())
    model_size: int = -1
    model_max_length: int | None = None

    @cached_property
    def vocab(self) -> dict[str, int]:
        """Token -> id."""
        return {token: token_id for token_id, token in enumerate(self.tokens)}

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of everything that decides which ids a text gets."""
        rules = asdict(self.rules)
        if rules["strip_accents"] is None:
            rules["strip_accents"] = self.rules.lowercase
        added = sorted((asdict(token) for token in self.added), key=lambda token: str(token["content"]))
        parts = [self.tokens, self.model_tokens, rules, added, sorted(self.special_names.items())]
        return hashlib.sha256(json.dumps(parts, ensure_ascii=True, sort_keys=True).encode()).hexdigest()

    @property
    def model_tokens(self) -> int:
        """How many of the tokens, from the first on, WordPiece may use."""
        return len(self.tokens) if self.model_size < 0 else self.model_size


def build_rust(description: Description, *, specials: bool) -> RustTokenizer:
    """The tokenizer of the `tokenizers` library for a description.

    specials  whether special tokens are looked for in texts, else they are split as any text is
    """
    rules = description.rules
    names = description.special_names
    vocab = {token: token_id for token_id, token in enumerate(description.tokens[: description.model_tokens])}
    rust = RustTokenizer(
        WordPiece(
            vocab,
            unk_token=names["unk"],
            max_input_chars_per_word=exact.MAX_WORD_CHARS if rules.exact else rules.max_word_chars,
            continuing_subword_prefix=CONTINUATION,
        )
    )
    rust.normalizer = BertNormalizer(
        clean_text=rules.clean_text,
        handle_chinese_chars=rules.tokenize_chinese_chars,
        strip_accents=rules.strip_accents,
        lowercase=rules.lowercase,
    )
    rust.pre_tokenizer = BertPreTokenizer()
    _put_foreign_parts(rust, rules)
    ids = description.vocab
    rust.post_processor = TemplateProcessing(
        single=f"{names['cls']}:0 $A:0 {names['sep']}:0",
        pair=f"{names['cls']}:0 $A:0 {names['sep']}:0 $B:1 {names['sep']}:1",
        special_tokens=[(names[role], ids[names[role]]) for role in ("cls", "sep")],
    )
    rust.decoder = WordPieceDecoder(prefix=CONTINUATION)
    for token in sorted(
        description.added, key=lambda token: ids[token.content]
    ):  # new ones get their ids in this order
        (rust.add_special_tokens if token.special else rust.add_tokens)([token.for_rust()])
    rust.encode_special_tokens = not specials
    return rust


def _put_foreign_parts(rust: RustTokenizer, rules: Rules) -> None:
    """Replace normaliser and pre-tokeniser by those a foreign file described; the library reads only a whole."""
    if rules.normalizer is None and rules.pre_tokenizer is None:
        return
    whole = json.loads(RustTokenizer(WordPiece({}, unk_token="[UNK]")).to_str())
    whole["normalizer"] = json.loads(rules.normalizer or "null")
    whole["pre_tokenizer"] = json.loads(rules.pre_tokenizer or "null")
    foreign = RustTokenizer.from_str(json.dumps(whole))
    if rules.normalizer is not None:
        rust.normalizer = foreign.normalizer
    if rules.pre_tokenizer is not None:
        rust.pre_tokenizer = foreign.pre_tokenizer
