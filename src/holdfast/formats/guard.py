"""The limits within which a file is read, in one place.

Owns how deep, how long and how many. Leaves to each codec where it asks.

What is read of a file must not take much more memory than the file has bytes, whatever it claims:
at most four times as much, and 64 MB. So all that takes memory is counted, and each file has one
`Budget` for all of it: what is unpacked, tables of contents, texts, JSON, and all arrays together.
"""

from __future__ import annotations

import json
from typing import Any

from holdfast.errors import FormatError
from holdfast.formats.region import Region
from holdfast.types import Json

DEEPEST_TREE = 64
"""How many groups may lie within each other."""

OBJECT = 1000
"""About what a named object of a file takes in memory, besides its bytes."""

_DEEPEST_JSON = 200
_SPARE = 56 << 20
# About what Python needs for each object, list and item of JSON.
_JSON_OBJECT, _JSON_LIST, _JSON_ITEM = 184, 64, 72


class Budget:
    """Bytes of memory that may still be taken for a file.

    Args:
        name: of the file.
        size: how many bytes it has.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name, self._size = name, size
        self._left = 4 * size + _SPARE

    @classmethod
    def of(cls, region: Region) -> Budget:
        """Return what a file as a whole may take."""
        return cls(region.name, region.size)

    def spend(self, count: int) -> None:
        """Count bytes.

        Raises:
            FormatError: there are not so many left.
        """
        self._left -= count
        if self._left < 0:
            raise FormatError(
                f"{self._name}: what it holds claims to be far more than fits a file of "
                f"{self._size} bytes: it is damaged, or made to fill the memory"
            )


def parse_json(text: bytes | str, name: str, budget: Budget | None = None) -> Json:
    """Return what a JSON text says.

    Args:
        text: in UTF-8.
        name: of the file and the part, for messages.
        budget: of the file; None for one of the text alone.

    Raises:
        FormatError: it is no JSON, or is nested or branched too much to be a configuration.
    """
    marks = (b"{", b"[", b",") if isinstance(text, bytes) else ("{", "[", ",")
    objects, lists, items = (text.count(mark) for mark in marks)  # type: ignore[arg-type]
    cost = _JSON_OBJECT * objects + _JSON_LIST * lists + _JSON_ITEM * items
    (budget or Budget(name, len(text))).spend(cost)
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise FormatError(f"{name}: JSON that is nested too deep") from error
    except ValueError as error:
        raise FormatError(f"{name}: expected JSON ({error})") from error
    _check_depth(value, name)
    return value


def _check_depth(value: Json, name: str) -> None:
    level: list[Any] = [value]
    for _ in range(_DEEPEST_JSON):
        parts: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                parts.extend(item.values())
            elif isinstance(item, list):
                parts.extend(item)
        level = [part for part in parts if isinstance(part, (dict, list))]
        if not level:
            return
    raise FormatError(f"{name}: JSON that is nested more than {_DEEPEST_JSON} deep")
