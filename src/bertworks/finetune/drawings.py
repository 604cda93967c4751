"""Drawings as inline SVG: curves, a confusion matrix, bars of reliability, points.

Colours come from the page's classes, so that they follow light and dark; lines differ in dashes and points too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from bertworks.stats.reliability import Bin

WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 44  # margins
FEW_POINTS = 40  # below, each is marked
SHOWN_CHARS = 26  # of a label
MOST_COUNTED = 15  # classes with numbers in the cells
CELLS = ((4, 64), (8, 44), (MOST_COUNTED, 32), (60, 13), (10**9, 10.5))  # up to so many classes, width of a cell
CHAR = 6.6  # width of a character of the small print


@dataclass(frozen=True)
class Series:
    """A line; `style` 0 … 5 chooses colour, dashes and marks."""

    name: str
    points: Sequence[tuple[float, float]]
    style: int = 0


@dataclass(frozen=True)
class Frame:
    """Where values lie on the drawing: (x, y) of its lower left corner and of its upper right one."""

    low: tuple[float, float]
    high: tuple[float, float]
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM

    def x(self, value: float) -> float:
        """To the right."""
        return LEFT + (value - self.low[0]) / (self.high[0] - self.low[0]) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Upwards."""
        return self.bottom - (value - self.low[1]) / (self.high[1] - self.low[1]) * (self.bottom - self.top)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, within [low, high]."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def around(values: Sequence[float]) -> tuple[float, float]:
    """A range with some air, more where all values are nearly equal."""
    low, high = min(values), max(values)
    air = max((high - low) * 0.05, 0.05 * max(abs(low), abs(high)), 1e-3)
    return low - air, high + air


def axes(frame: Frame, xlabel: str, ylabel: str) -> list[str]:
    """Grid, numbers and names."""
    parts = []
    for value in ticks(frame.low[1], frame.high[1], 5):
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(text(LEFT - 8, y + 4, f"{value:g}", "end"))
    for value in ticks(frame.low[0], frame.high[0]):
        x = frame.x(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{frame.top}" x2="{x:.1f}" y2="{frame.bottom}"/>')
        parts.append(text(x, frame.bottom + 17, f"{value:g}" if abs(value) < 1 else f"{value:,.10g}", "middle"))
    middle = (frame.top + frame.bottom) / 2
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, frame.bottom + 36, xlabel, "middle"))
    parts.append(upright(middle, ylabel))
    return parts


