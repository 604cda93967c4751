"""A file of rows → `Table`: rows keyed by role, whatever the file's form; nothing is left out without being counted."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertworks.base.errors import BertworksError
from bertworks.read.choices import choices_of, gathered
from bertworks.read.conll import looks_like_conll, read_conll
from bertworks.read.dialect import Records, read_delimited
from bertworks.read.encoding import likely_encoding, not_utf8
from bertworks.read.folders import is_rows, read_rows
from bertworks.read.marks import hold_marks, marks_of
from bertworks.read.open import open_file
from bertworks.read.roles import GOLD, INPUTS, Roles, find_roles, plain_name
from bertworks.read.squad import answers_of, placed
from bertworks.read.structured import looks_like_json, read_json, read_parquet

UNMARKED_SHARE = 0.05  # at most so many rows have no gold label where -1 or "-" marks them
NO_NUMBER = ("nan", "na", "n/a", "null", "none")  # what other programs write where a number is missing
SHOWN_ROWS, SHOWN_CHARS = 3, 60
HALF = re.compile("[\ud800-\udfff]")
UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Table:
    """Rows as read.

    rows          one dict a row, by role: text, sentence1, sentence2, label (text), score (a number), id …
    columns       role -> column name
    header        all column names, "1", "2" … where the file has none
    dropped       reason -> rows left out
    counted       what is odd but kept -> rows
    format        what the file was taken for
    line_numbers  where each row begins: its line, or its number in a list or a Parquet file
    unit          what line_numbers count: "line", "item", "row" or "question"
    because       role -> why this column, where its name alone does not say it
    """

    path: str
    rows: list[dict[str, Any]]
    columns: dict[str, str]
    header: list[str]
    dropped: dict[str, int]
    format: str
    line_numbers: list[int]
    unit: str = "line"
    counted: dict[str, int] = field(default_factory=dict)
    because: dict[str, str] = field(default_factory=dict)

    @property
    def is_pair(self) -> bool:
        """Whether the rows hold two texts."""
        return "sentence1" in self.columns

    def where(self, index: int) -> str:
        """The place of row `index` for a message: `train.csv:19`, or `train.json: item 7`."""
        number = self.line_numbers[index]
        return f"{self.path}:{number}" if self.unit == "line" else f"{self.path}: {self.unit} {number}"

    def lines(self) -> list[str]:
        """What was understood, for a human: form, role -> column, three rows as read, rows left out by reason."""
        out = [f"{self.path}: {len(self.rows):,} rows; {self.format}"]
        for role, column in self.columns.items():
            reason = f" ({self.because[role]})" if role in self.because else ""
            distinct = {str(row[role]) for row in self.rows if role in row} if role in ("label", "label_text") else ()
            values = f", {len(distinct):,} values" if distinct else ""
            out.append(f"  {role} <- column `{column}`{reason}{values}")
        unused = [name for name in self.header if name not in self.columns.values()]
        if unused:
            out.append(f"  not used: {', '.join(f'`{name}`' for name in unused)}")
        for index, row in enumerate(self.rows[:SHOWN_ROWS]):
            cells = ", ".join(f"{role} {_shown(value)}" for role, value in row.items())
            out.append(f"  {self.unit} {self.line_numbers[index]}: {cells}")
        out.extend(f"  dropped, {reason}: {count:,}" for reason, count in self.dropped.items())
        out.extend(f"  kept, {reason}: {count:,}" for reason, count in self.counted.items())
        return out


def read_table(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    labelled: bool = True,
    encoding: str = "utf-8",
    may_lack_gold: bool = False,
) -> Table:
    """Read CSV, TSV, JSON lines, a JSON list, Parquet, a GLUE file, or lines of label and text; packed or not; or a
    folder of slots or of brat's files (`folders.py`).

    columns   role -> column name, before what the names say: {"text": "body", "label": "cat"}
    labelled  True: a label or score is needed, rows without one are dropped and counted; False: every row is kept
    encoding  of a text file; UTF-16 is known by its byte-order mark
    may_lack_gold  whether a file without any column for a label or score will do where `labelled`
    Raises BertworksError, with the line, for a file that cannot be read as rows.
    """
    if is_rows(Path(path)):
        records = read_rows(Path(path))
        return _made(str(path), records, columns, labelled=labelled, may_lack_gold=may_lack_gold)
    with open_file(path) as source:
        raw = source.handle.read()
    return parse_table(
        raw, str(path), columns=columns, labelled=labelled, encoding=encoding, may_lack_gold=may_lack_gold
    )


def parse_table(
    raw: bytes,
    path: str,
    *,
    columns: Mapping[str, str] | None = None,
    labelled: bool = True,
    encoding: str = "utf-8",
    may_lack_gold: bool = False,
) -> Table:
    """As `read_table`, from unpacked bytes; `path` serves for messages, and its extension as a hint."""
    records = _records(raw, path, columns or {}, encoding, labelled=labelled)
    return _made(path, records, columns, labelled=labelled, may_lack_gold=may_lack_gold)


def _made(
    path: str, records: Records, columns: Mapping[str, str] | None, *, labelled: bool, may_lack_gold: bool
) -> Table:
    """The rows of a file's records, by role."""
    records = gathered(records, columns or {})
    if not records.values:
        raise BertworksError(f"{path}: no rows, only a header", "there must be at least one row")
    wanted = {**records.columns, **(columns or {})}
    roles = find_roles(
        path,
        records.header,
        records.values,
        has_header=records.has_header,
        columns=wanted,
        labelled=labelled and not may_lack_gold,
    )
    return _table(path, records, _with_spans(records, roles), labelled=labelled)


