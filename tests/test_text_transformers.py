"""A folder saved here, opened by transformers: the same ids there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertworks.text.learn import learn
from bertworks.text.tokenizer import Tokenizer

TEXTS = [
    "The quick brown fox, jumping over lazy dogs' tails.",
    "Café [MASK] naïve\u200b [SEP] 中文abc",
    "",
    "x" * 101 + " " + "x" * 100,
    "\u2028a\u0000b\ufffd ΣΑΣ ﬁ 한국어 \U0001f600",
]


def opened(folder: Path) -> Any:
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(folder)


def assert_same_ids(ours: Tokenizer, folder: Path, texts: list[str]) -> None:
    theirs = opened(folder)
    plain = theirs(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    read = theirs(texts, add_special_tokens=False)["input_ids"]
    assert [ids.tolist() for ids in ours.encode(texts)] == plain
    assert [ids.tolist() for ids in ours.encode(texts, specials=True)] == read
    assert plain != read
    around = theirs(texts[0])["input_ids"]
    assert around == [ours.cls_token_id, *read[0], ours.sep_token_id]
    assert (theirs.pad_token_id, theirs.mask_token_id) == (ours.pad_token_id, ours.mask_token_id)
    assert len(theirs) == ours.vocab_size


@pytest.mark.parametrize("cased", [False, True])
def test_learned_vocabulary(tmp_path: Path, cased: bool) -> None:
    tokenizer = learn(TEXTS, size=300, cased=cased)
    tokenizer.save(tmp_path / "v")
    assert_same_ids(tokenizer, tmp_path / "v", TEXTS)


def test_beside_a_model(tmp_path: Path) -> None:
    tokenizer = learn(TEXTS, size=300, cased=True)
    tokenizer.save(tmp_path / "m")
    config = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": tokenizer.vocab_size}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    assert_same_ids(tokenizer, tmp_path / "m", TEXTS)


@pytest.mark.parametrize(
    "flags",
    [{"strip_accents": False}, {"tokenize_chinese_chars": False}, {"do_lower_case": True, "strip_accents": True}],
)
def test_flags(tmp_path: Path, flags: dict[str, bool]) -> None:
    learn(TEXTS, size=300, cased=True).save(tmp_path / "v")
    path = tmp_path / "v" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **flags}))
    tokenizer = Tokenizer.load(tmp_path / "v")
    tokenizer.save(tmp_path / "w")
    assert_same_ids(tokenizer, tmp_path / "w", TEXTS)


def test_added_tokens(tmp_path: Path) -> None:
    theirs = opened(Path(_saved(tmp_path / "v")))
    theirs.add_tokens(["jumping over"])
    theirs.add_special_tokens({"additional_special_tokens": ["[E1]"]})
    theirs.save_pretrained(tmp_path / "w")
    ours = Tokenizer.load(tmp_path / "w")
    assert ours.tokens[-2:] == ["jumping over", "[E1]"]
    texts = [*TEXTS, "[E1] jumping over"]
    assert [ids.tolist() for ids in ours.encode(texts, specials=True)] == theirs(texts, add_special_tokens=False)[
        "input_ids"
    ]
    ours.save(tmp_path / "x")
    assert_same_ids(ours, tmp_path / "x", texts)


def _saved(folder: Path) -> Path:
    learn(TEXTS, size=300).save(folder)
    return folder


@pytest.mark.parametrize("name", ["bert-base-uncased", "bert-base-cased", "bert-base-chinese"])
def test_published_vocabularies(shared_data: Path, tmp_path: Path, name: str) -> None:
    tokenizer = Tokenizer.load(shared_data / "vocab" / name)
    tokenizer.save(tmp_path / "v")
    nasty = (shared_data / "text" / "nasty.txt").read_bytes().decode().split("\n")
    assert_same_ids(tokenizer, tmp_path / "v", [*TEXTS, *nasty])
    assert (tmp_path / "v" / "vocab.txt").read_bytes() == (shared_data / "vocab" / name / "vocab.txt").read_bytes()


def test_exact_folder_keeps_its_word_limit_there(tmp_path: Path) -> None:
    learn(TEXTS, size=300).save(tmp_path / "v")
    Tokenizer.load(tmp_path / "v", exact=True).save(tmp_path / "w")
    theirs, ours = opened(tmp_path / "w"), Tokenizer.load(tmp_path / "w")
    common = [text for text in TEXTS if "Σ" not in text]
    ids = theirs(common, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert [row.tolist() for row in ours.encode(common)] == ids
    assert ours.unk_token_id not in ids[3]
    assert opened(tmp_path / "v")(TEXTS[3], add_special_tokens=False)["input_ids"][0] == ours.unk_token_id
