"""Files go in and answers come out: in order, whole or not at all, and in pieces where they are large."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bertworks.base.errors import BertworksError
from bertworks.model.pretrained import load_sentence, save_pretrained
from bertworks.predict.directory import ModelDirectory, load_model, write_settings
from bertworks.predict.files import FilePredictions, cut_at_record, read_in_pieces, write_answers
from bertworks.read.tables import read_table
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
    model, _, _ = load_sentence(start, 2, torch.Generator().manual_seed(1))

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
