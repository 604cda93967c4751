"""Files go in and answers come out: in order, whole or not at all, and in pieces where they are large."""

from __future__ import annotations

import csv
import dataclasses
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.model.bert import BertForSentence
from bertworks.model.pretrained import load_for_task, save_pretrained
from bertworks.predict import files
from bertworks.predict.directory import ModelDirectory, load_model, write_settings
from bertworks.predict.files import FilePredictions, cut_at_record, read_in_pieces, write_answers
from bertworks.read.tables import Table, read_table
from bertworks.tasks.labels import Labels
from bertworks.tasks.sentence import SentenceTask
from bertworks.text.tokenizer import Tokenizer
from finetune_support import model_folder, toy_rows

TASK = SentenceTask("classify", False, Labels(("left", "right")))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> ModelDirectory:
    """A random classifier as a saved directory."""
    folder = tmp_path_factory.mktemp("files")
    start = model_folder(folder / "start")
    model, _, _ = load_for_task(start, BertForSentence, 2, torch.Generator().manual_seed(1))

    def also(target: Path) -> None:
        Tokenizer.load(start).save(target)
        write_settings(target, TASK, 40)

    save_pretrained(model, folder / "model", settings=TASK.config_keys(), also=also)
    return load_model(folder / "model")


def write_csv(path: Path, texts: list[str], label: str | None = None) -> Path:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["id", "text", *(["label"] if label else [])])
        writer.writerows([i, text, *([label] if label else [])] for i, text in enumerate(texts))
    return path


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.csv", "answers.tsv"])
def test_answers_stand_in_the_order_of_the_rows(opened: ModelDirectory, tmp_path: Path, name: str) -> None:
    texts = [row["text"] + ('\n, "now"' if i % 3 else "") for i, row in enumerate(toy_rows(30, longest=20))]
    source = write_csv(tmp_path / "rows.csv", texts)
    assert write_answers(FilePredictions(opened, str(source)), tmp_path / name) == 30
    if name.endswith(".jsonl"):
        lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        assert [set(line) for line in lines] == [{"label", "score", "scores"}] * 30
        labels = [line["label"] for line in lines]
    else:
        with (tmp_path / name).open(newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="," if name.endswith("csv") else "\t"))
        assert list(rows[0]) == ["text", "id", "prediction", "probability"]
        assert [row["text"] for row in rows] == texts
        labels = [row["prediction"] for row in rows]
    alone = [next(iter(FilePredictions(opened, str(write_csv(tmp_path / "one.csv", [text]))))) for text in texts]
    assert labels == [found.answer.to_json()["label"] for found in alone]
    assert len(set(labels)) == 2, "both answers must occur"