def _with_spans(records: Records, roles: Roles) -> Roles:
    """A column of labels that holds marked stretches of the text is `spans`."""
    index = roles.columns.get("label", -1)
    if "text" not in roles.columns or index < 0 or not hold_marks([row[index] for row in records.values]):
        return roles
    columns = {("spans" if role == "label" else role): column for role, column in roles.columns.items()}
    return Roles(columns, {**roles.because, "spans": "its cells mark stretches of the text"})


def _records(raw: bytes, path: str, columns: Mapping[str, str], encoding: str, *, labelled: bool) -> Records:
    if raw.startswith(b"PAR1"):
        return read_parquet(path, raw)
    text = _text(raw, path, encoding)
    if not text.strip():
        raise BertworksError(f"{path}: holds no rows, only blank lines", "there must be text in it")
    if looks_like_json(text.removeprefix("\ufeff")):
        return read_json(path, text)
    if looks_like_conll(path, text):
        return read_conll(path, text)
    return read_delimited(path, text, asked=frozenset(columns.values()), labelled=labelled)


def _text(raw: bytes, path: str, encoding: str) -> str:
    if raw.startswith(UTF16):
        encoding = "utf-16"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
            line = raw[: error.start].count(b"\n") + 1
            message = f"{path}:{line}: not {encoding}, byte 0x{raw[error.start]:02x} at offset {error.start:,}"
            raise BertworksError(message, "name the right encoding") from error
        likely = likely_encoding(raw)
        message = not_utf8(raw, error.start, Path(path)).message
        name = {"GB18030": "GB18030", "Latin-1": "LATIN1"}[likely]
        raise BertworksError(
            message,
            f"perhaps it is {likely}: say so with `--encoding {name.lower()}`, or `iconv -f {name} -t UTF-8 OLD > NEW`",
        ) from error
    except (LookupError, UnicodeError) as error:
        raise BertworksError(f"`{encoding}` is not an encoding", "utf-8, latin-1, gb18030, utf-16 are some") from error


def _table(path: str, records: Records, roles: Roles, *, labelled: bool) -> Table:
    """Rows by role, those without gold or text left out and counted."""
    gold = [role for role in GOLD if role in roles.columns]
    if "label" in gold and "label_text" in gold:
        gold.remove("label_text")
    inputs = [role for role in INPUTS if role in roles.columns]
    unmarked = _unmarked(records, roles)
    columns = {role: records.header[index] for role, index in roles.columns.items()}
    table = Table(
        path, [], columns, records.header, dict(records.dropped), records.format, [], records.unit, {}, roles.because
    )
    for cells, number in zip(records.values, records.numbers, strict=True):
        table.line_numbers.append(number)
        row = {
            role: _cell(role, cells[index], table, records.header[index])
            for role, index in roles.columns.items()
            if labelled or role != "score" or _is_numeral(str(cells[index]))  # an answer needs no gold
        }
        reason = _reason(row, gold, inputs, unmarked) if labelled else ""
        if reason:
            table.line_numbers.pop()
            table.dropped[reason] = table.dropped.get(reason, 0) + 1
            continue
        for role in gold:
            if role in row and _missing(row[role], unmarked):
                del row[role]
        for role in inputs:
            row[role] = "" if row[role] is None else row[role]
        if any(isinstance(row[role], str) and not row[role].strip() for role in inputs):
            table.counted["an empty text"] = table.counted.get("an empty text", 0) + 1
        if any(isinstance(option, str) and not option.strip() for option in row.get("choices") or ()):
            table.counted["an empty option"] = table.counted.get("an empty option", 0) + 1
        for told in _place_answers(row):
            table.counted[told] = table.counted.get(told, 0) + 1
        table.rows.append(row)
    if not table.rows:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in table.dropped.items())
        raise BertworksError(f"{path}: no row is left ({reasons})", "is the right column named? `--columns label=…`")
    return table


def _place_answers(row: dict[str, Any]) -> list[str]:
    """Give answers without a place the one that their text has, and say what is odd about the row's answers."""
    if not isinstance(row.get("context"), str) or not row.get("answers"):
        return []
    row["answers"], found, lost = placed(row["answers"], row["context"])
    told = []
    if found:
        told.append("an answer without a place, found by its text")
    if lost:
        told.append("an answer without a place, not learnt from")
    if answer_is_off(row):
        told.append("an answer whose text does not stand at its place")
    return told


