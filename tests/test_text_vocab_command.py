"""`bertworks vocab`: text in, a whole folder out, or nothing and one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from bertworks.text.learn import learn
from bertworks.text.tokenizer import Tokenizer

Run = Callable[..., "CompletedProcess[str]"]

PARAGRAPHS = [
    "The cat sat on the mat.\nThe dog sat on the cat.",
    "Ein Caf\u00e9 in M\u00fcnchen. " * 5,
    "\u6211\u7231\u4f60\u3002",
]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("\n\n".join([*PARAGRAPHS, "once"]), encoding="utf-8")
    (folder / "b.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in [*PARAGRAPHS, ""]))
    return folder


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_learns_what_the_function_learns(texts: Path, tmp_path: Path, command: Run) -> None:
    done = command("vocab", texts, "--out", "v", "--size", 200, "--json")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1), done.stderr
    result = json.loads(done.stdout)
    stripped = [*(text.strip() for text in PARAGRAPHS), "once"]
    same = learn([*stripped, *PARAGRAPHS], size=200)
    assert Tokenizer.load(tmp_path / "v").fingerprint == same.fingerprint == result["fingerprint"]
    assert files_in(tmp_path / "v") == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    assert result["size"] == same.vocab_size
    assert result["lowercase"] is True
    assert result["documents"] == 7
    assert result["bytes"] == sum(len(text.encode()) for text in [*stripped, *PARAGRAPHS])
    assert list(result["dropped"].values()) == [1]
    assert result["unknown_share"] == 0
    assert 1 < result["tokens_per_word"] < 3
    assert "dropped 1 times: document without text" in done.stderr
    assert files_in(tmp_path) == ["texts", "v"]


def test_tells_a_human(texts: Path, command: Run) -> None:
    done = command("vocab", texts / "b.jsonl", "--out", "v", "--cased")
    assert done.returncode == 0, done.stderr
    for told in ("cased", "3 documents", "0.000%", "The cat sat on the mat.", "next: bertworks corpus TEXT --vocab v"):
        assert told in done.stdout
    assert "b.jsonl: read as JSON lines, column `text`" in done.stderr
    assert "warning: the text gave" in done.stderr


def test_much_unknown_is_said(tmp_path: Path, command: Run) -> None:
    (tmp_path / "t.txt").write_text("".join(chr(0x4E00 + at) for at in range(1000)), encoding="utf-8")
    done = command("vocab", "t.txt", "--out", "v", "--size", 400, "--quiet")
    assert done.returncode == 0
    assert "% of the words become [UNK]; a larger --size holds more characters" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "--out", "v"], "error: nowhere: no such file or folder"),
        (["texts", "--out", "v", "--size", "20"], "error: a vocabulary of 20 tokens holds not even"),
        (["nowhere", "--out", "texts"], "error: texts: exists already"),
        (["empty.txt", "--out", "v"], "error: empty.txt: is empty"),
        (["blank.txt", "--out", "v"], "error: no words to learn from in 0 texts of 0 characters"),
        (["latin.txt", "--out", "v"], "error: latin.txt:1: not UTF-8, byte 0xe9"),
    ],
)
def test_bad_input(texts: Path, tmp_path: Path, command: Run, words: list[str], message: str) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "blank.txt").write_text("\n \n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait")
    before = files_in(tmp_path)
    done = command("vocab", *words)
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith(message)
    assert hint.startswith("hint: ")
    assert done.stdout == ""
    assert files_in(tmp_path) == before


def test_overwrite(texts: Path, tmp_path: Path, command: Run) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "old").touch()
    assert command("vocab", texts, "--out", "v").returncode == 2
    refused = command("vocab", texts, "--out", "v", "--overwrite")
    assert refused.returncode == 2
    assert "holds `old` and none of vocab.txt, tokenizer.json, so it is no old output" in refused.stderr
    assert files_in(tmp_path / "v") == ["old"]
    (tmp_path / "v" / "vocab.txt").touch()
    assert command("vocab", texts, "--out", "v", "--overwrite").returncode == 0
    assert "vocab.txt" in files_in(tmp_path / "v")
    assert "old" not in files_in(tmp_path / "v")