def test_rows_without_a_gold_label_are_answered_too(opened: ModelDirectory, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("text,label\nthe cat,left\nthe dog,\nthe cow,unheard of\n")
    assert write_answers(FilePredictions(opened, str(source)), tmp_path / "a.csv") == 3
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[0] == "text,label,prediction,probability"
    assert lines[2].startswith("the dog,,")


def test_an_unknown_form_and_a_pair_are_refused_and_leave_nothing(opened: ModelDirectory, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "rows.csv", ["the cat"])
    with pytest.raises(BertworksError, match=r"not written as `.xlsx`"):
        write_answers(FilePredictions(opened, str(source)), tmp_path / "a.xlsx")
    (tmp_path / "pairs.csv").write_text("premise,hypothesis\na,b\nc,d\n")
    with pytest.raises(BertworksError, match="a pair of texts a row, the model reads one text"):
        write_answers(FilePredictions(opened, str(tmp_path / "pairs.csv")), tmp_path / "a.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.csv", "rows.csv"]


def test_a_failure_in_the_middle_leaves_nothing(
    opened: ModelDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_csv(tmp_path / "rows.csv", ["the cat"] * 5)
    predictions = FilePredictions(opened, str(source))
    original: Callable[..., object] = predictions.__class__.__iter__

    def stops(itself: FilePredictions) -> object:
        for i, found in enumerate(original(itself)):  # type: ignore[arg-type, var-annotated]
            if i == 3:
                raise RuntimeError("stopped")
            yield found

    monkeypatch.setattr(FilePredictions, "__iter__", stops)
    with pytest.raises(RuntimeError, match="stopped"):
        write_answers(predictions, tmp_path / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize("piece_bytes", [70_000, 100_000])
def test_a_large_csv_in_pieces_is_the_whole_table(tmp_path: Path, piece_bytes: int) -> None:
    texts = [f'row {i}, the "{"cat" * (i % 40)}"\nwe saw {i}' for i in range(6000)]
    source = write_csv(tmp_path / "rows.csv", texts)
    assert source.stat().st_size > 4 * piece_bytes
    pieces = list(read_in_pieces(str(source), piece_bytes=piece_bytes))
    whole = read_table(source, labelled=False)
    assert len(pieces) > 3
    assert [row for piece in pieces for row in piece.rows] == whole.rows
    assert [number for piece in pieces for number in piece.line_numbers] == whole.line_numbers


def test_another_encoding_in_pieces_is_the_whole_table(tmp_path: Path) -> None:
    text = "id\ttext\n" + "".join(f"{i}\tcafé {i}\n" for i in range(9000))
    (tmp_path / "rows.tsv").write_text(text, encoding="latin-1")
    pieces = list(read_in_pieces(str(tmp_path / "rows.tsv"), encoding="latin-1", piece_bytes=70_000))
    assert len(pieces) > 1
    assert [row["text"] for piece in pieces for row in piece.rows] == [f"café {i}" for i in range(9000)]


@pytest.mark.parametrize("form", ["lines", "jsonl", "tsv"])
def test_other_forms_in_pieces_are_the_whole_table(tmp_path: Path, form: str) -> None:
    written = {
        "lines": lambda i: f'a line {i} with one " in it, and more',
        "jsonl": lambda i: json.dumps({"text": f'line {i} "said\n', "id": i}),
        "tsv": lambda i: f'{i}\tthe 5" disk {i}',
    }[form]
    head = ["id\ttext"] if form == "tsv" else []
    (tmp_path / "rows").write_text("\n".join([*head, *map(written, range(9000))]) + "\n")
    pieces = list(read_in_pieces(str(tmp_path / "rows"), piece_bytes=80_000))
    whole = read_table(tmp_path / "rows", labelled=False)
    assert len(pieces) > 2
    assert len(whole.rows) == 9000
    assert [row for piece in pieces for row in piece.rows] == whole.rows
    assert [number for piece in pieces for number in piece.line_numbers] == whole.line_numbers


def in_pieces(path: Path, text: str, *, piece_bytes: int, many: bool = True) -> tuple[list[Table], Table]:
    """A file's pieces, and the file read whole, which they must give together."""
    path.write_text(text, encoding="utf-8")
    pieces = list(read_in_pieces(str(path), piece_bytes=piece_bytes))
    whole = read_table(path, labelled=False)
    assert [row for piece in pieces for row in piece.rows] == whole.rows
    assert [number for piece in pieces for number in piece.line_numbers] == whole.line_numbers
    assert (len(pieces) > 1) == many
    return pieces, whole


def dropped(pieces: list[Table]) -> dict[str, int]:
    return dict(sum((Counter(piece.dropped) for piece in pieces), Counter[str]()))


@pytest.mark.parametrize("piece_bytes", [320, 500, 2000])
@pytest.mark.parametrize("head_bytes", [200, 310])
def test_dropped_rows_of_all_pieces_are_those_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int, head_bytes: int
) -> None:
    monkeypatch.setattr(files, "HEAD_BYTES", head_bytes)
    draw = random.Random(3)
    good, short, long = "{0}\t1\t2\tq {0}\tp {0}\t1\n", "{0}\t1\tcut\n", "{0}\t1\t2\tq\tp\t1\tmore\n"
    lines = [draw.choice([good, good, good, short, long]).format(number) for number in range(200)]
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    pieces, whole = in_pieces(tmp_path / "qqp.tsv", header + "".join(lines), piece_bytes=piece_bytes)
    assert 50 < whole.dropped["another number of fields"] < 110
    assert pieces[0].dropped["another number of fields"] < whole.dropped["another number of fields"]
    assert dropped(pieces) == whole.dropped


def test_blank_lines_of_all_pieces_are_those_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HEAD_BYTES", 120)
    text = "text,label\n" + "".join(f"text {number},x\n" + "\n" * (number % 4 == 0) for number in range(60))
    pieces, whole = in_pieces(tmp_path / "rows.csv", text + "last,x\n", piece_bytes=150)
    assert whole.dropped == {"blank line": 15}
    assert dropped(pieces) == whole.dropped


def test_predictions_count_what_all_pieces_dropped(
    opened: ModelDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "HEAD_BYTES", 100)
    one_piece = files.read_in_pieces

    def small(path: str, columns: Mapping[str, str] | None, encoding: str) -> Iterator[Table]:
        return one_piece(path, columns, encoding, piece_bytes=200)

    monkeypatch.setattr(files, "read_in_pieces", small)
    lines = [f"{i}\tthe cat\ta dog\n" if i % 5 else f"{i}\tbroken\n" for i in range(1, 41)]
    (tmp_path / "rows.tsv").write_text("id\tquestion1\tquestion2\n" + "".join(lines))
    predictions = FilePredictions(as_foreign(opened), str(tmp_path / "rows.tsv"))
    assert len(list(predictions)) == 32
    assert predictions.dropped == {"another number of fields": 8}
    assert predictions.first is not None
    assert predictions.first.dropped["another number of fields"] < 8


def as_foreign(opened: ModelDirectory) -> ModelDirectory:
    """A model that answers pairs too."""
    return dataclasses.replace(opened, is_foreign=True)


ROWS = "".join(f"text {number},x\n" for number in range(300))


@pytest.mark.parametrize("long", ["word " * 100, '"' + "word\n" * 100 + '"', '"' + 'a ""quote"", ' * 60 + '"'])
@pytest.mark.parametrize("header", ["text,label\n", ""])
def test_a_first_record_longer_than_the_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: str, header: str
) -> None:
    monkeypatch.setattr(files, "HEAD_BYTES", 120)
    _, whole = in_pieces(tmp_path / "rows.csv", f"{header}{long},x\n{ROWS}", piece_bytes=1200)
    assert len(whole.rows) == 301
    assert len(next(iter(whole.rows[0].values()))) > 2 * files.HEAD_BYTES


def test_an_object_over_many_lines_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HEAD_BYTES", 120)
    rows = [{"text": f"text {number}"} for number in range(100)]
    for value in ({"data": rows}, {"text": [row["text"] for row in rows], "id": list(range(100))}):
        for indent in (0, 2):
            text = json.dumps(value, indent=indent)
            _, whole = in_pieces(tmp_path / "rows.json", text, piece_bytes=300, many=False)
            assert [row["text"] for row in whole.rows] == [row["text"] for row in rows]
    bom = "\ufeff" + json.dumps({"data": rows}, indent=1).replace("\n", "\r\n")
    assert len(in_pieces(tmp_path / "rows.json", bom, piece_bytes=300, many=False)[1].rows) == 100


def test_objects_of_a_line_each_are_still_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "HEAD_BYTES", 120)
    text = "".join(json.dumps({"text": f"text {number}", "data": [number]}) + "\n" for number in range(100))
    in_pieces(tmp_path / "rows.jsonl", text, piece_bytes=300)
    spoilt = text.replace('{"text": "text 0"', '{"text" "text 0"')
    (tmp_path / "spoilt.jsonl").write_text(spoilt)
    with pytest.raises(BertworksError, match=r"spoilt\.jsonl:1: not JSON"):
        list(read_in_pieces(str(tmp_path / "spoilt.jsonl"), piece_bytes=300))


