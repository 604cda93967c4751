"""Worker processes: replies in order, memory bounded, and an end that is told whatever happens to one of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bertworks.base.errors import BertworksError
from bertworks.corpus.build import build
from bertworks.corpus.workers import WAITING_PER_WORKER, NoWorkers, Workers, start_workers
from corpus_texts import make_documents, vocabulary, write_jsonl


@dataclass(frozen=True)
class Texts:
    texts: list[bytes]
    source: str = "a.txt:1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabulary(tmp_path_factory.mktemp("vocab"))


def requests(count: int, size: int = 3, taken: list[int] | None = None) -> Iterator[Texts]:
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield Texts([f"{number} {n} the cat.".encode() for n in range(size + 40 * (number % 5))])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_no_workers_give_the_same_replies(folder: Path) -> None:
    with Workers(folder, 1) as workers, start_workers(folder, 0) as none:
        assert isinstance(none, NoWorkers)
        pairs = list(zip(workers.map(requests(5)), none.map(requests(5)), strict=True))
    assert len(pairs) == 5
    for (_, one), (_, other) in pairs:
        assert len(one.ids) > 10
        for name in ("ids", "sentence_lengths", "document_sentences"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).dtype == getattr(other, name).dtype


def test_replies_come_in_the_order_of_requests_and_few_wait(folder: Path) -> None:
    taken: list[int] = []
    with Workers(folder, 2) as workers:
        for number, (request, reply) in enumerate(workers.map(requests(60, taken=taken))):
            assert request.texts[0].startswith(b"%d 0 " % number)
            assert len(reply.document_sentences) == len(request.texts)
            assert reply.sentence_lengths.sum() == len(reply.ids)
            assert len(taken) - number <= 2 * (1 + WAITING_PER_WORKER)
        assert number == 59
        pids = workers.process_ids
        assert all(map(is_running, pids))
    assert not any(map(is_running, pids))


def test_large_messages_in_both_directions_do_not_block(folder: Path) -> None:
    large = [Texts([b"cat " * 60_000]) for _ in range(5)]  # requests and replies far beyond a pipe's 64 KiB
    with Workers(folder, 2) as workers:
        lengths = [len(reply.ids) for _, reply in workers.map(large)]
    assert lengths == [60_000] * 5


def test_documents_without_sentences_are_replied_to(folder: Path) -> None:
    with Workers(folder, 1) as workers:
        replies = [reply for _, reply in workers.map([Texts([b"", b"the cat. sat", "\u200b".encode()]), Texts([])])]
    assert replies[0].document_sentences.tolist() == [0, 2, 0] or replies[0].document_sentences.tolist() == [0, 1, 0]
    assert replies[1].document_sentences.tolist() == []
    assert replies[1].ids.dtype == np.dtype("<u4")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_ends_the_work_with_a_sentence(how: signal.Signals, folder: Path) -> None:
    with pytest.raises(BertworksError) as caught, Workers(folder, 2) as workers:
        for number, _ in enumerate(workers.map(requests(10_000))):
            if number == 5:
                os.kill(workers.process_ids[1], how)
    assert caught.value.exit_code == 1
    assert caught.value.message == f"worker 2 was ended by {how.name} while tokenising a.txt:1"
    assert "goes on after the last whole shard" in caught.value.hint
    assert ("out of memory?" in caught.value.hint) == (how == signal.SIGKILL)
    assert not any(map(is_running, workers.process_ids))


def test_a_worker_that_cannot_start_ends_the_work(tmp_path: Path) -> None:
    with pytest.raises(BertworksError, match="worker 1 ended with code 1"), Workers(tmp_path / "gone", 1) as workers:
        list(workers.map(requests(3)))


def test_an_error_in_the_loop_stops_the_workers(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), Workers(folder, 3) as workers:
        for _ in workers.map(requests(10_000)):
            _ = 1 / 0
    assert len(workers.process_ids) == 3
    assert not any(map(is_running, workers.process_ids))


def test_workers_end_when_the_build_is_killed(folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from bertworks.corpus.workers import Workers\n"
        "with Workers(Path(sys.argv[1]), 2) as workers: print(*workers.process_ids, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_running, pids))
        process.kill()
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))


def is_alive(pid: int) -> bool:
    """Running, and not only waiting for somebody to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_build_whose_worker_dies_can_go_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertworks.corpus.batches.BATCH_BYTES", 2000)
    text = write_jsonl(tmp_path / "a.jsonl", make_documents(900))
    take, calls = build.__globals__["_Build"]._take, []

    def killing(itself: object, *words: object) -> None:
        calls.append(1)
        take(itself, *words)
        if len(calls) == 20:
            workers = [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
            os.kill(workers[-1], signal.SIGKILL)

    with monkeypatch.context() as patch, pytest.raises(BertworksError, match="was ended by SIGKILL"):
        patch.setattr(build.__globals__["_Build"], "_take", killing)
        build([text], folder, "c", workers=2, shard_tokens=3000)
    assert (tmp_path / "c" / "shard-00000.ids").exists()
    assert build([text], folder, "c", workers=2, shard_tokens=3000).number_of_documents == 900
