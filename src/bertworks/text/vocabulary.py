"""The tokens of a `vocab.txt` in the order of their ids, and what a BERT vocabulary must hold."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bertworks.base.errors import BertworksError

log = logging.getLogger(__name__)

CONTINUATION = "##"  # how a piece begins that goes on a word

SPECIAL_NAMES: Mapping[str, str] = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}

_NEEDED_BY = {
    "pad": "batches of unequal lengths need",
    "unk": "words outside the vocabulary need",
    "cls": "every sequence begins with",
    "sep": "every sequence ends with",
    "mask": "masked-language pre-training needs",
}
_BRACKETED = re.compile(r"\[.*\]|<.*>")


def read_vocabulary(path: Path) -> list[str]:
    """The tokens of a `vocab.txt`, one a line; a token's place is its id.

    Lines end at LF only: published vocabularies hold U+2028 as a token. Each line is stripped of white space, unless
    nothing of the token would be left.
    Raises BertworksError for a missing or empty file, bytes that are not UTF-8, and repeated tokens.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise BertworksError(
            f"{path}: no such file", "a vocabulary is made by `bertworks vocab TEXT --out DIR`"
        ) from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BertworksError(
            f"{path}:{line}: not UTF-8, byte 0x{raw[error.start]:02x} at offset {error.start:,}",
            "re-encode the file as UTF-8; the order of its lines must stay, as they are the ids",
        ) from error
    tokens = [_token_of(line) for line in text.removeprefix("\ufeff").split("\n")]
    while tokens and tokens[-1] == "":  # the last line's end, and empty lines after it
        tokens.pop()
    if not tokens:
        raise BertworksError(f"{path}: empty, no tokens in it", "learn a vocabulary with `bertworks vocab`")
    refuse_repeated(tokens, path)
    return tokens


def _token_of(line: str) -> str:
    stripped = line.strip()
    return line.removesuffix("\r") if stripped in ("", CONTINUATION) else stripped


def refuse_repeated(tokens: Sequence[str], where: Path) -> None:
    """Raise BertworksError, naming line and token, when a token stands twice."""
    first_line: dict[str, int] = {}
    repeated = [
        (line, first_line[token]) for line, token in enumerate(tokens, 1) if first_line.setdefault(token, line) != line
    ]
    if repeated:
        line, earlier = repeated[0]
        raise BertworksError(
            f"{where}:{line}: token `{tokens[line - 1]}` repeats line {earlier} "
            f"({len(repeated):,} such line{'s' * (len(repeated) > 1)} of {len(tokens):,})",
            "ids are line numbers, removing a line shifts the later ones; rebuild with `bertworks vocab`",
        )


def refuse_without_specials(tokens: Mapping[str, int], names: Mapping[str, str], where: Path) -> None:
    """Raise BertworksError when one of the five special tokens is missing.

    names  role ("pad", "unk", "cls", "sep", "mask") -> token
    """
    missing = [role for role in SPECIAL_NAMES if names[role] not in tokens]
    if len(missing) == 1:
        raise BertworksError(
            f"{where}: no `{names[missing[0]]}` among {len(tokens):,} tokens, which {_NEEDED_BY[missing[0]]}",
            "append it as the last line before pre-training; an existing checkpoint must grow by one row",
        )
    if missing:
        listed = ", ".join(f"`{names[role]}`" for role in missing)
        raise BertworksError(
            f"{where}: none of {listed} among {len(tokens):,} tokens, all of which BERT needs",
            "a BERT vocabulary has one token a line; learn one with `bertworks vocab`",
        )


def looks_lowercase(tokens: Sequence[str]) -> bool:
    """Whether no token, names in brackets aside, holds a capital: those of a text are found only when lowered."""
    return all(token == token.lower() or _BRACKETED.fullmatch(token) for token in tokens)
