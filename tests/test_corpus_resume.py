"""A build that stops at any moment goes on to the same bytes, and never with other text or settings."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import corpus_texts
from bertworks.base import files
from bertworks.base.errors import BertworksError
from bertworks.corpus import build as build_module
from bertworks.corpus.build import build
from bertworks.corpus.open import open_corpus
from bertworks.corpus.unfinished import Unfinished, claimed
from bertworks.corpus.workers import NoWorkers
from bertworks.read.documents import Reading
from corpus_texts import contents, make_documents, vocabulary, write_jsonl

SHARD_TOKENS = 1000


@pytest.fixture(scope="module")
def vocab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabulary(tmp_path_factory.mktemp("vocab"))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "start_workers", corpus_texts.no_workers)
    monkeypatch.setattr("bertworks.corpus.batches.BATCH_BYTES", 3000)


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Documents with duplicates, empty ones and ones without a token among them."""
    documents = make_documents(100)
    for number in (3, 17, 40, 41, 77):
        documents.insert(number, documents[number // 2])
        documents.insert(number, "\u200b" * number)
        documents.insert(number, " ")
    return write_jsonl(tmp_path / "text.jsonl", documents)


class Stopped(Exception):
    """Stands for the power cut: nothing is written after it."""


class Cut:
    """Lets the writes, fsyncs and renames of the project through until number `at`, which and after which all fail."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int | None) -> None:
        self.calls, self.at = 0, at
        for name in ("_write", "_fsync", "_rename"):
            patch.setattr(files, name, self._hooked(getattr(files, name)))

    def _hooked(self, real: object) -> object:
        def call(*words: object) -> object:
            self.calls += 1
            if self.at is not None and self.calls >= self.at:
                raise Stopped
            return real(*words)  # type: ignore[operator]

        return call


def cut_everywhere(step: int, text: Path, vocab: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a build at every `step`-th write, fsync and rename, each time in a new folder, and go on with it."""
    with monkeypatch.context() as patch:
        counted = Cut(patch, None)
        build([text], vocab, folder / "whole", shard_tokens=SHARD_TOKENS)
    whole = contents(folder / "whole")
    shards = sum(name.endswith(".ids") for name in whole)
    assert shards >= 3
    assert counted.calls > shards * 15
    kept = []
    for at in range(1, counted.calls + 1, step):
        out = folder / f"cut-{at}"
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            Cut(patch, at)
            build([text], vocab, out, shard_tokens=SHARD_TOKENS)
        state = out / "build.json"
        kept.append(len(json.loads(state.read_text())["shards"]) if state.exists() else 0)
        if not (out / "manifest.json").exists():
            build([text], vocab, out, shard_tokens=SHARD_TOKENS)
        found = contents(out)
        found.pop("build.json", None)
        assert found == whole, f"call {at}"
    assert kept == sorted(kept)
    assert kept[-1] == shards


@pytest.mark.usefixtures("in_process")
def test_a_fault_at_writes_fsyncs_and_renames_is_gone_on_from(
    text: Path, vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_everywhere(7, text, vocab, tmp_path, monkeypatch)


@pytest.mark.slow  # a hundred builds, each stopped at another call
@pytest.mark.usefixtures("in_process")
def test_a_fault_at_every_write_fsync_and_rename_is_gone_on_from(
    text: Path, vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_everywhere(1, text, vocab, tmp_path, monkeypatch)


PROGRAM = """
import sys
from pathlib import Path
from bertworks.corpus import batches
from bertworks.corpus.build import build

batches.BATCH_BYTES = 5_000
text, vocab, out, workers = sys.argv[1:]
build([text], vocab, out, workers=int(workers), shard_tokens=8_000)
"""


def run_and_kill(text: Path, vocab: Path, out: Path, seconds: float, workers: int) -> bool:
    """Start a build, SIGKILL it after a while; whether it was still at work."""
    words = [sys.executable, "-c", PROGRAM, str(text), str(vocab), str(out), str(workers)]
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
        assert process.returncode == 0, process.stderr.read() if process.stderr else ""
    return False


def kill_at_random(text: Path, vocab: Path, folder: Path, kills: int, seed: int) -> None:
    started = time.monotonic()
    assert not run_and_kill(text, vocab, folder / "whole", 600, 2)
    length = time.monotonic() - started
    whole = contents(folder / "whole")
    draw = random.Random(seed)
    killed, progress = 0, []
    while killed < kills or (killed < kills + 10 and max(progress) < 1):  # at least one after a whole shard
        out = folder / f"killed-{killed}-{len(progress)}"
        while run_and_kill(text, vocab, out, draw.uniform(0.3, 1) * length, draw.choice([1, 2, 3])):
            killed += 1
            state = out / "build.json"
            progress.append(len(json.loads(state.read_text())["shards"]) if state.exists() else 0)
            if (out / "manifest.json").exists():  # the kill came after the end
                break
        found = contents(out)
        found.pop("build.json", None)
        assert found == whole
        progress.append(-1)
    assert any(shards > 0 for shards in progress), "every kill came before the first shard"


def test_kills_at_random_moments_are_gone_on_from(vocab: Path, tmp_path: Path) -> None:
    text = write_jsonl(tmp_path / "text.jsonl", make_documents(1500, sentences=12))
    kill_at_random(text, vocab, tmp_path, 2, seed=int.from_bytes(os.urandom(4), "big"))


@pytest.mark.slow  # ten kills of a build that takes seconds
def test_ten_kills_at_random_moments_are_gone_on_from(vocab: Path, tmp_path: Path) -> None:
    text = write_jsonl(tmp_path / "text.jsonl", make_documents(3000, sentences=12))
    kill_at_random(text, vocab, tmp_path, 10, seed=int.from_bytes(os.urandom(4), "big"))


def stop_after(shards: int, text: Path, vocab: Path, out: Path, **settings: object) -> None:
    """Build until so many shards are whole, then stop as by a kill."""
    with pytest.MonkeyPatch.context() as patch:
        close = build_module._Build._close

        def closing(itself: object, *words: object) -> None:
            close(itself, *words)  # type: ignore[arg-type]
            if len(itself.state.shards) == shards:  # type: ignore[attr-defined]
                raise Stopped

        patch.setattr(build_module._Build, "_close", closing)
        with pytest.raises(Stopped):
            build([text], vocab, out, **{"shard_tokens": SHARD_TOKENS, **settings})


@pytest.mark.usefixtures("in_process")
def test_whole_shards_are_not_tokenised_again(
    text: Path, vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenised: list[int] = []
    counting = NoWorkers.map

    def count(itself: object, requests: object) -> object:
        for request, reply in counting(itself, requests):  # type: ignore[arg-type]
            tokenised.append(len(reply.ids))
            yield request, reply

    monkeypatch.setattr(NoWorkers, "map", count)
    build([text], vocab, "whole", shard_tokens=SHARD_TOKENS)
    all_tokens = sum(tokenised)
    stop_after(3, text, vocab, tmp_path / "c")
    stamps = {name: (tmp_path / "c" / name).stat().st_mtime_ns for name in ("shard-00000.ids", "shard-00002.words")}
    tokenised.clear()
    build([text], vocab, "c", shard_tokens=SHARD_TOKENS)
    assert sum(tokenised) == all_tokens - sum(shard.tokens for shard in open_corpus("c").shards[:3])
    assert {name: (tmp_path / "c" / name).stat().st_mtime_ns for name in stamps} == stamps
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


def refusal(text: Path | list[Path], vocab: Path, out: Path, **settings: object) -> str:
    before = contents(out)
    with pytest.raises(BertworksError) as caught:
        build(text if isinstance(text, list) else [text], vocab, out, **{"shard_tokens": SHARD_TOKENS, **settings})
    assert caught.value.exit_code == 2
    assert contents(out) == before
    assert "--overwrite" in caught.value.hint or "begin again" in caught.value.hint
    return caught.value.message


@pytest.mark.usefixtures("in_process")
def test_other_settings_or_inputs_are_refused(text: Path, vocab: Path, tmp_path: Path) -> None:
    out = tmp_path / "c"
    stop_after(2, text, vocab, out)
    assert refusal(text, vocab, out, shard_tokens=2000).endswith("with another shard_tokens: `1000`, now `2000`")
    assert refusal(text, vocab, out, holdout=0.1).endswith("with another holdout: `0.005`, now `0.1`")
    assert refusal(text, vocab, out, how=Reading("files")).endswith("another documents: `blocks`, now `files`")
    other = vocabulary(tmp_path / "w")
    (other / "vocab.txt").write_text((other / "vocab.txt").read_text() + "more\n")
    assert "with another vocabulary: `" in refusal(text, other, out)
    more = write_jsonl(tmp_path / "more.jsonl", ["More of it."])
    assert refusal([text, more], vocab, out).endswith("from 1 files, now 2 are given")
    assert refusal(more, vocab, out).endswith("from other files: `text.jsonl`, now `more.jsonl`")
    whole = text.read_text()
    text.write_text(whole + '{"text": "more"}\n')
    assert "`text.jsonl` changed since this build began" in refusal(text, vocab, out)
    text.write_text(whole.replace("cat", "dog", 1))
    assert refusal(text, vocab, out).startswith("the input changed since this build began")
    text.write_text(whole)
    assert build([text], vocab, out, shard_tokens=SHARD_TOKENS).number_of_documents > 50


@pytest.mark.usefixtures("in_process")
def test_overwrite_goes_on_with_the_same_and_replaces_all_else(text: Path, vocab: Path, tmp_path: Path) -> None:
    build([text], vocab, tmp_path / "whole", shard_tokens=SHARD_TOKENS)
    out = tmp_path / "c"
    stop_after(2, text, vocab, out)
    first = (out / "shard-00000.ids").stat().st_mtime_ns
    build([text], vocab, out, shard_tokens=SHARD_TOKENS, overwrite=True)
    assert (out / "shard-00000.ids").stat().st_mtime_ns == first
    assert contents(out) == contents(tmp_path / "whole")
    stop_after(2, text, vocab, tmp_path / "d")
    build([text], vocab, tmp_path / "d", shard_tokens=2000, overwrite=True)
    assert [shard.tokens > 2000 for shard in open_corpus(tmp_path / "d").shards[:2]] == [True, True]
    (tmp_path / "e").write_text("a file")
    build([text], vocab, tmp_path / "e", shard_tokens=SHARD_TOKENS, overwrite=True)
    assert contents(tmp_path / "e") == contents(out)


@pytest.mark.usefixtures("in_process")
def test_a_mistake_in_the_input_keeps_what_is_whole(
    text: Path, vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bertworks.corpus.preview.CHARS_PER_FILE", 1000)  # the mistake lies behind it
    build([text], vocab, tmp_path / "whole", shard_tokens=SHARD_TOKENS)
    whole = text.read_bytes()
    text.write_bytes(whole[:-30] + b"\xff" + whole[-30:])
    out = tmp_path / "c"
    with pytest.raises(BertworksError, match=r"text.jsonl:115: not UTF-8, byte 0xff") as caught:
        build([text], vocab, out, shard_tokens=SHARD_TOKENS)
    assert "the same command then goes on after" in caught.value.hint
    assert (out / "shard-00001.ids").exists()
    text.write_bytes(whole)
    build([text], vocab, out, shard_tokens=SHARD_TOKENS)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.usefixtures("in_process")
def test_a_lost_shard_is_built_again(text: Path, vocab: Path, tmp_path: Path) -> None:
    build([text], vocab, tmp_path / "whole", shard_tokens=SHARD_TOKENS)
    out = tmp_path / "c"
    stop_after(3, text, vocab, out)
    (out / "shard-00001.words").write_bytes(b"cut")
    build([text], vocab, out, shard_tokens=SHARD_TOKENS)
    assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.usefixtures("in_process")
def test_two_builds_do_not_share_a_folder(text: Path, vocab: Path, tmp_path: Path) -> None:
    told = "another process is building there"
    with claimed(tmp_path / "c", Unfinished({}, []), overwrite=False), pytest.raises(BertworksError, match=told):
        build([text], vocab, tmp_path / "c")
    assert (tmp_path / "c" / "build.json").exists()


def test_a_full_disk_is_told_and_gone_on_from(
    text: Path, vocab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_module, "start_workers", corpus_texts.no_workers)
    build([text], vocab, tmp_path / "whole", shard_tokens=SHARD_TOKENS)
    out = tmp_path / "c"
    write = files._write

    def full(file: object, data: object) -> int:
        if "shard-00002" in str(getattr(file, "name", "")):
            raise OSError(28, "No space left on device")
        return write(file, data)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(BertworksError, match="the disk is full") as caught:
        patch.setattr(files, "_write", full)
        build([text], vocab, out, shard_tokens=SHARD_TOKENS)
    assert caught.value.exit_code == 1
    assert "run the same command again" in caught.value.hint
    assert not [name for name in contents(out) if "00002" in name]
    build([text], vocab, out, shard_tokens=SHARD_TOKENS)
    assert contents(out) == contents(tmp_path / "whole")


def test_ctrl_c_stops_every_process_and_says_how_to_go_on(vocab: Path, tmp_path: Path) -> None:
    document = " ".join(make_documents(100))
    text = write_jsonl(tmp_path / "text.jsonl", (f"{number}. {document}" for number in range(3000)))
    words = [sys.executable, "-m", "bertworks", "corpus", text, "--vocab", vocab, "--out", "c", "--workers", "2"]
    with subprocess.Popen([*map(str, words), "--shard-tokens", "20000"], stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "c" / "shard-00001.ids").exists():
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            time.sleep(0.02)
        children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        assert len(children) == 2
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on after" in told
    assert "Traceback" not in told
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
