"""Text to a corpus on disk: read, drop duplicates, tokenise in worker processes, write shards, then the manifest.

The result depends on the text, the vocabulary and the settings alone: not on the number of workers, and not on how
often the build was killed and gone on with.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bertworks.base.errors import BertworksError
from bertworks.base.files import whole_directory
from bertworks.base.progress import Progress
from bertworks.corpus._wire import Reply
from bertworks.corpus.batches import Batch, BatchReader, ChangedInput
from bertworks.corpus.duplicates import HASH_DTYPE, Hashes
from bertworks.corpus.holdout import choose_holdout
from bertworks.corpus.manifest import TOKENIZER, make_manifest
from bertworks.corpus.open import Corpus, open_corpus
from bertworks.corpus.preview import Preview, preview
from bertworks.corpus.shards import ShardInfo, ShardWriter, TokenisedDocuments, token_dtype
from bertworks.corpus.unfinished import (
    FinishedShard,
    ReadDigest,
    Unfinished,
    claimed,
    finish,
    keep_or_clear,
    refuse_out,
)
from bertworks.corpus.workers import start_workers
from bertworks.read.documents import Reading, ReadReport
from bertworks.read.open import PACKINGS, find_files
from bertworks.text.tokenizer import Tokenizer

Ints = npt.NDArray[np.int64]

log = logging.getLogger(__name__)

SHARD_TOKENS = 1 << 24  # 32 MiB of ids from about 75 MB of English: ten seconds of work for two cores to lose
HOLDOUT = 0.005
MAX_UNKNOWN = 0.05
NO_TOKEN = "document without a token"
BYTES_PER_WORKER = 1 << 19  # of input: a worker takes as long to start as to tokenise this
MOST_WORKERS = 16  # unless more are asked for: then one reader has enough to do, and 1.2 GB are in use
PACKED_RATIO = 3.5  # of text to its packed file


def build(
    inputs: Iterable[str | os.PathLike[str]],
    vocab: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    holdout: float = HOLDOUT,
    how: Reading | None = None,
    shard_tokens: int = SHARD_TOKENS,
    max_unknown: float = MAX_UNKNOWN,
    overwrite: bool = False,
    command: str = "",
) -> Corpus:
    """Make the corpus `out` from files and folders of text; goes on where an earlier build of the same was killed.

    vocab         folder or `vocab.txt`; a copy travels in the corpus
    workers       processes that tokenise; None = one a core up to 16, fewer or none for a small input
    holdout       share of documents kept from training
    shard_tokens  a shard is closed after the document that brings it to this many
    max_unknown   share of [UNK] among the tokens of a sample that is still taken for the right vocabulary
    command       for the manifest
    Raises BertworksError for input that cannot be read or that the vocabulary does not fit, for a folder that holds
    something else, for a worker that died and for a full disk.
    """
    out, how = Path(out), how or Reading()
    _check_settings(workers, holdout, shard_tokens, max_unknown)
    inputs = list(inputs)
    refuse_out(out, overwrite, [*inputs, vocab])
    files, left_out = find_files(inputs, besides=out)  # `bertworks corpus . --out ./c`
    total_bytes = sum(map(_file_bytes, files))
    tokenizer = Tokenizer.load(Path(vocab))
    settings = _settings(tokenizer, shard_tokens, holdout, how)
    seen = preview(files, tokenizer, how, max_unknown=max_unknown)
    _show(seen, len(files), tokenizer)
    _check_disk(out, seen, total_bytes, settings["token_bytes"])
    now = Unfinished(settings, [[path.name, path.stat().st_size] for path in files])
    with claimed(out, now, overwrite) as state:
        try:
            report = ReadReport(dropped=dict(left_out))
            wanted = 1 + total_bytes // BYTES_PER_WORKER if total_bytes >= BYTES_PER_WORKER else 0
            count = workers or min(available_cores(), MOST_WORKERS, wanted)
            dropped = _Build(out, tokenizer, state, shard_tokens).run(files, how, count, report)
            if not state.shards:
                raise _nothing(files, dropped)
            shards = [shard.info for shard in state.shards]
            rule = choose_holdout(holdout, (_hashes(out, shard) for shard in shards))
            finish(out, make_manifest(tokenizer, shards, rule, dropped, command))
        except BertworksError as error:
            if error.exit_code == 2 and not isinstance(error, ChangedInput):
                keep_or_clear(out, state, error)
            raise
        except OSError as error:
            raise _disk(out, error) from error
        except KeyboardInterrupt:
            log.warning("%s is unfinished: the same command goes on after %s whole shards", out, len(state.shards))
            raise
    return open_corpus(out)


def _file_bytes(path: Path) -> int:
    if not path.is_file():
        raise BertworksError(f"{path}: is a pipe or a device", "write the text to a file: a build reads it twice")
    return path.stat().st_size


def available_cores() -> int:
    """Cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class _Build:
    """The one writer: takes tokenised documents in order and cuts them into shards."""

    def __init__(self, out: Path, tokenizer: Tokenizer, state: Unfinished, shard_tokens: int) -> None:
        self.out, self.tokenizer, self.state, self.shard_tokens = out, tokenizer, state, shard_tokens
        self.without_tokens = state.shards[-1].without_tokens if state.shards else 0
        self._digest = ReadDigest()
        self._writer: ShardWriter | None = None

    def run(self, files: Sequence[Path], how: Reading, workers: int, report: ReadReport) -> dict[str, int]:
        """Read all documents, tokenise those that no whole shard holds, write them; returns what was dropped."""
        total = sum(path.stat().st_size for path in files)
        with whole_directory(self.out / TOKENIZER, overwrite=True) as folder:
            self.tokenizer.save(folder)
        with start_workers(self.out / TOKENIZER, workers) as pool, Progress(total, "bytes", "corpus") as progress:
            reader = BatchReader(
                files, how, report, self.state, self._digest, lambda: progress.update(report.bytes_read - progress.done)
            )
            try:
                for batch, reply in pool.map(reader):
                    self._take(batch, reply)
                if self._writer is not None and self._writer.documents:
                    self._close(self._writer, reader.documents_read)
            finally:
                if self._writer is not None:
                    self._writer.abandon()
        no_token = {NO_TOKEN: self.without_tokens} if self.without_tokens else {}
        return {**report.dropped, **no_token}

    def _take(self, batch: Batch, reply: Reply) -> None:
        """Write one batch, closing shards where they are full."""
        sentence_ends = np.cumsum(reply.document_sentences)
        token_ends = np.concatenate([[0], np.cumsum(reply.sentence_lengths)])[sentence_ends]
        first = 0
        while first < len(batch.texts):
            if self._writer is None:
                name = f"shard-{len(self.state.shards):05d}"
                tokenizer = self.tokenizer
                self._writer = ShardWriter(self.out, name, tokenizer.continuation, tokenizer.unk_token_id)
            before = token_ends[first - 1] if first else 0
            room = self.shard_tokens - self._writer.tokens
            last = min(int(np.searchsorted(token_ends, before + room)), len(batch.texts) - 1)
            self._add(self._writer, batch, reply, range(first, last + 1), sentence_ends, token_ends)
            if self._writer.tokens >= self.shard_tokens:
                self._close(self._writer, int(batch.ends[last]))
            first = last + 1

    def _add(
        self, writer: ShardWriter, batch: Batch, reply: Reply, chosen: range, sentence_ends: Ints, token_ends: Ints
    ) -> None:
        """Give the documents `chosen` of a batch to the shard, without those in which no token was found."""
        start, stop = chosen.start, chosen.stop
        first_sentence, first_token = (sentence_ends[start - 1], token_ends[start - 1]) if start else (0, 0)
        counts = reply.document_sentences[start:stop]
        filled = counts > 0
        writer.add(
            TokenisedDocuments(
                reply.ids[first_token : token_ends[stop - 1]],
                reply.sentence_lengths[first_sentence : sentence_ends[stop - 1]],
                counts[filled],
                batch.hashes[start:stop][filled],
                sum(len(batch.texts[number]) for number in chosen if reply.document_sentences[number]),
            )
        )
        self.without_tokens += len(counts) - int(np.count_nonzero(filled))
        self._digest.update(batch.hashes[start:stop].tobytes())

    def _close(self, writer: ShardWriter, documents_read: int) -> None:
        """Make the shard whole and say so in `build.json`."""
        self._writer = None
        info = writer.close()
        shard = FinishedShard(info, documents_read, self._digest.hexdigest(), self.without_tokens)
        self.state.shards.append(shard)
        self.state.save(self.out)
        log.debug("%s: %s documents, %s tokens", info.name, f"{info.documents:,}", f"{info.tokens:,}")


