"""Files as their publishers and annotation tools write them: SNLI, MNLI, OCNLI, slots, brat, doccano, CoNLL-2012."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from bertworks.base.errors import BertworksError
from bertworks.read.tables import Table, parse_table, read_table
from bertworks.tasks.infer import infer_task
from bertworks.tasks.task import Task

NLI = [
    ("neutral", "A person rides.", "A person trains."),
    ("-", "A man sleeps.", "A man rests."),
    ("contradiction", "A dog runs.", "No dog runs."),
    ("entailment", "Two boys play.", "Boys play."),
]


def nli_lines(extra: dict[str, object]) -> bytes:
    """As the official files of SNLI 1.0 and MultiNLI 1.0 are written, keys in their order."""
    rows = []
    for number, (gold, first, second) in enumerate(NLI):
        row = {
            "annotator_labels": [gold if gold != "-" else "neutral", "entailment"],
            "captionID": "3416050480.jpg#4",
            "gold_label": gold,
            "pairID": f"3416050480.jpg#4r{number}n",
            "sentence1": first,
            "sentence1_binary_parse": f"( {first} )",
            "sentence1_parse": f"(ROOT {first})",
            "sentence2": second,
            "sentence2_binary_parse": f"( {second} )",
            "sentence2_parse": f"(ROOT {second})",
        }
        rows.append(json.dumps({**extra, **row}))
    return ("\n".join(rows) + "\n").encode()


def nli_table(names: str, values: str) -> bytes:
    rows = [names]
    for number, (gold, first, second) in enumerate(NLI):
        rows.append(values.format(gold=gold, first=first, second=second, n=number))
    return ("\n".join(rows) + "\n").encode()


SNLI_TXT = nli_table(
    "gold_label\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2"
    "\tcaptionID\tpairID\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5",
    "{gold}\t( {first} )\t( {second} )\t(ROOT)\t(ROOT)\t{first}\t{second}\tc#1\tp{n}\tneutral\t\t\t\t",
)
MNLI_TXT = nli_table(
    "gold_label\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2"
    "\tpromptID\tpairID\tgenre\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5",
    "{gold}\t( {first} )\t( {second} )\t(ROOT)\t(ROOT)\t{first}\t{second}\t31193\tp{n}\tgovernment\tneutral\t\t\t\t",
)
MNLI_TSV = nli_table(
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
    "\tsentence1\tsentence2\tlabel1\tgold_label",
    "{n}\t31193\tp{n}\tgovernment\t( {first} )\t( {second} )\t(ROOT)\t(ROOT)\t{first}\t{second}\tneutral\t{gold}",
)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (nli_lines({}), "snli_1.0_train.jsonl"),
        (SNLI_TXT, "snli_1.0_train.txt"),
        (nli_lines({"genre": "government", "promptID": "31193"}), "multinli_1.0_train.jsonl"),
        (MNLI_TXT, "multinli_1.0_dev_matched.txt"),
        (MNLI_TSV, "train.tsv"),
    ],
)
def test_nli_files_as_published(raw: bytes, name: str) -> None:
    table = parse_table(raw, name)
    assert table.columns["sentence1"] == "sentence1"
    assert table.columns["sentence2"] == "sentence2"
    assert table.columns["label"] == "gold_label"
    assert [(row["label"], row["sentence1"], row["sentence2"]) for row in table.rows] == [NLI[0], NLI[2], NLI[3]]
    assert table.dropped == {"label `-`, no gold label": 1}
    task = infer_task(table).task
    assert (task.name, task.labels.names) == ("classify", ("contradiction", "entailment", "neutral"))


@pytest.mark.parametrize(
    ("file", "rows", "dropped", "name"),
    [
        ("ocnli/dev.json", 2950, {"label `-`, no gold label": 50}, "classify"),
        ("afqmc/dev.json", 4316, {}, "classify"),
        ("tnews/dev.json", 4928, {}, "classify"),
        ("cluener2020/dev.json", 1343, {}, "tag"),
        ("fewclue/bustm/train_few_all.json", 160, {}, "classify"),
        ("fewclue/eprstmt/train_few_all.json", 160, {}, "classify"),
        ("fewclue/csldcp/train_few_all.json", 2036, {}, "classify"),
        ("snli/dev.jsonl", 9842, {}, "classify"),
        ("atis/valid", 500, {}, "intent-slots"),
    ],
)
def test_shared_files(shared_data: Path, file: str, rows: int, dropped: dict[str, int], name: str) -> None:
    path = shared_data / "labelled" / file
    table = read_table(path if path.is_dir() else path.with_name(path.name + ".zst"))
    assert (len(table.rows), table.dropped) == (rows, dropped)
    assert infer_task(table).task.name == name


def slots(folder: Path, label: str | None = "go\nstay\n") -> Path:
    folder.mkdir()
    (folder / "seq.in").write_text("fly to Rome\nstay here\n")
    packed = zstandard.ZstdCompressor().compress(b"O O B-city\nO O\n")
    (folder / "seq.out.zst").write_bytes(packed)
    if label is not None:
        (folder / "label").write_text(label)
    return folder


def test_slots_stand_in_files_side_by_side(tmp_path: Path) -> None:
    folder = slots(tmp_path / "train")
    table = read_table(folder)
    assert table.rows[0] == {"tokens": ["fly", "to", "Rome"], "tags": ["O", "O", "B-city"], "label": "go"}
    assert read_table(folder / "seq.in").rows == table.rows
    assert task_of(table).name == "intent-slots"
    assert "label" not in read_table(slots(tmp_path / "bare", None)).columns
    with pytest.raises(BertworksError, match=r"odd: the files are not parallel: .*3 lines for the label"):
        read_table(slots(tmp_path / "odd", "a\nb\nc\n"))
    (folder / "seq.in").write_text("fly to Rome\nstay\n")
    with pytest.raises(BertworksError, match=r"train:2: 1 words and 2 tags"):
        read_table(folder)


def task_of(table: Table) -> Task:
    return infer_task(table).task


def test_brats_places_count_line_ends_as_written(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"Ann\r\nmet\r\nBo in Rome")
    (tmp_path / "a.ann").write_bytes(
        b"T1\tPER 10 12\tBo\r\nT2\tLOC 16 20\tRome\r\nT3\tPER 0 8\tAnn met\r\nT4\tX 1 4\tRome\r\n"
    )
    table = read_table(tmp_path)
    text = table.rows[0]["text"]
    assert [text[start:end] for start, end, _ in table.rows[0]["spans"]] == ["Ann\r\nmet", "Bo", "Rome"]
    assert "1 marks left out, whose text does not stand at their place" in table.format


def test_brat(tmp_path: Path) -> None:
    text = "Ann Lee met Bo in\r\nRome."
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "a.ann").write_text(
        "T1\tPER 0 7\tAnn Lee\nT2\tLOC 18 22\tRome\nE1\tMeet:T1\n#1\tAnnotatorNotes T1\tsure\n"
        "T3\tPER 0 3;12 14\tAnn Bo\n"
    )
    (tmp_path / "b.txt").write_text("Nothing here.")
    (tmp_path / "b.ann").write_text("")
    table = read_table(tmp_path)
    assert [row["id"] for row in table.rows] == ["a", "b"]
    assert table.rows[0]["spans"] == [(0, 7, "PER"), (0, 14, "PER"), (18, 22, "LOC")]
    assert table.rows[0]["text"][18:22] == "Rome"
    assert table.rows[1]["spans"] == []
    assert "1 marks of several pieces taken whole" in table.format
    assert task_of(table).name == "tag"
    assert len(read_table(tmp_path / "a.ann").rows) == 1
    (tmp_path / "a.ann").write_text("T1\tPER 0 7\tAnn Lee\nT2\tLOC x\n")
    with pytest.raises(BertworksError, match=r"a\.ann:2: `T2\tLOC x` marks no stretch"):
        read_table(tmp_path)
    (tmp_path / "b.txt").unlink()
    with pytest.raises(BertworksError, match=r"b\.ann: there is no `b\.txt` beside it"):
        read_table(tmp_path / "b.ann")


@pytest.mark.parametrize("key", ["label", "labels", "entities"])
def test_doccano(key: str) -> None:
    marks: object = [[0, 3, "PER"], [12, 16, "LOC"]]
    if key == "entities":
        marks = [
            {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 3},
            {"id": 2, "label": "LOC", "start_offset": 12, "end_offset": 16},
        ]
    row = {"id": 5, "text": "Ann went to Rome", key: marks, "Comments": []}
    other = {"id": 6, "text": "Nobody", key: [], "Comments": []}
    table = parse_table(f"{json.dumps(row)}\n{json.dumps(other)}\n".encode(), "all.jsonl")
    assert [tuple(mark) for mark in table.rows[0]["spans"]] == [(0, 3, "PER"), (12, 16, "LOC")]
    assert (len(table.rows), task_of(table).name) == (2, "tag")


def test_conll_2012() -> None:
    raw = b"""#begin document (bc/x); part 000
