"""Plots as SVG, of numbers only: lines over a logarithmic axis, and bars. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH, _HEIGHT = 640, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 16, 44
# Distinct also for who sees no difference between red and green.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")


@dataclass(frozen=True)
class Line:
    """``points``: pairs of positive numbers. A dashed one is a model's."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    is_dashed: bool = False


def lines(title: str, lines_: Sequence[Line], *, x: str, y: str, logarithmic: bool = False) -> str:
    """``logarithmic`` is the y axis; the x axis always is."""
    all_points = [point for line in lines_ for point in line.points if point[0] > 0 and point[1] > 0]
    if not all_points:
        return ""
    xs, ys = [one[0] for one in all_points], [one[1] for one in all_points]
    least = min(ys) if logarithmic else 0.0
    place_x = _place(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT, logarithmic=True)
    place_y = _place(least, max(ys), _HEIGHT - _BOTTOM, _TOP, logarithmic=logarithmic)
    parts = _frame(title, x, y)
    for value in sorted(set(xs)):
        at = place_x(value)
        parts.append(f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{value:g}</text>')
    for value in _ticks(least, max(ys), logarithmic=logarithmic):
        at = place_y(value)
        parts.append(f'<path class="grid" d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
    for row, line in enumerate(lines_):
        colour = COLOURS[line.colour % len(COLOURS)]
        places = [(place_x(a), place_y(b)) for a, b in line.points if a > 0 and b > 0]
        path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
        dash = ' stroke-dasharray="4 4"' if line.is_dashed else ""
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        if not line.is_dashed:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in places]
        height = _TOP + 12 + 18 * row
        left = _WIDTH - _RIGHT + 12
        parts.append(f'<path d="M{left} {height}h18" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{left + 24}" y="{height + 4}">{escape(line.name)}</text>')
    return "".join([*parts, "</svg>"])


def bars(title: str, rows: Sequence[tuple[str, Sequence[float]]], names: Sequence[str], *, unit: str) -> str:
    """Each row a bar of parts, which ``names`` name."""
    most = max((sum(values) for _, values in rows), default=0.0)
    if most <= 0:
        return ""
    left, width, height = 240, 330, 40 + 24 * len(rows)
    parts = [_head(title, height)]
    for number, name in enumerate(names):
        place = left + 110 * number
        parts.append(f'<rect x="{place}" y="4" width="12" height="12" fill="{COLOURS[number]}"/>')
        parts.append(f'<text x="{place + 18}" y="14">{escape(name)}</text>')
    for row, (label, values) in enumerate(rows):
        top, at = 28 + 24 * row, float(left)
        shown = label if len(label) <= 36 else f"{label[:35]}…"
        parts.append(f'<text x="{left - 8}" y="{top + 13}" text-anchor="end">{escape(shown)}</text>')
        for number, value in enumerate(values):
            long = width * value / most
            parts.append(
                f'<rect x="{at:.1f}" y="{top}" width="{long:.1f}" height="18" fill="{COLOURS[number]}"/>'
            )
            at += long
        parts.append(f'<text x="{at + 6:.1f}" y="{top + 13}">{sum(values):.2f} {escape(unit)}</text>')
    return "".join([*parts, "</svg>"])


def _head(title: str, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">'
        f"<title>{escape(title)}</title>"
    )


def _frame(title: str, x: str, y: str) -> list[str]:
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    return [
        _head(title, _HEIGHT),
        f'<path class="axis" d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}"/>',
        f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x)}</text>',
        f'<text transform="translate(14 {(_TOP + _HEIGHT - _BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y)}</text>',
    ]


def _place(
    least: float, most: float, first: float, last: float, *, logarithmic: bool
) -> Callable[[float], float]:
    def scaled(value: float) -> float:
        return math.log(value) if logarithmic else value

    low, high = scaled(least), scaled(most)
    span = high - low or 1.0
    return lambda value: first + (last - first) * (scaled(value) - low) / span


def _ticks(least: float, most: float, *, logarithmic: bool) -> list[float]:
    if logarithmic:
        powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        return [tick for power in powers if least <= (tick := float(10**power)) <= most] or [least, most]
    step = 10.0 ** math.floor(math.log10(most))
    step = next(step * part for part in (0.2, 0.5, 1.0, 2.0) if most / (step * part) <= 5.5)
    return [step * number for number in range(int(most / step) + 1)]
