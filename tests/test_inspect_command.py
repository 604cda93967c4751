"""`bertworks inspect`: a corpus, a data file, a model or a run in a few figures."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

import corpus_texts
from bertworks.corpus import build as build_module
from bertworks.corpus.build import build
from bertworks.corpus.open import Corpus
from corpus_texts import make_documents, vocabulary, write_jsonl

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    monkeypatch.setattr(build_module, "start_workers", corpus_texts.no_workers)
    text = write_jsonl(tmp_path / "a.jsonl", make_documents(80))
    return build([text], vocabulary(tmp_path / "v"), tmp_path / "c", shard_tokens=900)


def as_json(command: Run, *words: object) -> dict[str, Any]:
    done = command("inspect", *words, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_corpus(corpus: Corpus, command: Run) -> None:
    told = as_json(command, "c", "--verify")
    assert told["kind"] == "corpus"
    assert told["documents"] == 80
    assert told["tokens"] == corpus.number_of_tokens
    assert told["tokens_per_sentence"]["mean"] == round(corpus.number_of_tokens / corpus.number_of_sentences, 2)
    lengths = np.diff(corpus.sentence_offsets[corpus.document_sentences])
    assert told["heldout_tokens"] == lengths[corpus.is_heldout].sum() > 0
    assert told["disk_bytes"] == sum(file.stat().st_size for file in corpus.path.glob("shard-*"))
    assert told["verified"] is True
    done = command("inspect", "c")
    assert f"tokens                  {corpus.number_of_tokens:,}" in done.stdout


def test_a_broken_corpus(corpus: Corpus, command: Run) -> None:
    file = corpus.path / "shard-00001.ids"
    whole = file.read_bytes()
    file.write_bytes(whole[:-2] + b"\0\0")
    assert command("inspect", "c").returncode == 0
    done = command("inspect", "c", "--verify")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: c/shard-00001.ids: its SHA-256 is not the manifest's\nhint: ")
    file.write_bytes(whole[:-2])
    done = command("inspect", "c")
    assert done.returncode == 2
    assert f"c/shard-00001.ids: has {len(whole) - 2:,} bytes, the manifest says {len(whole):,}" in done.stderr


def test_samples_are_what_training_would_read(corpus: Corpus, command: Run) -> None:
    words = ["inspect", "c", "--samples", 7, "--json", "--max-length", 32, "--seed", 5, "--epoch", 1]
    done = command(*words)
    assert done.returncode == 0, done.stderr
    samples = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(samples) == 7
    heldout = set(np.flatnonzero(corpus.is_heldout).tolist())
    assert heldout
    for sample in samples:
        assert len(sample["tokens"]) == len(sample["token_type_ids"]) <= 32
        assert sample["tokens"][0] == "[CLS]"
        assert sample["tokens"].count("[SEP]") == 2
        assert len(sample["masked_positions"]) == len(sample["masked_labels"]) >= 1
        assert not heldout & set(sample["documents"])
        assert sample["is_random_next"] == (sample["documents"][0] != sample["documents"][1])
    assert {sample["is_random_next"] for sample in samples} == {True, False}
    assert command(*words).stdout == done.stdout
    assert command(*words[:-1], 2).stdout != done.stdout
    alone = [json.loads(line) for line in command(*words, "--segments", "none").stdout.splitlines()]
    assert all(set(sample["token_type_ids"]) == {0} for sample in alone)


def test_data_files(command: Run, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label\na film,good\nno film,bad\nfilm,good\n")
    told = as_json(command, "rows.csv")
    assert (told["kind"], told["rows"], told["columns"]) == ("rows", 3, {"text": "text", "label": "label"})
    assert "label <- column `label`" in command("inspect", "rows.csv").stdout
    (tmp_path / "novel.txt").write_text("One. Two.\nThree.\n\nFour.\n")
    told = as_json(command, "novel.txt")
    assert (told["kind"], told["documents"], told["sentences"]) == ("documents", 2, 4)
    assert told["first"] == ["One. Two. Three.", "Four."]
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "a").write_text('{"text": "One. Two."}\n{"text": ""}\n')
    told = as_json(command, "folder")
    assert (told["documents"], told["dropped"]) == (1, {"document without text": 1})


def test_a_model(command: Run, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    config = {
        "architectures": ["BertModel"],
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "id2label": {"1": "b", "0": "a"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "a.weight": {"dtype": "F16", "shape": [3, 5], "data_offsets": [0, 30]},
            "a.bias": {"dtype": "F16", "shape": [7], "data_offsets": [30, 44]},
        }
    ).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(44))
    told = as_json(command, "m")
    assert (told["kind"], told["parameters"], told["tensors"], told["dtype"]) == ("model", 22, 2, "F16")
    assert told["labels"] == ["a", "b"]
    (folder / "model.safetensors").write_bytes(b"short")
    done = command("inspect", "m")
    assert done.returncode == 2
    assert "model.safetensors: is cut off or damaged" in done.stderr


def test_a_run(command: Run, tmp_path: Path) -> None:
    run = tmp_path / "r"
    (run / "checkpoints" / "1000").mkdir(parents=True)
    (run / "checkpoints" / "900").mkdir()
    (run / "best").mkdir()
    (run / "best" / "config.json").write_text("{}")
    (run / "recipe.toml").write_text("[train]\n")
    lines = [{"step": 1, "loss": 9.0}, {"step": 2, "split": "heldout", "loss": 8.5}, {"step": 3, "loss": 7.5}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, "lo')
    told = as_json(command, "r")
    assert told == {
        "kind": "run",
        "path": "r",
        "finished": False,
        "checkpoints": ["900", "1000"],
        "last_training": lines[2],
        "last_evaluation": lines[1],
        "models": ["best"],
    }
    (run / "result.json").write_text('{"seconds": 5}')
    assert as_json(command, "r")["result"] == {"seconds": 5}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["gone"], "gone: no such file or folder"),
        (["empty"], "empty: is neither a corpus, a vocabulary, a model, a run nor a folder of text"),
        (["empty", "--samples", "3"], "empty: is no corpus, which `--samples` is for"),
        (["begun"], "begun: an unfinished corpus, it has no manifest.json"),
        (["picture.png"], "picture.png: is a picture, not text"),
    ],
)
def test_what_is_none_of_them(words: list[str], told: str, command: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "build.json").write_text("{}")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = command("inspect", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_pairs_without_labels_are_checked_as_finetune_reads_them(tmp_path: Path, command: Run) -> None:
    lines = "".join(f"the {n} cats,cats are {n}\n" for n in range(9))
    (tmp_path / "pairs.csv").write_text("query,passage\n" + lines)
    told = as_json(command, "pairs.csv", "--task", "embed", "--dev", "pairs.csv")
    assert (told["task"], told["files"]["dev"]["rows"]) == ("embed", 9)
    done = command("inspect", "pairs.csv", "--task", "classify")
    assert (done.returncode, "no column is known to hold the label" in done.stderr) == (2, True)