def text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    """A text of the drawing, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def upright(middle: float, words: str) -> str:
    """A name at the left edge, read upwards."""
    return text(13, middle, words, "middle", f' transform="rotate(-90 13 {middle:.1f})"')


def bar(x: float, top: float, wide: float, bottom: float, told: str) -> str:
    """From `bottom` up to `top`; `told` is shown under the pointer."""
    box = f'x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{bottom - top:.1f}"'
    return f'<rect class="bar" {box}><title>{escape(told)}</title></rect>'


def svg(parts: Sequence[str], label: str, width: float = WIDTH, height: float = HEIGHT) -> str:
    """The whole drawing; `label` is what a screen reader says."""
    head = f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}">'
    return head + "".join(parts) + "</svg>"


def curves(series: Sequence[Series], ylabel: str, label: str, mark: tuple[float, str] | None = None) -> str:
    """Lines over updates; `mark` is a place on the way and its name."""
    drawn = [one for one in series if one.points]
    xs, ys = ([point[side] for one in drawn for point in one.points] for side in (0, 1))
    (_, high_x), (low_y, high_y) = around(xs), around(ys)
    names, above = legend(drawn)
    low = (0.0, max(0.0, low_y) if min(ys) >= 0 else low_y)
    frame = Frame(low, (high_x, high_y), TOP + above, HEIGHT - BOTTOM + above)
    parts, name = axes(frame, "updates", ylabel), ""
    if mark is not None:
        x = frame.x(mark[0])
        parts.append(f'<line class="mark" x1="{x:.1f}" y1="{frame.top}" x2="{x:.1f}" y2="{frame.bottom}"/>')
        is_right = x > WIDTH / 2
        anchor = "end" if is_right else "start"
        name = text(x + (-5 if is_right else 5), frame.bottom - 6, mark[1], anchor, ' class="halo"')
    for one in drawn:
        places = [(frame.x(x), frame.y(y)) for x, y in one.points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line s{one.style}" points="{line}"/>')
        if len(places) <= FEW_POINTS:
            parts.extend(f'<circle class="dot f{one.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
    return svg([*parts, name, *names], label, WIDTH, HEIGHT + above)


def legend(series: Sequence[Series]) -> tuple[list[str], float]:
    """Names with a piece of each line, above the drawing, and the height they take; one name needs none."""
    if len(series) < 2:
        return [], 0.0
    wide = 52 + max(len(one.name) for one in series) * CHAR
    in_a_row = max(1, int((WIDTH - LEFT - RIGHT) // wide))
    parts = []
    for number, one in enumerate(series):
        x, y = LEFT + number % in_a_row * wide, 14 + 18 * (number // in_a_row)
        parts.append(f'<polyline class="line s{one.style}" points="{x:.1f},{y - 4} {x + 30:.1f},{y - 4}"/>')
        parts.append(text(x + 36, y, one.name))
    return parts, 18.0 * math.ceil(len(series) / in_a_row)


def confusion(counts: np.ndarray, labels: Sequence[str], label: str) -> str:
    """Rows are gold, columns are said (C, C); the colour is the share of the row, every cell says its count."""
    classes = len(labels)
    cell = next(size for most, size in CELLS if classes <= most)
    shown = [one if len(one) <= SHOWN_CHARS else one[: SHOWN_CHARS - 1] + "…" for one in labels]
    margin = 30 + max(map(len, shown)) * CHAR
    size = classes * cell
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    parts = []
    for number in range(classes + 1):
        at = margin + number * cell
        parts.append(f'<line class="grid" x1="{margin:.1f}" y1="{at:.1f}" x2="{margin + size:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{margin:.1f}" x2="{at:.1f}" y2="{margin + size:.1f}"/>')
    for number, name in enumerate(shown):
        middle = margin + (number + 0.5) * cell + 4
        small = "" if cell > 20 else ' class="small"'
        parts.append(text(margin - 6, middle, name, "end", small))
        turn = f'{small} transform="rotate(-90 {middle:.1f} {margin - 6:.1f})"'
        parts.append(text(middle, margin - 6, name, "start", turn))
    for i, j in np.argwhere(counts):
        x, y, share = margin + j * cell, margin + i * cell, float(shares[i, j])
        told = f"{labels[i]} → {labels[j]}: {counts[i, j]:,} of {counts[i].sum():,}"
        box = f'x="{x:.1f}" y="{y:.1f}" width="{cell}" height="{cell}" fill-opacity="{0.08 + 0.92 * share:.2f}"'
        parts.append(f'<rect class="cell{"" if i == j else " wrong"}" {box}><title>{escape(told)}</title></rect>')
        if classes <= MOST_COUNTED:
            on = ' class="on"' if share > 0.45 else ""
            parts.append(text(x + cell / 2, y + cell / 2 + 4, f"{counts[i, j]:,}", "middle", on))
    parts.append(text(margin + size / 2, 13, "predicted", "middle"))
    parts.append(upright(margin + size / 2, "true"))
    return svg(parts, label, margin + size + 8, margin + size + 8)


def sureness(bins: Sequence[Bin], xlabel: str, ylabel: str, label: str) -> str:
    """Accuracy of each bin against its confidence above, the number of answers in it below."""
    height, border = 420, 260
    upper = Frame((0, 0), (1, 1), TOP, border)
    lower = Frame((0, 0), (1, 1), border + 34, height - BOTTOM)
    parts = [
        *axes(upper, "", ylabel),
        f'<line class="mark" x1="{upper.x(0):.1f}" y1="{upper.y(0):.1f}" x2="{upper.x(1):.1f}" y2="{upper.y(1):.1f}"/>',
    ]
    most = max(one.number for one in bins)
    for one in bins:
        if not one.number:
            continue
        x, wide = upper.x(one.low) + 1, upper.x(one.high) - upper.x(one.low) - 2
        sure = f"confidence {one.confidence:.4f}, right {one.accuracy:.4f}"
        told = f"{one.low:.2f} to {one.high:.2f}: {one.number:,}, {sure}"
        top, at = upper.y(one.accuracy), upper.x(one.confidence)
        tall = one.number / most * (lower.bottom - lower.top - 14)
        parts.append(bar(x, top, wide, upper.bottom, told))
        parts.append(f'<circle class="dot f1" cx="{at:.1f}" cy="{top:.1f}" r="3.5"/>')
        parts.append(bar(x, lower.bottom - tall, wide, lower.bottom, told))
        parts.append(text(x + wide / 2, lower.bottom - tall - 4, f"{one.number:,}", "middle", ' class="small"'))
    parts.append(f'<line class="grid" x1="{LEFT}" y1="{lower.bottom}" x2="{WIDTH - RIGHT}" y2="{lower.bottom}"/>')
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, height - 8, xlabel, "middle"))
    parts.append(upright((lower.top + lower.bottom) / 2, "number"))
    return svg(parts, label, WIDTH, height)


def scatter(gold: Sequence[float], said: Sequence[float], label: str) -> str:
    """A point a row; the dashed line is where both are equal."""
    low, high = around([*gold, *said])
    frame = Frame((low, low), (high, high), TOP, 440 - BOTTOM)
    parts = axes(frame, "true score", "predicted score")
    line = f'x1="{frame.x(low):.1f}" y1="{frame.y(low):.1f}" x2="{frame.x(high):.1f}" y2="{frame.y(high):.1f}"'
    parts.append(f'<line class="mark" {line}/>')
    parts.extend(
        f'<circle class="point" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3"/>'
        for x, y in zip(gold, said, strict=True)
    )
    return svg(parts, label, WIDTH, 440)
