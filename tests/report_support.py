"""Reads a report as a browser would, strictly: tags, tables, texts, what is loaded from where."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "br", "hr", "input"}
LOADS = {"src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href"}


@dataclass
class PageTable:
    """Caption and cells of one table, the header first."""

    caption: str = ""
    rows: list[list[str]] = field(default_factory=list)
    scopes: list[str | None] = field(default_factory=list)


class PageReader(HTMLParser):
    """What stands in a page; `faults` are tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tables: list[PageTable] = []
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.headings: list[tuple[str, str]] = []
        self.tags: list[str] = []
        self.styles = self.texts = ""
        self.unnamed_drawings = 0
        self.feed(text)
        self.close()
        self.faults += [f"<{tag}> stays open" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.loaded += [str(value) for name, value in attrs if name in LOADS]
        if tag == "link":
            self.loaded.append(str(given.get("href")))
        if tag == "a":
            self.links.append(str(given.get("href")))
        if tag == "svg":
            self.unnamed_drawings += not (given.get("role") == "img" and given.get("aria-label"))
        self.faults += [f"{name} on <{tag}>" for name, _ in attrs if name.startswith("on")]
        self.faults += [f"<{tag}> has {name} twice" for name, _ in attrs if [n for n, _ in attrs].count(name) > 1]
        if "id" in given:
            self.ids.append(str(given["id"]))
        if tag == "table":
            self.tables.append(PageTable())
        elif tag == "tr":
            self.tables[-1].rows.append([])
        elif tag in ("td", "th"):
            self.tables[-1].rows[-1].append("")
            if tag == "th":
                self.tables[-1].scopes.append(given.get("scope"))
        elif tag in ("h1", "h2", "h3"):
            self.headings.append((tag, ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:]}")
            return
        self.open.pop()

    def handle_data(self, data: str) -> None:
        within = self.open[-1] if self.open else ""
        if within == "style":
            self.styles += data
            return
        self.texts += data
        if within in ("td", "th"):
            self.tables[-1].rows[-1][-1] += data
        elif within == "caption":
            self.tables[-1].caption += data
        elif within in ("h1", "h2", "h3"):
            tag, told = self.headings[-1]
            self.headings[-1] = (tag, told + data)

    def table(self, caption: str) -> PageTable:
        """The one whose caption begins so."""
        (found,) = (table for table in self.tables if table.caption.startswith(caption))
        return found


def read_page(path: Path) -> PageReader:
    """A page that must be well formed and load nothing."""
    reader = PageReader(path.read_text(encoding="utf-8"))
    assert reader.faults == []
    assert reader.loaded == []
    assert "script" not in reader.tags
    assert "url(" not in reader.styles
    assert "@import" not in reader.styles
    inside = {link[1:] for link in reader.links if link.startswith("#")}
    assert inside <= set(reader.ids)
    assert all((path.parent / link).is_file() for link in reader.links if not link.startswith("#"))
    assert len(reader.ids) == len(set(reader.ids))
    assert reader.unnamed_drawings == 0
    for table in reader.tables:
        assert all(scope in ("col", "row") for scope in table.scopes)
        assert len({len(row) for row in table.rows}) == 1, table.caption
    return reader


def figures_of(content: object) -> set[str]:
    """Every number in a JSON value, with four digits."""
    if isinstance(content, dict):
        return set().union(*map(figures_of, content.values())) if content else set()
    if isinstance(content, list):
        return set().union(*map(figures_of, content)) if content else set()
    return {f"{content:.4f}"} if isinstance(content, (int, float)) and not isinstance(content, bool) else set()
