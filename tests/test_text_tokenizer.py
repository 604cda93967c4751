"""Loading, saving and using a vocabulary: what a folder says is obeyed, what is broken is told."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer as RustTokenizer

from bertworks.base.errors import BertworksError
from bertworks.text.rules import Description, Rules
from bertworks.text.tokenizer import Tokenizer
from bertworks.text.vocabulary import SPECIAL_NAMES, looks_lowercase

SPECIALS = list(SPECIAL_NAMES.values())
LETTERS = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
TOKENS = [*SPECIALS, "[unused0]", "the", "cat", "##s", "run", "##ning", "\u4e00", *LETTERS, "##a", "##b", "##c"]
TEXTS = ["The cats run, running.", "", "a\u4e00b [MASK] é", "zq\u4e00 unknown\u200bword"]


def write_vocabulary(path: Path, tokens: list[str] = TOKENS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(token + "\n" for token in tokens).encode())
    return path


def spelled(tokenizer: Tokenizer, text: str, **how: bool) -> list[str]:
    return [tokenizer.tokens[token_id] for token_id in tokenizer.encode([text], **how)[0]]


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_bare_vocabulary(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_vocabulary(tmp_path / "vocab.txt"))
    assert tokenizer.tokens == TOKENS
    assert tokenizer.vocab == {token: at for at, token in enumerate(TOKENS)}
    assert tokenizer.vocab_size == len(TOKENS)
    assert tokenizer.lowercase
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id) == (0, 1, 2)
    assert (tokenizer.sep_token_id, tokenizer.mask_token_id, tokenizer.special_ids) == (3, 4, (0, 1, 2, 3, 4))
    continuing = [tokenizer.tokens[at] for at in np.flatnonzero(tokenizer.continuation)]
    assert continuing == ["##s", "##ning", "##a", "##b", "##c"]
    assert spelled(tokenizer, TEXTS[0]) == ["the", "cat", "##s", "run", ",", "run", "##ning", "."]


def test_arrays_have_their_shapes_and_types(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_vocabulary(tmp_path / "vocab.txt"))
    for exact in (tokenizer, Tokenizer.load(tmp_path / "vocab.txt", exact=True)):
        ids, encodings = exact.encode(TEXTS), exact.encode_with_offsets(TEXTS)
        assert [len(row) for row in ids] == [8, 0, 7, 3]
        for row, encoding in zip(ids, encodings, strict=True):
            assert row.dtype == encoding.offset_mapping.dtype == encoding.word_ids.dtype == np.int32
            assert encoding.input_ids.tolist() == row.tolist()
            assert encoding.offset_mapping.shape == (len(row), 2)
            assert encoding.word_ids.shape == row.shape
        assert encodings[0].word_ids.tolist() == [0, 1, 1, 2, 3, 4, 4, 5]
        assert encodings[2].offset_mapping.tolist() == [[0, 1], [1, 2], [2, 3], [4, 5], [5, 9], [9, 10], [11, 12]]
        assert exact.encode([]) == exact.encode_with_offsets([]) == []


def test_casing_is_told_by_folder_caller_and_tokens(tmp_path: Path) -> None:
    vocabulary = write_vocabulary(tmp_path / "m" / "vocab.txt")
    assert Tokenizer.load(vocabulary).lowercase
    assert not Tokenizer.load(vocabulary, lowercase=False).lowercase
    (tmp_path / "m" / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert not Tokenizer.load(tmp_path / "m").lowercase
    assert not Tokenizer.load(vocabulary).lowercase
    assert Tokenizer.load(tmp_path / "m", lowercase=True).lowercase
    cased = write_vocabulary(tmp_path / "c" / "vocab.txt", [*TOKENS, "The"])
    assert not Tokenizer.load(cased).lowercase
    assert looks_lowercase(["[MASK]", "<S>", "a"])
    assert not looks_lowercase(["[MASK]", "A"])


def test_accents_and_ideographs_follow_the_configuration(tmp_path: Path) -> None:
    write_vocabulary(tmp_path / "vocab.txt", [*TOKENS, "é", "##\u4e00"])
    assert spelled(Tokenizer.load(tmp_path), "É a\u4e00") == ["e", "a", "\u4e00"]
    (tmp_path / "tokenizer_config.json").write_text('{"strip_accents": false, "tokenize_chinese_chars": false}')
    assert spelled(Tokenizer.load(tmp_path), "É a\u4e00") == ["é", "a", "##\u4e00"]
    with pytest.raises(BertworksError, match=r"has strip_accents = false, tokenize_chinese_chars = false, which"):
        Tokenizer.load(tmp_path, exact=True)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("lowercase", [False, True])
def test_saved_folder_is_the_same_tokenizer(tmp_path: Path, lowercase: bool, exact: bool) -> None:
    tokenizer = Tokenizer.load(write_vocabulary(tmp_path / "vocab.txt"), lowercase=lowercase, exact=exact)
    tokenizer.save(tmp_path / "saved")
    names = ["special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == names
    assert (tmp_path / "saved" / "vocab.txt").read_bytes() == (tmp_path / "vocab.txt").read_bytes()
    for again in (Tokenizer.load(tmp_path / "saved"), pickle.loads(pickle.dumps(tokenizer))):
        assert again.fingerprint == tokenizer.fingerprint
        assert repr(again) == repr(tokenizer)
        for specials in (False, True):
            for ours, theirs in zip(
                tokenizer.encode(TEXTS, specials=specials), again.encode(TEXTS, specials=specials), strict=True
            ):
                assert ours.tolist() == theirs.tolist()


def test_fingerprint_tells_what_changes_ids_and_nothing_else(tmp_path: Path) -> None:
    path = write_vocabulary(tmp_path / "vocab.txt")
    plain = Tokenizer.load(path).fingerprint
    other_words = write_vocabulary(tmp_path / "other.txt", [*TOKENS[:-2], TOKENS[-1], TOKENS[-2]])
    others = [
        Tokenizer.load(path, lowercase=False).fingerprint,
        Tokenizer.load(path, exact=True).fingerprint,
        Tokenizer.load(other_words).fingerprint,
        Tokenizer(Description(tuple(TOKENS), Rules(lowercase=True, max_word_chars=200))).fingerprint,
    ]
    assert len({plain, *others}) == 5
    spelled_out = Tokenizer(Description(tuple(TOKENS), Rules(lowercase=True, strip_accents=True)))
    assert spelled_out.fingerprint == plain
    assert len(plain) == 64


def test_stored_truncation_and_padding_are_switched_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Tokenizer.load(write_vocabulary(tmp_path / "vocab.txt")).save(tmp_path / "m")
    rust = RustTokenizer.from_file(str(tmp_path / "m" / "tokenizer.json"))
    rust.enable_truncation(3)
    rust.enable_padding(length=30)
    assert len(rust.encode("the the the the the").ids) == 30
    rust.save(str(tmp_path / "m" / "tokenizer.json"))
    with caplog.at_level(logging.INFO, "bertworks"):
        tokenizer = Tokenizer.load(tmp_path / "m")
    assert "the truncation and padding stored in it is switched off" in caplog.text
    assert len(tokenizer.encode(["the the the the the"])[0]) == 5
    tokenizer.save(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / "tokenizer.json").read_text())
    assert saved["truncation"] is None
    assert saved["padding"] is None


def test_tokens_added_later_keep_their_ids(tmp_path: Path) -> None:
    Tokenizer.load(write_vocabulary(tmp_path / "vocab.txt")).save(tmp_path / "m")
    rust = RustTokenizer.from_file(str(tmp_path / "m" / "tokenizer.json"))
    rust.add_special_tokens(["[E1]"])
    rust.add_tokens(["covid"])
    rust.save(str(tmp_path / "m" / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path / "m")
    assert tokenizer.tokens == [*TOKENS, "[E1]", "covid"]
    assert tokenizer.special_ids == (0, 1, 2, 3, 4, len(TOKENS))
    text = "a [E1] covid cat"
    assert tokenizer.encode([text], specials=True)[0].tolist() == rust.encode(text, add_special_tokens=False).ids
    assert spelled(tokenizer, "[E1]")[0] == "["
    tokenizer.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").fingerprint == tokenizer.fingerprint
    with pytest.raises(BertworksError, match="added tokens such as `covid`"):
        Tokenizer.load(tmp_path / "m", exact=True)


def test_foreign_normaliser_is_kept(tmp_path: Path) -> None:
    Tokenizer.load(write_vocabulary(tmp_path / "vocab.txt")).save(tmp_path / "m")
    path = tmp_path / "m" / "tokenizer.json"
    edit(path, normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]})
    (tmp_path / "m" / "tokenizer_config.json").unlink()
    tokenizer = Tokenizer.load(path)
    assert tokenizer.lowercase
    assert spelled(tokenizer, "\uff34\uff28\uff25 \u24d0") == ["the", "a"]  # full-width THE, circled a
    tokenizer.save(tmp_path / "again")
    again = Tokenizer.load(tmp_path / "again")
    assert again.fingerprint == tokenizer.fingerprint
    config = json.loads((tmp_path / "again" / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    with pytest.raises(BertworksError, match="normaliser of its own"):
        Tokenizer.load(path, lowercase=False)


def test_special_names_come_from_the_folder(tmp_path: Path) -> None:
    renamed = ["<pad>" if token == "[PAD]" else token for token in TOKENS]
    write_vocabulary(tmp_path / "vocab.txt", renamed)
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": {"content": "<pad>"}}')
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.tokens[tokenizer.pad_token_id] == "<pad>"
    assert spelled(tokenizer, "<pad>", specials=True) == ["<pad>"]
    tokenizer.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").fingerprint == tokenizer.fingerprint


def test_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*TOKENS, "\u2028", " spaced "]).encode() + b"\r\n\n\n")
    assert Tokenizer.load(path).tokens == [*TOKENS, "\u2028", "spaced"]


def test_decode(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_vocabulary(tmp_path / "vocab.txt"))
    ids = [tokenizer.cls_token_id, *tokenizer.encode(["The cats, running."])[0], tokenizer.sep_token_id]
    assert tokenizer.decode(ids) == "the cats, running."
    assert tokenizer.decode(np.array(ids), skip_specials=False) == "[CLS] the cats, running. [SEP]"
    assert tokenizer.decode([]) == ""
    for outside in (-1, len(TOKENS)):
        with pytest.raises(BertworksError, match=f"id {outside} is outside the vocabulary of {len(TOKENS)} tokens"):
            tokenizer.decode([outside])


def test_many_texts_come_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertworks.text.tokenizer.BATCH_CHARS", 7)
    tokenizer = Tokenizer.load(write_vocabulary(tmp_path / "vocab.txt"))
    texts = ["a" * (at % 5) + " b" * (at % 3) for at in range(101)]
    for texts_of in (texts, [*texts, "\ud800"]):
        for text, ids in zip(texts_of, tokenizer.encode(texts_of), strict=True):
            assert ids.tolist() == tokenizer.encode([text])[0].tolist()
    assert max(map(len, tokenizer.encode(texts))) == 6


def test_one_text_is_no_list(tmp_path: Path) -> None:
    tokenizer = Tokenizer.load(write_vocabulary(tmp_path / "vocab.txt"))
    for encode in (tokenizer.encode, tokenizer.encode_with_offsets):
        with pytest.raises(TypeError, match=r"for one text give \[text\]"):
            encode("text")


BROKEN = {  # bytes of vocab.txt -> message, hint
    "repeated": (
        "\n".join([*TOKENS, "run", "cat", ""]).encode(),
        rf"vocab.txt:{len(TOKENS) + 1}: token `run` repeats line 10 \(2 such lines of {len(TOKENS) + 2}\)",
        "ids are line numbers",
    ),
    "no mask": (
        "\n".join(token for token in TOKENS if token != "[MASK]").encode(),
        rf"vocab.txt: no `\[MASK\]` among {len(TOKENS) - 1} tokens, which masked-language pre-training needs",
        "append it as the last line",
    ),
    "no pad": (
        "\n".join(TOKENS[1:]).encode(),
        rf"no `\[PAD\]` among {len(TOKENS) - 1} tokens, which batches of unequal lengths need",
        "append it",
    ),
    "a list of words": (
        b"one\ntwo\n",
        r"none of `\[PAD\]`, `\[UNK\]`, `\[CLS\]`, `\[SEP\]`, `\[MASK\]` among 2 tokens",
        "one token a line",
    ),
    "latin-1": (b"[PAD]\n[UNK]\ncaf\xe9\n", r"vocab.txt:3: not UTF-8, byte 0xe9 at offset 15", "re-encode"),
    "empty": (b"", "vocab.txt: empty, no tokens in it", "bertworks vocab"),
    "blank": (b"\n\n\n", "vocab.txt: empty, no tokens in it", "bertworks vocab"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_vocabulary(tmp_path: Path, name: str) -> None:
    raw, message, hint = BROKEN[name]
    (tmp_path / "vocab.txt").write_bytes(raw)
    for path in (tmp_path, tmp_path / "vocab.txt"):
        with pytest.raises(BertworksError, match=message) as caught:
            Tokenizer.load(path)
        assert hint in caught.value.hint
        assert caught.value.exit_code == 2


def test_missing_vocabulary(tmp_path: Path) -> None:
    with pytest.raises(BertworksError, match="nowhere: no such file or folder") as caught:
        Tokenizer.load(tmp_path / "nowhere")
    assert "bertworks vocab" in caught.value.hint
    with pytest.raises(BertworksError, match=r"neither `tokenizer.json` nor `vocab.txt` in this folder"):
        Tokenizer.load(tmp_path)


BROKEN_WHOLES: dict[str, tuple[dict[str, Any], str]] = {
    "byte pairs": ({"model": {"type": "BPE", "vocab": {}, "merges": []}}, "split by `BPE`, BERT's are split by"),
    "no model": ({}, "split by `unknown`"),
    "two tokens of one id": ({"model": {"type": "WordPiece", "vocab": {"a": 0, "b": 0}}}, "`a` and `b` share the id 0"),
    "no tokens": ({"model": {"type": "WordPiece", "vocab": {}}}, "empty, no tokens in it"),
    "other prefix": (
        {"model": {"type": "WordPiece", "vocab": {"a": 0}, "continuing_subword_prefix": "@"}},
        "pieces go on with `@`, BERT's with `##`",
    ),
}


@pytest.mark.parametrize("name", BROKEN_WHOLES)
def test_broken_tokenizer_json(tmp_path: Path, name: str) -> None:
    whole, message = BROKEN_WHOLES[name]
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    with pytest.raises(BertworksError, match=message):
        Tokenizer.load(tmp_path)


def test_ids_without_a_token_are_kept_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    vocab = {token: at + (at > 7) for at, token in enumerate(TOKENS)}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordPiece", "vocab": vocab}}))
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.vocab_size == len(TOKENS) + 1
    assert tokenizer.tokens[8] == "[no token 8]"
    assert f"1 of {len(TOKENS) + 1} ids have no token" in caplog.text