def _settings(tokenizer: Tokenizer, shard_tokens: int, holdout: float, how: Reading) -> dict[str, Any]:
    """What decides the result beside the text."""
    return {
        "vocabulary": tokenizer.fingerprint,
        "token_bytes": token_dtype(tokenizer.vocab_size).itemsize,
        "shard_tokens": shard_tokens,
        "holdout": holdout,
        **asdict(how),
    }


def _check_settings(workers: int | None, holdout: float, shard_tokens: int, max_unknown: float) -> None:
    if workers is not None and workers < 1:
        raise BertworksError(f"--workers {workers}: at least 1 is needed", "leave it out for one a core")
    if not 0 <= holdout < 1:
        raise BertworksError(f"--holdout {holdout:g}: a share from 0 to below 1 was expected", "0.005 is one in 200")
    if not 0 <= max_unknown <= 1:
        raise BertworksError(f"--max-unknown {max_unknown:g}: a share from 0 to 1 was expected", "0.05 is usual")
    if shard_tokens < 1:
        raise BertworksError(f"--shard-tokens {shard_tokens}: at least 1 is needed")


def _show(seen: Preview, files: int, tokenizer: Tokenizer) -> None:
    """Log what is about to be read, as a human reads it."""
    for path, kind in list(seen.files.items())[:3]:
        log.info("%s: read as %s", path, kind)
    if files > 3:
        log.info("%s files in all", f"{files:,}")
    casing = "lower-cased" if tokenizer.lowercase else "cased"
    share = seen.unknown / max(seen.tokens, 1)
    log.info(
        "%s tokens in the vocabulary, %s; %.2f%% of %s sampled tokens are [UNK]",
        f"{tokenizer.vocab_size:,}", casing, 100 * share, f"{seen.tokens:,}",
    )  # fmt: skip
    for example in seen.examples:
        log.info("%s", example)


