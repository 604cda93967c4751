"""The same documents come out of every kind of file, packed or not, whatever its name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.read.documents import Reading, ReadReport, read_documents
from bertworks.read.open import find_files, open_file
from corpus_texts import PACK, make_documents, write_jsonl

DOCUMENTS = [*make_documents(7), "Two lines:\nthe second.", "naïve café 我爱你。", 'He said "no", twice.']


def as_text(documents: list[str]) -> bytes:
    return "\n\n\n".join(documents).encode()


def as_jsonl(documents: list[str]) -> bytes:
    rows = [{"id": str(number), "text": text} for number, text in enumerate(documents)]
    return "\n".join(json.dumps(row, ensure_ascii=bool(number % 2)) for number, row in enumerate(rows)).encode()


def as_wiki(documents: list[str]) -> bytes:
    return "".join(
        f'<doc id="{n}" url="u" title="T {n}">\n{text}\n</doc>\n' for n, text in enumerate(documents)
    ).encode()


def as_table(delimiter: str) -> Callable[[list[str]], bytes]:
    def write(documents: list[str]) -> bytes:
        out = io.StringIO()
        rows = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
        rows.writerows([["id", "text"], *([number, text] for number, text in enumerate(documents))])
        return out.getvalue().encode()

    return write


def as_parquet(documents: list[str]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(len(documents))), "text": documents}), out, row_group_size=3)
    return out.getvalue()


KINDS = {
    "text": (as_text, ".txt"),
    "JSON lines": (as_jsonl, ".jsonl"),
    "WikiExtractor": (as_wiki, ""),
    "CSV": (as_table(","), ".csv"),
    "TSV": (as_table("\t"), ".tsv"),
    "Parquet": (as_parquet, ".parquet"),
}


def texts(*paths: Path, how: Reading | None = None, report: ReadReport | None = None) -> list[str]:
    return [document.text for document in read_documents(paths, how, report)]


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_documents(kind: str, packing: str, tmp_path: Path) -> None:
    write, ending = KINDS[kind]
    path = tmp_path / f"texts{ending}{packing}"
    path.write_bytes(PACK[packing](write(DOCUMENTS)))
    report = ReadReport()
    assert texts(path, report=report) == DOCUMENTS
    assert report.documents == len(DOCUMENTS)
    assert report.dropped == {}
    assert report.files[path].startswith(kind)
    assert report.bytes_read == path.stat().st_size


@pytest.mark.parametrize("kind", ["text", "JSON lines", "WikiExtractor", "Parquet"])
def test_content_is_believed_before_the_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.dat"
    path.write_bytes(PACK[".gz"](KINDS[kind][0](DOCUMENTS)))
    report = ReadReport()
    assert texts(path, report=report) == DOCUMENTS
    assert report.files[path].startswith(kind)
    assert report.files[path].endswith("gzip")


def test_sources_say_where_a_document_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeff\n\none\ntwo\n \t\n\u3000\nthree\n".encode())
    assert [tuple(document) for document in read_documents([path])] == [
        ("one\ntwo", f"{path}:3"),
        ("three", f"{path}:7"),
    ]


def test_plain_text_by_blocks_files_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\r\ntwo\r\n\r\nthree \x0c kept\r\n")
    assert texts(path) == ["one\ntwo", "three \x0c kept"]
    assert texts(path, how=Reading("files")) == ["one\ntwo\n\nthree \x0c kept"]
    assert texts(path, how=Reading("lines")) == ["one", "two", "three \x0c kept"]
    path.write_bytes(b"one\ntwo\nthree")
    assert texts(path) == texts(path, how=Reading("files")) == ["one\ntwo\nthree"]


def test_folders_are_walked_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("b.txt", "a/z.txt", "a.txt", "B.txt", "c/d/e", ".hidden/x.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"text of {name}")
    (folder / "empty.txt").touch()
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    report = ReadReport()
    there = [text.removeprefix("text of ") for text in texts(folder, report=report)]
    assert there == ["B.txt", "a/z.txt", "a.txt", "b.txt", "c/d/e"]
    assert report.dropped == {"empty file": 1, "file that is not text": 1}
    last = folder / "a.txt"
    assert find_files([last, folder])[0][0] == last


def test_packed_files_may_have_several_parts_and_a_large_window(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for packing, padding in ((".gz", b"\0" * 9), (".zst", b""), (".bz2", b""), (".xz", b"\0" * 8)):
        pack = PACK[packing]
        path.write_bytes(pack(b"one\n\ntw") + pack(b"o\n") + padding)
        assert texts(path) == ["one", "two"], packing
    skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"
    path.write_bytes(skippable + PACK[".zst"](b"one"))
    assert texts(path) == ["one"]
    widest = zstandard.ZstdCompressionParameters(window_log=31, compression_level=1)
    packer = zstandard.ZstdCompressor(compression_params=widest).compressobj()
    path.write_bytes(packer.compress(b"one " * 1000) + packer.flush())
    with pytest.raises(zstandard.ZstdError):
        zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    assert texts(path) == [("one " * 1000).strip()]


def test_a_column_is_found_named_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "body": "x"}\n{"id": 2, "body": "y", "text": "z"}\n')
    assert texts(path) == ["x", "y"]
    assert texts(path, how=Reading(column="body")) == ["x", "y"]
    path.write_text('{"Text": "x", "body": "y"}\n')
    assert texts(path) == ["x"]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    rows = ['{"text": "a"}', '{"text": ""}', '{"text": " \\n"}', '{"text": null}', '{"id": 1}', '{"text": 5}', "", "{]"]
    path.write_text("\n".join([*rows, "[1]", '{"text": "\\ud83d b"}']))
    report = ReadReport()
    assert texts(path, how=Reading(bad_bytes="drop", bad_lines="drop"), report=report) == ["a", " b"]
    assert report.dropped == {
        "document without text": 4,
        "document whose text is not a string": 1,
        "line that is not JSON": 2,
        "half of a character (a lone surrogate)": 1,
    }
    text = tmp_path / "b.txt"
    text.write_bytes(b"caf\xe9\n\n\xff\xfe na\xc3\xafve")
    report = ReadReport()
    assert texts(text, how=Reading(bad_bytes="drop"), report=report) == ["caf", "naïve"]
    assert report.dropped == {"byte that is not UTF-8": 3}
    wiki = tmp_path / "c"
    wiki.write_text('<doc id="1">\nin\n</doc>\nbetween\n\n<doc id="2">\n\n</doc>\n')
    report = ReadReport()
    assert texts(wiki, report=report) == ["in"]
    assert report.dropped == {"line outside <doc> and </doc>": 1, "document without text": 1}
    table = tmp_path / "d.csv"
    table.write_text("id,text\n1,a\n2\n3,c\n")
    report = ReadReport()
    assert texts(table, how=Reading(bad_lines="drop"), report=report) == ["a", "c"]
    assert report.dropped == {"line with another number of columns": 1}


def test_reading_goes_on_no_further_than_asked(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", make_documents(200) * 200)
    report = ReadReport()
    first = next(iter(read_documents([path], report=report)))
    assert first.text == make_documents(1)[0]
    assert report.bytes_read < path.stat().st_size / 4


def test_a_pipe_can_be_read(tmp_path: Path) -> None:
    import os
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(PACK[".gz"](as_jsonl(DOCUMENTS))))
    writer.start()
    assert texts(pipe) == DOCUMENTS
    writer.join()


SOME_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), min_size=1).filter(
    lambda text: not text.isspace()
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(SOME_TEXT, min_size=1, max_size=5), st.sampled_from(["JSON lines", "Parquet"]), st.sampled_from(list(PACK))
)
def test_columns_give_back_any_text(
    tmp_path_factory: pytest.TempPathFactory, documents: list[str], kind: str, packing: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "a"
    path.write_bytes(PACK[packing](KINDS[kind][0](documents)))
    assert texts(path, how=Reading(column="text")) == documents


PLAIN_LINE = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="\ufeff<{")
).map(lambda line: f"x{line}x")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(PLAIN_LINE, min_size=1, max_size=3).map("\n".join), min_size=1, max_size=5))
def test_plain_text_gives_back_any_blocks(tmp_path_factory: pytest.TempPathFactory, documents: list[str]) -> None:
    path = tmp_path_factory.mktemp("any") / "a.txt"
    path.write_bytes(as_text(documents))
    assert texts(path) == documents
    path.write_bytes(b"".join([b"\xef\xbb\xbf", as_text(documents).replace(b"\n", b"\r\n")]))
    assert texts(path) == documents


def test_open_file_leaves_the_bytes_as_they_are(tmp_path: Path) -> None:
    raw = bytes(range(256)) * 4000
    path = tmp_path / "a"
    for packing, pack in PACK.items():
        path.write_bytes(pack(raw))
        with open_file(path, text=False) as source:
            assert source.peek() == raw[: len(source.peek())]
            assert source.handle.read() == raw
            assert bool(source.packed) == bool(packing)