LONG = "word\n" * 400
SINGLE = {
    "no header.csv": f'"{LONG}",x\n',
    "lines.txt": "word " * 400 + "\n",
    "quote.txt": '"' + LONG,
    "object.jsonl": json.dumps({"text": LONG}) + "\n",
    "first.jsonl": json.dumps({"text": LONG}) + "\n" + '{"text": "b"}\n' * 50,
    "middle.jsonl": '{"text": "b"}\n' * 50 + json.dumps({"text": LONG}) + "\n" + '{"text": "b"}\n' * 50,
    "middle.csv": f'text,label\n{ROWS}"{LONG}",x\n{ROWS}',
}


@pytest.mark.parametrize("name", SINGLE)
def test_a_record_longer_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(files, "HEAD_BYTES", 120)
    in_pieces(tmp_path / name, SINGLE[name], piece_bytes=300, many=name.startswith("middle"))


@pytest.mark.parametrize("more", ["", ROWS])
def test_a_header_and_a_record_longer_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str) -> None:
    monkeypatch.setattr(files, "HEAD_BYTES", 120)
    for long in (f'"{LONG}"', "word " * 400):
        (tmp_path / "rows.csv").write_text(f"text,label\n{long},x\n{more}")
        pieces = list(read_in_pieces(str(tmp_path / "rows.csv"), piece_bytes=300))
        assert [row for piece in pieces for row in piece.rows] == read_table(tmp_path / "rows.csv", labelled=False).rows


