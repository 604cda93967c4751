"""Make the data that ships in the package from the folder that BERTWORKS_DATA names.

    BERTWORKS_DATA=… python tools/bundle_data.py OUT

Same input, same bytes: chapters are taken in book order, rows by a seeded hash. The result is what stands in
src/bertworks/data (novels/, heldout/ and banking77/); tests/test_demo.py makes it again and compares.
"""

import csv
import hashlib
import io
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import zstandard

EXCERPT_BYTES = 236_000  # a book: twelve of them and the held-out chapters stay under 3 MB
ROWS_PER_INTENT = 10
SAMPLE_SEED = 0
BOOKS = (
    "jane-austen_pride-and-prejudice",
    "mary-shelley_frankenstein",
    "charlotte-bronte_jane-eyre",
    "herman-melville_moby-dick",
    "charles-dickens_great-expectations",
    "louisa-may-alcott_little-women",
    "robert-louis-stevenson_treasure-island",
    "bram-stoker_dracula",
    "l-frank-baum_the-wonderful-wizard-of-oz",
    "jack-london_martin-eden",
    "frances-hodgson-burnett_the-secret-garden",
    "jonathan-swift_gullivers-travels",
)


def main(data: Path, out: Path) -> None:
    """Write novels, held-out chapters and questions under OUT from the folder of raw data."""
    for name in ("novels", "heldout", "banking77"):
        (out / name).mkdir(parents=True, exist_ok=True)
    write_novels(data / "text" / "gutenberg", out)
    write_banking77(data / "labelled" / "banking77", out / "banking77")


def write_novels(gutenberg: Path, out: Path) -> None:
    """Twelve excerpts, the chapters left out of every pre-training, and SOURCES.tsv."""
    chapters = defaultdict(list)
    for record in read_jsonl(gutenberg / "gutenberg.jsonl.zst"):
        chapters[record["id"].removeprefix("gut-").split("/")[0]].append(record)
    taken = {}
    for book in BOOKS:
        excerpt, size = [], 0
        for record in chapters[book]:
            size += len(record["text"].encode())
            if size > EXCERPT_BYTES:
                break
            excerpt.append(record)
        taken[book] = len(excerpt)
        write_jsonl(out / "novels" / f"{book}.jsonl.zst", excerpt)
    heldout = list(read_jsonl(gutenberg / "gutenberg.heldout.jsonl.zst"))
    write_jsonl(out / "heldout" / "chapters.jsonl.zst", heldout)
    write_sources(gutenberg / "books.tsv", out / "SOURCES.tsv", taken, heldout)


def write_sources(books: Path, path: Path, taken: dict[str, int], heldout: list[dict[str, str]]) -> None:
    """Title, author, year and source of each book, and which of its chapters are here."""
    with books.open(encoding="utf-8", newline="") as handle:
        by_name = {row["source_repository"].split("/")[1]: row for row in csv.DictReader(handle, delimiter="\t")}
    lines = ["file\ttitle\tauthor\tauthor_years\tfirst_published\tchapters\tproject_gutenberg\tsource"]
    for book in BOOKS:
        row = by_name[book]
        lines.append(source_line(f"novels/{book}.jsonl.zst", row, f"first {taken[book]} of {row['chapters']}"))
    for record in heldout:
        book, chapter = record["id"].removeprefix("gut-").split("/")
        lines.append(source_line("heldout/chapters.jsonl.zst", by_name[book], chapter))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def source_line(file: str, row: dict[str, str], chapters: str) -> str:
    """One tab-separated line of SOURCES.tsv."""
    source = f"https://github.com/{row['source_repository']} ({row['commit']}, CC0 edition of a public-domain text)"
    fields = [row["title"], row["author"], row["author_years"], row["first_published"], chapters, row["gutenberg_ids"]]
    return "\t".join([file, *fields, source])


def write_banking77(folder: Path, out: Path) -> None:
    """train.csv: ten questions an intent, drawn by hash, none of them in test.csv; test.csv: the whole test set."""
    train, test = (read_rows(folder / f"{split}.csv.zst") for split in ("train", "test"))
    seen = {fold(text) for text, _ in test}
    by_label = defaultdict(list)
    for text, label in train:
        if fold(text) not in seen:
            seen.add(fold(text))
            by_label[label].append(text)
    rows = [(text, label) for label in sorted(by_label) for text in sorted(by_label[label], key=draw)[:ROWS_PER_INTENT]]
    for name, table in (("train.csv", sorted(rows, key=lambda row: draw(row[0]))), ("test.csv", test)):
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows(table)
        (out / name).write_bytes(buffer.getvalue().encode())


def draw(text: str) -> bytes:
    """The seeded hash that orders rows."""
    return hashlib.blake2b(f"{SAMPLE_SEED}\t{text}".encode()).digest()


def fold(text: str) -> str:
    """What counts as the same question: case and spaces apart."""
    return " ".join(text.lower().split())


def read_rows(path: Path) -> list[tuple[str, str]]:
    """The (text, label) rows of a compressed CSV file with a header."""
    return [(row[0].strip(), row[1]) for row in list(csv.reader(io.StringIO(decompress(path), newline="")))[1:]]


def read_jsonl(path: Path) -> Iterator[dict[str, str]]:
    """The records of a compressed JSONL file."""
    return (json.loads(line) for line in decompress(path).split("\n") if line)


def write_jsonl(path: Path, records: list[dict[str, str]]) -> None:
    """Write title and text of each record, compressed."""
    text = "".join(json.dumps({k: r[k] for k in ("title", "text")}, ensure_ascii=False) + "\n" for r in records)
    path.write_bytes(zstandard.ZstdCompressor(level=19).compress(text.encode()))


def decompress(path: Path) -> str:
    """The text of a .zst file."""
    with path.open("rb") as handle:
        return zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(handle).read().decode()


if __name__ == "__main__":
    main(Path(os.environ["BERTWORKS_DATA"]), Path(sys.argv[1]))
