"""A build on its way: what is whole on disk, and whether this command may go on with it.

`build.json` stands in the folder from the first moment until the manifest does. After each shard it says how many
documents have been read and what their hashes come to, so that going on reads the same documents again, checks that
they are the same, and tokenises none of them twice.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.base.files import claim_out, read_json, remove, write_json
from bertworks.base.locks import FolderLock
from bertworks.corpus.manifest import FORMAT_VERSION, MANIFEST, TOKENIZER
from bertworks.corpus.shards import PARTS, ShardInfo

log = logging.getLogger(__name__)

STATE = "build.json"
_OURS = re.compile(rf"\.?(shard-\d+\.({'|'.join(PARTS)})|{TOKENIZER}|{re.escape(MANIFEST)}|{re.escape(STATE)})(\..*)?")


@dataclass(frozen=True)
class FinishedShard:
    """A whole shard and where the build stood when it was closed.

    documents_read  of the input, those dropped and the shards before included
    digest          of the hashes of all documents that were tokenised up to there
    without_tokens  documents among them in which no token was found
    """

    info: ShardInfo
    documents_read: int
    digest: str
    without_tokens: int

    @staticmethod
    def from_json(entry: Mapping[str, Any]) -> FinishedShard:
        """The entry in `build.json`."""
        return FinishedShard(
            ShardInfo(**entry["info"]), entry["documents_read"], entry["digest"], entry["without_tokens"]
        )


@dataclass
class Unfinished:
    """The state of a build.

    settings  what decides the result beside the text: vocabulary, shard size, how text is read
    inputs    [name, bytes] of each file
    shards    those that are whole
    stopped   the mistake in the input that ended the build, "" where it was killed
    """

    settings: dict[str, Any]
    inputs: list[list[Any]]
    shards: list[FinishedShard] = field(default_factory=list)
    stopped: str = ""

    def save(self, directory: Path) -> None:
        """Write `build.json`."""
        write_json(directory / STATE, {"format_version": FORMAT_VERSION, **asdict(self)})

    @property
    def documents_read(self) -> int:
        """Documents of the input that the whole shards account for."""
        return self.shards[-1].documents_read if self.shards else 0


def load_unfinished(directory: Path) -> Unfinished:
    """The state in `build.json`, without shards whose files are not all there in their full size."""
    entry = read_json(directory / STATE)
    if entry["format_version"] != FORMAT_VERSION:
        other = entry["format_version"]
        raise BertworksError(
            f"{directory}: an unfinished build of format {other}, this version writes {FORMAT_VERSION}",
            "begin again with `--overwrite`",
        )
    shards = [FinishedShard.from_json(shard) for shard in entry["shards"]]
    token_bytes = entry["settings"]["token_bytes"]
    whole = 0
    while whole < len(shards) and is_whole(directory, shards[whole].info, token_bytes):
        whole += 1
    return Unfinished(entry["settings"], entry["inputs"], shards[:whole], entry["stopped"])


def is_whole(directory: Path, shard: ShardInfo, token_bytes: int) -> bool:
    """Whether all files of a shard have their size."""
    sizes = shard.file_bytes(token_bytes)
    files = {part: directory / f"{shard.name}.{part}" for part in PARTS}
    return all(file.is_file() and file.stat().st_size == sizes[part] for part, file in files.items())


def refuse_out(out: Path, overwrite: bool, reads: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Raise BertworksError when `out` holds something that is neither an unfinished build nor to be overwritten.

    reads  what the build reads; nothing of it may lie in `out`
    """
    if (out / MANIFEST).exists() or not (out / STATE).is_file():
        claim_out(out, overwrite, reads=reads)
    others = sorted(entry.name for entry in out.iterdir() if not _OURS.fullmatch(entry.name)) if out.is_dir() else []
    if others:
        raise BertworksError(
            f"{out}: holds `{others[0]}`, which is no part of a corpus; nothing is overwritten",
            "name another `--out`, or take it out of the folder",
        )