@pytest.mark.parametrize("text", ['{"text": "b"}\n' * 60 + '{"text"\n', "text,label\n" + ROWS + "a,b,c\n" + ROWS])
def test_a_fault_in_a_later_piece_is_told_with_its_line_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(files, "HEAD_BYTES", 120)
    (tmp_path / "rows.csv").write_text(text)
    with pytest.raises(BertworksError) as whole:
        read_table(tmp_path / "rows.csv", labelled=False)
    with pytest.raises(BertworksError) as found:
        list(read_in_pieces(str(tmp_path / "rows.csv"), piece_bytes=300))
    assert found.value.message == whole.value.message


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(['"', "\n", "a", ","]), max_size=40).map("".join))
def test_a_cut_is_never_inside_quotes(text: str) -> None:
    first, rest = cut_at_record(text.encode())
    assert first + rest == text.encode()
    assert first.count(b'"') % 2 == 0
    assert first == b"" or first.endswith(b"\n")


def test_a_model_of_a_newer_version_is_refused(opened: ModelDirectory, tmp_path: Path) -> None:
    for path in opened.path.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings_file = tmp_path / "bertworks.json"
    content = json.loads(settings_file.read_text())
    settings_file.write_text(json.dumps({**content, "format": 2}))
    with pytest.raises(BertworksError, match="format 2 is newer than 1"):
        load_model(tmp_path)
    settings_file.write_text("{}")
    with pytest.raises(BertworksError, match="lacks `format`, `task` or `max_length`"):
        load_model(tmp_path)


def test_a_directory_from_elsewhere_answers_texts_and_pairs(opened: ModelDirectory, tmp_path: Path) -> None:
    for path in opened.path.iterdir():
        if path.name != "bertworks.json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    foreign = load_model(tmp_path)
    assert foreign.is_foreign
    assert foreign.task.labels.names == ("left", "right")
    source = write_csv(tmp_path / "rows.csv", ["the cat", "we saw"])
    mine = [found.answer for found in FilePredictions(opened, str(source))]
    assert [found.answer for found in FilePredictions(foreign, str(source))] == mine
    (tmp_path / "pairs.csv").write_text("premise,hypothesis\nthe cat,we saw\n")
    assert len(list(FilePredictions(foreign, str(tmp_path / "pairs.csv")))) == 1
