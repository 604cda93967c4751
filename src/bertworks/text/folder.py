"""Tokenizer folders: what stands in a `vocab.txt`, a `tokenizer.json` and a `tokenizer_config.json`, read and written.

Only WordPiece is read. A folder written here is opened by transformers' AutoTokenizer and gives the same ids there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as RustTokenizer

from bertworks.base.errors import BertworksError
from bertworks.base.files import read_json, whole_file, write_json
from bertworks.base.places import packaged
from bertworks.text.rules import Added, Description, Rules, build_rust
from bertworks.text.vocabulary import (
    CONTINUATION,
    SPECIAL_NAMES,
    looks_lowercase,
    read_vocabulary,
    refuse_without_specials,
)

log = logging.getLogger(__name__)

EXACT_KEY = "bertworks_exact"  # in tokenizer_config.json; other libraries pass over it
_FLAGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "tokenize_chinese_chars",
}
_NO_LENGTH = 10**9  # transformers writes 1e30 where no length is known


def read_description(path: Path, *, lowercase: bool | None, exact: bool) -> Description:
    """What the tokenizer at `path` is: a folder, or a `vocab.txt` by whatever name.

    lowercase  None = as the folder says; where it says nothing, as its tokens look
    exact      the original's rules; a folder saved with them keeps them
    Raises BertworksError for what is missing, broken or not WordPiece.
    """
    path = packaged(path) or path
    if not path.exists():
        raise BertworksError(
            f"{path}: no such file or folder",
            "a vocabulary is a `vocab.txt`, or a folder with `vocab.txt` or `tokenizer.json`; "
            "`bertworks vocab TEXT --out DIR` makes one",
        )
    folder = path if path.is_dir() else path.parent
    whole = path if path.suffix == ".json" else folder / "tokenizer.json"
    if path.is_dir() and not whole.is_file() and not (folder / "vocab.txt").is_file():
        raise BertworksError(
            f"{path}: neither `tokenizer.json` nor `vocab.txt` in this folder",
            "name the folder or the `vocab.txt` that belongs to the model",
        )
    if path != whole and not (path.is_dir() and whole.is_file()):
        source = folder / "vocab.txt" if path.is_dir() else path
        read = _Read(tuple(read_vocabulary(source)), source=source)
    else:
        read = _read_whole(whole)
        _compare(folder / "vocab.txt", read)
    config = _read_config(folder) if path.is_dir() or path.name in ("vocab.txt", "tokenizer.json") else {}
    return _resolved(read, config, lowercase=lowercase, exact=exact)


@dataclass(frozen=True)
class _Read:
    """What the file with the tokens says; `rules` is None where it says nothing of them."""

    tokens: tuple[str, ...]
    source: Path
    rules: Rules | None = None
    added: tuple[Added, ...] = ()
    model_size: int = -1
    unknown: str | None = None


def _resolved(read: _Read, config: Mapping[str, Any], *, lowercase: bool | None, exact: bool) -> Description:
    """Join the files and the caller's wishes; the caller comes before tokenizer_config.json, that before the rest."""
    names = {role: _token_named(config, f"{role}_token", default) for role, default in SPECIAL_NAMES.items()}
    if read.unknown is not None:
        names["unk"] = read.unknown
    refuse_without_specials({token: at for at, token in enumerate(read.tokens)}, names, read.source)
    rules = read.rules
    flags = {
        name: config[key]
        for key, name in _FLAGS.items()
        if key in config and (config[key] is not None or "accents" in key)
    }
    if rules is None and "lowercase" not in flags:
        flags["lowercase"] = looks_lowercase(read.tokens)
        if lowercase is None:
            log.info("%s: %s, by its tokens", read.source, "uncased" if flags["lowercase"] else "cased")
    if lowercase is not None:
        flags["lowercase"] = lowercase
    if rules is None:
        rules = Rules(**flags)
    elif rules.normalizer is None:
        changed = [name for name, value in flags.items() if getattr(rules, name) != value and name != "strip_accents"]
        if changed and lowercase is None:
            log.warning(
                "%s: differs from tokenizer_config.json in %s; the latter holds", read.source, ", ".join(changed)
            )
        rules = replace(rules, **flags)
    elif lowercase not in (None, rules.lowercase):
        raise BertworksError(
            f"{read.source}: has a normaliser of its own, its casing cannot be set to lowercase={lowercase}",
            "leave `lowercase` out, or load the folder's `vocab.txt`",
        )
    if exact or config.get(EXACT_KEY):
        rules = _exact(rules, read)
    ours = {token.content for token in read.added}
    added = read.added + tuple(Added(token) for token in names.values() if token not in ours)
    length = config.get("model_max_length")
    max_length = int(length) if isinstance(length, int | float) and 0 < length < _NO_LENGTH else None
    return Description(read.tokens, rules, names, added, read.model_size, max_length)


