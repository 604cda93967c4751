"""Any user's file: what trains, and what is refused in one sentence before anything is written."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertworks.base.errors import BertworksError
from bertworks.cli.flags import columns
from bertworks.finetune.data import read_data
from bertworks.finetune.run import finetune
from bertworks.finetune.setup import prepare_run
from bertworks.predict.directory import load_model
from finetune_support import model_folder, toy_recipe, toy_rows, vocabulary, write_rows


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("inputs") / "start")


def test_a_csv_with_a_byte_order_mark_and_line_ends_in_quotes(start: Path, tmp_path: Path) -> None:
    rows = [{**row, "text": f'the cat,\n"{row["text"]}"\r\nit'} for row in toy_rows(40)]
    train = write_rows(tmp_path / "train.csv", rows)
    train.write_bytes(b"\xef\xbb\xbf" + train.read_bytes())
    result = finetune(toy_recipe(start, train, train__steps=2), tmp_path / "run").content
    assert result["contract"]["columns"] == {"text": "text", "label": "label"}
    assert result["rows"]["train"] + result["rows"]["dev"] == 40
    lines = [json.loads(line) for line in (tmp_path / "run" / "predictions-dev.jsonl").read_text().splitlines()]
    assert "\n" in lines[0]["row"]["text"]
    assert lines[0]["line"] > 2


def test_a_latin_1_file_trains_where_the_encoding_is_named(start: Path, tmp_path: Path) -> None:
    rows = [{**row, "text": f"{row['text']} café"} for row in toy_rows(40)]
    train = write_rows(tmp_path / "train.csv", rows)
    train.write_bytes(train.read_text(encoding="utf-8").encode("latin-1"))
    with pytest.raises(BertworksError, match="not UTF-8, byte 0xe9") as refused:
        finetune(toy_recipe(start, train, train__steps=2), tmp_path / "run")
    assert "--encoding latin1" in refused.value.hint
    result = finetune(toy_recipe(start, train, train__steps=2, data__encoding="latin1"), tmp_path / "run")
    lines = [json.loads(line) for line in (result.run / "predictions-dev.jsonl").read_text().splitlines()]
    assert all(line["row"]["text"].endswith("café") for line in lines)


def test_a_tsv_with_forty_classes(start: Path, tmp_path: Path) -> None:
    lines = [f"{row['text']}\tclass {i % 40}" for i, row in enumerate(toy_rows(160))]
    (tmp_path / "train.tsv").write_text("\n".join(["sentence\tcategory", *lines]) + "\n")
    result = finetune(toy_recipe(start, tmp_path / "train.tsv", train__steps=3), tmp_path / "run")
    task = load_model(result.run).task
    assert len(task.labels.names) == 40
    assert len(result.content["contract"]["labels"]) == 40


def test_three_rows_are_refused_without_a_dev_file_and_train_with_one(start: Path, tmp_path: Path) -> None:
    train = write_rows(tmp_path / "train.csv", toy_rows(3))
    with pytest.raises(BertworksError, match="3 rows are too few to hold some out for dev") as refused:
        finetune(toy_recipe(start, train, train__steps=2), tmp_path / "run")
    assert "--dev" in refused.value.hint
    assert not (tmp_path / "run").exists()
    dev = write_rows(tmp_path / "dev.csv", toy_rows(6, seed=1))
    result = finetune(toy_recipe(start, train, data__dev=str(dev), train__steps=2), tmp_path / "run")
    assert result.content["rows"]["train"] == 3
    assert result.content["rows"]["dev"] == 6


def labels_of(*labels: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        texts = toy_rows(len(labels))
        write_rows(folder / "train.csv", [{**row, "label": label} for row, label in zip(texts, labels, strict=True)])

    return write


def with_dev(folder: Path) -> None:
    write_rows(folder / "train.csv", toy_rows(30))
    write_rows(folder / "dev.csv", [*toy_rows(2), {"text": "the cat", "label": "anmal"}])


def raw(content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "train.csv").write_bytes(content)

    return write


def ordinary(folder: Path) -> None:
    write_rows(folder / "train.csv", toy_rows(30))


BAD = {
    "missing file": (lambda folder: None, {}, r"train\.csv: ", ""),
    "empty file": (raw(b""), {}, r"train\.csv", ""),
    "binary file": (raw(bytes(range(256)) * 20), {}, r"train\.csv", ""),
    "wrong encoding": (raw(b"text,label\ncaf\xe9,a\nthe,b\n"), {}, r"train\.csv:2: not UTF-8, byte 0xe9", ""),
    "label seen only in dev": (with_dev, {"data__dev": "dev.csv"}, r"dev\.csv:4: label `anmal` is not among", "animal"),
    "one class only": (labels_of(*["a"] * 12), {}, "one label only, `a`", "two classes"),
    "missing column": (ordinary, {"data__columns": {"label": "category"}}, "category", ""),
    "whole numbers": (labels_of(*"123456123456"), {}, "classes or a score", "--task"),
    "longer than the model": (ordinary, {"data__max_length": 41}, "max_length 41 is more than the model's 40", "of 40"),
    "no such model": (ordinary, {"model__start": "nowhere"}, "nowhere: no such model", "bertworks-mini"),
    "preset without vocabulary": (ordinary, {"model__start": "preset:tiny"}, "has no vocabulary of its own", "--vocab"),
    "unknown preset": (ordinary, {"model__start": "preset:huge", "model__vocab": "vocab"}, "`huge` is unknown", ""),
    "unknown metric": (ordinary, {"train__metric": "bleu"}, "metric `bleu` is not of the task classify", "accuracy"),
    "unknown key": (ordinary, {"train__lrr": 1}, "unknown key `train.lrr`", "train.lr"),
    "steps and epochs": (ordinary, {"train__epochs": 1.0}, "`steps` and `epochs` are both given", "leave the other"),
    "no dev to stop by": (ordinary, {"data__dev_share": 0.0, "train__patience": 2}, "early stopping needs a dev", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_told_in_one_sentence_and_nothing_is_written(
    start: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, keys, message, hint = BAD[name]
    monkeypatch.chdir(tmp_path)
    vocabulary(tmp_path / "vocab")
    write(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BertworksError) as refused:
        finetune(toy_recipe(start, Path("train.csv"), **keys), tmp_path / "run")
    assert re.search(message, refused.value.message), refused.value.message
    assert hint in refused.value.hint
    assert refused.value.exit_code == 2
    assert sorted(tmp_path.iterdir()) == before


def broken_start(start: Path, folder: Path, change: Callable[[Path], Any]) -> Path:
    folder.mkdir()
    for path in start.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    change(folder)
    return folder


def truncate(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def other_vocabulary(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    words = (folder / "vocab.txt").read_text().splitlines()
    (folder / "vocab.txt").write_text("\n".join([*words, "one", "more"]) + "\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (truncate, r"model\.safetensors: [\d,]+ bytes, its header promises"),
        (other_vocabulary, r"the vocabulary has 38 tokens, the model's word table 36 rows"),
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no weights"),
    ],
)
def test_a_broken_start_is_refused(start: Path, tmp_path: Path, change: Callable[[Path], Any], message: str) -> None:
    broken = broken_start(start, tmp_path / "broken", change)
    train = write_rows(tmp_path / "train.csv", toy_rows(30))
    with pytest.raises(BertworksError, match=message):
        finetune(toy_recipe(broken, train, train__steps=1), tmp_path / "run")
    with pytest.raises(BertworksError, match=message):
        finetune(toy_recipe(broken, train, train__steps=1, train__seeds=2), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_another_vocabulary_of_the_same_size_is_refused(start: Path, tmp_path: Path) -> None:
    words = (start / "vocab.txt").read_text().splitlines()
    (tmp_path / "vocab.txt").write_text("\n".join([*words[:-1], "other"]) + "\n")
    train = write_rows(tmp_path / "train.csv", toy_rows(30))
    recipe = toy_recipe(start, train, model__vocab=str(tmp_path / "vocab.txt"), train__steps=1)
    with pytest.raises(BertworksError, match="is another vocabulary than the one saved with"):
        finetune(recipe, tmp_path / "run")
    same = toy_recipe(start, train, model__vocab=str(start), train__steps=1)
    assert finetune(same, tmp_path / "run").content["steps"] == 1


def test_rows_with_empty_texts_are_kept_and_counted(start: Path, tmp_path: Path) -> None:
    rows = [*toy_rows(30), {"text": "", "label": "animal"}, {"text": "   ", "label": "metal"}]
    result = finetune(toy_recipe(start, write_rows(tmp_path / "train.csv", rows), train__steps=1), tmp_path / "run")
    assert result.content["rows"]["train"] + result.content["rows"]["dev"] == 32
    assert any("an empty text" in line for line in result.content["contract"]["lines"])


def test_dropped_rows_of_all_files_add_up_by_their_reasons(start: Path, tmp_path: Path) -> None:
    files = {}
    for number, (name, unlabelled) in enumerate({"train": 5, "dev": 1, "test": 2}.items()):
        rows = toy_rows(24, seed=number) + [{**row, "label": ""} for row in toy_rows(unlabelled, seed=9)]
        files[name] = write_rows(tmp_path / f"{name}.csv", rows)
    with files["test"].open("a") as handle:
        handle.write("\nthe cat,animal\n")
    recipe = toy_recipe(
        start, files["train"], data__dev=str(files["dev"]), data__test=str(files["test"]), train__steps=1
    )
    rows_told = finetune(recipe, tmp_path / "run").content["rows"]
    assert rows_told == {"train": 24, "dev": 24, "test": 25, "dropped": {"no label": 8, "blank line": 1}}


@pytest.mark.parametrize("world", ["2", "1"])
def test_one_of_several_processes_is_refused(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: str
) -> None:
    recipe = toy_recipe(start, write_rows(tmp_path / "train.csv", toy_rows(30)), train__steps=1)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", world)
    if world == "1":
        assert finetune(recipe, tmp_path / "run").content["steps"] == 1
        return
    with pytest.raises(BertworksError, match="runs in one process, here WORLD_SIZE says several") as refused:
        finetune(recipe, tmp_path / "run")
    assert "without torchrun" in refused.value.hint
    assert not (tmp_path / "run").exists()


def test_the_contract_names_the_command_that_reads_as_the_run_does(start: Path, tmp_path: Path) -> None:
    file = write_rows(tmp_path / "train.csv", [{"a,b": row["text"], "kind": row["label"]} for row in toy_rows(40)])
    recipe = toy_recipe(start, file, data__task="classify", data__columns={"text": "a,b", "label": "kind"})
    contract = prepare_run(recipe, read_data(recipe.data)).contract
    asked = f"`bertworks inspect {file} --task classify --columns 'text=\"a,b\",label=kind'`"
    assert asked in next(line for line in contract.lines() if line.startswith("checks:"))
    words = shlex.split(contract.inspect_command())
    assert columns(words[words.index("--columns") + 1]) == recipe.data.columns