def answer_is_off(row: Mapping[str, Any]) -> bool:
    """Whether some answer with a place does not stand there in the text."""
    answers, context = row.get("answers") or (), row.get("context")
    return any(start >= 0 and str(context)[start : start + len(text)] != text for text, start in answers)


def _cell(role: str, value: Any, table: Table, column: str) -> Any:
    """A cell in its role's type; the row's number is the table's last."""
    if role in ("text", "sentence1", "sentence2", "negative", "question", "context", "label_text"):
        if isinstance(value, (list, dict)):
            kind = "a list" if isinstance(value, list) else "an object"
            message = f"{table.where(-1)}: column `{column}` holds {kind}, text was expected for {role}"
            raise BertworksError(message, f"name another column: `--columns {role}=…`")
        return None if value is None or _is_nan(value) else _whole_characters(str(value), table)
    if role == "label":
        if value is None or _is_nan(value):
            return None
        return value if isinstance(value, (list, dict)) else str(value).strip()
    if role == "score":
        return _number(value, table, column)
    if role == "spans":
        marks = marks_of([] if value is None else value)
        if marks is None:
            message = f"{table.where(-1)}: column `{column}` holds {_shown(value)}, no stretches of the text"
            raise BertworksError(message, 'they look like [[0, 4, "PER"]], or {"start": 0, "end": 4, "label": "PER"}')
        return marks
    if role == "answers":
        answers = answers_of(value)
        if answers is None:
            message = f"{table.where(-1)}: column `{column}` holds {_shown(value)}, no answers"
            raise BertworksError(message, 'they look like [{"text": "…", "answer_start": 7}]')
        return answers
    if role == "choices" and value is not None:
        options = choices_of(value)
        if options is None:
            message = f"{table.where(-1)}: column `{column}` holds {_shown(value)}, no list of options"
            raise BertworksError(message, 'they look like ["one", "another"]')
        return options
    if role in ("tokens", "tags") and isinstance(value, list):
        return [str(item) if type(item) is int else item for item in value]
    return value


def _number(value: Any, table: Table, column: str) -> float | None:
    written = "" if value is None else str(value).strip()
    if not written:
        return None
    try:
        number = float(written)
    except ValueError as error:
        raise BertworksError(
            f"{table.where(-1)}: score `{written[:SHOWN_CHARS]}` in column `{column}` is not a number",
            "for classes, name the column as label: `--columns label=…`",
        ) from error
    if math.isinf(number):
        raise BertworksError(f"{table.where(-1)}: score `{written}` in column `{column}` is infinite", "mend the row")
    return None if math.isnan(number) else number


def _unmarked(records: Records, roles: Roles) -> frozenset[str]:
    """Labels of rows without gold: "-" of NLI sets, -1 beside classes 0, 1, 2 … or alone, nan and NA among numbers."""
    if "label" not in roles.columns:
        return frozenset()
    index = roles.columns["label"]
    counts = Counter(str(row[index]).strip() for row in records.values if isinstance(row[index], (str, int, float)))
    counts.pop("", None)
    total, there = sum(counts.values()), set(counts)
    is_gold = plain_name(records.header[index]) == "gold label"  # of SNLI and MNLI: "-" is no majority
    if "-" in there and "+" not in there and (is_gold or len(there) == 1 or counts["-"] <= UNMARKED_SHARE * total):
        return frozenset("-")
    nothing = {label for label in there if label.lower() in NO_NUMBER}
    if nothing and there != nothing and all(_is_numeral(label) for label in there - nothing):
        return frozenset(nothing)
    classes = there - {"-1"}
    numbered = len(classes) > 2 and classes == {str(i) for i in range(len(classes))}
    if there == {"-1"} or (numbered and counts.get("-1", 0) <= UNMARKED_SHARE * total):
        return frozenset(("-1",))
    return frozenset()


def _is_numeral(label: str) -> bool:
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False


def _reason(row: Mapping[str, Any], gold: Sequence[str], inputs: Sequence[str], unmarked: frozenset[str]) -> str:
    for role in gold:
        if _missing(row[role], frozenset()):
            return f"no {role.replace('_', ' ')}"
        if _missing(row[role], unmarked):
            return f"label `{row[role]}`, no gold label"
    if any(row[role] is None for role in inputs):
        return "no text"
    return ""


def _whole_characters(text: str, table: Table) -> str:
    """The text without halves of characters, which JSON can hold and no encoding can write."""
    if text.isascii() or not HALF.search(text):
        return text
    table.counted["half of a character, now U+FFFD"] = table.counted.get("half of a character, now U+FFFD", 0) + 1
    return HALF.sub("\ufffd", text)


def _missing(value: Any, unmarked: frozenset[str]) -> bool:
    return value is None or (isinstance(value, str) and (not value or value in unmarked))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _shown(value: Any) -> str:
    value = value[: SHOWN_CHARS + 1] if isinstance(value, str) else value
    written = json.dumps(value, ensure_ascii=False, default=str)
    return written if len(written) <= SHOWN_CHARS else written[: SHOWN_CHARS - 1] + "…"