@contextmanager
def claimed(out: Path, now: Unfinished, overwrite: bool) -> Iterator[Unfinished]:
    """Hold the folder `out` for one build, and hand out the state to go on from: that of a killed build, or `now`.

    overwrite  what stands at `out` is deleted, unless it is an unfinished build of just the same
    Raises BertworksError when the folder holds something else or another process is building there.
    """
    refuse_out(out, overwrite)
    if out.is_file():
        remove(out)
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(out, "building")
    try:
        yield _state(out, now, overwrite)
    finally:
        if is_new and out.is_dir() and not any(out.iterdir()):
            out.rmdir()
        lock.release()


def _state(out: Path, now: Unfinished, overwrite: bool) -> Unfinished:
    if (out / STATE).is_file() and not (out / MANIFEST).exists():
        try:
            before = load_unfinished(out)
            check_same_build(out, before, now)
        except BertworksError:
            if not overwrite:
                raise
        else:
            now.shards = before.shards
            log.info("%s: going on after %s whole shards", out, f"{len(now.shards):,}")
            clear_remains(out, len(now.shards))
            return now  # not saved before there is more of it: the input may still turn out to be another
    (out / MANIFEST).unlink(missing_ok=True)  # first of all: from here on it is no corpus
    for entry in list(out.iterdir()):
        remove_plainly(entry)
    now.save(out)
    return now


def check_same_build(directory: Path, before: Unfinished, now: Unfinished) -> None:
    """Raise BertworksError when an unfinished build cannot be gone on with: other settings or other inputs.

    After a mistake in the input other files and another way of reading are fine: the digest checks what was read.
    """
    fixed = {"vocabulary", "shard_tokens", "token_bytes"} if before.stopped else set(now.settings)
    hint = "give the same command to go on, or begin again with `--overwrite`"
    for name in sorted(fixed):
        was, value = before.settings.get(name), now.settings[name]
        if was != value:
            raise BertworksError(f"{directory}: an unfinished build with another {name}: `{was}`, now `{value}`", hint)
    if before.stopped:
        return
    if len(before.inputs) != len(now.inputs):
        message = (
            f"{directory}: an unfinished build from {len(before.inputs):,} files, now {len(now.inputs):,} are given"
        )
        raise BertworksError(message, hint)
    for (old_name, old_bytes), (name, size) in zip(before.inputs, now.inputs, strict=True):
        if old_name != name:
            raise BertworksError(f"{directory}: an unfinished build from other files: `{old_name}`, now `{name}`", hint)
        if old_bytes != size:
            message = f"{directory}: `{name}` changed since this build began ({old_bytes:,} bytes, now {size:,})"
            raise BertworksError(message, hint)


class ReadDigest:
    """What was tokenised so far, as one number, for comparison when a build goes on."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)

    def update(self, hashes: bytes) -> None:
        """Take in the hashes of the next documents."""
        self._digest.update(hashes)

    def hexdigest(self) -> str:
        """Of everything so far."""
        return self._digest.copy().hexdigest()


def clear_remains(directory: Path, shards: int) -> None:
    """Delete what a killed build left: half-written files, and files of shards that `build.json` does not know."""
    whole = {f"shard-{number:05d}.{part}" for number in range(shards) for part in PARTS}
    for entry in list(directory.iterdir()):
        if _OURS.fullmatch(entry.name) and entry.name not in whole | {STATE, TOKENIZER}:
            remove_plainly(entry)


def remove_plainly(path: Path) -> None:
    """Delete a file or folder where nobody takes the half-deleted for a whole."""
    if path.is_dir() and not path.is_symlink():
        for entry in path.iterdir():
            remove_plainly(entry)
        path.rmdir()
    else:
        path.unlink()


def keep_or_clear(directory: Path, state: Unfinished, error: BertworksError) -> None:
    """After a mistake in the input: keep whole shards for the next try, and say so in the hint, or leave nothing."""
    if not state.shards:
        for entry in list(directory.iterdir()):
            remove_plainly(entry)
        return
    state.stopped = error.message
    state.save(directory)
    goes_on = f"the same command then goes on after {len(state.shards):,} whole shards"
    error.hint = f"{error.hint}; {goes_on}" if error.hint else goes_on


def finish(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest, which makes the folder a corpus."""
    write_json(directory / MANIFEST, manifest)
    (directory / STATE).unlink(missing_ok=True)
