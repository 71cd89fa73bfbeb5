"""Tables and numbers as the page shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = re.compile(r"\W*(\d|once\b|$)")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns of numbers are right, the first one and words are left."""
    right = [all(_NUMBER.match(row[place]) for row in rows) for place in range(len(header))]
    marks = ["---", *("---:" if numbers else "---" for numbers in right[1:])]
    lines = [header, marks, *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in lines)


def seconds(value: float) -> str:
    """Return seconds with the digits and the unit that can be read: `0.102 s`, `8.9 µs`."""
    for size, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= size or unit == "µs":
            return f"{number(value / size)} {unit}"
    raise AssertionError


def size(value: float) -> str:
    """Return bytes in decimal units: `1.2 MB`."""
    for unit_size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit_size:
            return f"{number(value / unit_size)} {unit}"
    return f"{value:.0f} B"


def number(value: float) -> str:
    """Return a number with three digits that mean something: `0.102`, `2.35`, `1,234`."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
