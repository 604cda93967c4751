"""A page of figures in blocks, written twice from the same content: as one HTML file, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

TEMPLATE = "report_page.html.j2"
_NUMBER = re.compile(r"[-+±]?[\d,.]+( ?%)?( ± [\d.]+)?")


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Lines:
    """A list of sentences."""

    lines: Sequence[str]
    kind: str = "lines"


@dataclass(frozen=True)
class Links:
    """Names and where they lead, beside the page."""

    links: Sequence[tuple[str, str]]
    kind: str = "links"


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the row."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: str = "table"

    def is_number(self, column: int) -> bool:
        """Whether all cells of a column are numbers, or blank."""
        return all(not row[column] or _NUMBER.fullmatch(row[column]) for row in self.rows)


@dataclass(frozen=True)
class Picture:
    """A drawing, what it shows in a sentence, and the same as a table for whoever cannot see it.

    svg   markup of our own, every text in it escaped
    file  the same as a file of the run, for Markdown; None = there is none
    is_matrix  drawn as large as it is, and scrolled
    """

    title: str
    svg: str
    alt: str
    table: Table | None = None
    file: str | None = None
    is_matrix: bool = False
    kind: str = "picture"


@dataclass(frozen=True)
class Code:
    """Something to copy."""

    caption: str
    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Token:
    """A token with its share; `strength` in -1 … 1 is its colour."""

    text: str
    value: str
    strength: float

    @property
    def percent(self) -> int:
        """Of the full colour."""
        return round(70 * abs(self.strength))


@dataclass(frozen=True)
class Case:
    """A wrong row: facts as (name, text), and its tokens where they were explained."""

    title: str
    facts: Sequence[tuple[str, str]]
    tokens: Sequence[Token] = ()
    about: str = ""
    kind: str = "case"


Block = Text | Lines | Links | Table | Picture | Code | Case


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """For links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Page:
    """The whole."""

    title: str
    summary: str
    sections: Sequence[Section] = field(default_factory=list)


def to_html(page: Page) -> str:
    """One file that needs nothing else: styles and drawings stand in it, and nothing is fetched."""
    import jinja2

    source = files("bertworks").joinpath("data", TEMPLATE).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(source).render(page=page)


def to_markdown(page: Page) -> str:
    """The same sections, tables and sentences; drawings are links to the run's pictures, and tables."""
    parts = [f"# {escaped(page.title)}", escaped(page.summary)]
    for section in page.sections:
        parts.append(f"## {escaped(section.title)}")
        for block in section.blocks:
            parts.extend(markdown_of(block))
    return "\n\n".join(parts) + "\n"


def markdown_of(block: Block) -> list[str]:
    """Paragraphs of one block."""
    if isinstance(block, Text):
        return [escaped(block.text)]
    if isinstance(block, Lines):
        return ["\n".join(f"- {escaped(line)}" for line in block.lines)]
    if isinstance(block, Links):
        return ["\n".join(f"- [{escaped(name)}]({place})" for name, place in block.links)]
    if isinstance(block, Table):
        return [f"**{escaped(block.caption)}**", markdown_table(block)]
    if isinstance(block, Code):
        return [f"**{escaped(block.caption)}**", fenced(block.text)]
    if isinstance(block, Picture):
        link = [f"![{escaped(block.alt)}]({block.file})"] if block.file else [escaped(block.alt)]
        return [f"### {escaped(block.title)}", *link, *(markdown_of(block.table) if block.table else [])]
    facts = "\n".join(f"- {escaped(name)}: {escaped(text)}" for name, text in block.facts)
    tokens = fenced("  ".join(f"{token.text} {token.value}" for token in block.tokens)) if block.tokens else ""
    return [part for part in (f"### {escaped(block.title)}", facts, escaped(block.about), tokens) if part]


def markdown_table(table: Table) -> str:
    """Bars in cells are escaped, line ends are spaces."""
    lines = ["| " + " | ".join(map(escaped, table.header)) + " |"]
    lines.append("|" + "|".join("---:" if table.is_number(i) else "---" for i in range(len(table.header))) + "|")
    lines.extend("| " + " | ".join(map(escaped, row)) + " |" for row in table.rows)
    return "\n".join(lines)


def fenced(text: str) -> str:
    """A code block whose fence is longer than any in the text."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def escaped(text: str) -> str:
    """Plain text that Markdown and HTML in it leave alone."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", one_line.replace("&", "&amp;"))
