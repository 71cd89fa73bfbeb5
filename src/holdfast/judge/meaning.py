"""What the words about an input say of its numbers: "8x8 pixels, 0 (white) to 16 (black)".

Owns reading them. Leaves what they are for to those who ask: images of files, a page to draw on.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_NUMBER = r"(-?\d+(?:\.\d+)?)\s*(\([^()]*\))?"
_FROM_TO = re.compile(
    rf"(?<![\w.]){_NUMBER}\s*(?:to|-|–|…|\.\.)\s*{_NUMBER}(?![\w])"  # noqa: RUF001
)


class Range(NamedTuple):
    """Between which numbers an input is.

    Args:
        low, high: the numbers.
        white_is_low: whether the words call the low one white, or the high one black.
    """

    low: float
    high: float
    white_is_low: bool


def said_range(words: str) -> Range | None:
    """Return the range that the words about an input name, or None.

    Example:
        `said_range("0 (white) to 16 (black)")` is `Range(0.0, 16.0, True)`.
    """
    found = _FROM_TO.search(words)
    if found is None or float(found[1]) >= float(found[3]):
        return None
    inverted = "white" in (found[2] or "").lower() or "black" in (found[4] or "").lower()
    return Range(float(found[1]), float(found[3]), inverted)
