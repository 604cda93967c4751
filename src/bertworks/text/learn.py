"""Learn a WordPiece vocabulary: count words, choose characters, merge the pairs that occur most.

The same text gives the same vocabulary, whatever the number of threads: the Rust trainer breaks ties by the order in
which it first saw a character, so every character and "##" character is handed to it in a fixed order beforehand.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer as RustTokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer, WhitespaceSplit
from tokenizers.trainers import WordPieceTrainer

from bertworks.base.errors import BertworksError
from bertworks.text.exact import CJK
from bertworks.text.rules import Description, Rules, build_rust
from bertworks.text.tokenizer import Tokenizer
from bertworks.text.vocabulary import CONTINUATION, SPECIAL_NAMES

log = logging.getLogger(__name__)

MAX_DISTINCT = 2_000_000  # words kept while counting, about 300 MB; above it the rarest are dropped, and counted
CHARACTER_COVERAGE = 0.9998  # of all characters of the text; the rest are names and quotations in other scripts
CHARACTER_SHARE = 0.75  # at most, of the vocabulary; what Chinese needs, and a quarter is left for words
MIN_PAIR_COUNT = 2  # a pair seen once is no regularity
FEED_WORDS = 20_000  # words a line handed to the trainer: enough for a thread to chew on

# What anybody's text may hold, so that no ASCII word is ever unknown; letters and digits also inside words.
_ASCII = [chr(code) for code in range(33, 127)]

_HAS_CJK = re.compile(f"[{CJK}]")
_RAW_WORDS = re.compile(f"[{CJK}]|[^\\s{CJK}]+")


@dataclass
class WordCounts:
    """How often each run of characters between white spaces, or CJK ideograph, occurs; bounded in memory.

    texts, characters, bytes  what was read (bytes as UTF-8)
    dropped                   occurrences of rare words no longer counted because there were too many different ones
    """

    words: Counter[str] = field(default_factory=Counter)
    texts: int = 0
    characters: int = 0
    bytes: int = 0
    dropped: int = 0
    max_distinct: int = MAX_DISTINCT

    def add(self, text: str) -> None:
        """Count the words of one text."""
        self.texts += 1
        self.characters += len(text)
        self.bytes += len(text.encode("utf-8", "replace"))
        # split() is three times as fast as the expression; only ideographs need it
        self.words.update(_RAW_WORDS.findall(text) if _HAS_CJK.search(text) else text.split())
        if len(self.words) > self.max_distinct:
            self._drop_rarest()

    def _drop_rarest(self) -> None:
        floor = 1
        kept = self.words
        while len(kept) > self.max_distinct // 2:
            kept = Counter({word: count for word, count in kept.items() if count > floor})
            floor *= 2
        self.dropped += self.words.total() - kept.total()
        self.words = kept


@dataclass(frozen=True)
class Coverage:
    """How well a vocabulary fits the text it is measured on.

    unknown_share      of words, punctuation marks being words, that become [UNK]
    tokens_per_word    1 = every word is a token
    bytes_per_token    of the text's UTF-8
    """

    unknown_share: float
    tokens_per_word: float
    bytes_per_token: float


def learn(texts: Iterable[str], *, size: int, cased: bool = False) -> Tokenizer:
    """A WordPiece vocabulary of at most `size` tokens, learned from texts that are read once.

    cased  keep capitals and accents; else texts are lower-cased and accents dropped
    [PAD] [UNK] [CLS] [SEP] [MASK] have the ids 0 to 4; then come single characters, then merges as learned.
    Raises BertworksError when there is no text, or `size` holds not even the characters every text may have.
    """
    counts = WordCounts()
    for text in texts:
        counts.add(text)
    return learn_from_counts(counts, size=size, cased=cased)


def learn_from_counts(counts: WordCounts, *, size: int, cased: bool = False) -> Tokenizer:
    """As `learn`, from words already counted."""
    rules = Rules(lowercase=not cased)
    words = _normalised(counts, rules)
    if not words:
        raise BertworksError(
            f"no words to learn from in {counts.texts:,} texts of {counts.characters:,} characters", "give it some text"
        )
    singles = _characters(words, size=size, cased=cased)
    known = {single for single in singles if len(single) == 1}
    known_inside = {single.removeprefix(CONTINUATION) for single in singles if len(single) > 1}
    usable = {
        word: count
        for word, count in words.items()
        if word[0] in known and known_inside.issuperset(word[1:]) and len(word) <= rules.max_word_chars
    }
    log.info("learning %s tokens from %s different words", f"{size:,}", f"{len(words):,}")
    tokens = _merged(usable, [*SPECIAL_NAMES.values(), *singles], size)
    if len(tokens) < size:
        log.warning("the text gave %s tokens of the %s asked for", f"{len(tokens):,}", f"{size:,}")
    return Tokenizer(Description(tuple(tokens), rules))


def refuse_size(size: int, *, cased: bool) -> None:
    """Raise BertworksError when `size` tokens hold not even the special tokens and ASCII."""
    taken = len(SPECIAL_NAMES) + sum(map(len, _ascii(cased)))
    if size <= taken:
        raise BertworksError(
            f"a vocabulary of {size:,} tokens holds not even the special tokens and ASCII, which take {taken}",
            f"take a size of {taken + 1} at least; usual are 4,096 to 32,000",
        )


def measure(counts: WordCounts, tokenizer: Tokenizer) -> Coverage:
    """How well `tokenizer` fits the counted text: every distinct word is encoded once, and weighed by its count."""
    words = list(counts.words)
    weights = np.fromiter(counts.words.values(), dtype=np.int64, count=len(words))
    rows = tokenizer.encode(words)
    ids = np.concatenate(rows)
    weights = np.repeat(weights, [len(row) for row in rows])  # (tokens,)
    unknown, total_tokens = int(weights[ids == tokenizer.unk_token_id].sum()), int(weights.sum())
    total_words = int(weights[~tokenizer.continuation[ids]].sum())
    kept_share = counts.words.total() / max(counts.words.total() + counts.dropped, 1)
    return Coverage(
        unknown_share=unknown / max(total_words, 1),
        tokens_per_word=total_tokens / max(total_words, 1),
        bytes_per_token=counts.bytes * kept_share / max(total_tokens, 1),
    )


def _normalised(counts: WordCounts, rules: Rules) -> Counter[str]:
    """Words as WordPiece will see them: cleaned, lower-cased, split at punctuation."""
    rust = build_rust(Description(tuple(SPECIAL_NAMES.values()), rules), specials=False)
    normalizer, splitter = rust.normalizer, BertPreTokenizer()
    words: Counter[str] = Counter()
    for raw, count in counts.words.items():
        if raw.isascii() and raw.isalnum():  # nine of ten, and the fast way through
            words[raw.lower() if rules.lowercase else raw] += count
            continue
        cleaned = normalizer.normalize_str(raw.encode("utf-8", "replace").decode())
        for word, _ in splitter.pre_tokenize_str(cleaned):
            words[word] += count
    return words


def _characters(words: Counter[str], *, size: int, cased: bool) -> list[str]:
    """Single characters, then "##" characters, each by code point, that enter the vocabulary.

    Printable ASCII always; of the rest the most frequent, until CHARACTER_COVERAGE of the text or CHARACTER_SHARE of
    the vocabulary is reached.
    """
    first, inside = _ascii(cased)
    refuse_size(size, cased=cased)
    seen: Counter[str] = Counter()
    seen_inside: set[str] = set()
    for word, count in words.items():
        for char in word:
            seen[char] += count
        seen_inside.update(word[1:])
    room = int(size * CHARACTER_SHARE) - len(SPECIAL_NAMES) - len(first) - len(inside)
    covered, total = sum(seen[char] for char in first), seen.total()
    for char, count in sorted(seen.items(), key=lambda entry: (-entry[1], entry[0])):
        if char in first:
            continue
        room -= 1 + (char in seen_inside)
        if covered >= CHARACTER_COVERAGE * total or room < 0:
            break
        first.add(char)
        if char in seen_inside:
            inside.add(char)
        covered += count
    return sorted(first) + [CONTINUATION + char for char in sorted(inside)]


def _ascii(cased: bool) -> tuple[set[str], set[str]]:
    """The ASCII characters that always enter, and those of them that occur inside words."""
    chars = {char for char in _ASCII if cased or char == char.lower()}
    return chars, {char for char in chars if char.isalnum()}


def _merged(words: dict[str, int], fixed: list[str], size: int) -> list[str]:
    """`fixed` tokens and the merges learned from `words`, in the order of their ids."""
    rust = RustTokenizer(WordPiece({}, unk_token=SPECIAL_NAMES["unk"]))
    rust.pre_tokenizer = WhitespaceSplit()
    trainer = WordPieceTrainer(
        vocab_size=size, min_frequency=MIN_PAIR_COUNT, show_progress=False, special_tokens=list(fixed)
    )
    rust.train_from_iterator(_lines(words), trainer)
    vocab = rust.get_vocab(with_added_tokens=False)
    return sorted(vocab, key=vocab.__getitem__)


def _lines(words: dict[str, int]) -> Iterator[str]:
    """Every word as often as it was counted, in lines; the trainer takes texts, not counts."""
    line: list[str] = []
    for word, left in words.items():
        while left:
            now = min(left, FEED_WORDS - len(line))
            line += [word] * now
            left -= now
            if len(line) == FEED_WORDS:
                yield " ".join(line)
                line = []
    if line:
        yield " ".join(line)