bc/x 0 0 Ann NNP (TOP(S(NP* ann - - A (PERSON* (ARG0* (1
bc/x 0 1 Lee NNP *) lee - - A *) *) 1)
bc/x 0 2 left VBD *)) leave 01 1 A * (V*) -

bc/x 0 0 Rome NNP (TOP*) rome - - - (GPE) -
#end document
"""
    table = parse_table(raw, "x.gold_conll")
    assert table.rows[0] == {
        "tokens": ["Ann", "Lee", "left"],
        "tags": ["B-PERSON", "I-PERSON", "O"],
        "document": "1",
    }
    assert table.rows[1] == {"tokens": ["Rome"], "tags": ["B-GPE"], "document": "1"}
    assert table.line_numbers == [2, 6]
    assert parse_table(raw, "x", columns={"tags": "pos"}).rows[1]["tags"] == ["NNP"]
    with pytest.raises(BertworksError, match=r"x:3: `\(X\)` in the column of names"):
        parse_table(raw.replace(b"A *) *) 1)", b"A (X) *) 1)"), "x")


def test_a_first_column_that_counts_words() -> None:
    raw = (
        "#\thttp://de.example.org/x [2009-10-17]\n1\tSchartau\tB-PER\tO\n2\tsagte\tO\tO\n3\t#\tO\tO\n\n1\tJa\tO\tO\n\n"
        * 3
    )
    table = parse_table(raw.encode(), "NER-de-dev.tsv", columns={"tags": "3"})
    assert table.rows[0] == {"tokens": ["Schartau", "sagte", "#"], "tags": ["B-PER", "O", "O"]}
    assert "the first one counts the words" in table.format
