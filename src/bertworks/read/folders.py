"""Rows in several files side by side: slots (`seq.in`, `seq.out`, `label`), brat (`a.txt`, `a.ann`) → records.

Slot files are parallel, a row a line, as published for ATIS and SNIPS (Goo et al. 2018). Of brat's standoff files the
text-bound lines are read, `T1`, tab, type and places, tab, text (https://brat.nlplab.org/standoff.html); relations,
events and notes are passed over. Each file may be packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertworks.base.errors import BertworksError
from bertworks.read.dialect import Records
from bertworks.read.encoding import decode
from bertworks.read.open import PACKED_SUFFIXES, open_file

WORDS, TAGS, LABEL = "seq.in", "seq.out", "label"


@dataclass(frozen=True)
class _Mark:
    """A stretch of a text: its type, its pieces, and what stands there, "" where the file does not say."""

    kind: str
    pieces: tuple[tuple[int, int], ...]
    covered: str

    @property
    def whole(self) -> list[object]:
        """[start, end, type], all pieces taken together."""
        return [min(start for start, _ in self.pieces), max(end for _, end in self.pieces), self.kind]

    def fits(self, text: str) -> bool:
        """Whether it stands there, apart from spaces: brat writes a line's end as one, and one between pieces."""
        there = "".join(text[start:end] for start, end in self.pieces)
        return not self.covered or "".join(there.split()) == "".join(self.covered.split())


def is_rows(path: Path) -> bool:
    """Whether a folder, or a file with others beside it, is read here."""
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        has_slots = _beside(folder, WORDS) is not None and _beside(folder, TAGS) is not None
        return has_slots or bool(_annotated(folder))
    is_slots = _plain(path.name) == WORDS and _beside(folder, TAGS) is not None
    return is_slots or _plain(path.name).endswith(".ann")


def read_rows(path: Path) -> Records:
    """The rows of a folder, or of a file with those beside it; see `is_rows`.

    Raises BertworksError, with the line, where files are not parallel, or an annotation is broken.
    """
    folder = path if path.is_dir() else path.parent
    if _plain(path.name).endswith(".ann"):
        return _brat([path])
    if _beside(folder, WORDS) is not None:
        return _slots(folder)
    return _brat(_annotated(folder))


def _slots(folder: Path) -> Records:
    columns = {}
    for role, name in (("tokens", WORDS), ("tags", TAGS), ("label", LABEL)):
        file = _beside(folder, name)
        if file is not None:
            columns[role] = _text(file).replace("\r\n", "\n").removesuffix("\n").split("\n")
    lengths = {len(lines) for lines in columns.values()}
    if len(lengths) > 1:
        told = ", ".join(f"{len(lines):,} lines for the {role}" for role, lines in columns.items())
        raise BertworksError(f"{folder}: the files are not parallel: {told}", "a row is a line of each of them")
    values: list[list[object]] = []
    numbers: list[int] = []
    dropped: dict[str, int] = {}
    for number, cells in enumerate(zip(*columns.values(), strict=True), 1):
        words, tags = cells[0].split(), cells[1].split()
        if not words and not tags:
            dropped["blank line"] = dropped.get("blank line", 0) + 1
            continue
        if len(words) != len(tags):
            raise BertworksError(
                f"{folder}:{number}: {len(words)} words and {len(tags)} tags", "one tag a word is needed"
            )
        values.append([words, tags, *(cell.strip() for cell in cells[2:])])
        numbers.append(number)
    there = " and ".join(f"`{name}`" for name in (WORDS, TAGS, LABEL)[: len(columns)])
    form = f"slots, a row a line of {there}"
    return Records(list(columns), values, numbers, "line", form, True, {}, dropped)


def _brat(files: Sequence[Path]) -> Records:
    values: list[list[object]] = []
    pieces, lost = 0, 0
    for file in files:
        name = _plain(file.name).removesuffix(".ann")
        text_file = _beside(file.parent, f"{name}.txt")
        if text_file is None:
            raise BertworksError(f"{file}: there is no `{name}.txt` beside it", "the annotated text belongs to it")
        lines = _text(file).replace("\r\n", "\n").split("\n")
        marks = [_mark(file, number, line) for number, line in enumerate(lines, 1) if line.startswith("T")]
        text = _text(text_file)
        if "\r\n" in text:  # two characters, or one, as the places say
            text = max(text, text.replace("\r\n", "\n"), key=lambda one: sum(mark.fits(one) for mark in marks))
        kept = [mark for mark in marks if mark.fits(text)]
        lost += len(marks) - len(kept)
        pieces += sum(len(mark.pieces) > 1 for mark in kept)
        values.append([name, text, [mark.whole for mark in kept]])
    form = "brat, a document a row" + (f", {pieces:,} marks of several pieces taken whole" if pieces else "")
    form += f", {lost:,} marks left out, whose text does not stand at their place" if lost else ""
    columns = {"id": "id", "text": "text", "spans": "entities"}
    numbers = list(range(1, len(values) + 1))
    return Records(["id", "text", "entities"], values, numbers, "document", form, True, columns)


def _mark(file: Path, number: int, line: str) -> _Mark:
    """`T1`, tab, `PER 0 5` or `PER 0 5;8 12`, tab, text."""
    parts = line.split("\t", 2)
    kind, _, written = parts[1].partition(" ") if len(parts) > 1 else ("", "", "")
    try:
        places = [int(place) for piece in written.split(";") for place in piece.split()]
    except ValueError:
        places = []
    if not kind or len(places) < 2 or len(places) % 2:
        raise BertworksError(
            f"{file}:{number}: `{line[:60]}` marks no stretch of the text", "`T1`, a tab, `PER 0 5`, a tab, the text"
        )
    return _Mark(kind, tuple(zip(places[::2], places[1::2], strict=True)), parts[2] if len(parts) > 2 else "")


def _annotated(folder: Path) -> list[Path]:
    """The `.ann` files of a folder that have their text beside them, by name."""
    found = [file for file in sorted(folder.iterdir()) if _plain(file.name).endswith(".ann") and file.is_file()]
    return [file for file in found if _beside(folder, _plain(file.name).removesuffix(".ann") + ".txt")]


def _beside(folder: Path, name: str) -> Path | None:
    """The file of that name, packed or not."""
    return next((file for end in ("", *PACKED_SUFFIXES) if (file := folder / f"{name}{end}").is_file()), None)


def _plain(name: str) -> str:
    """A file's name without the ending of its packing."""
    return next((name.removesuffix(end) for end in PACKED_SUFFIXES if name.endswith(end)), name)


def _text(file: Path) -> str:
    if not file.stat().st_size:
        return ""  # a document without annotations
    with open_file(file) as source:
        source.skip_bom()
        return decode(source.handle.read(), file, offset=source.text_offset)
