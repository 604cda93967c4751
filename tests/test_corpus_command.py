"""`bertworks corpus`: results on standard output, all else on standard error, one sentence for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from bertworks.corpus.open import open_corpus
from corpus_texts import contents, make_documents, vocabulary, write_jsonl

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def vocab(tmp_path: Path) -> Path:
    return vocabulary(tmp_path / "v")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    write_jsonl(folder / "a.jsonl", [*make_documents(60), make_documents(1)[0], ""])
    (folder / "b.txt").write_text("The old cat.\nIt sat.\n\nA dog ran.\nFar away.")
    return folder


def test_text_becomes_a_corpus(texts: Path, vocab: Path, command: Run) -> None:
    done = command("corpus", texts, "--vocab", vocab, "--out", "c", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "documents  62, 6 of them held out" in done.stdout
    assert done.stdout.endswith("next: bertworks pretrain --corpus c --out RUN\n")
    assert "a.jsonl: read as JSON lines, column `text`" in done.stderr
    assert "  text    " in done.stderr
    assert "warning: dropped 1 times: document that occurred before" in done.stderr
    assert "warning: dropped 1 times: document without text" in done.stderr
    again = command("corpus", texts, "--vocab", vocab, "--out", "c")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("error: c: exists already\nhint: ")


def test_json_and_quiet_and_settings(texts: Path, vocab: Path, command: Run, tmp_path: Path) -> None:
    words = ["corpus", texts / "a.jsonl", "--vocab", vocab, "--columns", "text=text", "--shard-tokens", 500]
    done = command(*words, "--out", "c", "--json", "--quiet", "--workers", 2, "--holdout", 0.5)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    corpus = open_corpus(tmp_path / "c")
    assert told["documents"] == corpus.number_of_documents == 60
    assert told["tokens"] == corpus.number_of_tokens
    assert told["heldout_documents"] == int(corpus.is_heldout.sum()) > 20
    assert told["dropped"] == {"document that occurred before": 1, "document without text": 1}
    assert told["fingerprint"] == corpus.fingerprint
    assert len(corpus.shards) > 1
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines())
    assert corpus.manifest["command"] == (
        f"bertworks corpus {texts}/a.jsonl --vocab {vocab} --holdout 0.5 --shard-tokens 500 --columns 'text=\"text\"'"
    )
    other = command(*words, "--out", "d", "--quiet", "--workers", 1, "--holdout", 0.5)
    assert other.returncode == 0
    assert contents(tmp_path / "c") == contents(tmp_path / "d")


def test_what_a_corpus_lacks_is_said(vocab: Path, command: Run, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("The cat sat. The dog ran.")
    done = command("corpus", "one.txt", "--vocab", vocab, "--out", "c", "--workers", 1)
    assert done.returncode == 0
    assert "warning: there is one document: next-sentence pairs need two" in done.stderr
    (tmp_path / "short.txt").write_text("\n\n".join(f"Cat {number} sat." for number in range(9)))
    done = command("corpus", "short.txt", "--vocab", vocab, "--out", "d", "--workers", 1)
    assert "100% of the documents are one sentence" in done.stderr
    assert "documents  9, 1 of them held out (those with the smallest hashes, as there are few)" in done.stdout
    done = command("corpus", "short.txt", "--vocab", vocab, "--out", "e", "--documents", "files", "--workers", 1)
    assert json.loads((tmp_path / "e" / "manifest.json").read_text())["counts"]["documents"] == 1


WRONG = {
    "a name": (["texst"], "error: texst: no such file or folder\nhint: did you mean `texts`?\n"),
    "a role": (["texts", "--columns", "label=x"], "error: --columns label=…: a corpus has the role `text` only"),
    "a column": (["texts", "--columns", "text=body"], "error: texts/a.jsonl: no column `body` among: `text`\n"),
    "a share": (["texts", "--holdout", "2"], "error: --holdout 2: a share from 0 to below 1 was expected"),
    "a choice": (["texts", "--documents", "pages"], "error: bertworks corpus: --documents: wants one of"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    case: str, texts: Path, vocab: Path, command: Run, tmp_path: Path
) -> None:
    words, told = WRONG[case]
    assert texts.is_dir()
    before = contents(tmp_path)
    done = command("corpus", *words, "--vocab", vocab, "--out", "c")
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(tmp_path) == before


def test_building_loads_nothing_heavy(texts: Path, vocab: Path) -> None:
    program = (
        "import sys; from bertworks.cli.main import main; code = main(sys.argv[1:]); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules})); sys.exit(code)"
    )
    words = ["corpus", str(texts), "--vocab", str(vocab), "--out", "c", "--quiet"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert {"bertworks", "numpy", "tokenizers"} <= loaded
    assert not loaded & {"torch", "transformers", "polars", "pyarrow", "sklearn", "scipy", "pydantic", "matplotlib"}