def _check_disk(out: Path, seen: Preview, total_bytes: int, token_bytes: int) -> None:
    """Log how much disk the corpus will need; a warning where there is less."""
    is_packed = any(kind.endswith(PACKINGS) for kind in seen.files.values())
    text_bytes = total_bytes * (PACKED_RATIO if is_packed else 1)
    need = text_bytes * seen.tokens / max(seen.bytes, 1) * (token_bytes + 0.5)  # 0.5: borders, word bits, hashes
    there = next(folder for folder in [out, *out.absolute().parents] if folder.is_dir())
    free = shutil.disk_usage(there).free
    if need > free:
        log.warning("the corpus will take about %.0f MB, %.0f MB are free at %s", need / 1e6, free / 1e6, there)
    elif need > 1e6:
        log.info("the corpus will take about %.0f MB, %.0f MB are free", need / 1e6, free / 1e6)


def _hashes(out: Path, shard: ShardInfo) -> Hashes:
    return np.fromfile(out / f"{shard.name}.hashes", dtype=HASH_DTYPE)


def _nothing(files: Sequence[Path], dropped: Mapping[str, int]) -> BertworksError:
    where = str(files[0]) if len(files) == 1 else f"{len(files):,} files"
    why = "; ".join(f"{reason}: {count:,}" for reason, count in dropped.items()) or "nothing but white space"
    return BertworksError(f"{where}: no document with text ({why})", "give files with text in them")


def _disk(out: Path, error: OSError) -> BertworksError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    what = "the disk is full" if full else os.strerror(error.errno or errno.EIO).lower()
    return BertworksError(
        f"{error.filename or out}: {what}",
        f"{'free some space' if full else 'check the disk'} and run the same command again: "
        "it goes on after the last whole shard",
        exit_code=1,
    )