def _exact(rules: Rules, read: _Read) -> Rules:
    """The rules with the original's in place, which know no flag but lower-casing; others are refused."""
    own_words = [token.content for token in read.added if not token.special]
    reasons = [
        reason
        for reason, holds in {
            "a normaliser of its own": rules.normalizer is not None or rules.pre_tokenizer is not None,
            f"strip_accents = {str(rules.strip_accents).lower()}": rules.strip_accents not in (None, rules.lowercase),
            "tokenize_chinese_chars = false": not rules.tokenize_chinese_chars,
            "clean_text = false": not rules.clean_text,
            f"added tokens such as `{own_words[0] if own_words else ''}`": bool(own_words),
        }.items()
        if holds
    ]
    if reasons:
        raise BertworksError(
            f"{read.source}: has {', '.join(reasons)}, which the original's rules do not know",
            "load it without exact=True",
        )
    return Rules(lowercase=rules.lowercase, exact=True)


def _read_config(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json over special_tokens_map.json; {} where there is neither."""
    config: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name)
            if not isinstance(found, dict):
                raise BertworksError(
                    f"{folder / name}: not a JSON object", "copy the file again from where the model came"
                )
            config.update(found)
    return config


def _token_named(config: Mapping[str, Any], key: str, default: str) -> str:
    value = config.get(key)
    if isinstance(value, dict):
        value = value.get("content")
    return value if isinstance(value, str) else default


def _read_whole(path: Path) -> _Read:
    """A `tokenizer.json`. Truncation and padding stored in it are switched off, and said."""
    whole = read_json(path)
    model = whole.get("model") if isinstance(whole, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict) or "merges" in model:
        kind = model.get("type", "unknown") if isinstance(model, dict) else "unknown"
        raise BertworksError(
            f"{path}: the tokens are split by `{kind}`, BERT's are split by `WordPiece`",
            "name a BERT vocabulary: the model is another kind, or the file another model's",
        )
    if model.get("continuing_subword_prefix", CONTINUATION) != CONTINUATION:
        raise BertworksError(
            f"{path}: pieces go on with `{model['continuing_subword_prefix']}`, BERT's with `{CONTINUATION}`",
            "name a BERT vocabulary",
        )
    stored = [name for name in ("truncation", "padding") if whole.get(name) is not None]
    if stored:
        log.info("%s: the %s stored in it is switched off", path, " and ".join(stored))
    listed = [entry for entry in whole.get("added_tokens") or [] if isinstance(entry, dict)]
    added = tuple(Added(**{key: entry[key] for key in Added.__dataclass_fields__ if key in entry}) for entry in listed)
    ids = {**model["vocab"], **{entry["content"]: entry["id"] for entry in listed}}
    tokens = _in_order(ids, path)
    in_model = max(model["vocab"].values(), default=-1) + 1
    model_size = in_model if in_model < len(tokens) else -1
    return _Read(tokens, path, _rules_of(whole, model), added, model_size, unknown=model.get("unk_token"))


def _compare(listed: Path, read: _Read) -> None:
    """Say where a `vocab.txt` beside a `tokenizer.json` is another one; the second counts, as in transformers."""
    if not listed.is_file():
        return
    content = listed.read_bytes()
    lines = content.count(b"\n") + (not content.endswith(b"\n"))
    known = {len(read.tokens), read.model_size}
    if lines not in known:
        log.warning("%s: has %s tokens, tokenizer.json %s, which counts", listed, f"{lines:,}", f"{len(read.tokens):,}")


def _in_order(ids: Mapping[str, int], path: Path) -> tuple[str, ...]:
    """Tokens by id; ids without a token, left where a `vocab.txt` repeated one, get a name no text can contain."""
    by_id: dict[int, str] = {}
    for token, token_id in ids.items():
        if by_id.setdefault(token_id, token) != token:
            raise BertworksError(
                f"{path}: `{by_id[token_id]}` and `{token}` share the id {token_id:,}",
                "each token needs an id of its own",
            )
    if not by_id:
        raise BertworksError(f"{path}: empty, no tokens in it", "learn a vocabulary with `bertworks vocab`")
    size = max(by_id) + 1
    holes = size - len(by_id)
    if holes:
        log.warning("%s: %s of %s ids have no token", path, f"{holes:,}", f"{size:,}")
    return tuple(by_id.get(token_id, f"[no token {token_id}]") for token_id in range(size))


def _rules_of(whole: Mapping[str, Any], model: Mapping[str, Any]) -> Rules:
    """The rules a `tokenizer.json` describes; what is not BERT's own is kept as JSON."""
    normalizer, pre_tokenizer = whole.get("normalizer"), whole.get("pre_tokenizer")
    foreign_split = None if pre_tokenizer == {"type": "BertPreTokenizer"} else json.dumps(pre_tokenizer, sort_keys=True)
    max_word_chars = int(model.get("max_input_chars_per_word", 100))
    if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
        return Rules(
            lowercase=bool(normalizer.get("lowercase", True)),
            strip_accents=normalizer.get("strip_accents"),
            tokenize_chinese_chars=bool(normalizer.get("handle_chinese_chars", True)),
            clean_text=bool(normalizer.get("clean_text", True)),
            max_word_chars=max_word_chars,
            pre_tokenizer=foreign_split,
        )
    rules = Rules(
        lowercase=False,
        max_word_chars=max_word_chars,
        normalizer=json.dumps(normalizer, sort_keys=True),
        pre_tokenizer=foreign_split,
    )
    lowers = normalizer is not None and RustTokenizer.from_str(json.dumps(whole)).normalizer.normalize_str("A") == "a"
    return replace(rules, lowercase=lowers)


def write_folder(description: Description, folder: Path) -> None:
    """Write `vocab.txt`, `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` into `folder`."""
    with whole_file(folder / "vocab.txt", text=True) as handle:
        handle.writelines(token + "\n" for token in description.tokens)
    with whole_file(folder / "tokenizer.json", text=True) as handle:
        handle.write(build_rust(description, specials=True).to_str(pretty=True) + "\n")
    names = {f"{role}_token": token for role, token in description.special_names.items()}
    write_json(folder / "special_tokens_map.json", dict(sorted(names.items())))
    rules = description.rules
    ids = description.vocab
    config: dict[str, Any] = {
        # BertTokenizer is built from the flags alone; what they cannot say needs the class that obeys tokenizer.json
        "tokenizer_class": "BertTokenizer" if rules.is_standard else "PreTrainedTokenizerFast",
        "do_lower_case": rules.lowercase,
        "strip_accents": rules.strip_accents,
        "tokenize_chinese_chars": rules.tokenize_chinese_chars,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **names,
        "added_tokens_decoder": {
            str(ids[token.content]): {key: getattr(token, key) for key in Added.__dataclass_fields__}
            for token in sorted(description.added, key=lambda token: ids[token.content])
        },
    }
    if description.model_max_length is not None:
        config["model_max_length"] = description.model_max_length
    if rules.exact:
        config[EXACT_KEY] = True
    write_json(folder / "tokenizer_config.json", config)
