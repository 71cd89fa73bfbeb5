"""CSV: lines of text to arrays, in batches, of any length.

Owns what a line is: its delimiter, whether the first one is a header, what a cell may hold, and
the errors that name line and column. Leaves which columns belong to which input to `columns`, and
fast parsing of numbers to numpy: lines that numpy refuses, or that have quotes or texts, are read
cell by cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError
from holdfast.judge.signature import Feed, Signature
from holdfast.prediction.bounds import largest
from holdfast.prediction.columns import CHOOSE, Placed, picked, placed

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_SHOWN = 40

_Line = tuple[int, str]
_Row = tuple[int, list[str]]


def feed(text: str, signature: Signature, what: str) -> Feed:
    """Return a whole CSV text as one batch; see `Table`.

    Args:
        text: of the table.
        signature: of the model.
        what: the text's name, for errors.

    Raises:
        InputError: as `Table`; or there are no rows.
    """
    way_out = "send these alone"
    parts = list(Table(io.StringIO(text), signature, 1 << 16, what, way_out=way_out))
    if not parts:
        raise InputError(f"{what} has no rows")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class Table:
    """Rows of a CSV text as batches of a model's inputs. Iterate over it once.

    Args:
        lines: of the text; a stream opened for text will do.
        signature: of the model.
        batch: how many rows at most go together.
        what: the text's name, for errors.
        header: whether the first line has the columns' names; None to find out: it has where no
            cell of it is a number.
        columns: names or numbers, from 1, of the columns that count; none for all.
        way_out: for errors, where there are more or fewer columns than the inputs need.

    Attributes:
        spare: the names of columns that are not used.

    Raises:
        InputError: a line cannot be read, names line and column; or the columns are not the
            model's.
    """

    def __init__(
        self,
        lines: Iterable[str],
        signature: Signature,
        batch: int,
        what: str,
        header: bool | None = None,
        columns: Sequence[str] = (),
        *,
        way_out: str = CHOOSE,
    ) -> None:
        self._signature = signature
        self._batch = batch
        self._what = what
        self._way_out = way_out
        self._lines: Iterator[_Line] = enumerate(self._read(lines), 1)
        self._names: list[str] | None = None
        self._parts: list[Placed] = []
        self.spare: list[str] = []
        first = next((line for line in self._lines if line[1].strip()), None)
        if first is not None:
            self._delimiter = _delimiter(first[1])
            self._begin(first, header, columns)

    def __iter__(self) -> Iterator[Feed]:
        while block := list(islice(self._lines, self._batch)):
            if any('"' in text for _, text in block):
                # A cell in quotes may go over several lines: where a block ends, a row may not.
                rows = self._rows(chain(block, self._lines))
                while some := list(islice(rows, self._batch)):
                    yield self._by_cell(some)
                return
            texts = [text for _, text in block if text.strip()]
            if texts:
                fast = self._at_once(texts)
                yield self._by_cell(list(self._rows(block))) if fast is None else fast

    def _read(self, lines: Iterable[str]) -> Iterator[str]:
        try:
            yield from lines
        except UnicodeDecodeError as error:
            raise InputError(f"{self._what}: expected text in UTF-8, found {error}") from None

    def _begin(self, first: _Line, header: bool | None, columns: Sequence[str]) -> None:
        """Read the first row, which may go over several lines, and place the columns."""
        used = []

        def kept() -> Iterator[_Line]:
            for line in chain([first], self._lines):
                used.append(line)
                yield line

        number, cells = next(self._rows(kept()), (0, [""]))
        if cells == [""]:  # a quoted nothing
            raise InputError(f"{self._what}, line {first[0]}: expected numbers, found nothing")
        self._width = len(cells)
        if self._is_header(number, cells) if header is None else header:
            self._names = [cell.strip() for cell in cells]
        else:
            self._lines = chain(used, self._lines)
        chosen = picked(self._names, self._width, columns, self._what)
        self._parts = placed(self._signature, self._names, chosen, self._what, self._way_out)
        taken = {column for part in self._parts for column in part.columns}
        if self._names:
            self.spare = [name for place, name in enumerate(self._names) if place not in taken]

    def _is_header(self, number: int, cells: list[str]) -> bool:
        """Return whether a first row has names; where it can be both, that is an error."""
        if any(tensor.dtype == "string" for tensor in self._signature.inputs):
            inputs = tuple(tensor.name for tensor in self._signature.inputs)
            return any(cell.strip().startswith(inputs) for cell in cells)
        numbers = [_is_number(cell) for cell in cells]
        if not any(numbers):
            return True
        counted = len(cells) > 2 and cells == [str(place) for place in range(len(cells))]
        if counted:
            raise InputError(
                f"{self._what}, line {number}: 0, 1, 2, … may be names or numbers: say whether "
                "there is a header"
            )
        return False

    def _rows(self, lines: Iterable[_Line]) -> Iterator[_Row]:
        """Give rows as cells, each with the number of the line it begins in; blank ones not."""
        last = 0

        def texts() -> Iterator[str]:
            nonlocal last
            for number, text in lines:
                last = number
                yield text

        source = texts()
        reader = csv.reader(source, delimiter=self._delimiter, strict=True)
        while True:
            begin = last + 1 if last else 0
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise InputError(f"{self._what}, line {last}: {error}") from None
            if cells is None:
                return
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield begin or last, cells

    def _at_once(self, texts: list[str]) -> Feed | None:
        """Return rows as numpy reads them, or None where cells must be looked at one by one."""
        delimiters = self._width - 1
        if any(text.count(self._delimiter) != delimiters for text in texts):
            return None
        found = {}
        for part in self._parts:
            if part.tensor.dtype in ("string", "bool"):
                return None
            every = part.columns == tuple(range(self._width))
            try:
                numbers = np.loadtxt(
                    texts,
                    dtype=np.int64 if "int" in part.tensor.dtype else np.float64,
                    delimiter=self._delimiter,
                    comments=None,
                    usecols=None if every else part.columns,
                    ndmin=2,
                )
            except ValueError:
                return None
            # An infinite one may have been a number that no float holds.
            if numbers.dtype.kind == "f" and (np.abs(numbers) > largest(part.tensor.dtype)).any():
                return None
            found[part.tensor.name] = numbers.reshape(len(texts), *part.sample)
        return found

    def _by_cell(self, rows: list[_Row]) -> Feed:
        """Return rows read cell by cell; what is wrong is named by its line and its column."""
        for number, cells in rows:
            if len(cells) != self._width:
                raise InputError(
                    f"{self._what}, line {number}: expected {self._width} columns, as in the "
                    f"first line, found {len(cells)}"
                )
        found = {}
        for part in self._parts:
            array = self._cells(part, rows)
            found[part.tensor.name] = array.reshape(len(rows), *part.sample)
        return found

    def _cells(self, part: Placed, rows: list[_Row]) -> NDArray[Any]:
        if part.tensor.dtype == "string":
            texts = [[cells[column] for column in part.columns] for _, cells in rows]
            return np.array(texts, dtype=object)
        read: Callable[[str], bool | int | float] = _number
        kind: type[np.generic] = np.float64
        if part.tensor.dtype == "bool":
            read, kind = _truth, np.bool_
        elif "int" in part.tensor.dtype:
            read, kind = _whole, np.int64
        else:
            read = partial(_within, largest(part.tensor.dtype), part.tensor.dtype)
        values = [
            [self._cell(read, number, column, cells[column]) for column in part.columns]
            for number, cells in rows
        ]
        return np.array(values, dtype=kind)

    def _cell(
        self, read: Callable[[str], bool | int | float], number: int, column: int, text: str
    ) -> bool | int | float:
        try:
            return read(text.strip())
        except ValueError as error:
            name = repr(self._names[column]) if self._names else str(column + 1)
            shown = text.strip()[:_SHOWN]
            found = repr(shown) if shown else "nothing"
            raise InputError(
                f"{self._what}, line {number}, column {name}: expected {error}, found {found}"
            ) from None


def _delimiter(line: str) -> str:
    return next((mark for mark in "\t;" if mark in line), ",")


def _is_number(text: str) -> bool:
    try:
        _number(text.strip())
    except ValueError:
        return False
    return True


def _number(text: str) -> float:
    try:
        if "_" not in text:
            return float(text)
    except ValueError:
        pass
    point = ", with a decimal point" if text.replace(",", "", 1).strip("+-").isdecimal() else ""
    raise ValueError(f"a number{point}")


def _within(most: float, dtype: str, text: str) -> float:
    """Return a number that a type holds; what is written as infinite is taken as that."""
    number = _number(text)
    if abs(number) > most and text.strip("+-").lower() not in ("inf", "infinity"):
        raise ValueError(f"a number that {dtype} holds")
    return number


def _whole(text: str) -> int:
    try:
        number = int(text) if "_" not in text else None
    except ValueError:
        value = _number(text)
        number = int(value) if value.is_integer() else None
    if number is None or not -(2**63) <= number < 2**63:
        raise ValueError("a whole number")
    return number


def _truth(text: str) -> bool:
    truth = _TRUTHS.get(text.lower())
    if truth is None:
        raise ValueError("true, false, 1 or 0")
    return truth
