"""The epochs of a training with their logs, and how a snapshot holds them.

Owns their text and its division into blocks. A block that is full never changes: its text is
made once, the store writes it once, and a training of many epochs holds the text alone.

The text is lines of JSON, `[epoch, logs]`, with the values of logs as `values` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, SupportsIndex, overload

from holdfast.state.values import decode, encode
from holdfast.types import Array

Row = tuple[int, dict[str, Any]]
"""An epoch, counted from 0, and its logs."""

BLOCK = 1024
_PREFIX = "history/"


class Rows(Sequence[Row]):
    """Epochs with their logs, in order. Rows are added, never changed.

    Args:
        rows: the first.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._full: list[bytes] = []
        self._open: list[Row] = []
        self._lines: list[bytes] = []
        self._arrays: dict[str, Array] = {}
        self._read: tuple[int, list[Row]] = (-1, [])
        for epoch, logs in rows:
            self.append(epoch, logs)

    @classmethod
    def from_arrays(cls, count: int, arrays: Mapping[str, Array]) -> Rows:
        """Return the `count` rows that a snapshot holds among its arrays."""
        rows = cls()
        # Copies: what an array was read into may hold others too.
        rows._arrays = {
            name: replace(array, data=memoryview(bytes(array.data)))
            for name, array in arrays.items()
            if _row(name) is not None
        }
        whole, rest = divmod(count, BLOCK)
        rows._full = [bytes(arrays[_name(number)].data) for number in range(whole)]
        if rest:
            text = bytes(arrays[_name(whole)].data)
            rows._open = rows._decode(text)
            rows._lines = text.splitlines(keepends=True)
        return rows

    def append(self, epoch: int, logs: dict[str, Any]) -> None:
        """Add a row.

        Raises:
            CannotKeepError: a value of the logs cannot be kept.
        """
        arrays: list[Array] = []
        value = encode([epoch, logs], f"{_PREFIX}{len(self)}", arrays)
        self._lines.append(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._open.append((epoch, logs))
        self._arrays.update((array.name, array) for array in arrays)
        if len(self._open) == BLOCK:
            self._read = (len(self._full), self._open)
            self._full.append(b"".join(self._lines))
            self._open, self._lines = [], []

    def to_arrays(self, count: int) -> list[Array]:
        """Return the first `count` rows as arrays for a snapshot."""
        whole, rest = divmod(count, BLOCK)
        texts = self._full[:whole]
        if rest:
            lines = self._lines
            if whole < len(self._full):
                lines = self._full[whole].splitlines(keepends=True)
            texts = [*texts, b"".join(lines[:rest])]
        return [
            *(
                Array(_name(number), "uint8", (len(text),), memoryview(text))
                for number, text in enumerate(texts)
            ),
            *(array for name, array in self._arrays.items() if (_row(name) or 0) < count),
        ]

    def __len__(self) -> int:
        return len(self._full) * BLOCK + len(self._open)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number, place = divmod(range(len(self))[index], BLOCK)
        return self._block(number)[place]

    def __iter__(self) -> Iterator[Row]:
        for number in range(len(self._full)):
            yield from self._decode(self._full[number])
        yield from self._open

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Rows({list(self)!r})"

    def _block(self, number: int) -> list[Row]:
        if number == len(self._full):
            return self._open
        if self._read[0] != number:
            self._read = (number, self._decode(self._full[number]))
        return self._read[1]

    def _decode(self, text: bytes) -> list[Row]:
        rows = json.loads(b"[" + text[:-1].replace(b"\n", b",") + b"]")
        if b'"$' in text:
            rows = decode(rows, self._arrays)
        return [(epoch, logs) for epoch, logs in rows]


def _name(number: int) -> str:
    return f"{_PREFIX}{number:04d}"


def _row(name: str) -> int | None:
    """Return the number of the row that an array is part of, or None: it is of another kind."""
    if not name.startswith(_PREFIX):
        return None
    number, slash, _ = name[len(_PREFIX) :].partition("/")
    return int(number) if slash else None
