"""What cannot be read is refused in one sentence that says where, what, and what to do."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bertworks.base.errors import BertworksError
from bertworks.read import documents as documents_module
from bertworks.read.documents import Reading, read_documents
from corpus_texts import PACK

GZ, ZST = PACK[".gz"](b"some text " * 999), PACK[".zst"](os.urandom(9000))


def refusal(*paths: Path | str, how: Reading | None = None) -> str:
    """The sentence and the hint, with the folder left out."""
    with pytest.raises(BertworksError) as caught:
        list(read_documents(paths, how))
    assert caught.value.exit_code == 2
    assert not caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    text = f"{caught.value.message} | {caught.value.hint}"
    return re.sub(r"(?<![^\s`])/\S*/(?=[\w.])", "", text)


CASES: dict[str, tuple[bytes, str]] = {
    "empty.txt": (b"", "empty.txt: is empty | there must be text in it"),
    "empty.txt.gz": (PACK[".gz"](b""), "empty.txt.gz: is empty | there must be text in it"),
    "picture.txt": (b"\x89PNG\r\n\x1a\n", "picture.txt: is a picture, not text"),
    "paper.txt": (b"%PDF-1.7\n", "paper.txt: is a PDF, not text"),
    "book.docx": (b"PK\x03\x04....", "book.docx: is a zip archive or an office document, not text"),
    "random": (bytes(range(256)) * 9, "random: is binary, not text"),
    "zeros.txt": (b"\0" * 99, "zeros.txt: is binary, not text"),
    "cut.txt.gz": (GZ[:-9], "cut.txt.gz: the gzip data end too early; the file is cut off"),
    "cut.txt.zst": (ZST[:-9], "cut.txt.zst: the zstd data end too early; the file is cut off"),
    "bad.txt.gz": (GZ[:20] + b"\xff" * 9 + GZ[29:], "bad.txt.gz: the gzip data are damaged before byte"),
    "more.txt.gz": (GZ + b"more", "more.txt.gz: the gzip data are damaged before byte"),
    "wide.txt": ("text".encode("utf-16"), "wide.txt:1: not UTF-8, byte 0xff at offset 0 begins UTF-16"),
    "latin.txt": (
        b"one\n\ntwo\nthe caf\xe9 is here",
        "latin.txt:4: not UTF-8, byte 0xe9 at offset 7 of the line, 16 of the file | re-encode from Latin-1, or drop "
        "such bytes with `--bad-bytes drop` (drops are counted)",
    ),
    "china.txt": (
        "我爱你，中国。".encode("gb18030"),
        "china.txt:1: not UTF-8, byte 0xce at offset 0 | re-encode from GB18030",
    ),
    "bom.txt": (b"\xef\xbb\xbfa\n\n\xe9", "bom.txt:3: not UTF-8, byte 0xe9 at offset 0 of the line, 6 of the file"),
    "latin.jsonl": (b'{"text": "a"}\n{"text": "\xe9"}', "latin.jsonl:2: not UTF-8, byte 0xe9 at offset 10 of the line"),
    "latin.csv": (b"id,text\n1,b\n2,\xe9\n", "latin.csv:3: not UTF-8, byte 0xe9 at offset 2 of the line"),
    "bad.jsonl": (b'{"text": "a"}\n{"text": }', "bad.jsonl:2: not JSON at character 10, expecting value"),
    "list.jsonl": (b'{"text": "a"}\n["b"]', "list.jsonl:2: a JSON array, an object was expected"),
    "array.json": (b'[{"text": "a"}]', "array.json: a JSON array, one object a line was expected | turn it into lines"),
    "half.jsonl": (
        b'{"text": "a \\ud83d b"}',
        "half.jsonl:1: the text holds `\\ud83d`, half of a character (a lone surrogate), at character 3",
    ),
    "other.jsonl": (b'{"body": "a", "title": "b"}', "other.jsonl: no column `text` among: `body`, `title`"),
    "none.csv": (b"id,label\n1,a\n2,b\n3,a\n", "none.csv: no column `text` among: `id`, `label`"),
    "ragged.csv": (b"id,text\n1,a\n2,b,c\n", "ragged.csv:3: 3 columns, 2 were expected"),
    "open.csv": (b'id,text\n1,a\n2,"b\n3,c\n', "open.csv:3: a quote that is never closed"),
    "open.wiki": (b'<doc id="1">\na\n</doc>\n<doc id="2">\nb', "open.wiki:4: this `<doc>` has no `</doc>`"),
    "twice.wiki": (b'<doc id="1">\na\n<doc id="2">\nb\n</doc>', "twice.wiki:1: this `<doc>` has no `</doc>`"),
    "cut.parquet": (b"PAR1" + b"x" * 50, "cut.parquet: not a whole Parquet file"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_files_are_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    content, told = CASES[name]
    path = tmp_path / name
    path.write_bytes(content)
    assert told in refusal(path)


def test_names_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "novels.txt").write_text("x")
    (tmp_path / "nothing").mkdir()
    assert refusal(tmp_path / "novel.txt") == "novel.txt: no such file or folder | did you mean `novels.txt`?"
    assert "does not exist either" in refusal(tmp_path / "gone" / "a.txt")
    assert (
        refusal(tmp_path / "nothing") == "nothing: no file with text in this folder | give files or folders with text"
    )
    assert refusal().startswith("no input given")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / "secret.txt").chmod(0)
    assert refusal(tmp_path / "secret.txt").startswith("secret.txt: cannot be read, permission denied")


def test_a_column_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "body": "b"}')
    told = "a.jsonl: no column `bdoy` among: `text`, `body` | did you mean `body`?"
    assert refusal(path, how=Reading(column="bdoy")) == told


def test_a_document_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents_module, "MAX_DOCUMENT_BYTES", 1 << 20)
    path = tmp_path / "a.txt"
    path.write_text("short\n\n" + "a line of text\n" * 100_000)
    told = "a.txt:3: a document of more than 1 MiB begins here | put blank lines between documents, or take every line"
    assert refusal(path).startswith(told)
    assert len(list(read_documents([path], Reading("lines")))) == 100_001
    path.write_text('{"text": "' + "x" * (1 << 20) + '"}')
    assert refusal(path).startswith("a.txt:1: a line of more than 1 MiB")
